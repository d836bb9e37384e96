import { Value } from '@sinclair/typebox/value'
import type { TenantSources } from '../core/guard/tenant-selection.ts'
import { GrantError, parseGrants } from '../core/scope/grants.ts'
import { ConfigError } from './config-error.ts'
import { type Application, parseApplication, permissionsOf, withRolesOf } from './application.ts'
import { type ConfigFile, readConfigFile } from './config-file.ts'
import type { LogLevel } from './http/log.ts'
import { type IdentitySettings, parseIdentitySettings, SettingsError } from './identity/settings.ts'
import { MailSettingsError, type MailSettings, parseMailSettings } from './mail/settings.ts'
import { nameOf, type Setting, sectionOf, settings } from './settings.ts'
import { problemOfProxies } from './trusted-proxies.ts'
import { defaultRoles, FOUNDER_ROLE } from './tenancy/manifest.ts'
import { isAskedFor } from './telemetry/telemetry.ts'

/** The whole configuration, checked: one section a room. */
export type Config = {
  readonly http: {
    readonly port: number
    readonly host: string
    readonly origin: string
    readonly trustedProxies: readonly string[]
    readonly logLevel: LogLevel
    readonly metricsPort: number | 'off'
    /** whether somebody chose the metrics port: then a taken one is an error */
    readonly metricsPortChosen: boolean
  }
  /** Switched on by the variables of OpenTelemetry itself, which its SDK reads. */
  readonly telemetry: { readonly openTelemetry: boolean }
  readonly database:
    | { readonly kind: 'embedded'; readonly dataDirectory: string }
    | {
        readonly kind: 'external'
        readonly appUrl: string
        readonly identityUrl: string
        readonly dataDirectory: string
      }
  /** Connections of this process: `size` for each of the two login roles, `minimum` of them always there. */
  readonly pools: {
    readonly size: number
    readonly minimum: number
    readonly lifetimeSeconds: number
    readonly streams: number
  }
  /** How much the database may answer at once. */
  readonly answers: { readonly maxRows: number; readonly maxAnswerBytes: number }
  /** Nothing where the embedded database's own key is to be used. */
  readonly key: Buffer | undefined
  readonly identity: IdentitySettings
  readonly mail: MailSettings
  /** `roles`: those of the service and of the application, merged */
  readonly tenancy: { readonly sources: TenantSources; readonly roles: Readonly<Record<string, readonly string[]>> }
  /** The application that the service hosts, if there is one. */
  readonly application: Application | undefined
}

/** Where a configuration is read from. */
export type ConfigSources = {
  /** by flag name, as typed */
  readonly flags?: Readonly<Record<string, string | undefined>>
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** where `holdfast.config.ts`, `.mjs` or `.json` is looked for */
  readonly directory?: string
  /** a configuration file's path, given by flag */
  readonly file?: string
}

/** What there is in the database: for commands that need no other setting. */
export type Schema = { readonly roles: Config['tenancy']['roles']; readonly application: Application | undefined }

/**
 * Reads the roles and the application alone, for `migrate`, `routes` and `explain`.
 * @throws ConfigError `config_invalid`
 */
export async function loadSchema(sources: ConfigSources = {}): Promise<Schema> {
  const wanted = (setting: Setting): boolean => setting.path === 'tenancy.roles' || sectionOf(setting) === 'application'
  const found = await find(sources, wanted)
  const application = applicationOf(found)
  return { roles: rolesOf(found, application), application }
}

/** `file`: where the configuration file lies that it is from */
type Found = { readonly value: unknown; readonly from: string; readonly file?: string | undefined }

/**
 * Reads and checks the configuration: flags, then environment, then the file, then defaults.
 * @throws ConfigError `config_invalid`
 */
export async function loadConfig(sources: ConfigSources = {}): Promise<Config> {
  return compose(await find(sources, () => true), sources.environment ?? process.env)
}

async function find(sources: ConfigSources, wanted: (setting: Setting) => boolean): Promise<Map<string, Found>> {
  const file = await readConfigFile(sources.directory ?? process.cwd(), sources.file)
  const given = fieldsOf(file)
  const found = new Map<string, Found>()
  for (const setting of settings.filter(wanted)) {
    const value = lookUp(setting, sources, given, file?.path)
    if (value === undefined) continue
    if (!Value.Check(setting.schema, value.value)) throw refusal(setting, value)
    found.set(setting.path, value)
  }
  return found
}

function lookUp(
  setting: Setting,
  { flags = {}, environment = process.env }: ConfigSources,
  given: ReadonlyMap<string, unknown>,
  file: string | undefined,
): Found | undefined {
  const flag = setting.flag === undefined ? undefined : flags[setting.flag]
  if (flag !== undefined) return { value: readText(setting, flag), from: `the flag --${setting.flag}` }
  const variable = setting.env === undefined ? undefined : environment[setting.env]
  // an empty variable is how a shell says "not set"
  if (variable !== undefined && variable !== '') {
    return { value: readText(setting, variable), from: `the environment variable ${setting.env}` }
  }
  if (given.has(setting.path)) return { value: given.get(setting.path), from: `${setting.path} in ${file}`, file }
  return setting.fallback === undefined ? undefined : { value: setting.fallback, from: 'the default' }
}

