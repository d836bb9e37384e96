import type { Dialect } from '../../core/database/dialect.ts'
import { ownMigrations, readMigrations } from '../../core/database/migration-file.ts'
import { grantedPermissions } from '../../core/scope/grants.ts'
import { type Column, type Manifest, parentOf, type Table, type Through } from '../../core/scope/manifest.ts'

/** The roles that sign in to serve requests. */
export const servingRoles = ['holdfast_app', 'holdfast_identity'] as const
/** A role that signs in to serve requests. */
export type ServingRole = (typeof servingRoles)[number]
/** What a role may do with a table, as SQL says it. */
export type Privilege = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE'

/** A table as it must be. */
export type ExpectedTable = {
  readonly schema: string
  readonly name: string
  /** `tenant`: rows of tenants, under both walls; `through`: under one; `shared`: of all; `internal`: Holdfast's own. */
  readonly kind: 'tenant' | 'through' | 'shared' | 'internal'
  readonly isView: boolean
  /** Column that holds the tenant, and its type. */
  readonly tenant: string | undefined
  readonly columns: Readonly<Record<string, Pick<Column, 'type' | 'notNull'>>>
  readonly grants: Readonly<Record<ServingRole, ReadonlySet<Privilege>>>
  readonly through: (Through & { readonly schema: string }) | undefined
}

/** How a database must be. */
export type Expected = {
  /** By `schema.name`. */
  readonly tables: ReadonlyMap<string, ExpectedTable>
  /** Functions that a role may execute, as `schema.name`. */
  readonly functions: Readonly<Record<ServingRole, ReadonlySet<string>>>
  /** Schemas that a role may use. */
  readonly schemas: Readonly<Record<ServingRole, ReadonlySet<string>>>
  /** Schemas that hold what is expected: nothing in them is left to chance. */
  readonly homes: ReadonlySet<string>
}

/** Schemas that the package owns: what is granted there is what its migrations grant. */
const OWN_SCHEMAS = new Set(['holdfast', 'tenancy'])

/**
 * What the manifest, its roles and the package's own migrations make of a database.
 * @param manifest of the service and its application together
 */
export async function expectedOf(manifest: Manifest, dialect: Dialect): Promise<Expected> {
  const own = await ownOf(dialect)
  const granted = grantedPermissions(manifest.roles)
  const tables = new Map(own.tables)
  for (const table of manifest.tables) {
    const key = keyOf(table)
    const grants = tables.get(key)?.grants ?? {
      holdfast_app: privilegesOf(table, manifest, granted),
      holdfast_identity: new Set(),
    }
    tables.set(key, expectedTable(table, grants))
  }
  const functions = (manifest.functions ?? []).map(keyOf)
  const homes = new Set(
    [...manifest.tables, ...(manifest.functions ?? []), ...(manifest.types ?? [])].map(({ schema }) => schema),
  )
  return {
    tables,
    functions: { ...own.functions, holdfast_app: new Set([...own.functions.holdfast_app, ...functions]) },
    schemas: { ...own.schemas, holdfast_app: new Set([...own.schemas.holdfast_app, ...homes]) },
    homes: new Set([...OWN_SCHEMAS, ...homes]),
  }
}

