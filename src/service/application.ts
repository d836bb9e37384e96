import { existsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { grantedPermissions, parseGrants } from '../core/scope/grants.ts'
import { type Manifest, ManifestError, parseManifest } from '../core/scope/manifest.ts'
import { ConfigError } from './config-error.ts'
import type { ApplicationRoutes } from './http/application-routes.ts'
import { knownPermissions, serviceManifest } from './tenancy/manifest.ts'

/** An application that `holdfast serve` hosts: its own tables, roles, migrations and routes. */
export type Application = {
  readonly manifest: Manifest
  /** Folder of its numbered files, with a slash at its end; none: its tables are made elsewhere. */
  readonly migrations: URL | undefined
  readonly routes: ApplicationRoutes | undefined
}

type Roles = Readonly<Record<string, readonly string[]>>

/** Schemas of the service's own tables: nothing else is at home there. */
const SERVICE_SCHEMAS: ReadonlySet<string> = new Set(['holdfast', 'tenancy'])
/** What the service's own permissions are about. */
const SERVICE_RESOURCES: ReadonlySet<string> = new Set(
  [...knownPermissions].map((permission) => permission.slice(0, permission.indexOf(':'))),
)
/** What can be done with a table; a manifest may grant further verbs on a resource of its own. */
const VERBS = ['read', 'create', 'update', 'delete', 'reassign']

/**
 * Checks an application against the service: no table, schema or resource may be both's, or a grant for one would open
 * the other (CWE-863).
 *
 * @param file the configuration file, beside which its folders lie
 * @throws ConfigError `config_invalid`
 */
export function parseApplication(
  given: { readonly manifest: unknown; readonly migrations: unknown; readonly routes: unknown },
  file: string,
): Application {
  if (given.manifest === undefined) {
    throw new ConfigError(`application in ${file} needs a manifest: which tables there are, and what each role may.`)
  }
  const manifest = manifestOf(given.manifest, file)
  refuseClashes(manifest, file)
  refuseSenselessRoles(manifest, file)
  return {
    manifest,
    migrations: given.migrations === undefined ? undefined : folderOf(given.migrations, file),
    routes: given.routes as ApplicationRoutes | undefined,
  }
}

/** Every permission that means something: the service's, and those on the application's own resources. */
export function permissionsOf(application: Application | undefined): ReadonlySet<string> {
  if (application === undefined) return knownPermissions
  const { tables, roles } = application.manifest
  return new Set([
    ...knownPermissions,
    ...tables.flatMap(({ resource }) => VERBS.map((verb) => `${resource}:${verb}`)),
    ...grantedPermissions(roles),
  ])
}

/** The roles that there are in all: one of both has the grants of both. */
export function withRolesOf(application: Application | undefined, roles: Roles): Roles {
  if (application === undefined) return roles
  const merged = Object.entries(application.manifest.roles).map(([role, grants]) => [
    role,
    [...(Object.hasOwn(roles, role) ? (roles[role] ?? []) : []), ...grants],
  ])
  return { ...roles, ...(Object.fromEntries(merged) as Record<string, string[]>) }
}

/**
 * All tables that there are, the service's and the application's, with what else the application declares.
 * @param roles those of both, as `withRolesOf` merges them
 */
export function hostedManifest(application: Application | undefined, roles: Roles): Manifest {
  const { tables = [], ...declared } = application?.manifest ?? {}
  return { ...declared, tables: [...serviceManifest.tables, ...tables], roles }
}

function manifestOf(input: unknown, file: string): Manifest {
  try {
    return parseManifest(input)
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error
    throw new ConfigError(`application.manifest in ${file}: ${error.message}`, { cause: error })
  }
}

function refuseClashes({ tables, functions = [], types = [] }: Manifest, file: string): void {
  for (const { schema, name } of [...functions, ...types]) {
    // *enter* and its like are no handler's to call (CWE-749)
    if (!SERVICE_SCHEMAS.has(schema)) continue
    throw new ConfigError(`application.manifest in ${file}: ${schema}.${name} is in a schema that is Holdfast's own.`)
  }
  const names = new Set(serviceManifest.tables.map(({ name }) => name))
  for (const { schema, name, resource } of tables) {
    const refuse = (why: string): never => {
      throw new ConfigError(`application.manifest in ${file}, table ${schema}.${name}: ${why}`)
    }
    if (SERVICE_SCHEMAS.has(schema)) refuse(`the schema "${schema}" is Holdfast's own. Choose another, such as app.`)
    if (SERVICE_RESOURCES.has(resource)) refuse(`the resource "${resource}" is Holdfast's own. Choose another.`)
    // statements may name a table without its schema
    if (names.has(name)) refuse(`there is a table "${name}" already. Choose another name.`)
    names.add(name)
  }
}

function refuseSenselessRoles({ tables, roles }: Manifest, file: string): void {
  const resources = new Set(tables.map(({ resource }) => resource))
  for (const [role, grants] of Object.entries(roles)) {
    const refuse = (why: string): never => {
      throw new ConfigError(`application.manifest in ${file}, role "${role}": ${why}`)
    }
    if (grants.length === 0) refuse('it grants nothing. Leave it out, or say what it may.')
    for (const permission of parseGrants(grants).keys()) {
      if (knownPermissions.has(permission) || resources.has(permission.slice(0, permission.indexOf(':')))) continue
      refuse(
        `there is no permission "${permission}": no table has that resource. There are: ${[...resources].join(', ')}.`,
      )
    }
  }
}

function folderOf(given: unknown, file: string): URL {
  const path = isUrl(given) ? fileURLToPath(given.href) : resolve(dirname(file), String(given))
  if (existsSync(path) && statSync(path).isDirectory()) return pathToFileURL(path.endsWith('/') ? path : `${path}/`)
  throw new ConfigError(`application.migrations in ${file}: there is no folder ${path}.`)
}

function isUrl(value: unknown): value is { readonly href: string } {
  return typeof value === 'object' && value !== null && 'href' in value
}
