import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ConfigSources, loadConfig, loadSchema } from '../../src/service/config.ts'
import { nameOf, sectionOf, settings } from '../../src/service/settings.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-config-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const SECRET = 'canary-secret-4711'
const KEY = 'A'.repeat(43)
const external = {
  DATABASE_URL: `postgresql://a:${SECRET}@localhost/h`,
  HOLDFAST_IDENTITY_URL: `postgresql://i:${SECRET}@localhost/h`,
  HOLDFAST_KEY: KEY,
}

const load = (environment: Record<string, string> = {}, more: ConfigSources = {}) =>
  loadConfig({ environment, directory, ...more })
const file = (value: unknown, name = 'holdfast.config.json'): void =>
  writeFileSync(join(directory, name), typeof value === 'string' ? value : JSON.stringify(value))

describe('the configuration', () => {
  it('has defaults for everything', async () => {
    expect(await load()).toMatchObject({
      http: {
        port: 7070,
        host: '127.0.0.1',
        origin: 'http://localhost:7070',
        trustedProxies: [],
        logLevel: 'info',
        metricsPort: 9464,
        metricsPortChosen: false,
      },
      database: { kind: 'embedded', dataDirectory: '.holdfast' },
      key: undefined,
      identity: { signUpOpen: false, publicOrigin: 'http://localhost:7070', sessionIdleSeconds: 3600 },
      mail: { smtp: undefined },
      tenancy: { sources: {}, roles: defaultRoles },
    })
  })

  it('prefers flags to the environment, that to the file, and that to defaults', async () => {
    file({ http: { port: 1, host: '0.0.0.1', log_level: 'warn' } })
    const { http } = await load({ PORT: '2', HOST: '0.0.0.2', HOLDFAST_ORIGIN: '' }, { flags: { port: '3' } })
    expect([http.port, http.host, http.logLevel, http.origin]).toEqual([3, '0.0.0.2', 'warn', 'http://localhost:3'])
  })

  it.each([
    ['holdfast.config.json', '{"http":{"port":8}}'],
    ['holdfast.config.mjs', 'export default { http: { port: 4 * 2 } }'],
    ['holdfast.config.ts', 'const port: number = 8\nexport default { http: { port } satisfies { port: number } }'],
  ])('reads %s', async (name, text) => {
    file(text, name)
    expect((await load()).http.port).toBe(8)
  })

  it('reads the file that a flag names', async () => {
    file({ http: { port: 9 } }, 'other.json')
    expect((await load({}, { file: 'other.json' })).http.port).toBe(9)
  })

  it('takes every kind of value from the environment', async () => {
    const config = await load({
      ...external,
      HOLDFAST_TRUSTED_PROXIES: '10.0.0.0/8, ::1',
      METRICS_PORT: 'off',
      HOLDFAST_SIGN_UP: 'open',
      HOLDFAST_SESSION_IDLE_SECONDS: '600',
      SMTP_URL: `smtp://u:${SECRET}@mail.example:2525`,
      HOLDFAST_MAIL_FROM: 'holdfast@example.com',
      HOLDFAST_TENANT_BASE_DOMAIN: 'example.com',
      HOLDFAST_PROXY_TENANT_HEADER: 'x-tenant',
      HOLDFAST_PROXY_SECRET_HEADER: 'x-secret',
      HOLDFAST_PROXY_SECRET: 'x'.repeat(32),
    })
    expect(config).toMatchObject({
      http: { trustedProxies: ['10.0.0.0/8', '::1'], metricsPort: 'off', metricsPortChosen: true },
      database: { kind: 'external', appUrl: external.DATABASE_URL },
      key: Buffer.alloc(32),
      identity: { signUpOpen: true, sessionIdleSeconds: 600 },
      mail: { smtp: { host: 'mail.example', port: 2525, from: 'holdfast@example.com' } },
      tenancy: {
        sources: { baseDomain: 'example.com', proxy: { tenantHeader: 'x-tenant', secretHeader: 'x-secret' } },
      },
    })
  })

  it('gives roles alone to migrate, whatever else is wrong', async () => {
    file({ tenancy: { roles: { owner: ['team:read'] } } })
    expect(await loadSchema({ environment: { PORT: 'nonsense' }, directory })).toEqual({
      roles: { owner: ['team:read'] },
      application: undefined,
    })
  })

  const refused: [string, Record<string, string>, unknown, RegExp][] = [
    [
      'a port that is none',
      { PORT: '7070x' },
      {},
      /^http\.port, from the environment variable PORT, must be a whole number from 0 to 65535\. It is "7070x"\.$/,
    ],
    ['a port beyond all', { PORT: '65536' }, {}, /It is 65536/],
    [
      'a port as text in the file',
      {},
      { http: { port: '7070' } },
      /http\.port, from http\.port in .*holdfast\.config\.json, must be/,
    ],
    [
      'an unknown section',
      {},
      { https: {} },
      /"https" in .* is not known\. Allowed: http, database, identity, mail, tenancy/,
    ],
    ['an unknown setting', {}, { http: { prot: 1 } }, /"http\.prot" in .* is not known\. Allowed: port, host/],
    ['a section that is none', {}, { http: 7 }, /"http" in .* must be an object/],
    ['a file that exports a list', {}, [], /must export an object/],
    ['a level that is none', { LOG_LEVEL: 'loud' }, {}, /must be one of fatal, error.*It is "loud"/],
    [
      'an origin with a path',
      { HOLDFAST_ORIGIN: 'https://x.example/app' },
      {},
      /http\.origin .* must be an origin .*\(from the environment variable HOLDFAST_ORIGIN\)/,
    ],
    ['sign-up that is neither', { HOLDFAST_SIGN_UP: 'yes' }, {}, /must be 'closed' or 'open'\. It is "yes"/],
    [
      'a lifetime beyond its bounds',
      { HOLDFAST_SESSION_IDLE_SECONDS: '5' },
      {},
      /session_idle_seconds must be .* from 180 .*from the environment variable HOLDFAST_SESSION_IDLE_SECONDS/,
    ],
    [
      'idle beyond absolute',
      {},
      { identity: { session_idle_seconds: 600, session_absolute_seconds: 300 } },
      /session_idle_seconds must be at most/,
    ],
    ['one URL of two', { DATABASE_URL: external.DATABASE_URL }, {}, /HOLDFAST_IDENTITY_URL is not/],
    ['the other URL of two', { HOLDFAST_IDENTITY_URL: external.DATABASE_URL }, {}, /DATABASE_URL is not/],
    ['a database without a key', { ...external, HOLDFAST_KEY: '' }, {}, /HOLDFAST_KEY is required with DATABASE_URL/],
    [
      'a short key',
      { ...external, HOLDFAST_KEY: SECRET },
      {},
      /identity\.key, from the environment variable HOLDFAST_KEY, must be 32 random bytes/,
    ],
    [
      'mail without a sender',
      { SMTP_URL: `smtp://u:${SECRET}@mail.example` },
      {},
      /mail\.from must be one e-mail address/,
    ],
    [
      'a relay that is none',
      { SMTP_URL: `http://u:${SECRET}@mail.example`, HOLDFAST_MAIL_FROM: 'a@b.example' },
      {},
      /mail\.smtp_url must be .*from the environment variable SMTP_URL/,
    ],
    [
      'half a proxy',
      { HOLDFAST_PROXY_TENANT_HEADER: 'x-tenant' },
      {},
      /HOLDFAST_PROXY_SECRET_HEADER is required for a proxy/,
    ],
    ['a proxy with a short secret', { HOLDFAST_PROXY_SECRET: SECRET }, {}, /must be at least 32 characters\.$/],
    ['a header in upper case', { HOLDFAST_PROXY_TENANT_HEADER: 'X-Tenant' }, {}, /in lower case/],
    ['a proxy by name', { HOLDFAST_TRUSTED_PROXIES: 'proxy.example' }, {}, /addresses or networks/],
    [
      'a grant that is none',
      {},
      { tenancy: { roles: { owner: ['all'] } } },
      /role "owner": "all" is not resource:verb/,
    ],
    ['a file that is no JSON', {}, '{', /cannot be read/],
  ]
  it.each(refused)('refuses %s', async (_, environment, value, message) => {
    file(value)
    const error = await load(environment).then(
      () => undefined,
      (reason: Error) => reason,
    )
    expect(error?.name).toBe('ConfigError')
    expect(error?.message).toMatch(message)
    expect(error?.message).not.toContain(SECRET)
  })

  it('refuses two files, and one that is not there', async () => {
    file({})
    file('export default {}', 'holdfast.config.mjs')
    await expect(load()).rejects.toThrow(/several configuration files/)
    await expect(load({}, { file: 'nope.json' })).rejects.toThrow(/nope\.json is not there/)
  })
})