/** `schema.name`, as tables and functions are known here. */
export function keyOf({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${schema}.${name}`
}

function expectedTable(table: Table, grants: ExpectedTable['grants']): ExpectedTable {
  const { schema, name, tenant, through, shared, view, columns } = table
  const kind = shared === true ? 'shared' : through === undefined ? 'tenant' : 'through'
  return {
    schema,
    name,
    kind,
    isView: view === true,
    tenant,
    columns,
    grants,
    through: through === undefined ? undefined : { ...through, schema: through.schema ?? schema },
  }
}

const PRIVILEGE_OF: Readonly<Record<string, Privilege>> = {
  read: 'SELECT',
  create: 'INSERT',
  update: 'UPDATE',
  reassign: 'UPDATE',
  delete: 'DELETE',
}

/** What handlers' role needs, and no more: what some role is granted (CWE-250). */
function privilegesOf(table: Table, manifest: Manifest, granted: ReadonlySet<string>): Set<Privilege> {
  const verbs = Object.entries(PRIVILEGE_OF).filter(([verb]) => granted.has(`${table.resource}:${verb}`))
  const privileges = new Set(verbs.map(([, privilege]) => privilege))
  // its condition reads the tenant column, and a child's looks its parent up
  const isParent = manifest.tables.some((child) => parentOf(manifest, child) === table)
  if (privileges.has('UPDATE') || privileges.has('DELETE') || isParent) privileges.add('SELECT')
  if (table.shared !== true && table.view !== true) return privileges
  return new Set(privileges.has('SELECT') ? ['SELECT'] : [])
}

type Own = Pick<Expected, 'tables' | 'functions' | 'schemas'>

const known = new Map<Dialect, Promise<Own>>()

/** The package's own migrations never change while it runs. */
function ownOf(dialect: Dialect): Promise<Own> {
  const own = known.get(dialect) ?? readOwn(dialect)
  known.set(dialect, own)
  return own
}

/** What the migrations of this package grant, and which tables they confine. */
async function readOwn(dialect: Dialect): Promise<Own> {
  const perRole = <Value>(make: () => Value): Record<ServingRole, Value> => ({
    holdfast_app: make(),
    holdfast_identity: make(),
  })
  const tables = new Map<string, Omit<ExpectedTable, 'kind'> & { kind: ExpectedTable['kind'] }>()
  const functions = perRole(() => new Set<string>())
  const schemas = perRole(() => new Set<string>())
  const tableOf = (key: string): Omit<ExpectedTable, 'kind'> & { kind: ExpectedTable['kind'] } => {
    const [schema = '', name = ''] = key.split('.')
    const known = tables.get(key)
    if (known !== undefined) return known
    const grants = perRole(() => new Set<Privilege>())
    const table = {
      schema,
      name,
      kind: 'internal' as const,
      isView: false,
      tenant: undefined,
      columns: {},
      grants,
      through: undefined,
    }
    tables.set(key, table)
    return table
  }
  for (const text of await ownStatements(dialect)) {
    const [, confined] = /^ALTER TABLE ([a-z_.]+) ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY/.exec(text) ?? []
    if (confined !== undefined) {
      const columns = { tenant_id: { type: 'uuid', notNull: true as const } }
      tables.set(confined, { ...tableOf(confined), kind: 'tenant', tenant: 'tenant_id', columns })
    }
    if (!/^(?:GRANT|REVOKE)\b/.test(text)) continue
    const { verb, privileges, kind, key, roles } = readGrant(text)
    for (const role of servingRoles.filter((one) => roles.includes(one))) {
      if (kind === 'TABLE') {
        const held = tableOf(key).grants[role] as Set<Privilege>
        for (const privilege of privileges) held[verb === 'GRANT' ? 'add' : 'delete'](privilege as Privilege)
      } else (kind === 'SCHEMA' ? schemas : functions)[role][verb === 'GRANT' ? 'add' : 'delete'](key)
    }
  }
  return { tables, functions, schemas }
}

async function ownStatements(dialect: Dialect): Promise<string[]> {
  const migrations = await readMigrations(ownMigrations, dialect)
  return migrations.flatMap(({ steps }) => steps.map(({ text }) => text.replaceAll(/^--.*$/gm, '').trim()))
}

type Grant = {
  readonly verb: 'GRANT' | 'REVOKE'
  readonly privileges: readonly string[]
  readonly kind: 'TABLE' | 'SCHEMA' | 'FUNCTION'
  readonly key: string
  readonly roles: readonly string[]
}

const GRANT =
  /^(GRANT|REVOKE) ([A-Z, ]+) ON (TABLE|SCHEMA|FUNCTION) ([a-z_.]+)(?:\([^)]*\))? (?:TO|FROM) ([A-Za-z_, ]+);?$/

/** One GRANT or REVOKE of the migrations, which are all written alike. @throws Error for one that is not */
function readGrant(text: string): Grant {
  const [, verb, privileges = '', kind, key = '', roles = ''] = GRANT.exec(text) ?? []
  if (verb === undefined) throw new Error(`A migration grants in a way that is not read: ${text}`)
  return {
    verb: verb as Grant['verb'],
    privileges: privileges.split(',').map((word) => word.trim()),
    kind: kind as Grant['kind'],
    key,
    roles: roles.split(',').map((word) => word.trim()),
  }
}
