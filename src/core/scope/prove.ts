import type { Grants } from './grants.ts'
import { listOf, parseText, type Struct, stringsOf, unwrap } from './grammar.ts'
import { leafText, nameText } from './leaf.ts'
import type { Manifest, Table } from './manifest.ts'
import { FUNCTION_FAMILIES, ONE_ARGUMENT_FUNCTIONS } from './one-argument-functions.ts'
import { SHAPES } from './shapes.ts'
import { COLLATIONS, FUNCTIONS, HOME_SCHEMA, OPERATORS, TYPES } from './vocabulary.ts'

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

/** The final text could not be proven, so it is not sent. The message is for the operator. */
export class Unproven extends Error {
  override readonly name = 'Unproven'
}

type Verb = 'create' | 'read' | 'update' | 'delete'
type Target = { readonly relation: Struct; readonly table: Table; readonly alias: string }
/** Which bare columns may be meant: any of a query's own; or, where there is a target, the target's only. */
type Place = 'query' | 'target' | 'query beside target'
type Scene = {
  readonly claim: Claim
  readonly bytes: Buffer
  readonly ctes: ReadonlySet<string>
  readonly locks: boolean
  readonly columns: ReadonlySet<string>
  readonly target: Target | undefined
}

const KINDS = ['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt']
const RESERVED_NAME = /^(?:pg_|information_schema$|crdb_internal$|system$)/

/**
 * Proves that a text, its parameters bound as the slots say, touches no row outside the caller's tenant, under reach
 * `own` no row of another owner, by no verb that the grants do not hold (CWE-639, CWE-863).
 * @throws Unproven when that cannot be shown
 */
export function prove(claim: Claim): void {
  const [only, ...others] = parse(claim.text)
  demand(only !== undefined && others.length === 0, 'exactly one statement')
  const [type, statement] = unwrap(only)
  demand(KINDS.includes(type), 'one of the four kinds of statement')
  const ctes = new Set<string>()
  let locks = false
  for (const [key, value] of entriesWithin(only)) {
    if (key === 'ctename') ctes.add(String(value))
    if (key === 'lockingClause') locks = true
  }
  for (const name of ctes) {
    demand(
      !RESERVED_NAME.test(name) && claim.manifest.tables.every((table) => table.name !== name),
      'the name of a CTE',
    )
  }
  const scene: Scene = {
    claim,
    ctes,
    locks,
    bytes: Buffer.from(claim.text),
    columns: new Set(claim.manifest.tables.flatMap((table) => Object.keys(table.columns))),
    target: type === 'SelectStmt' ? undefined : targetOf(claim, statement),
  }
  if (scene.target !== undefined) {
    if (type === 'InsertStmt') proveInsert(claim, statement, scene.target)
    else proveChange(claim, statement, scene.target, type === 'UpdateStmt' ? 'update' : 'delete')
  }
  visit(scene, type, statement, scene.target === undefined ? 'query' : 'target')
}

/** INSERT: one column is the tenant, and each row's item there is the tenant's parameter; the same for an owner. */
function proveInsert(claim: Claim, statement: Struct, { table, alias }: Target): void {
  const names = listOf(statement['cols']).map((column) => String(unwrap(column)[1]['name']))
  demand(
    names.every((name) => Object.hasOwn(table.columns, name)),
    'the columns of INSERT',
  )
  const returns = statement['returningClause'] !== undefined
  const owned = reachOf(claim, table, returns ? ['create', 'read'] : ['create']) === 'own'
  const forced: [column: string | undefined, kind: 'tenant' | 'user'][] = [[table.tenant, 'tenant']]
  if (owned) forced.push([table.owner, 'user'])
  const [sourceType, source] = unwrap(statement['selectStmt'])
  demand(sourceType === 'SelectStmt', 'the source of INSERT')
  for (const [column, kind] of forced) {
    const index = names.indexOf(column ?? '')
    demand(index >= 0 && names.lastIndexOf(column ?? '') === index, `the ${kind} of INSERT`)
    for (const row of rowsOf(source)) {
      // a star before the item would move it
      demand(
        row.slice(0, index).every((item) => !hasStar(item)),
        'a star in the source of INSERT',
      )
      const item = row[index]
      demand(item !== undefined && isParameter(claim, item, kind), `the ${kind} of each row`)
    }
  }
  const conflict = statement['onConflictClause'] as Struct | undefined
  if (conflict?.['action'] !== 'ONCONFLICT_UPDATE') return
  const reach = reachOf(claim, table, ['update', 'read'])
  proveAssignments(claim, listOf(conflict['targetList']), table, reach)
  proveWhere(claim, conflict['whereClause'], table, alias, reach)
}