describe("roles of one's own", () => {
  const owner = ['team:read', 'team:create', 'member:update']
  it.each([
    ['without an owner', { viewer: ['team:read'] }, 'must define the role "owner"'],
    ['with a permission that nothing asks for', { owner, viewer: ['taem:read'] }, 'there is no permission "taem:read"'],
    ['with a grant that is none', { owner, viewer: ['read everything'] }, 'is not resource:verb'],
    ['under a name that a hint cannot carry', { owner, 'a|b': ['team:read'] }, 'tenancy.roles'],
    ['that are no list', { owner, viewer: 7 }, 'tenancy.roles'],
  ])('%s are refused', async (_, roles, message) => {
    file({ tenancy: { roles } })
    await expect(load()).rejects.toThrow(message)
    await expect(loadSchema({ directory, environment: {} })).rejects.toThrow(message)
  })

  it('take the place of the defaults', async () => {
    file({ tenancy: { roles: { owner, clerk: ['team:read', 'profile:update@own'] } } })
    expect(Object.keys((await load()).tenancy.roles)).toEqual(['owner', 'clerk'])
  })
})

describe('proxies that are believed', () => {
  it.each(['abc', '1.2.3', '10.0.0.0/33', '0.0.0.0/0', '::/0', '10.0.0.0/4', 'proxy.example.com'])(
    '%s is refused',
    async (proxies) => {
      await expect(load({ HOLDFAST_TRUSTED_PROXIES: proxies })).rejects.toThrow('HOLDFAST_TRUSTED_PROXIES')
    },
  )

  it('are addresses and networks', async () => {
    const { http } = await load({ HOLDFAST_TRUSTED_PROXIES: '10.0.0.0/8, 192.0.2.7, 2001:db8::/32' })
    expect(http.trustedProxies).toEqual(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32'])
  })
})

describe('the table of settings', () => {
  it('has each path, variable and flag once', () => {
    for (const key of ['path', 'env', 'flag'] as const) {
      const all = settings.map((setting) => setting[key]).filter((value) => value !== undefined)
      expect(new Set(all).size).toBe(all.length)
    }
    expect(settings.every((setting) => `${sectionOf(setting)}.${nameOf(setting)}` === setting.path)).toBe(true)
  })
})
