import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { holdfast } from './fake-terminal.ts'

const commands = [
  ['serve'],
  ['migrate'],
  ['db', 'migrate'],
  ['protect'],
  ['db', 'protect'],
  ['db', 'roles'],
  ['setup-token'],
  ['routes'],
  ['explain'],
]

describe('holdfast', () => {
  it('tells its version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect(await holdfast(['--version'])).toEqual({ code: 0, out: version, err: '' })
    expect(await holdfast(['serve', '--version'])).toEqual({ code: 0, out: version, err: '' })
  })

  it.each(commands)('explains %s %s', async (...words) => {
    const name = words.filter((word) => typeof word === 'string').join(' ')
    const { code, out } = await holdfast([...name.split(' '), '--help'])
    expect(code).toBe(0)
    expect(out).toMatch(/^holdfast /)
    expect((await holdfast(['--help'])).out).toContain(`  ${name}`)
  })

  it('answers --help for a group of commands', async () => {
    const { code, out } = await holdfast(['db', '--help'])
    expect([code, out]).toEqual([0, expect.stringMatching(/holdfast db migrate: .*\n(?:.*\n)*holdfast db roles: /)])
  })

  const misuses: [string[], RegExp][] = [
    [[], /^$/],
    [['nope'], /no command "nope"/],
    [['db'], /db migrate, .*db protect, db roles/],
    [['db', 'nope'], /one of: db migrate/],
    [['constructor'], /no command/],
    [['__proto__'], /no command/],
    [['serve', '--nope'], /Unknown option '--nope'/],
    [['serve', 'extra'], /"extra" is one argument too many/],
    [['serve', '--port'], /argument missing/],
    [['routes', '--json=7'], /does not take an argument/],
    [['explain'], /An argument is missing/],
    [['explain', 'SELECT 1', 'SELECT 2'], /one argument too many\. Put the statement in quotes/],
    [['explain', 'SELECT 1', '--role', 'king'], /There are: owner, admin, member, viewer/],
    [['explain', 'SELECT 1', '--role', 'toString'], /There is no role/],
    [['migrate'], /HOLDFAST_MIGRATOR_URL/],
    [['migrate', 'undo'], /"undo" is none of apply, plan and status/],
    [['migrate', 'plan', '--status'], /--status does not go with plan/],
    [['migrate', '--url', 'x', '--wait', 'long'], /--wait takes whole seconds/],
    [['migrate', 'plan', '--url', 'x', '--wait', '3'], /plan takes no --wait/],
    [['protect'], /An argument is missing/],
    [['protect', 'invoices'], /not a table with its schema/],
    [['protect', 'app.x', '--grant', 'read,drop'], /not "drop"/],
    [['protect', 'app.x', '--parent', 'app.y'], /--parent and --link go together/],
    [['protect', 'app.x', '--type', 'int4'], /--type is uuid/],
    [['protect', 'app.x'], /--migrations DIR or --stdout/],
    [['protect', 'app.x', '--migrations', '/nowhere'], /There is no folder \/nowhere/],
    [['db', 'roles', '--dialect', 'oracle'], /postgresql or cockroachdb/],
    [['db', 'roles', '--database', 'x; DROP'], /plain lower-case name/],
  ]
  it.each(misuses)('%j is wrong usage', async (args, message) => {
    const { code, err, out } = await holdfast(args)
    expect(code).toBe(2)
    expect(err).toMatch(message)
    expect(err + out).not.toMatch(/\n\s+at /)
  })

  const failures: [string[], Record<string, string>, RegExp][] = [
    [['migrate', '--url', 'postgresql://u:hunter2@127.0.0.1:1/x'], {}, /The database cannot be reached/],
    [['migrate', '--url', 'mysql://u:hunter2@127.0.0.1/x'], {}, /its scheme must be postgresql/],
    [
      ['migrate'],
      { HOLDFAST_MIGRATOR_URL: 'postgresql://u:hunter2@db.example/x?sslmode=disable' },
      /on this machine only; use sslmode=verify-full/,
    ],
    [['serve'], { PORT: 'http' }, /http\.port, from the environment variable PORT, must be a whole number/],
    [['serve', '--port', '70000'], {}, /from the flag --port.*It is 70000/],
    [['serve'], { DATABASE_URL: 'postgresql://u:hunter2@127.0.0.1:1/x' }, /HOLDFAST_IDENTITY_URL is not/],
    [['setup-token', '--data-dir', '/nonexistent'], {}, /There is no database in/],
  ]
  it.each(failures)('%j %j fails in one paragraph', async (args, environment, message) => {
    const { code, err } = await holdfast(args, environment)
    expect(code).toBe(1)
    expect(err).toMatch(message)
    expect(err).not.toContain('hunter2')
    expect(err.split('\n')).toHaveLength(1)
  })
})

describe('holdfast routes', () => {
  it('lists every route and who may', async () => {
    const { code, out } = await holdfast(['routes'])
    expect(code).toBe(0)
    expect(out).toMatch(/^GET {5}\/v1\/me +can\(profile:read\)$/m)
    expect(out).toMatch(/^POST {4}\/v1\/sign-in +open: whoever/m)
    expect(out).toMatch(/^DELETE {2}\/v1\/sessions\/:id +signed in$/m)
  })

  it('as data', async () => {
    const rows = JSON.parse((await holdfast(['routes', '--json'])).out) as { method: string; url: string }[]
    expect(rows).toContainEqual({
      method: 'PATCH',
      url: '/v1/me',
      access: 'can(profile:read, profile:update)',
      pool: 'app',
      strict: false,
      first: true,
    })
    expect(rows).toContainEqual(expect.objectContaining({ url: '/health', pool: null }))
  })
})

describe('holdfast db roles', () => {
  it.each(['postgresql', 'cockroachdb'])('prints the five roles for %s', async (dialect) => {
    const { code, out } = await holdfast(['db', 'roles', '--dialect', dialect, '--database', 'prod'])
    expect(code).toBe(0)
    for (const role of ['owner', 'migrator', 'enter', 'identity', 'app'])
      expect(out).toContain(`CREATE ROLE holdfast_${role} `)
    expect(out).toContain('ON DATABASE prod')
    expect(out).toContain(String.raw`\password holdfast_app`)
    expect(out).not.toContain(String.raw`\password holdfast_owner`)
  })
})
