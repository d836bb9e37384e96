import type { Grants } from '../grants.ts'
import type { Struct } from '../grammar.ts'
import type { Manifest, Table } from '../manifest.ts'
import { isFunctionField } from '../one-argument-functions.ts'
import {
  conjunctsOf,
  demand,
  entriesWithin,
  holdsKey,
  isAlias,
  isBetween,
  isHomely,
  list,
  lockedBy,
  locationOf,
  open,
  read,
  textOf,
  Unproven,
} from './proof-tree.ts'
import { SHAPES } from '../shapes.ts'
import { COLLATIONS, FUNCTIONS, HOME_SCHEMA, OPERATORS, TYPES } from '../vocabulary.ts'

export { Unproven }

/** What a parameter of the final text is bound to: a value of the handler's, or what the guard knows of the caller. */
export type Slot =
  | { readonly kind: 'value'; readonly index: number }
  | { readonly kind: 'tenant' }
  | { readonly kind: 'user' }

/** A final text, and what it is claimed to be confined by. */
export type Claim = {
  readonly text: string
  readonly slots: readonly Slot[]
  readonly manifest: Manifest
  readonly grants: Grants
}

type Verb = 'create' | 'read' | 'update' | 'delete'
type Kind = 'tenant' | 'user'
type Target = { readonly relation: Struct; readonly table: Table; readonly alias: string }

/** Names that a place of the tree may use although a target stands around it, whose hidden columns a name could reach. */
type Sight = {
  /** bare names that are found before a hidden column would be: the target's own columns, and those of leaves */
  readonly names: ReadonlySet<string>
  readonly isQuery: boolean
}

type Scene = {
  readonly claim: Claim
  readonly bytes: Buffer
  readonly ctes: ReadonlySet<string>
  readonly locked: ReadonlySet<Struct>
  readonly columns: ReadonlySet<string>
  readonly target: Target | undefined
  /** references to parameters of the tenant and the user: met in the tree, and accounted for by a confinement */
  met: number
  accounted: number
  /** references to columns where the target can be seen, those of its confinement included */
  references: number
}

const LEAF_KEYS: ReadonlySet<string> = new Set(['targetList', 'fromClause', 'whereClause', 'limitOption', 'op'])
const KINDS = ['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt']
const RESERVED_NAME = /^(?:pg_|information_schema$|crdb_internal$|system$)/
/** How a statement speaks of its target besides by its alias. */
const OTHER_ALIASES: ReadonlySet<string> = new Set(['old', 'new', 'excluded'])

/**
 * Proves that a text, its parameters bound as the slots say, touches no row outside the caller's tenant, under reach
 * `own` no row of another owner, by no verb that the grants do not hold (CWE-639, CWE-863).
 * @throws Unproven when that cannot be shown
 */
export function prove(claim: Claim): void {
  const [only, ...others] = read(claim.text)
  demand(only !== undefined && others.length === 0, 'exactly one statement')
  const [type, statement] = open(only)
  demand(KINDS.includes(type), 'one of the four kinds of statement')
  for (const [index, slot] of claim.slots.entries()) {
    demand(slot.kind !== 'value' || slot.index === index, 'a value at its own place')
  }
  const ctes = new Set<string>()
  const locked = new Set<Struct>()
  for (const [key, value] of entriesWithin(only)) {
    if (key === 'ctename') ctes.add(String(value))
    const hasLock = typeof value === 'object' && value !== null && 'lockingClause' in value
    if (hasLock) for (const relation of lockedBy(value as Struct)) locked.add(relation)
  }
  for (const name of ctes) {
    demand(!RESERVED_NAME.test(name) && claim.manifest.tables.every((table) => table.name !== name), 'name of a CTE')
  }
  const scene: Scene = {
    claim,
    ctes,
    locked,
    bytes: Buffer.from(claim.text),
    columns: new Set(claim.manifest.tables.flatMap((table) => Object.keys(table.columns))),
    target: type === 'SelectStmt' ? undefined : targetOf(claim, statement),
    met: 0,
    accounted: 0,
    references: 0,
  }
  visitStatement(scene, type, statement)
  if (type === 'InsertStmt') proveInsert(scene, statement)
  if (type === 'UpdateStmt') proveChange(scene, statement, 'update')
  if (type === 'DeleteStmt') proveChange(scene, statement, 'delete')
  demand(scene.met === scene.accounted, "the caller's parameters stand in confinements alone")
}

