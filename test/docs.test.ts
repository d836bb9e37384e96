import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../src/service/config.ts'
import { parseIdentitySettings } from '../src/service/identity/settings.ts'
import { nameOf, sectionOf, settings } from '../src/service/settings.ts'

const root = fileURLToPath(new URL('../', import.meta.url))

it.each([
  ['docs/library.md', 'createApp'],
  ['docs/testing.md', 'expectIsolated'],
  ['docs/orm.md', 'drizzleOf'],
  ['docs/streaming.md', 'rowsOf'],
  ['docs/idempotency.md', 'paymentRoutes'],
])('the examples of %s compile', (page, part) => {
  const examples = [...readFileSync(join(root, page), 'utf8').matchAll(/```ts\n([\s\S]*?)```/g)].map(
    ([, text = '']) => text,
  )
  expect(examples.join('')).toContain(part)
  // beside the sources, so that it finds them and their dependencies
  const directory = mkdtempSync(join(root, 'test/.example-'))
  try {
    for (const [index, example] of examples.entries()) {
      const source = example
        .replaceAll("'holdfast'", "'../../src/index.ts'")
        .replaceAll("'holdfast/fastify'", "'../../src/fastify.ts'")
        .replaceAll("'holdfast/kysely'", "'../../src/kysely.ts'")
        .replaceAll("'holdfast/drizzle'", "'../../src/drizzle.ts'")
        .replaceAll("'holdfast/testing'", "'../../src/testing.ts'")
      writeFileSync(join(directory, `example-${index}.ts`), source)
    }
    writeFileSync(
      join(directory, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', include: ['*.ts'] }),
    )
    const { status, stdout } = spawnSync('npx', ['tsc', '-p', directory, '--noEmit'], { cwd: root, encoding: 'utf8' })
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

it('the example of docs/configuration.md is a configuration', async () => {
  const [, example = ''] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'docs/configuration.md'), 'utf8')) ?? []
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-docs-'))
  try {
    writeFileSync(join(directory, 'holdfast.config.ts'), example)
    const { http, identity } = await loadConfig({ directory, environment: {} })
    expect([http.port, http.origin, identity.sessionIdleSeconds]).toEqual([8080, 'https://api.example.com', 1800])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

/** Pages that are made from the code. Made again with: npx vitest run test/docs.test.ts --update */
describe('pages made from the code', () => {
  it('docs/configuration.md has every setting', async () => {
    const identity = parseIdentitySettings({ public_origin: 'http://localhost:7070' }) as unknown as Record<
      string,
      unknown
    >
    const rows = settings.map((setting) => {
      const { env, flag, allowed, help, fallback, secret } = setting
      const name = nameOf(setting)
      const inherited = identity[name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())]
      const standard = fallback ?? (sectionOf(setting) === 'identity' ? inherited : undefined)
      const cells = [
        env === undefined ? '' : `\`${env}\``,
        flag === undefined ? '' : `\`--${flag}\``,
        `\`${sectionOf(setting)}.${name}\``,
        `${help}${secret === true ? ' (a secret: never a flag, never shown)' : ''}`,
        allowed,
        typeof standard === 'string' || typeof standard === 'number' ? `\`${standard}\`` : '',
      ]
      return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
    })
    expect(rows.length).toBeGreaterThan(20)
    const page = [
      '# Configuration',
      '',
      'Flags win over the environment, the environment over the configuration file, the file over the defaults. The file is',
      '`holdfast.config.ts`, `.mjs` or `.json` in the working directory, or what `--config` names; its default export has one section',
      'a room. Everything is checked at the start: an error names the setting, where it came from and what is allowed.',
      '',
      '```ts',
      'export default {',
      "  http: { port: 8080, origin: 'https://api.example.com' },",
      "  identity: { sign_up: 'open', session_idle_seconds: 1800 },",
      "  tenancy: { base_domain: 'example.com' },",
      '}',
      '```',
      '',
      'Besides: `HOLDFAST_MIGRATOR_URL` is read by `holdfast migrate` alone; `HOLDFAST_DEBUG=1` shows the stack of a failure at the start;',
      '`NO_COLOR` takes colours away. `HOLDFAST_ORIGIN` is `http://localhost:PORT` unless it is set.',
      '',
      '| environment | flag | in the file | what | allowed | default |',
      '|---|---|---|---|---|---|',
      ...rows,
      '',
    ].join('\n')
    await expect(page).toMatchFileSnapshot('../docs/configuration.md')
  })

  it('docs/limits.md has every limit of the code', async () => {
    const limits = sources(join(root, 'src')).flatMap((file) => limitsOf(file))
    expect(limits.length).toBeGreaterThan(40)
    const rooms = [...new Set(limits.map(({ room }) => room))]
    const page = [
      '# Limits',
      '',
      'Sizes, times, counts and costs, room by room, as the code has them. What an operator can set is in [configuration.md](configuration.md).',
      '',
      ...rooms.flatMap((room) => [
        `## ${room}`,
        '',
        '| limit | value | what, and why |',
        '|---|---|---|',
        ...limits
          .filter((limit) => limit.room === room)
          .map(({ name, value, why }) => `| \`${name}\` | ${value} | ${why} |`),
        '',
      ]),
    ].join('\n')
    await expect(page).toMatchFileSnapshot('../docs/limits.md')
  })
})

/** Numbers that bound nothing. */
const NO_LIMITS: ReadonlySet<string> = new Set([
  'ADVISORY_LOCK',
  'ARGON2ID',
  'OUTBOX_KEY_ID',
  'socketPort',
  'postgresqlFloor',
])

type Limit = { room: string; name: string; value: string; why: string }

/** Numeric constants that say in a comment what they are. */
function limitsOf(file: string): Limit[] {
  const text = readFileSync(file, 'utf8')
  const pattern =
    /\/\*\*\s*(?:\*\s+)?((?:(?!\*\/)[\s\S])*?)\s*\*\/\n(?:export )?const (\w+)(?:: number)? = ([\d_]+(?: \* [\d_]+)*)\n/g
  return [...text.matchAll(pattern)]
    .filter(([, , name = '']) => !NO_LIMITS.has(name))
    .map(([, comment = '', name = '', value = '']) => ({
      room: relative(join(root, 'src'), file).split('/').slice(0, 2).join('/'),
      name,
      value: value
        .replaceAll('_', ' ')
        .replaceAll(' * ', ' × ')
        .replaceAll(/(\d) (\d)/g, '$1,$2'),
      why: comment
        .replaceAll(/\s*\n\s*\*\s*/g, ' ')
        .replaceAll('|', '\\|')
        .trim(),
    }))
}

function sources(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(directory, entry.name)
      if (entry.isDirectory()) return sources(path)
      return entry.name.endsWith('.ts') ? [path] : []
    })
}