/** Text of a flag or variable as the setting's type: numbers and lists; all else stays text, and is judged as such. */
function readText(setting: Setting, text: string): unknown {
  if (setting.schema['type'] === 'array') return text.split(',').map((part) => part.trim())
  const isNumeric = setting.schema['type'] === 'integer' || setting.path === 'http.metrics_port'
  return isNumeric && /^\d{1,15}$/.test(text) ? Number(text) : text
}

/** The file's fields by path. @throws ConfigError for a section or field that is not known */
function fieldsOf(file: ConfigFile | undefined): Map<string, unknown> {
  const fields = new Map<string, unknown>()
  if (file === undefined) return fields
  const { path, value } = file
  if (!isObject(value))
    throw new ConfigError(`${path} must export an object with sections, such as { http: { port: 7070 } }.`)
  const sections = [...new Set(settings.map(sectionOf))]
  for (const [section, content] of Object.entries(value)) {
    if (!sections.includes(section)) {
      throw new ConfigError(`"${section}" in ${path} is not known. Allowed: ${sections.join(', ')}.`)
    }
    if (!isObject(content)) throw new ConfigError(`"${section}" in ${path} must be an object.`)
    const names = settings.filter((setting) => sectionOf(setting) === section).map(nameOf)
    for (const [name, field] of Object.entries(content)) {
      if (!names.includes(name)) {
        throw new ConfigError(`"${section}.${name}" in ${path} is not known. Allowed: ${names.join(', ')}.`)
      }
      if (field !== undefined) fields.set(`${section}.${name}`, field)
    }
  }
  return fields
}

function compose(found: ReadonlyMap<string, Found>, environment: NonNullable<ConfigSources['environment']>): Config {
  const get = <Type>(path: string): Type => found.get(path)?.value as Type
  const port = get<number>('http.port')
  const origin = get<string | undefined>('http.origin') ?? `http://localhost:${port}`
  const application = applicationOf(found)
  const keyText = get<string | undefined>('identity.key')
  const identity = section(found, 'identity', ['identity.key'], (fields) =>
    parseIdentitySettings({ ...fields, public_origin: origin }),
  )
  return {
    http: {
      port,
      host: get('http.host'),
      origin: identity.publicOrigin,
      trustedProxies: proxiesOf(found),
      logLevel: get('http.log_level'),
      metricsPort: get('http.metrics_port'),
      metricsPortChosen: found.get('http.metrics_port')?.from !== 'the default',
    },
    telemetry: { openTelemetry: isAskedFor(environment) },
    database: databaseOf(found),
    pools: poolsOf(found),
    answers: { maxRows: get('database.max_rows'), maxAnswerBytes: get('database.max_answer_bytes') },
    key: keyText === undefined ? undefined : Buffer.from(keyText, 'base64url'),
    identity,
    mail: section(found, 'mail', [], parseMailSettings),
    tenancy: { sources: tenantSources(found), roles: rolesOf(found, application) },
    application,
  }
}

function databaseOf(found: ReadonlyMap<string, Found>): Config['database'] {
  const dataDirectory = String(found.get('database.data_dir')?.value)
  const appUrl = found.get('database.url')?.value as string | undefined
  const identityUrl = found.get('database.identity_url')?.value as string | undefined
  if (appUrl === undefined) {
    if (identityUrl === undefined) return { kind: 'embedded', dataDirectory }
    throw new ConfigError('HOLDFAST_IDENTITY_URL is set and DATABASE_URL is not: set both, or neither.')
  }
  if (identityUrl === undefined) {
    throw new ConfigError(
      'DATABASE_URL is set and HOLDFAST_IDENTITY_URL is not. Set it to the same database as the role holdfast_identity.',
    )
  }
  if (found.get('identity.key') === undefined) throw required('identity.key', 'with DATABASE_URL')
  return { kind: 'external', appUrl, identityUrl, dataDirectory }
}

function poolsOf(found: ReadonlyMap<string, Found>): Config['pools'] {
  const number = (path: string): number => Number(found.get(path)?.value)
  const size = number('database.pool_size')
  const minimum = number('database.pool_minimum')
  if (minimum > size) {
    throw new ConfigError(
      `database.pool_minimum, from ${found.get('database.pool_minimum')?.from}, must be at most database.pool_size, which is ${size}. It is ${minimum}.`,
    )
  }
  return {
    size,
    minimum,
    lifetimeSeconds: number('database.connection_lifetime_seconds'),
    streams: number('database.stream_pool_size'),
  }
}

