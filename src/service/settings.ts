import { type TSchema, Type } from '@sinclair/typebox'
import { ROLE_NAME } from '../core/scope/manifest.ts'
import { METRICS_DEFAULT_PORT } from './telemetry/metrics-server.ts'
import { LOG_LEVELS } from './http/log.ts'

/** One setting: where it may come from and what it may be. */
export type Setting = {
  /** section and name in the configuration file */
  readonly path: `${string}.${string}`
  readonly env?: string
  /** name of the command-line flag, without dashes */
  readonly flag?: string
  readonly schema: TSchema
  readonly fallback?: unknown
  /** never shown, whatever is wrong with it (CWE-532) */
  readonly secret?: true
  /** what is allowed, as the error says it */
  readonly allowed: string
  readonly help: string
}

const port = Type.Integer({ minimum: 0, maximum: 65_535 })
const text = Type.String({ minLength: 1 })
const seconds = Type.Integer({ minimum: 1 })
const headerName = Type.String({ pattern: '^[a-z][a-z0-9-]{0,63}$' })

const lifetime = (name: string, help: string): Setting => ({
  path: `identity.${name}`,
  env: `HOLDFAST_${name.toUpperCase()}`,
  schema: seconds,
  allowed: 'a whole number of seconds',
  help,
})