/** UPDATE and DELETE: WHERE is the confinement, or a conjunction that begins with it. */
function proveChange(claim: Claim, statement: Struct, { table, alias }: Target, verb: 'update' | 'delete'): void {
  const { relation: _, whereClause, ...others } = statement
  const rest = conjunctsOf(whereClause).filter((part) => !isConfinement(claim, part, table, alias))
  const reads = statement['returningClause'] !== undefined || [others, rest].some((part) => mentions(part, 'ColumnRef'))
  const reach = reachOf(claim, table, reads ? [verb, 'read'] : [verb])
  proveAssignments(claim, listOf(statement['targetList']), table, reach)
  proveWhere(claim, whereClause, table, alias, reach)
}

function proveWhere(claim: Claim, where: unknown, table: Table, alias: string, reach: 'tenant' | 'own'): void {
  const parts = conjunctsOf(where)
  demand(isEquality(claim, parts[0], alias, table.tenant, 'tenant'), 'the tenant in WHERE')
  if (reach === 'own') demand(isEquality(claim, parts[1], alias, table.owner, 'user'), 'the owner in WHERE')
}

/** No statement moves a row to another tenant; whoever reaches only their own rows gives none away (CWE-915). */
function proveAssignments(claim: Claim, targets: readonly Struct[], table: Table, reach: 'tenant' | 'own'): void {
  for (const target of targets) {
    const name = String(unwrap(target)[1]['name'])
    demand(Object.hasOwn(table.columns, name) && name !== table.tenant, 'the column assigned')
    if (name !== table.owner) continue
    demand(reach === 'tenant' && claim.grants.get(`${table.resource}:reassign`) === 'tenant', 'the owner assigned')
  }
}

/** Parts of a statement with a target that cannot see it: their bare columns are their own. */
const BLIND_TO_TARGET = new Set(['withClause', 'fromClause', 'usingClause', 'selectStmt'])

/** Walks the whole tree: nothing but the nodes, keys and names of the lists. */
function visit(scene: Scene, type: string, struct: Struct, place: Place): void {
  const shape = SHAPES[type]
  demand(shape !== undefined && Object.hasOwn(SHAPES, type), `the node ${type}`)
  const within = type === 'SelectStmt' && place === 'target' ? 'query beside target' : place
  judge(scene, type, struct, within)
  for (const [key, value] of Object.entries(struct)) {
    const content = Object.hasOwn(shape, key) ? shape[key] : undefined
    demand(content !== undefined, `the key ${type}.${key}`)
    const here = struct['relation'] === scene.target?.relation && BLIND_TO_TARGET.has(key) ? 'query' : within
    if (type === 'LockingClause' && key === 'lockedRels') demand(listOf(value).every(isAlias), 'what is locked')
    else if (content === 'value') demand(typeof value !== 'object', `the content of ${type}.${key}`)
    else if (typeof content === 'object') demand(content.includes(value as string), `the value of ${type}.${key}`)
    else if (content === 'node') visit(scene, ...unwrap(value), here)
    else if (content === 'nodes') {
      demand(Array.isArray(value), `the content of ${type}.${key}`)
      for (const item of listOf(value)) visit(scene, ...unwrap(item), here)
    } else visit(scene, content.slice(1), value as Struct, here)
  }
}

