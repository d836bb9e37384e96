import type { Dice } from './dice.ts'
import { type Type, TYPES, uuidOf, valueOf } from './types.ts'

export type Column = {
  readonly name: string
  readonly type: Type
  readonly notNull?: true
  /** what INSERT puts where the statement gives nothing; the tenant's and owner's come from settings of the session */
  readonly preset?: string
  /** the narrow role neither reads nor writes it */
  readonly hidden?: true
  /** the narrow role never assigns it; with `always` no role does */
  readonly readOnly?: 'narrow' | 'always'
}

/** A child's link to its parent; `leads` when the foreign key begins with the tenant, `none` when there is no key. */
export type Link = {
  readonly parent: string
  readonly column: string
  readonly references: string
  readonly key: 'leads' | 'plain' | 'none'
  readonly cascades: boolean
}

export type Table = {
  readonly schema: string
  readonly name: string
  readonly resource: string
  readonly kind: 'tenant' | 'shared' | 'through' | 'view'
  readonly columns: readonly Column[]
  readonly tenant?: string
  readonly owner?: string
  readonly primary: readonly string[]
  readonly uniques: readonly (readonly string[])[]
  readonly link?: Link
  /** the table that a view shows */
  readonly shows?: string
}

export type Verb = 'read' | 'create' | 'update' | 'delete'
export const VERBS: readonly Verb[] = ['read', 'create', 'update', 'delete']

export type Role = {
  readonly name: string
  readonly grants: readonly string[]
  /** it does not see all columns */
  readonly isNarrow: boolean
}

/** A random schema with its roles, tenants and users: everything that statements are made for. */
export type World = {
  readonly tables: readonly Table[]
  readonly roles: readonly Role[]
  readonly idType: KeyType
  readonly tenants: readonly string[]
  readonly users: readonly string[]
  readonly rows: readonly TableRows[]
}

export type TableRows = { readonly table: string; readonly rows: readonly (readonly (string | null)[])[] }

type KeyType = 'int8' | 'uuid' | 'text'

const NAMES = ['docs', 'notes', 'invoices', 'order', 'accounts', 'items']
const FIELDS = ['title', 'body', 'size', 'amount', 'state', 'due', 'flag', 'data', 'tags', 'key', 'user', 'made_at']
const TENANT_NAMES = ['tenant_id', 'org', 'account_id', 'tenant']
const OWNER_NAMES = ['owner_id', 'author', 'made_by']

/** Makes a world: tables of every kind, keys of every shape, roles of every reach. */
export function makeWorld(dice: Dice): World {
  const idType = dice.pick(['int8', 'uuid', 'text'] as const)
  const ids = (from: number): string[] =>
    [0, 1, 2].map((n) => (idType === 'uuid' ? uuidOf(from + n) : idType === 'int8' ? `${from + n}` : `t-${from + n}`))
  const tables = makeTables(dice, idType)
  const world = { tables, roles: makeRoles(dice, tables), idType, tenants: ids(7), users: ids(2) }
  return { ...world, rows: makeRows(dice, world) }
}

/** The manifest of a world, as an application would write it. */
export function manifestOf(world: World): unknown {
  const narrow = world.roles.filter(({ isNarrow }) => isNarrow).map(({ name }) => name)
  const [counted] = world.tables
  const column = ({ type, hidden, readOnly, notNull }: Column): object => ({
    type,
    ...(notNull === undefined ? {} : { notNull }),
    ...(hidden === undefined ? {} : { hidden: narrow }),
    ...(readOnly === undefined ? {} : { readOnly: readOnly === 'always' ? true : narrow }),
  })
  return {
    tables: world.tables.map(({ schema, name, resource, kind, columns, tenant, owner, link }) => ({
      schema,
      name,
      resource,
      columns: Object.fromEntries(columns.map((each) => [each.name, column(each)])),
      ...(tenant === undefined ? {} : { tenant }),
      ...(owner === undefined ? {} : { owner }),
      ...(kind === 'shared' ? { shared: true } : {}),
      ...(kind === 'view' ? { view: true } : {}),
      ...(kind === 'through' && link !== undefined
        ? {
            through: {
              schema: tableOf(world, link.parent).schema,
              table: link.parent,
              column: link.column,
              references: link.references,
            },
          }
        : {}),
    })),
    roles: Object.fromEntries(world.roles.map(({ name, grants }) => [name, grants])),
    functions: [
      { schema: 'app', name: 'twice', reads: [] },
      { schema: 'app', name: 'total', reads: [`${counted?.schema}.${counted?.name}`] },
    ],
    types: [{ schema: 'app', name: 'mood' }],
  }
}

export function tableOf(world: { readonly tables: readonly Table[] }, name: string): Table {
  const found = world.tables.find((table) => table.name === name)
  if (found === undefined) throw new TypeError(`no table ${name}`)
  return found
}

/** The columns that a role sees. */
export function visibleColumns(table: Table, role: Role): readonly Column[] {
  return role.isNarrow ? table.columns.filter(({ hidden }) => hidden === undefined) : table.columns
}

