import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { parseGrants } from './grants.ts'

/** Longest identifier: PostgreSQL cuts at 63 bytes, and a cut name is another name. */
const IDENTIFIER = '^(?!__proto__$)[a-z_][a-z0-9_]{0,62}$'
const identifier = Type.String({ pattern: IDENTIFIER })

/** What a role may be called: it travels in *enter*'s hint, between bars. */
export const ROLE_NAME = '^[a-z][a-z0-9_]{0,62}$'

const columnSchema = Type.Object(
  {
    type: identifier,
    notNull: Type.Optional(Type.Literal(true, { description: 'the column is NOT NULL; for the types of rows alone' })),
  },
  { additionalProperties: false },
)

const tableSchema = Type.Object(
  {
    schema: identifier,
    name: identifier,
    resource: Type.String({
      pattern: '^[a-z][a-z0-9_]{0,62}$',
      description: 'what grants name: `invoice` in `invoice:read`',
    }),
    // without `additionalProperties` a name that the pattern does not match would pass unchecked (CWE-1287)
    columns: Type.Record(identifier, columnSchema, {
      additionalProperties: false,
      description: 'in the order of the table; others are out of reach',
    }),
    tenant: Type.Optional(
      Type.String({ pattern: IDENTIFIER, description: 'column that holds the tenant: uuid, text or int8' }),
    ),
    shared: Type.Optional(Type.Literal(true, { description: 'read by all tenants, never written through the kernel' })),
    owner: Type.Optional(
      Type.String({ pattern: IDENTIFIER, description: 'column that holds the owner, for grants with reach own' }),
    ),
  },
  { additionalProperties: false },
)

/** JSON Schema of a manifest: tables with their tenant and owner columns, and roles with their grants. */
export const manifestSchema = Type.Object(
  {
    tables: Type.Array(tableSchema, { maxItems: 2_000 }),
    roles: Type.Record(Type.String({ pattern: ROLE_NAME }), Type.Array(Type.String()), { additionalProperties: false }),
  },
  { $id: 'urn:holdfast:manifest', title: 'Holdfast manifest', additionalProperties: false },
)

type DeepReadonly<T> = { readonly [K in keyof T]: T[K] extends object ? DeepReadonly<T[K]> : T[K] }

/**
 * A column: its type by PostgreSQL's short name, such as `uuid`, `text`, `int8`, `timestamptz`, `_text` for an array; and
 * whether it is NOT NULL. Only the types of rows look at that: the kernel does not.
 */
export type Column = DeepReadonly<Static<typeof columnSchema>>
/** A table that statements may name. */
export type Table = DeepReadonly<Static<typeof tableSchema>>
/** Which tables there are and what each role may do with them. */
export type Manifest = {
  readonly tables: readonly Table[]
  readonly roles: Readonly<Record<string, readonly string[]>>
}

/** A manifest that cannot be used; `path` says where, as a JSON pointer. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError'
  readonly code = 'manifest_invalid'
  readonly path: string

  constructor(path: string, message: string) {
    super(`manifest${path}: ${message}`)
    this.path = path
  }
}

/** Types that a tenant or owner column may have: compared by equality alone, the same on both databases. */
const KEY_TYPES = new Set(['uuid', 'text', 'int8'])

/**
 * Checks a manifest and freezes it.
 * @throws ManifestError `manifest_invalid`
 */
export function parseManifest(input: unknown): Manifest {
  const [problem] = Value.Errors(manifestSchema, input)
  if (problem !== undefined) throw new ManifestError(problem.path, problem.message)
  const manifest = structuredClone(input) as Manifest
  const names = new Set<string>()
  for (const [index, table] of manifest.tables.entries()) checkTable(`/tables/${index}`, table, names)
  for (const [role, grants] of Object.entries(manifest.roles)) {
    try {
      parseGrants(grants)
    } catch (error) {
      throw new ManifestError(`/roles/${role}`, (error as Error).message)
    }
  }
  return freeze(manifest)
}

function checkTable(path: string, table: Table, names: Set<string>): void {
  const qualified = `${table.schema}.${table.name}`
  if (names.has(qualified)) throw new ManifestError(path, `${qualified} is there twice`)
  names.add(qualified)
  if (/^pg_|^information_schema$|^crdb_internal$|^system$/.test(table.schema) || table.name.startsWith('pg_')) {
    throw new ManifestError(path, `${qualified} belongs to the database itself`)
  }
  if (Object.keys(table.columns).length === 0) throw new ManifestError(`${path}/columns`, 'a table needs a column')
  if ((table.tenant === undefined) === (table.shared === undefined)) {
    throw new ManifestError(path, `${qualified} needs exactly one of tenant and shared`)
  }
  if (table.shared === true && table.owner !== undefined) throw new ManifestError(path, 'a shared table has no owner')
  for (const key of ['tenant', 'owner'] as const) {
    const column = table[key]
    if (column === undefined) continue
    const type = table.columns[column]?.type
    if (type === undefined) throw new ManifestError(`${path}/${key}`, `${qualified} has no column ${column}`)
    if (!KEY_TYPES.has(type)) throw new ManifestError(`${path}/${key}`, `${column} must be uuid, text or int8`)
  }
  if (table.tenant !== undefined && table.tenant === table.owner)
    throw new ManifestError(path, 'tenant and owner are two columns')
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) freeze(inner)
    Object.freeze(value)
  }
  return value
}