/** INSERT: one column is the tenant, and each row's item there is the tenant's parameter; the same for an owner. */
function proveInsert(scene: Scene, statement: Struct): void {
  const { claim, target } = scene
  demand(target !== undefined, 'a target')
  const { table } = target
  const names = list(statement['cols']).map((column) => String(open(column)[1]['name']))
  demand(names.length > 0 && names.every((name) => Object.hasOwn(table.columns, name)), 'the columns of INSERT')
  const isOwned =
    reachOf(claim, table, statement['returningClause'] !== undefined ? ['create', 'read'] : ['create']) === 'own'
  const [sourceType, source] = open(statement['selectStmt'])
  demand(sourceType === 'SelectStmt', 'the source of INSERT')
  for (const [column, kind] of [[table.tenant, 'tenant'] as const, [table.owner, 'user'] as const]) {
    const index = names.indexOf(column ?? '')
    if (kind === 'user' && !isOwned) continue
    demand(index >= 0 && names.lastIndexOf(column ?? '') === index, `the ${kind} of INSERT`)
    for (const row of rowsOf(source)) {
      // a star before the item would move it
      const before = row.slice(0, index)
      demand(
        before.every((item) => !holdsKey(item, 'A_Star')),
        'a star in the source of INSERT',
      )
      demand(isScope(scene, row[index], table, column, kind), `the ${kind} of each row`)
      scene.accounted++
    }
  }
  const conflict = statement['onConflictClause'] as Struct | undefined
  if (conflict?.['action'] !== 'ONCONFLICT_UPDATE') return
  const reach = reachOf(claim, table, ['update', 'read'])
  proveAssignments(claim, list(conflict['targetList']), table, reach)
  proveWhere(scene, conflict['whereClause'], target, reach)
}

function proveChange(scene: Scene, statement: Struct, verb: 'update' | 'delete'): void {
  const { claim, target } = scene
  demand(target !== undefined, 'a target')
  const { whereClause, returningClause } = statement
  const [first, second] = conjunctsOf(whereClause)
  const ours = [isConfinement(scene, first, target, 'tenant'), isConfinement(scene, second, target, 'user')]
  // an effect that depends on a column tells what the column holds
  const reads = returningClause !== undefined || scene.references > ours.filter(Boolean).length
  const reach = reachOf(claim, target.table, reads ? [verb, 'read'] : [verb])
  proveAssignments(claim, list(statement['targetList']), target.table, reach)
  proveWhere(scene, whereClause, target, reach)
}

/** WHERE is the confinement, or a conjunction that begins with it. */
function proveWhere(scene: Scene, where: unknown, target: Target, reach: 'tenant' | 'own'): void {
  const [first, second] = conjunctsOf(where)
  demand(isConfinement(scene, first, target, 'tenant'), 'the tenant in WHERE')
  scene.accounted++
  if (reach === 'own') demand(isConfinement(scene, second, target, 'user'), 'the owner in WHERE')
  if (isConfinement(scene, second, target, 'user')) scene.accounted++
}

/** No statement moves a row to another tenant; whoever reaches only their own rows gives none away (CWE-915). */
function proveAssignments(claim: Claim, targets: readonly Struct[], table: Table, reach: 'tenant' | 'own'): void {
  for (const target of targets) {
    const name = String(open(target)[1]['name'])
    demand(Object.hasOwn(table.columns, name) && name !== table.tenant, 'the column assigned')
    if (name !== table.owner) continue
    demand(reach === 'tenant' && claim.grants.get(`${table.resource}:reassign`) === 'tenant', 'the owner assigned')
  }
}