function makeTables(dice: Dice, idType: KeyType): Table[] {
  const names = dice.shuffled(NAMES)
  // the first has a key that no two tenants share: what is the tenant's through it is nobody else's
  const tables: Table[] = dice.list(2, 3, (index) => tenantTable(dice, names[index] ?? '', idType, index > 0))
  const [parent] = tables
  if (parent === undefined) throw new TypeError('a world has a table')
  tables.push(childTable(dice, 'lines', idType, dice.pick(tables)))
  tables.push(throughTable(dice, 'parts', parent))
  tables.push(viewOf(dice, dice.pick(tables.filter(({ kind }) => kind === 'tenant'))))
  tables.push({
    schema: 'app',
    name: 'kinds',
    resource: 'kind',
    kind: 'shared',
    columns: [{ name: 'id', type: 'int8' }, { name: 'label', type: 'text' }, ...fields(dice, 1, 2, false)],
    primary: ['id'],
    uniques: [],
  })
  return tables
}

/** Columns of random types; some of them not for every role. */
function fields(dice: Dice, low: number, high: number, restricted = true): Column[] {
  const names = dice.shuffled(FIELDS)
  const made = dice.list(low, high, (index): Column => {
    const type = dice.pick([...TYPES, 'mood', 'int8', 'text', 'int8', 'text'] as const)
    return { name: names[index] ?? 'more', type, ...(restricted && dice.chance(0.2) ? { readOnly: 'narrow' } : {}) }
  })
  if (!restricted) return made
  if (dice.chance(0.5)) made.push({ name: 'secret', type: 'text', preset: "'unset'", hidden: true })
  if (dice.chance(0.3)) made.push({ name: 'stamp', type: 'int8', preset: '1', readOnly: 'always' })
  return dice.shuffled(made)
}

function tenantTable(dice: Dice, name: string, idType: KeyType, mayBeKeyed = true): Table {
  const tenant = dice.pick(TENANT_NAMES)
  const owner = dice.chance(0.7) ? dice.pick(OWNER_NAMES) : undefined
  const isKeyed = mayBeKeyed && dice.chance(0.5)
  const mine: Column[] = [
    { name: 'id', type: 'int8', notNull: true },
    { name: tenant, type: dice.chance(0.2) ? 'text' : idType, notNull: true },
    ...(owner === undefined ? [] : [{ name: owner, type: dice.chance(0.2) ? 'text' : idType } as Column]),
    // an int8 or text to put keys and links on
    { name: 'number', type: 'int8' },
    { name: 'name', type: 'text' },
  ]
  return {
    schema: dice.chance(0.85) ? 'app' : 'ledger',
    name,
    resource: name,
    kind: 'tenant',
    columns: dice.shuffled([...mine, ...fields(dice, 1, 4)]),
    tenant,
    ...(owner === undefined ? {} : { owner }),
    primary: isKeyed ? [tenant, 'id'] : ['id'],
    uniques: [
      // for composite foreign keys; the same key twice would be no candidate for ON CONFLICT
      ...(isKeyed ? [] : [[tenant, 'id']]),
      ...(dice.chance(0.5) ? [[tenant, 'name']] : []),
      ...(dice.chance(0.2) ? [['number']] : []),
    ],
  }
}

/** A child with a tenant column of its own. */
function childTable(dice: Dice, name: string, idType: KeyType, parent: Table): Table {
  const made = tenantTable(dice, name, idType)
  const tenantType = parent.columns.find((column) => column.name === parent.tenant)?.type
  const own = made.columns.find((column) => column.name === made.tenant)?.type
  const plain = parent.primary.length === 1 ? ['plain' as const] : []
  return {
    ...made,
    columns: dice.shuffled([...made.columns, { name: 'parent_id', type: 'int8' }]),
    link: {
      parent: parent.name,
      column: 'parent_id',
      references: 'id',
      key: dice.pick([...(tenantType === own ? ['leads' as const] : []), ...plain, 'none']),
      cascades: dice.chance(0.3),
    },
  }
}

/** A child that is the tenant's because its parent is. */
function throughTable(dice: Dice, name: string, parent: Table): Table {
  return {
    schema: dice.chance(0.8) ? 'app' : 'ledger',
    name,
    resource: name,
    kind: 'through',
    columns: dice.shuffled([
      { name: 'id', type: 'int8', notNull: true },
      { name: 'parent_id', type: 'int8' },
      { name: 'name', type: 'text' },
      ...fields(dice, 1, 3),
    ]),
    primary: ['id'],
    uniques: [],
    link: {
      parent: parent.name,
      column: 'parent_id',
      references: 'id',
      key: parent.primary.length === 1 && dice.chance(0.7) ? 'plain' : 'none',
      cascades: dice.chance(0.3),
    },
  }
}

