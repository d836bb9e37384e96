import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { parseGrants } from './grants.ts'

/** A name as the database has it, capitals too. PostgreSQL cuts at 63 bytes, and a cut name is another name. */
const IDENTIFIER = '^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,62}$'
const identifier = Type.String({ pattern: IDENTIFIER })

/** What a role may be called: it travels in *enter*'s hint, between bars. */
export const ROLE_NAME = '^[a-z][a-z0-9_]{0,62}$'
const roleName = Type.String({ pattern: ROLE_NAME })
const few = { minItems: 1, maxItems: 100 }

const columnSchema = Type.Object(
  {
    type: identifier,
    notNull: Type.Optional(Type.Literal(true, { description: 'the column is NOT NULL; for the types of rows alone' })),
    hidden: Type.Optional(Type.Array(roleName, { ...few, description: 'roles that can neither read nor write it' })),
    readOnly: Type.Optional(
      Type.Union([Type.Literal(true), Type.Array(roleName, few)], {
        description: 'never assigned, by INSERT, UPDATE or ON CONFLICT: by anyone, or by these roles',
      }),
    ),
  },
  { additionalProperties: false },
)

const throughSchema = Type.Object(
  {
    schema: Type.Optional(identifier),
    table: Type.String({ pattern: IDENTIFIER, description: 'the parent, a table with a tenant column' }),
    column: Type.String({ pattern: IDENTIFIER, description: 'the column here that names a row of the parent' }),
    references: Type.String({ pattern: IDENTIFIER, description: 'the column of the parent that it names' }),
  },
  { additionalProperties: false, description: 'for a child table that cannot have a tenant column: one wall only' },
)

const functionSchema = Type.Object(
  {
    schema: identifier,
    name: identifier,
    reads: Type.Array(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,62}[.][A-Za-z_][A-Za-z0-9_]{0,62}$' }), {
      maxItems: 100,
      description: 'tables of the manifest that it reads, as schema.table; each needs `read` of the whole tenant',
    }),
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
    through: Type.Optional(throughSchema),
    owner: Type.Optional(
      Type.String({ pattern: IDENTIFIER, description: 'column that holds the owner, for grants with reach own' }),
    ),
    view: Type.Optional(Type.Literal(true, { description: 'a view: only read' })),
  },
  { additionalProperties: false },
)

/** JSON Schema of a manifest: tables with their tenant and owner columns, and roles with their grants. */
export const manifestSchema = Type.Object(
  {
    tables: Type.Array(tableSchema, { maxItems: 2_000 }),
    roles: Type.Record(Type.String({ pattern: ROLE_NAME }), Type.Array(Type.String()), { additionalProperties: false }),
    functions: Type.Optional(
      Type.Array(functionSchema, {
        maxItems: 1_000,
        description: 'functions of the application’s own that may be called',
      }),
    ),
    types: Type.Optional(
      Type.Array(Type.Object({ schema: identifier, name: identifier }, { additionalProperties: false }), {
        maxItems: 1_000,
        description: 'types of the application’s own that may be cast to',
      }),
    ),
  },
  { $id: 'urn:holdfast:manifest', title: 'Holdfast manifest', additionalProperties: false },
)

type DeepReadonly<T> = { readonly [K in keyof T]: T[K] extends object ? DeepReadonly<T[K]> : T[K] }

/**
 * A column: its type by PostgreSQL's short name, such as `uuid`, `text`, `int8`, `timestamptz`, `_text` for an array;
 * whether it is NOT NULL, at which only the types of rows look; and the roles from which it is hidden, or to which it is
 * read-only (ASVS 5.0 8.2.3).
 */
export type Column = DeepReadonly<Static<typeof columnSchema>>
/** A table that statements may name. */
export type Table = DeepReadonly<Static<typeof tableSchema>>
/** How a child without a tenant column reaches its parent. */
export type Through = NonNullable<Table['through']>
/** A function of the application's own, with the tables that it reads. */
export type OwnFunction = DeepReadonly<Static<typeof functionSchema>>
/** Which tables there are and what each role may do with them. */
export type Manifest = {
  readonly tables: readonly Table[]
  readonly roles: Readonly<Record<string, readonly string[]>>
  readonly functions?: readonly OwnFunction[]
  readonly types?: readonly { readonly schema: string; readonly name: string }[]
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
  for (const [index, table] of manifest.tables.entries()) checkTable(`/tables/${index}`, table, manifest, names)
  for (const [index, own] of (manifest.functions ?? []).entries()) checkFunction(`/functions/${index}`, own, manifest)
  for (const [index, { schema }] of (manifest.types ?? []).entries()) {
    if (OF_THE_DATABASE.test(schema))
      throw new ManifestError(`/types/${index}`, `${schema} belongs to the database itself`)
  }
  for (const [role, grants] of Object.entries(manifest.roles)) {
    try {
      parseGrants(grants)
    } catch (error) {
      throw new ManifestError(`/roles/${role}`, (error as Error).message)
    }
  }
  return freeze(manifest)
}