/** All settings, by room; docs/configuration.md has them as a table. */
export const settings: readonly Setting[] = [
  {
    path: 'http.port',
    env: 'PORT',
    flag: 'port',
    schema: port,
    fallback: 7070,
    allowed: 'a whole number from 0 to 65535',
    help: 'port of the API',
  },
  {
    path: 'http.host',
    env: 'HOST',
    flag: 'host',
    schema: text,
    fallback: '127.0.0.1',
    allowed: 'an address to listen on, such as 127.0.0.1 or 0.0.0.0',
    help: 'address to listen on',
  },
  {
    path: 'http.origin',
    env: 'HOLDFAST_ORIGIN',
    flag: 'origin',
    schema: text,
    allowed: 'an origin such as https://app.example.com',
    help: 'origin of the pages that use the API; stands in mails and judges cross-site requests',
  },
  {
    path: 'http.trusted_proxies',
    env: 'HOLDFAST_TRUSTED_PROXIES',
    schema: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 64 }),
    fallback: [],
    allowed: 'addresses or networks such as 10.0.0.0/8, separated by commas',
    help: 'proxies whose X-Forwarded-For is believed',
  },
  {
    path: 'http.log_level',
    env: 'LOG_LEVEL',
    flag: 'log-level',
    schema: Type.Union(LOG_LEVELS.map((level) => Type.Literal(level))),
    fallback: 'info',
    allowed: `one of ${LOG_LEVELS.join(', ')}`,
    help: 'least severe level that is logged',
  },
  {
    path: 'http.metrics_port',
    env: 'METRICS_PORT',
    flag: 'metrics-port',
    schema: Type.Union([port, Type.Literal('off')]),
    fallback: METRICS_DEFAULT_PORT,
    allowed: "a whole number from 0 to 65535, or 'off'",
    help: 'loopback port of /metrics',
  },
  {
    path: 'database.data_dir',
    env: 'HOLDFAST_DATA_DIR',
    flag: 'data-dir',
    schema: text,
    fallback: '.holdfast',
    allowed: 'a folder',
    help: 'folder of the embedded PostgreSQL, the key and the set-up token',
  },
  {
    path: 'database.url',
    env: 'DATABASE_URL',
    schema: text,
    secret: true,
    allowed: 'a URL of the role holdfast_app, such as postgresql://holdfast_app:…@host/database',
    help: 'your own database, as holdfast_app; none: the embedded PostgreSQL',
  },
  {
    path: 'database.identity_url',
    env: 'HOLDFAST_IDENTITY_URL',
    schema: text,
    secret: true,
    allowed: 'a URL of the role holdfast_identity, on the same database as DATABASE_URL',
    help: 'the same database, as holdfast_identity',
  },
  {
    path: 'database.pool_size',
    env: 'HOLDFAST_POOL_SIZE',
    schema: Type.Integer({ minimum: 1, maximum: 500 }),
    fallback: 10,
    allowed: 'a whole number from 1 to 500',
    help: 'most connections of this process for each of the two login roles; over all processes together at most 4 for each CPU of a CockroachDB cluster, and below max_connections of PostgreSQL',
  },
  {
    path: 'database.pool_minimum',
    env: 'HOLDFAST_POOL_MINIMUM',
    schema: Type.Integer({ minimum: 0, maximum: 500 }),
    fallback: 0,
    allowed: 'a whole number from 0 to database.pool_size',
    help: 'connections that are kept, used or not; as many as pool_size is what CockroachDB advises',
  },
  {
    path: 'database.stream_pool_size',
    env: 'HOLDFAST_STREAM_POOL_SIZE',
    schema: Type.Integer({ minimum: 1, maximum: 100 }),
    fallback: 2,
    allowed: 'a whole number from 1 to 100',
    help: 'streams that this process reads at once, each over a connection of its own; one tenant has at most half of them',
  },
  {
    path: 'database.connection_lifetime_seconds',
    env: 'HOLDFAST_CONNECTION_LIFETIME_SECONDS',
    schema: Type.Integer({ minimum: 30, maximum: 1_800 }),
    fallback: 300,
    allowed: 'a whole number of seconds from 30 to 1800',
    help: 'a connection is replaced after so long, a tenth more or less, so that load spreads over the nodes of a cluster',
  },
  {
    path: 'database.max_rows',
    env: 'HOLDFAST_MAX_ROWS',
    schema: Type.Integer({ minimum: 1_000, maximum: 1_000_000 }),
    fallback: 10_000,
    allowed: 'a whole number from 1000 to 1000000',
    help: 'most rows of one answer of the database; a statement with more is refused and its unit rolled back',
  },
  {
    path: 'database.max_answer_bytes',
    env: 'HOLDFAST_MAX_ANSWER_BYTES',
    schema: Type.Integer({ minimum: 65_536, maximum: 1_073_741_824 }),
    fallback: 67_108_864,
    allowed: 'a whole number of bytes from 65536 to 1073741824',
    help: 'most bytes of the answers of one round trip to the database; beyond, its connection is given up',
  },
  {
    path: 'identity.key',
    env: 'HOLDFAST_KEY',
    schema: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
    secret: true,
    allowed:
      "32 random bytes in base64url, made by: node -p \"require('node:crypto').randomBytes(32).toString('base64url')\"",
    help: 'root of all keys; made in the data directory for the embedded database',
  },
  {
    path: 'identity.sign_up',
    env: 'HOLDFAST_SIGN_UP',
    flag: 'sign-up',
    schema: Type.Union([Type.Literal('closed'), Type.Literal('open')]),
    fallback: 'closed',
    allowed: "'closed' or 'open'",
    help: 'whether anyone may sign up and found tenants',
  },
  lifetime('session_idle_seconds', 'a session ends after so long without a request'),
  lifetime('session_absolute_seconds', 'a session ends after so long in any case'),
  lifetime('sign_up_token_seconds', 'life of a sign-up token'),
  lifetime('invitation_seconds', 'life of an invitation'),
  lifetime('setup_token_seconds', 'life of the set-up token'),
  {
    path: 'mail.smtp_url',
    env: 'SMTP_URL',
    schema: text,
    secret: true,
    allowed: 'a URL such as smtp://user:password@host:587',
    help: 'relay for mail; none: mail is printed',
  },
  {
    path: 'mail.from',
    env: 'HOLDFAST_MAIL_FROM',
    schema: text,
    allowed: 'one e-mail address',
    help: 'sender of mail; required with SMTP_URL',
  },
  {
    path: 'tenancy.base_domain',
    env: 'HOLDFAST_TENANT_BASE_DOMAIN',
    schema: Type.String({ pattern: '^[a-z0-9-]+(\\.[a-z0-9-]+)*$', maxLength: 253 }),
    allowed: 'a domain in lower case, such as example.com',
    help: 'then acme.example.com names the tenant acme',
  },
  {
    path: 'tenancy.proxy_header',
    env: 'HOLDFAST_PROXY_TENANT_HEADER',
    schema: headerName,
    allowed: 'a header name in lower case, such as x-tenant',
    help: 'header by which a proxy names the tenant',
  },
  {
    path: 'tenancy.proxy_secret_header',
    env: 'HOLDFAST_PROXY_SECRET_HEADER',
    schema: headerName,
    allowed: 'a header name in lower case, such as x-proxy-secret',
    help: 'header by which that proxy proves itself',
  },
  {
    path: 'tenancy.proxy_secret',
    env: 'HOLDFAST_PROXY_SECRET',
    schema: Type.String({ minLength: 32, maxLength: 512 }),
    secret: true,
    allowed: 'at least 32 characters',
    help: 'the secret in that header',
  },
  {
    path: 'tenancy.roles',
    schema: Type.Record(Type.String({ pattern: ROLE_NAME }), Type.Array(Type.String()), {
      additionalProperties: false,
    }),
    allowed:
      "an object such as { owner: ['team:read', 'team:create', …], viewer: ['team:read', 'profile:update@own'] }",
    help: 'all roles and their grants: replaces the defaults of docs/roles.md and must define `owner`; made current by migrate',
  },
  {
    path: 'application.manifest',
    schema: Type.Object({}),
    allowed: 'what defineManifest() made: tables, and roles with their grants',
    help: 'tables and roles of an application of yours; its grants are added to those of the roles of the same name',
  },
  {
    path: 'application.migrations',
    schema: Type.Union([text, Type.Unsafe<URL>(Type.Object({ href: text }))]),
    allowed: 'a folder of files 0001-name.sql, 0002-name.sql …, beside the configuration file',
    help: 'its own migrations, applied after those of Holdfast, as holdfast_owner',
  },
  {
    path: 'application.routes',
    schema: Type.Function([], Type.Unknown()),
    allowed: 'a Fastify plugin: async (app) => { app.get(…) }',
    help: 'its own routes, under the guard and beside /v1',
  },
]

/** A setting's name inside its section. */
export function nameOf(setting: Setting): string {
  return setting.path.slice(setting.path.indexOf('.') + 1)
}

/** The section – the room – that a setting belongs to. */
export function sectionOf(setting: Setting): string {
  return setting.path.slice(0, setting.path.indexOf('.'))
}