function judge(scene: Scene, type: string, struct: Struct, place: Place): void {
  switch (type) {
    case 'RangeVar':
      return judgeRelation(scene, struct)
    case 'ColumnRef':
      return judgeColumn(scene, struct, place)
    case 'CommonTableExpr':
      return demand(unwrap(struct['ctequery'])[0] === 'SelectStmt', 'a CTE that only reads')
    case 'FuncCall':
      return demand(isHomely(struct['funcname'], FUNCTIONS), 'the function')
    case 'A_Expr':
      return demand(isHomely(struct['name'], OPERATORS) || isBetween(struct), 'the operator')
    case 'SubLink':
      return demand(struct['operName'] === undefined || isHomely(struct['operName'], OPERATORS), 'the operator')
    case 'TypeName':
      return demand(isHomely(struct['names'], TYPES), 'the type')
    case 'CollateClause':
      return demand(isHomely(struct['collname'], COLLATIONS), 'the collation')
    case 'A_Indirection':
      return demand(
        listOf(struct['indirection']).every((item) => 'A_Indices' in item),
        'a field of an expression',
      )
    case 'IndexElem':
      return demand(
        Object.hasOwn(scene.target?.table.columns ?? {}, String(struct['name'])),
        'the column of a conflict',
      )
    case 'ParamRef':
      return demand(scene.claim.slots[Number(struct['number'] ?? 0) - 1] !== undefined, 'the parameter number')
  }
}

/** A relation is a CTE by its bare name, or the target, or stands in its table's leaf, byte for byte. */
function judgeRelation({ claim, bytes, ctes, locks, target }: Scene, relation: Struct): void {
  const { schemaname, relname, location } = relation
  demand(relation['catalogname'] === undefined, 'a name of three parts')
  if (relation === target?.relation) return
  if (schemaname === undefined) return demand(ctes.has(String(relname)), 'a bare relation is a CTE')
  const table = claim.manifest.tables.find(({ schema, name }) => schema === schemaname && name === relname)
  demand(table !== undefined, 'a relation of the manifest')
  const reach = reachOf(claim, table, locks ? ['read', 'update'] : ['read'])
  const leaf = leafText(table, {
    tenant: slotOf(claim, 'tenant'),
    user: reach === 'own' ? slotOf(claim, 'user') : undefined,
  })
  if (table.tenant !== undefined) demand(slotOf(claim, 'tenant') !== undefined, 'a tenant to confine to')
  if (reach === 'own') demand(slotOf(claim, 'user') !== undefined, 'an owner to confine to')
  const start = Number(location ?? 0) - leaf.indexOf(` FROM ${nameText(table)}`) - ' FROM '.length
  demand(start >= 0 && bytes.toString('latin1', start, start + leaf.length) === leaf, 'the leaf of a table')
}

/** Beside a target, a bare column must be the target's own; `x.f` must not be a call of a function f. */
function judgeColumn({ columns, target }: Scene, column: Struct, place: Place): void {
  const fields = listOf(column['fields'])
  const [first, second] = stringsOf(column['fields'])
  demand(fields.length <= 2 && fields.length > 0, 'a column of at most two names')
  if (place !== 'query' && target !== undefined) {
    const own = first === target.alias || first === 'excluded'
    const name = fields.length === 1 ? first : second
    if (fields.length === 1 && first === undefined) return demand(place !== 'target', 'a star of the target')
    if (fields.length === 1 || own) {
      return demand(name !== undefined && Object.hasOwn(target.table.columns, name), 'a column of the target')
    }
  }
  if (second === undefined) return
  const isCall = FUNCTION_FAMILIES.test(second) || ONE_ARGUMENT_FUNCTIONS.has(second)
  demand(!isCall || columns.has(second), 'a field that is a function')
}

/** Whose rows a set of verbs reaches: the narrowest wins. @throws Unproven when one is not granted */
function reachOf({ grants }: Claim, table: Table, verbs: readonly Verb[]): 'tenant' | 'own' {
  const reaches = verbs.map((verb) => grants.get(`${table.resource}:${verb}`))
  demand(!reaches.includes(undefined), `a grant on ${table.resource}`)
  if (!reaches.includes('own')) return 'tenant'
  demand(table.owner !== undefined, `an owner of ${table.resource}`)
  return 'own'
}

function targetOf({ manifest }: Claim, statement: Struct): Target {
  const relation = statement['relation'] as Struct
  const { schemaname, relname } = relation
  const table = manifest.tables.find(({ schema, name }) => schema === schemaname && name === relname)
  demand(table !== undefined && table.tenant !== undefined, 'a target of the manifest, not shared')
  const alias = (relation['alias'] as Struct | undefined)?.['aliasname']
  return { relation, table, alias: String(alias ?? relname) }
}

/** The last slot of a kind: the one that leaves and predicates use. */
function slotOf({ slots }: Claim, kind: 'tenant' | 'user'): number | undefined {
  const index = slots.findLastIndex((slot) => slot.kind === kind)
  return index < 0 ? undefined : index + 1
}