function tenantSources(found: ReadonlyMap<string, Found>): TenantSources {
  const text = (path: string): string | undefined => found.get(path)?.value as string | undefined
  const baseDomain = text('tenancy.base_domain')
  const tenantHeader = text('tenancy.proxy_header')
  const secretHeader = text('tenancy.proxy_secret_header')
  const secret = text('tenancy.proxy_secret')
  const proxy =
    tenantHeader === undefined || secretHeader === undefined || secret === undefined
      ? undefined
      : { tenantHeader, secretHeader, secret }
  if (proxy === undefined) {
    const paths = ['tenancy.proxy_header', 'tenancy.proxy_secret_header', 'tenancy.proxy_secret']
    const missing = paths.find((path) => !found.has(path))
    if (missing !== undefined && paths.some((path) => found.has(path))) {
      throw required(missing, 'for a proxy that names the tenant')
    }
  }
  return { ...(baseDomain === undefined ? {} : { baseDomain }), ...(proxy === undefined ? {} : { proxy }) }
}

function proxiesOf(found: ReadonlyMap<string, Found>): readonly string[] {
  const given = found.get('http.trusted_proxies')
  if (given === undefined) return []
  const proxies = given.value as readonly string[]
  const problem = problemOfProxies(proxies)
  if (problem !== undefined)
    throw new ConfigError(
      `${given.from}: ${problem}. Allowed: addresses or networks such as 10.0.0.0/8, separated by commas.`,
    )
  return proxies
}

function applicationOf(found: ReadonlyMap<string, Found>): Application | undefined {
  const [manifest, migrations, routes] = ['manifest', 'migrations', 'routes'].map((name) =>
    found.get(`application.${name}`),
  )
  const file = (manifest ?? migrations ?? routes)?.file
  if (file === undefined) return undefined
  return parseApplication({ manifest: manifest?.value, migrations: migrations?.value, routes: routes?.value }, file)
}

function rolesOf(found: ReadonlyMap<string, Found>, application: Application | undefined): Config['tenancy']['roles'] {
  return withRolesOf(application, serviceRolesOf(found, permissionsOf(application)))
}

function serviceRolesOf(found: ReadonlyMap<string, Found>, known: ReadonlySet<string>): Config['tenancy']['roles'] {
  const given = found.get('tenancy.roles')
  if (given === undefined) return defaultRoles
  const roles = given.value as Record<string, string[]>
  // whoever founds a tenant gets it: without it nobody could use the tenant
  if (!Object.hasOwn(roles, FOUNDER_ROLE)) {
    throw new ConfigError(
      `${given.from} must define the role "${FOUNDER_ROLE}": whoever founds a tenant gets it. The object replaces the default roles.`,
    )
  }
  for (const [role, grants] of Object.entries(roles)) {
    try {
      const unknown = [...parseGrants(grants).keys()].find((permission) => !known.has(permission))
      if (unknown !== undefined) throw new GrantError(`there is no permission ${JSON.stringify(unknown)}`)
    } catch (error) {
      if (!(error instanceof GrantError)) throw error
      throw new ConfigError(`${given.from}, role "${role}": ${error.message}`, { cause: error })
    }
  }
  return roles
}

/** Lets a room judge its own section, and says where the setting that it refuses came from. */
function section<Type>(
  found: ReadonlyMap<string, Found>,
  name: string,
  except: readonly string[],
  parse: (fields: Record<string, unknown>) => Type,
): Type {
  const own = settings.filter((setting) => sectionOf(setting) === name && found.has(setting.path))
  const fields = own
    .filter(({ path }) => !except.includes(path))
    .map((setting) => [nameOf(setting), found.get(setting.path)?.value])
  try {
    return parse(Object.fromEntries(fields))
  } catch (error) {
    if (!(error instanceof SettingsError || error instanceof MailSettingsError)) throw error
    const culprit = own.find(
      (setting) => error.message.startsWith(setting.path) || error.message.startsWith(nameOf(setting)),
    )
    const from =
      culprit === undefined
        ? error.message.startsWith('http.origin')
          ? found.get('http.origin')?.from
          : undefined
        : found.get(culprit.path)?.from
    throw new ConfigError(`${error.message}${from === undefined ? '' : ` (from ${from})`}`, { cause: error })
  }
}

function required(path: string, when: string): ConfigError {
  const setting = settings.find((each) => each.path === path)
  return new ConfigError(`${setting?.env} is required ${when}: ${setting?.allowed}.`)
}

function refusal(setting: Setting, { value, from }: Found): ConfigError {
  const shown = setting.secret === true ? '' : ` It is ${JSON.stringify(value)?.slice(0, 80)}.`
  return new ConfigError(`${setting.path}, from ${from}, must be ${setting.allowed}.${shown}`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