/** WITH and the source of INSERT cannot see the target; everything else may. */
function visitStatement(scene: Scene, type: string, statement: Struct): void {
  if (scene.target === undefined) return visit(scene, type, statement, undefined)
  const { withClause, selectStmt, ...sighted } = statement
  const own = Object.keys(scene.target.table.columns)
  const joined = providedBy(scene, [...list(statement['fromClause']), ...list(statement['usingClause'])])
  const sight = { names: new Set([...own, ...joined]), isQuery: false }
  visit(scene, type, sighted, sight)
  if (withClause !== undefined) visit(scene, 'WithClause', withClause as Struct, undefined)
  if (selectStmt !== undefined) visit(scene, ...open(selectStmt), undefined)
}

/** Walks the tree: nothing but the nodes, keys and names of the lists. */
function visit(scene: Scene, type: string, struct: Struct, sight: Sight | undefined): void {
  try {
    const shape = Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined
    demand(shape !== undefined, 'the kind of a node')
    judge(scene, type, struct, sight)
    for (const [key, value] of Object.entries(struct)) {
      const content = Object.hasOwn(shape, key) ? shape[key] : undefined
      demand(content !== undefined, 'a key of a node')
      const within = sightFor(scene, type, struct, key, sight)
      if (key === 'lockedRels') demand(list(value).every(isAlias), 'what is locked')
      else if (content === 'value') demand(typeof value !== 'object', 'a scalar')
      else if (typeof content === 'object') demand(content.includes(value as string), 'a value of the list')
      else if (content === 'node') visit(scene, ...open(value), within)
      else if (content === 'nodes') for (const item of list(value)) visit(scene, ...open(item), within)
      else visit(scene, content.slice(1), value as Struct, within)
    }
  } catch (error) {
    if (error instanceof Unproven) error.at ??= locationOf(type, struct)
    throw error
  }
}

/** A query adds the columns of the leaves in its FROM; a join's condition sees those of the join alone. */
function sightFor(scene: Scene, type: string, struct: Struct, key: string, sight: Sight | undefined) {
  if (sight === undefined) return undefined
  if (type === 'SelectStmt') {
    if (leafTable(scene, struct) !== undefined) return undefined
    const provided = key === 'fromClause' || key === 'withClause' ? [] : providedBy(scene, list(struct['fromClause']))
    return { names: new Set([...sight.names, ...provided]), isQuery: true }
  }
  if (type !== 'JoinExpr' || key !== 'quals') return sight
  const joined = providedBy(scene, [struct['larg'], struct['rarg']] as Struct[])
  return { ...sight, names: new Set([...sight.names, ...joined]) }
}

/** The columns that leaves give to a FROM list; what else stands there is not counted on. */
function providedBy(scene: Scene, items: readonly Struct[]): string[] {
  return items.flatMap((item) => {
    const [type, struct] = open(item)
    if ((struct['alias'] as Struct | undefined)?.['colnames'] !== undefined) return []
    if (type === 'JoinExpr') return providedBy(scene, [struct['larg'], struct['rarg']] as Struct[])
    if (type !== 'RangeSubselect') return []
    return Object.keys(leafTable(scene, open(struct['subquery'])[1])?.columns ?? {})
  })
}

/** The table of a SELECT that reads one relation by its full name: `judgeRelation` demands that it is the leaf. */
function leafTable({ claim }: Scene, select: Struct): Table | undefined {
  const [relation, ...others] = list(select['fromClause'])
  const { schemaname, relname } = (relation?.['RangeVar'] ?? {}) as Struct
  if (schemaname === undefined || others.length > 0) return undefined
  return tableOf(claim, schemaname, relname)
}