/** `"alias"."column" OPERATOR(pg_catalog.=) $n::type`, with n a parameter of the kind. */
function isEquality(claim: Claim, part: unknown, alias: string, column: string | undefined, kind: 'tenant' | 'user') {
  if (part === undefined || column === undefined) return false
  const [type, { kind: operation, name, lexpr, rexpr }] = unwrap(part)
  if (type !== 'A_Expr' || operation !== 'AEXPR_OP' || stringsOf(name).join('.') !== 'pg_catalog.=') return false
  const [leftType, left] = unwrap(lexpr)
  if (leftType !== 'ColumnRef' || rexpr === undefined) return false
  const [qualifier, field, ...more] = stringsOf(left['fields'])
  return qualifier === alias && field === column && more.length === 0 && isParameter(claim, rexpr, kind)
}

function isConfinement(claim: Claim, part: unknown, table: Table, alias: string): boolean {
  return isEquality(claim, part, alias, table.tenant, 'tenant') || isEquality(claim, part, alias, table.owner, 'user')
}

/** `$n` or `$n::type`, with n bound to the tenant or the user. */
function isParameter(claim: Claim, wrapped: unknown, kind: 'tenant' | 'user'): boolean {
  const [type, struct] = unwrap(wrapped)
  if (type === 'TypeCast') {
    const inner = struct['arg']
    return inner !== undefined && 'ParamRef' in (inner as Struct) && isParameter(claim, inner, kind)
  }
  return type === 'ParamRef' && claim.slots[Number(struct['number'] ?? 0) - 1]?.kind === kind
}

/** The rows of a source: those of VALUES, or the target list of each arm of a SELECT. */
function rowsOf(select: Struct): readonly Struct[][] {
  if (select['op'] !== 'SETOP_NONE') {
    return [select['larg'], select['rarg']].flatMap((arm) => {
      demand((arm as Struct)['valuesLists'] === undefined, 'VALUES as an arm')
      return rowsOf(arm as Struct)
    })
  }
  const rows = select['valuesLists']
  if (rows !== undefined) return listOf(rows).map((row) => [...listOf(unwrap(row)[1]['items'])])
  return [listOf(select['targetList']).map((item) => (unwrap(item)[1]['val'] ?? {}) as Struct)]
}

function conjunctsOf(where: unknown): readonly Struct[] {
  if (where === undefined) return []
  const [type, struct] = unwrap(where)
  return type === 'BoolExpr' && struct['boolop'] === 'AND_EXPR' ? listOf(struct['args']) : [where as Struct]
}

/** Bare, or in `pg_catalog`, and in the list. */
function isHomely(names: unknown, list: ReadonlySet<string>): boolean {
  const parts = stringsOf(names)
  const name = parts.at(-1)
  return (
    name !== undefined && list.has(name) && (parts.length === 1 || (parts.length === 2 && parts[0] === HOME_SCHEMA))
  )
}

/** The grammar gives BETWEEN a name that is no operator's. */
function isBetween(struct: Struct): boolean {
  const between = /^(?:NOT )?BETWEEN(?: SYMMETRIC)?$/
  return String(struct['kind']).includes('BETWEEN') && between.test(stringsOf(struct['name']).join(' '))
}

function isAlias(item: Struct): boolean {
  const { relname, inh, relpersistence, location: _, ...others } = (item['RangeVar'] ?? { others: true }) as Struct
  return typeof relname === 'string' && inh === true && relpersistence === 'p' && Object.keys(others).length === 0
}

function hasStar(item: Struct): boolean {
  return 'ColumnRef' in item && mentions(item, 'A_Star')
}

function mentions(value: unknown, key: string): boolean {
  return [...entriesWithin(value)].some(([name]) => name === key)
}

/** Every key with its value, at any depth. */
function* entriesWithin(value: unknown): Generator<[string, unknown]> {
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    yield [key, inner]
    yield* entriesWithin(inner)
  }
}

function parse(text: string): readonly Struct[] {
  try {
    return parseText(text)
  } catch (error) {
    throw new Unproven('the final text does not parse', { cause: error })
  }
}

function demand(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Unproven(`not proven: ${what}`)
}