/** The table that a child is confined through. */
export function parentOf(manifest: Manifest, { schema: home, through }: Table): Table | undefined {
  if (through === undefined) return undefined
  const { schema = home, table: name } = through
  return manifest.tables.find((table) => table.schema === schema && table.name === name)
}

/** Schemas that no table, function or type of a manifest is in. */
const OF_THE_DATABASE = /^pg_|^information_schema$|^crdb_internal$|^system$/i

function checkTable(path: string, table: Table, manifest: Manifest, names: Set<string>): void {
  const qualified = `${table.schema}.${table.name}`
  if (names.has(qualified)) throw new ManifestError(path, `${qualified} is there twice`)
  names.add(qualified)
  if (OF_THE_DATABASE.test(table.schema) || /^pg_/i.test(table.name)) {
    throw new ManifestError(path, `${qualified} belongs to the database itself`)
  }
  if (Object.keys(table.columns).length === 0) throw new ManifestError(`${path}/columns`, 'a table needs a column')
  const kinds = [table.tenant, table.shared, table.through].filter((kind) => kind !== undefined)
  if (kinds.length !== 1) {
    throw new ManifestError(path, `${qualified} needs exactly one of tenant, shared and through`)
  }
  if (table.tenant === undefined && table.owner !== undefined) {
    throw new ManifestError(path, 'only a table with a tenant column has an owner of its own')
  }
  for (const key of ['tenant', 'owner'] as const) {
    if (table[key] !== undefined) checkKey(`${path}/${key}`, table, table[key])
  }
  if (table.tenant !== undefined && table.tenant === table.owner)
    throw new ManifestError(path, 'tenant and owner are two columns')
  if (table.through !== undefined) checkThrough(`${path}/through`, table, table.through, manifest)
  checkFields(path, table, manifest)
}

/** A column that confines: it has a type that compares alike everywhere, and is seen by all. */
function checkKey(path: string, table: Table, column: string): void {
  const { type, hidden } = (Object.hasOwn(table.columns, column) && table.columns[column]) || {}
  if (type === undefined) throw new ManifestError(path, `${table.schema}.${table.name} has no column ${column}`)
  if (!KEY_TYPES.has(type)) throw new ManifestError(path, `${column} must be uuid, text or int8`)
  if (hidden !== undefined) throw new ManifestError(path, `${column} cannot be hidden: rows are confined by it`)
}

function checkThrough(path: string, table: Table, through: Through, manifest: Manifest): void {
  const parent = parentOf(manifest, table)
  if (parent?.tenant === undefined) {
    throw new ManifestError(`${path}/table`, `${through.table} must be a table of the manifest with a tenant column`)
  }
  // the condition speaks of both by their bare names
  if (parent.name === table.name) throw new ManifestError(path, 'parent and child need different names')
  checkKey(`${path}/column`, table, through.column)
  checkKey(`${path}/references`, parent, through.references)
  if (table.columns[through.column]?.type !== parent.columns[through.references]?.type) {
    throw new ManifestError(path, `${through.column} and ${parent.name}.${through.references} have one type`)
  }
}

/** A mistyped role would leave open what was to be closed (CWE-1220). */
function checkFields(path: string, table: Table, { roles }: Manifest): void {
  for (const [column, { hidden = [], readOnly = [] }] of Object.entries(table.columns)) {
    const named = [...hidden, ...(readOnly === true ? [] : readOnly)]
    const unknown = named.find((role) => !Object.hasOwn(roles, role))
    if (unknown !== undefined) {
      throw new ManifestError(`${path}/columns/${column}`, `there is no role ${unknown}`)
    }
  }
}

/** Only what row-level security confines may be read by a function: the first wall does not see inside it. */
function checkFunction(path: string, { schema, name, reads }: OwnFunction, { tables }: Manifest): void {
  if (OF_THE_DATABASE.test(schema)) throw new ManifestError(path, `${schema}.${name} belongs to the database itself`)
  // *enter* and its like are no handler's to call (CWE-749)
  if (schema === 'holdfast') throw new ManifestError(path, `${schema}.${name} is the guard's`)
  for (const read of reads) {
    const table = tables.find((one) => `${one.schema}.${one.name}` === read)
    if (table === undefined) throw new ManifestError(`${path}/reads`, `the manifest has no table ${read}`)
    if (table.through !== undefined) throw new ManifestError(`${path}/reads`, `${read} has one wall, which ends here`)
  }
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) freeze(inner)
    Object.freeze(value)
  }
  return value
}