function judge(scene: Scene, type: string, struct: Struct, sight: Sight | undefined): void {
  switch (type) {
    case 'SelectStmt':
      // `(leaf) ORDER BY secret` hangs its clauses on the leaf's own node, where hidden columns are in sight
      return demand(
        leafTable(scene, struct) === undefined || Object.keys(struct).every((key) => LEAF_KEYS.has(key)),
        'a leaf and nothing more',
      )
    case 'RangeVar':
      return judgeRelation(scene, struct)
    case 'ColumnRef':
      return judgeColumn(scene, struct, sight)
    case 'ParamRef': {
      const slot = scene.claim.slots[Number(struct['number'] ?? 0) - 1]
      if (slot !== undefined && slot.kind !== 'value') scene.met++
      return demand(slot !== undefined, 'the number of a parameter')
    }
    case 'CommonTableExpr':
      return demand(open(struct['ctequery'])[0] === 'SelectStmt', 'a CTE that only reads')
    case 'FuncCall':
      return demand(isHomely(struct['funcname'], FUNCTIONS), 'a function of the list')
    case 'A_Expr':
      return demand(isHomely(struct['name'], OPERATORS) || isBetween(struct), 'an operator of the list')
    case 'SubLink':
      return demand(
        struct['operName'] === undefined || isHomely(struct['operName'], OPERATORS),
        'an operator of the list',
      )
    case 'TypeName':
      return demand(isHomely(struct['names'], TYPES), 'a type of the list')
    case 'CollateClause':
      return demand(isHomely(struct['collname'], COLLATIONS), 'a collation of the list')
    case 'A_Indirection':
      return demand(
        list(struct['indirection']).every((item) => 'A_Indices' in item),
        'no field of an expression',
      )
    case 'IndexElem':
      return demand(Object.hasOwn(scene.target?.table.columns ?? {}, String(struct['name'])), 'a column of a conflict')
  }
}

/** A relation is a CTE by its bare name, or the target, or stands in its table's leaf, byte for byte. */
function judgeRelation(scene: Scene, relation: Struct): void {
  const { claim, bytes, ctes, locked, target } = scene
  const isLocked = locked.has(relation)
  const { schemaname, relname, location } = relation
  // ONLY leaves `inh` out
  demand(relation['inh'] === true && relation['relpersistence'] === 'p', 'a relation with all that inherits')
  if (relation === target?.relation) return
  if (schemaname === undefined) return demand(ctes.has(String(relname)), 'a bare relation is a CTE')
  const table = tableOf(claim, schemaname, relname)
  demand(table !== undefined, 'a relation of the manifest')
  demand(!isLocked || table.tenant !== undefined, 'no lock on a shared table')
  const isOwned = reachOf(claim, table, isLocked ? ['read', 'update'] : ['read']) === 'own'
  const [before, after] = expectedAround(claim, table, isOwned)
  const at = Number(location ?? 0)
  const start = at - before.length
  const found = start < 0 ? '' : bytes.toString('latin1', start, at + after.length)
  demand(found === before + after, 'the leaf of a table')
  scene.accounted += (table.tenant === undefined ? 0 : 1) + (isOwned ? 1 : 0)
}

/** The template of a leaf: what stands before the relation's name, and the name with what stands after it. */
function expectedAround(claim: Claim, table: Table, isOwned: boolean): [before: string, after: string] {
  const { schema, name, tenant, owner, columns } = table
  const equals = (column: string | undefined, kind: Kind): string => {
    const number = claim.slots.findLastIndex((slot) => slot.kind === kind) + 1
    demand(number > 0 && column !== undefined, `a parameter for the ${kind}`)
    return `"${name}"."${column}" OPERATOR(pg_catalog.=) $${number}::${columns[column]?.type}`
  }
  let where = table.tenant === undefined ? '' : ` WHERE ${equals(tenant, 'tenant')}`
  if (isOwned) where += ` AND ${equals(owner, 'user')}`
  const items = Object.keys(columns).map((column) => `"${name}"."${column}"`)
  return [`(SELECT ${items.join(', ')} FROM `, `"${schema}"."${name}"${where})`]
}

/** Where a target can be seen, no name may reach a column that the manifest lacks; `x.f` must not be a call of f. */
function judgeColumn(scene: Scene, { fields }: Struct, sight: Sight | undefined): void {
  const names = list(fields).map(textOf)
  const [first, second] = names
  demand(names.length === 1 || names.length === 2, 'a column of at most two names')
  if (sight !== undefined && scene.target !== undefined) {
    scene.references++
    if (names.length === 1) {
      return demand(first === undefined ? sight.isQuery : sight.names.has(first), 'whose a bare column is')
    }
    if (first === scene.target.alias || OTHER_ALIASES.has(first ?? '')) {
      return demand(second !== undefined && Object.hasOwn(scene.target.table.columns, second), "the target's column")
    }
  }
  if (second === undefined) return
  demand(!isFunctionField(second, scene.columns), 'a field that is no function')
}

