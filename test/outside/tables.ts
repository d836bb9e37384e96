import { listOf, type Struct, stringsOf, unwrap } from '../../src/core/scope/grammar.ts'
import { type Manifest, parseManifest, type Table } from '../../src/core/scope/manifest.ts'

/** The columns that every table gets. */
export const TENANT = 'hf_tenant'
export const OWNER = 'hf_owner'

/** A column: its type for the manifest, and as DDL writes it. */
export type Column = {
  readonly type: string
  readonly ddl: string
  readonly notNull: boolean
  /** numbered by the database */
  readonly isSerial: boolean
  /** what it is without a value: a constant, in SQL, or `computed` */
  readonly fallback: string | undefined
}
/** A table as its statements made it: columns and unique keys. Checks, foreign keys and computed defaults are left out. */
export type TableShape = {
  readonly name: string
  readonly columns: ReadonlyMap<string, Column>
  readonly primary: readonly string[] | undefined
  readonly keys: readonly (readonly string[])[]
}

/** A table's unique keys as they are gathered. */
type Keys = { primary: readonly string[] | undefined; readonly keys: (readonly string[])[] }

const NAME = /^[a-z_][a-z0-9_]{0,62}$/
const SERIAL: Readonly<Record<string, string>> = {
  serial: 'int4',
  serial4: 'int4',
  bigserial: 'int8',
  serial8: 'int8',
  smallserial: 'int2',
  serial2: 'int2',
}

/** The tables that there are at a place in a file, as the statements before it left them. */
export class World {
  readonly #tables: Map<string, TableShape>
  #version = 0

  constructor(from?: World) {
    this.#tables = new Map(from === undefined ? [] : from.#tables)
  }

  /** Rises whenever a table changes. */
  get version(): number {
    return this.#version
  }

  get(name: string): TableShape | undefined {
    return this.#tables.get(name)
  }

  /** Follows a statement that makes, alters or drops a table; others change nothing. */
  follow(kind: string, statement: Struct): void {
    const before = this.#version
    if (kind === 'CreateStmt') this.#create(statement)
    else if (kind === 'AlterTableStmt')
      for (const command of listOf(statement['cmds'])) this.#alter(statement, unwrap(command)[1])
    else if (kind === 'RenameStmt') this.#rename(statement)
    else if (kind === 'IndexStmt') this.#index(statement)
    else if (kind === 'DropStmt') this.#drop(statement)
    if (this.#version > before + 1) this.#version = before + 1
  }

  /** Every table of which the manifest can speak. @param schema where they are made */
  manifest(schema: string): Manifest {
    const tables = [...this.#tables.values()].filter(isSpeakable).map((shape): Table => tableOf(shape, schema))
    const verbs = ['read', 'create', 'update', 'delete', 'reassign']
    const all = tables.flatMap(({ resource }) => verbs.map((verb) => `${resource}:${verb}`))
    return parseManifest({ tables, roles: { all: [...new Set(all)] } })
  }

  speaksOf(name: string): boolean {
    const shape = this.#tables.get(name)
    return shape !== undefined && isSpeakable(shape)
  }

  #set(shape: TableShape): void {
    this.#version++
    this.#tables.set(shape.name, shape)
  }

  #create(statement: Struct): void {
    const name = nameOf(statement['relation'])
    if (name === undefined || statement['ofTypename'] !== undefined) return
    if (statement['if_not_exists'] === true && this.#tables.has(name)) return
    const columns = new Map<string, Column>()
    const keys: Keys = { primary: undefined, keys: [] }
    for (const parent of listOf(statement['inhRelations'])) {
      for (const [column, what] of this.#parent(unwrap(parent)[1])?.columns ?? []) columns.set(column, what)
    }
    for (const element of listOf(statement['tableElts'])) {
      const [type, inner] = unwrap(element)
      if (type === 'ColumnDef') addColumn(inner, columns, keys)
      else if (type === 'Constraint') addKey(inner, columns, keys)
      else if (type === 'TableLikeClause') {
        for (const [column, what] of this.#parent(inner['relation'])?.columns ?? []) columns.set(column, what)
      }
    }
    this.#set({ name, columns, ...keys })
  }

  #parent(relation: unknown): TableShape | undefined {
    const name = nameOf(relation)
    return name === undefined ? undefined : this.#tables.get(name)
  }

  #alter(statement: Struct, command: Struct): void {
    const shape = this.#parent(statement['relation'])
    if (shape === undefined) return
    const columns = new Map(shape.columns)
    const keys: Keys = { primary: shape.primary, keys: [...shape.keys] }
    const dropped = String(command['name'])
    const definition = command['def'] === undefined ? undefined : unwrap(command['def'])[1]
    if (command['subtype'] === 'AT_AddColumn' && definition !== undefined) addColumn(definition, columns, keys)
    else if (command['subtype'] === 'AT_AddConstraint' && definition !== undefined) addKey(definition, columns, keys)
    else if (command['subtype'] === 'AT_DropColumn') columns.delete(dropped)
    else return
    const isWhole = (key: readonly string[]): boolean => key.every((column) => columns.has(column))
    const primary = keys.primary !== undefined && isWhole(keys.primary) ? keys.primary : undefined
    this.#set({ name: shape.name, columns, primary, keys: keys.keys.filter(isWhole) })
  }

  #rename(statement: Struct): void {
    const shape = this.#parent(statement['relation'])
    const to = String(statement['newname'])
    if (shape === undefined) return
    if (statement['renameType'] === 'OBJECT_TABLE') {
      this.#tables.delete(shape.name)
      this.#set({ ...shape, name: to })
    } else if (statement['renameType'] === 'OBJECT_COLUMN') {
      const rename = (name: string): string => (name === statement['subname'] ? to : name)
      const columns = new Map([...shape.columns].map(([name, what]) => [rename(name), what]))
      this.#set({
        name: shape.name,
        columns,
        primary: shape.primary?.map(rename),
        keys: shape.keys.map((key) => key.map(rename)),
      })
    }
  }

  #index(statement: Struct): void {
    const shape = this.#parent(statement['relation'])
    if (shape === undefined || statement['unique'] !== true || statement['whereClause'] !== undefined) return
    const key = listOf(statement['indexParams']).map((item) => unwrap(item)[1]['name'])
    if (!key.every((name) => typeof name === 'string' && shape.columns.has(name))) return
    this.#set({ ...shape, keys: [...shape.keys, key as string[]] })
  }

  #drop(statement: Struct): void {
    if (statement['removeType'] === 'OBJECT_SCHEMA' && stringsOf(statement['objects']).includes('public')) {
      this.#tables.clear()
      this.#version++
    }
    if (statement['removeType'] !== 'OBJECT_TABLE') return
    for (const object of listOf(statement['objects'])) {
      const names = stringsOf((object['List'] as Struct | undefined)?.['items'])
      if (names.length === 1 && this.#tables.delete(String(names[0]))) this.#version++
    }
  }
}