/** A view of a table, under the table's own permissions, as its policies are the table's. */
function viewOf(dice: Dice, table: Table): Table {
  const { uniques: _, link: __, ...rest } = table
  const dropped = table.columns.filter(({ name }) => name !== table.tenant && name !== table.owner && name !== 'id')
  const gone = dice.chance(0.5) ? dice.pick(dropped).name : undefined
  return {
    ...rest,
    name: 'shown',
    kind: 'view',
    columns: table.columns.filter(({ name, hidden }) => name !== gone && hidden === undefined),
    primary: [],
    uniques: [],
    shows: table.name,
  }
}

function makeRoles(dice: Dice, tables: readonly Table[]): Role[] {
  const hasOwner = (table: Table): boolean =>
    table.owner !== undefined ||
    (table.link !== undefined && tableOf({ tables }, table.link.parent).owner !== undefined)
  const canOwn = (table: Table): boolean =>
    table.kind === 'through' ? hasOwner(table) : table.kind !== 'shared' && table.owner !== undefined
  const verbsOf = (table: Table): readonly Verb[] => (table.kind === 'shared' ? ['read'] : VERBS)
  const role = (
    name: string,
    reach: (table: Table, verb: Verb) => 'tenant' | 'own' | 'none',
    isNarrow = false,
  ): Role => ({
    name,
    isNarrow,
    grants: tables
      .filter(({ kind }) => kind !== 'view')
      .flatMap((table) =>
        verbsOf(table).flatMap((verb) => {
          const held = reach(table, verb)
          if (held === 'none') return []
          return [`${table.resource}:${verb}${held === 'own' && canOwn(table) ? '@own' : ''}`]
        }),
      ),
  })
  const reassigns = (made: Role): Role => ({
    ...made,
    grants: [
      ...made.grants,
      ...tables
        .filter(({ owner, kind }) => owner !== undefined && kind !== 'view')
        .map((t) => `${t.resource}:reassign`),
    ],
  })
  return [
    reassigns(role('chief', () => 'tenant')),
    role('member', () => 'own'),
    role('mixed', (_, verb) =>
      verb === 'read' ? dice.pick(['tenant', 'tenant', 'own']) : dice.pick(['tenant', 'own']),
    ),
    role('blind', (table, verb) =>
      verb === 'read' ? (table.kind === 'shared' ? 'tenant' : 'none') : dice.pick(['tenant', 'own']),
    ),
    role('narrow', () => dice.pick(['tenant', 'tenant', 'own']), true),
  ]
}

/** Rows of all tenants, mixed in their physical order. */
function makeRows(dice: Dice, world: Omit<World, 'rows'>): TableRows[] {
  const made: TableRows[] = []
  for (const table of world.tables) {
    if (table.kind === 'view') continue
    const rows = table.kind === 'shared' ? sharedRows(dice, table) : tenantRows(dice, world, table, made)
    made.push({ table: table.name, rows: dice.shuffled(rows) })
  }
  return made
}

function sharedRows(dice: Dice, table: Table): (string | null)[][] {
  return [1, 2, 3].map((id) =>
    table.columns.map(({ name, type }) => (name === 'id' ? `${id}` : valueOrNull(dice, type))),
  )
}

function tenantRows(
  dice: Dice,
  world: Omit<World, 'rows'>,
  table: Table,
  made: readonly TableRows[],
): (string | null)[][] {
  const numbers = dice.shuffled(Array.from({ length: 40 }, (_, index) => `${index}`))
  return world.tenants.flatMap((tenant, place) =>
    dice.list(5, 8, (index) => {
      const cell = ({ name, type, preset }: Column): string | null => {
        if (name === 'id') return `${(table.primary.length === 1 ? (place + 1) * 100 : 0) + index + 1}`
        if (name === table.tenant) return tenant
        if (name === table.owner) return dice.chance(0.1) ? null : dice.pick(world.users)
        if (name === 'number') return numbers[place * 8 + index] ?? null
        if (name === table.link?.column) return parentId(dice, world, table, made, tenant)
        if (name === 'name') return `${dice.pick(['north', 'south', 'Öst'])} ${index}`
        if (preset !== undefined) return name === 'secret' ? `secret ${place}${index}` : `${index}`
        return valueOrNull(dice, type)
      }
      return table.columns.map(cell)
    }),
  )
}

/** The id of one of the tenant's own parents, mostly. */
function parentId(
  dice: Dice,
  world: Omit<World, 'rows'>,
  { link, kind }: Table,
  made: readonly TableRows[],
  tenant: string,
): string | null {
  if (link === undefined || (kind !== 'through' && dice.chance(0.1))) return null
  const parent = tableOf(world, link.parent)
  const at = (name: string | undefined): number => parent.columns.findIndex((column) => column.name === name)
  const rows = made.find(({ table }) => table === link.parent)?.rows ?? []
  const own = rows.filter((row) => row[at(parent.tenant)] === tenant)
  return dice.pick(own)[at(link.references)] ?? null
}

function valueOrNull(dice: Dice, type: Type): string | null {
  return dice.chance(0.15) ? null : valueOf(dice, type)
}