/** Whose rows a set of verbs reaches: the narrowest wins. @throws Unproven when one is not granted */
function reachOf({ grants }: Claim, table: Table, verbs: readonly Verb[]): 'tenant' | 'own' {
  const reaches = verbs.map((verb) => grants.get(`${table.resource}:${verb}`))
  demand(
    reaches.every((reach) => reach === 'tenant' || reach === 'own'),
    'a grant',
  )
  if (!reaches.includes('own')) return 'tenant'
  demand(table.owner !== undefined, 'an owner')
  return 'own'
}

function targetOf(claim: Claim, statement: Struct): Target {
  const relation = statement['relation'] as Struct
  const table = tableOf(claim, relation['schemaname'], relation['relname'])
  demand(table?.tenant !== undefined, 'a target of the manifest, not shared')
  const { aliasname, colnames } = (relation['alias'] ?? { aliasname: relation['relname'] }) as Struct
  const alias = String(aliasname)
  demand(colnames === undefined && !OTHER_ALIASES.has(alias), 'the alias of the target')
  return { relation, table, alias }
}

function tableOf({ manifest }: Claim, schemaname: unknown, relname: unknown): Table | undefined {
  return manifest.tables.find(({ schema, name }) => schema === schemaname && name === relname)
}

/** `"alias"."column" OPERATOR(pg_catalog.=) $n::type`, with n a parameter of the kind. */
function isConfinement(scene: Scene, part: unknown, { table, alias }: Target, kind: Kind): boolean {
  const column = kind === 'tenant' ? table.tenant : table.owner
  const { kind: operation, name, lexpr, rexpr } = ((part as Struct | undefined)?.['A_Expr'] ?? {}) as Struct
  if (operation !== 'AEXPR_OP' || list(name).map(textOf).join('.') !== 'pg_catalog.=') return false
  const fields = list(((lexpr as Struct | undefined)?.['ColumnRef'] as Struct | undefined)?.['fields']).map(textOf)
  const isColumn = fields.length === 2 && fields[0] === alias && fields[1] === column
  return isColumn && isScope(scene, rexpr, table, column, kind)
}

/** `$n::type`: a parameter that is bound to the tenant or the user, as the column's own type and no other. */
function isScope({ claim }: Scene, item: unknown, table: Table, column: string | undefined, kind: Kind): boolean {
  const { arg, typeName } = ((item as Struct | undefined)?.['TypeCast'] ?? {}) as Struct
  const { number } = ((arg as Struct | undefined)?.['ParamRef'] ?? {}) as Struct
  const { names, typemod, location: _, ...more } = (typeName ?? {}) as Struct
  const [type, home] = list(names).map(textOf).reverse()
  const isType = type !== undefined && type === table.columns[column ?? '']?.type
  const isPlain = (home === undefined || home === HOME_SCHEMA) && typemod === -1 && Object.keys(more).length === 0
  return isType && isPlain && claim.slots[Number(number ?? 0) - 1]?.kind === kind
}

/** The rows of a source: those of VALUES, or the target list of each arm of a SELECT. */
function rowsOf(select: Struct): readonly (readonly Struct[])[] {
  if (select['op'] !== 'SETOP_NONE') {
    return [select['larg'], select['rarg']].flatMap((arm) => {
      demand((arm as Struct)['valuesLists'] === undefined, 'no VALUES as an arm')
      return rowsOf(arm as Struct)
    })
  }
  const rows = select['valuesLists']
  if (rows !== undefined) return list(rows).map((row) => list(open(row)[1]['items']))
  return [list(select['targetList']).map((item) => (open(item)[1]['val'] ?? {}) as Struct)]
}