/** The bare name of a relation; one with a schema is another place. */
function nameOf(relation: unknown): string | undefined {
  const { schemaname, catalogname, relname } = (relation ?? {}) as Struct
  return schemaname === undefined && catalogname === undefined && typeof relname === 'string' ? relname : undefined
}

function addColumn(definition: Struct, columns: Map<string, Column>, keys: Keys): void {
  const name = String(definition['colname'])
  const given = listOf(definition['constraints']).map((item) => unwrap(item)[1])
  const constraints = given.map(({ contype }) => String(contype))
  const byDefault = given.find(({ contype }) => contype === 'CONSTR_DEFAULT')
  columns.set(name, {
    ...typeOf((definition['typeName'] ?? {}) as Struct),
    fallback: byDefault === undefined ? undefined : (constantOf(byDefault['raw_expr']) ?? 'computed'),
    notNull: constraints.some((type) => type === 'CONSTR_NOTNULL' || type === 'CONSTR_PRIMARY'),
  })
  if (constraints.includes('CONSTR_UNIQUE')) keys.keys.push([name])
  if (constraints.includes('CONSTR_PRIMARY')) keys.primary ??= [name]
}

function addKey({ contype, keys: given }: Struct, columns: ReadonlyMap<string, Column>, keys: Keys): void {
  const key = stringsOf(given).filter((name) => name !== undefined)
  if (key.length === 0 || !key.every((name) => columns.has(name))) return
  if (contype === 'CONSTR_UNIQUE') keys.keys.push(key)
  if (contype === 'CONSTR_PRIMARY') keys.primary ??= key
}

/** A constant as SQL, without a cast. */
function constantOf(expression: unknown): string | undefined {
  if (typeof expression !== 'object' || expression === null) return undefined
  const [kind, struct] = unwrap(expression)
  if (kind === 'TypeCast') return constantOf(struct['arg'])
  if (kind !== 'A_Const') return undefined
  const { ival, fval, sval, boolval } = struct as {
    readonly ival?: { readonly ival?: number }
    readonly fval?: { readonly fval: string }
    readonly sval?: { readonly sval?: string }
    readonly boolval?: { readonly boolval?: true }
  }
  // zero, false and the empty text are left out of the JSON
  if (ival !== undefined) return String(ival.ival ?? 0)
  if (boolval !== undefined) return String(boolval.boolval ?? false)
  return sval === undefined ? fval?.fval : `'${(sval.sval ?? '').replaceAll("'", "''")}'`
}

function typeOf({ names, typmods, arrayBounds }: Struct): Pick<Column, 'type' | 'ddl' | 'isSerial'> {
  const parts = stringsOf(names).map(String)
  const last = parts.at(-1) ?? 'text'
  const base = SERIAL[last] ?? last
  const numbers = listOf(typmods).map(
    (item) => ((item['A_Const'] as Struct | undefined)?.['ival'] as Struct | undefined)?.['ival'],
  )
  const isSized = base !== 'interval' && numbers.length > 0 && numbers.every((number) => typeof number === 'number')
  const isArray = listOf(arrayBounds).length > 0
  const schema = parts.length > 1 ? `"${parts[0]}".` : ''
  const quoted = SERIAL[last] === undefined ? `${schema}"${base}"` : base
  return {
    isSerial: SERIAL[last] !== undefined,
    type: isArray ? `_${base}` : base,
    ddl: `${quoted}${isSized ? `(${numbers.join(', ')})` : ''}${isArray ? '[]' : ''}`,
  }
}

/** Whether a manifest can list it: names that both databases read alike, none of the database's own. */
function isSpeakable({ name, columns }: TableShape): boolean {
  const names = [name, ...columns.keys(), ...[...columns.values()].map(({ type }) => type)]
  return columns.size > 0 && !name.startsWith('pg_') && names.every((one) => NAME.test(one))
}

function tableOf({ name, columns }: TableShape, schema: string): Table {
  return {
    schema,
    name,
    resource: 'row',
    tenant: TENANT,
    owner: OWNER,
    columns: {
      ...Object.fromEntries([...columns].map(([column, { type }]) => [column, { type }])),
      [TENANT]: { type: 'int8' },
      [OWNER]: { type: 'int8' },
    },
  }
}
