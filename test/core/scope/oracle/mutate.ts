import { parseSync } from 'libpg-query'
import { deparseSync } from 'pgsql-deparser'
import type { Dice } from './dice.ts'
import { renumbered, type Statement } from './statement.ts'

export type Node = { [key: string]: unknown }
type Slot = { readonly holder: Node | unknown[]; readonly key: string | number; readonly type: string }

/** Nodes that may stand where an expression may. */
const EXPRESSIONS = new Set([
  'A_Expr',
  'BoolExpr',
  'ColumnRef',
  'A_Const',
  'FuncCall',
  'TypeCast',
  'CaseExpr',
  'CoalesceExpr',
  'NullTest',
  'BooleanTest',
  'SubLink',
  'ParamRef',
  'A_ArrayExpr',
  'MinMaxExpr',
  'CollateClause',
  'RowExpr',
])
/** Keys under which an expression stands alone, whatever its type. */
const CONDITIONS = new Set(['whereClause', 'havingClause', 'quals', 'agg_filter'])
const OPTIONAL = [
  'whereClause',
  'distinctClause',
  'sortClause',
  'limitCount',
  'limitOffset',
  'havingClause',
  'lockingClause',
  'agg_filter',
  'returningClause',
  'groupClause',
  'withClause',
  'defresult',
]
const LISTS = [
  'targetList',
  'fromClause',
  'args',
  'sortClause',
  'groupClause',
  'ctes',
  'valuesLists',
  'usingClause',
  'exprs',
  'elements',
]

/**
 * Changes the parse tree of a statement at random – sub-trees swapped, replaced, doubled, wrapped, dropped – and prints
 * it, so that shapes appear that no template has. The printer only makes texts: what it prints is what is judged.
 *
 * @returns nothing where no text came out that parses
 */
export function mutated(dice: Dice, { text, values }: Statement): Statement | undefined {
  const root = treeOf(text)
  if (root === undefined) return undefined
  for (let count = dice.pick([1, 1, 2, 3]); count > 0; count--) dice.pick(MUTATIONS)(dice, root)
  const printed = print(root)
  return printed === undefined || printed === text ? undefined : renumbered(printed, values)
}

/** The one statement of a text, if it parses. */
export function treeOf(text: string): Node | undefined {
  try {
    const { stmts } = parseSync(text) as unknown as { stmts: { stmt: Node }[] }
    return stmts[0]?.stmt
  } catch {
    return undefined
  }
}

/** A tree as a text that parses. */
export function print(root: unknown): string | undefined {
  try {
    const printed = deparseSync(root as Parameters<typeof deparseSync>[0], { pretty: false })
    parseSync(printed)
    return printed
  } catch {
    return undefined
  }
}

type Mutation = (dice: Dice, root: Node) => void

const MUTATIONS: readonly Mutation[] = [
  swap,
  swap,
  replace,
  replace,
  replace,
  wrap,
  wrap,
  wrap,
  double,
  drop,
  turn,
  turn,
  wrapQuery,
  wrapQuery,
  moveCondition,
]

function swap(dice: Dice, root: Node): void {
  const { one, other } = pair(dice, root)
  if (one === undefined || other === undefined) return
  const [a, b] = [read(one), read(other)]
  if (contains(a, b) || contains(b, a)) return
  write(one, b)
  write(other, a)
}

function replace(dice: Dice, root: Node): void {
  const { one, other } = pair(dice, root)
  if (one !== undefined && other !== undefined) write(one, copy(read(other)))
}

/** Two expressions, mostly of one kind: of those that differ in type the database knows only an error. */
function pair(dice: Dice, root: Node): { one: Slot | undefined; other: Slot | undefined } {
  const slots = slotsOf(root, (type) => EXPRESSIONS.has(type))
  if (slots.length < 2) return { one: undefined, other: undefined }
  const one = dice.pick(slots)
  const alike = slots.filter((slot) => slot !== one && kindOf(slot) === kindOf(one))
  return { one, other: dice.pick(alike.length > 0 && dice.chance(0.9) ? alike : slots) }
}

/** Conditions with conditions, and what is cast with what is cast to the same type. */
function kindOf({ holder, key, type }: Slot): string {
  const node = read({ holder, key, type }) as Node
  const inner = node[type] as Node
  if (typeof key === 'string' && CONDITIONS.has(key)) return 'condition'
  if (type === 'BoolExpr' || type === 'NullTest' || type === 'BooleanTest') return 'condition'
  if (type === 'SubLink' && inner['subLinkType'] !== 'EXPR_SUBLINK' && inner['subLinkType'] !== 'ARRAY_SUBLINK')
    return 'condition'
  if (type === 'A_Expr') {
    const name = JSON.stringify(inner['name'] ?? '')
    return inner['kind'] !== 'AEXPR_OP' || /"(?:=|<>|<|>|<=|>=|~.*|!~.*|@>|&&|\?)"/.test(name)
      ? 'condition'
      : `operator ${name}`
  }
  if (type === 'TypeCast') return `cast ${JSON.stringify(((inner['typeName'] ?? {}) as Node)['names'])}`
  if (type === 'ColumnRef') return `column ${JSON.stringify(inner['fields']).split('sval').at(-1)}`
  return type
}

function wrap(dice: Dice, root: Node): void {
  const slots = slotsOf(root, (type) => EXPRESSIONS.has(type))
  if (slots.length === 0) return
  const slot = dice.pick(slots)
  const node = read(slot) as Node
  write(slot, dice.pick(kindOf(slot) === 'condition' ? CONDITION_WRAPS : WRAPS)(node))
}

const constant = (value: boolean): Node => ({ A_Const: { boolval: value ? { boolval: true } : {} } })
const select = (parts: Node): Node => ({
  SelectStmt: { limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE', ...parts },
})
const item = (val: Node, name?: string): Node => ({ ResTarget: { ...(name === undefined ? {} : { name }), val } })
const star = (): Node => item({ ColumnRef: { fields: [{ A_Star: {} }] } })

const WRAPS: readonly ((node: Node) => Node)[] = [
  (node) => ({ SubLink: { subLinkType: 'EXPR_SUBLINK', subselect: select({ targetList: [item(node)] }) } }),
  (node) => ({ CoalesceExpr: { args: [node, copy(node)] } }),
  (node) => ({
    CaseExpr: {
      args: [{ CaseWhen: { expr: { NullTest: { arg: copy(node), nulltesttype: 'IS_NOT_NULL' } }, result: node } }],
    },
  }),
  (node) => ({
    A_Indirection: {
      arg: { A_ArrayExpr: { elements: [node, copy(node)] } },
      indirection: [{ A_Indices: { uidx: { A_Const: { ival: { ival: 1 } } } } }],
    },
  }),
  (node) => ({ MinMaxExpr: { op: 'IS_GREATEST', args: [node, copy(node)] } }),
  (node) => ({
    SubLink: {
      subLinkType: 'EXPR_SUBLINK',
      subselect: select({
        targetList: [star()],
        fromClause: [
          { RangeSubselect: { subquery: select({ targetList: [item(node, 'v')] }), alias: { aliasname: 'w' } } },
        ],
      }),
    },
  }),
]

const CONDITION_WRAPS: readonly ((node: Node) => Node)[] = [
  (node) => ({ BoolExpr: { boolop: 'NOT_EXPR', args: [node] } }),
  (node) => ({ BooleanTest: { arg: node, booltesttype: 'IS_NOT_TRUE' } }),
  (node) => ({ BoolExpr: { boolop: 'OR_EXPR', args: [node, constant(true)] } }),
  (node) => ({ BoolExpr: { boolop: 'AND_EXPR', args: [node, copy(node)] } }),
  (node) => ({ NullTest: { arg: node, nulltesttype: 'IS_NULL' } }),
  (node) => ({
    SubLink: {
      subLinkType: 'EXISTS_SUBLINK',
      subselect: select({ targetList: [item(constant(true))], whereClause: node }),
    },
  }),
  (node) => ({
    SubLink: {
      subLinkType: 'ANY_SUBLINK',
      testexpr: node,
      subselect: select({ valuesLists: [{ List: { items: [constant(true)] } }] }),
    },
  }),
  (node) => ({ CaseExpr: { args: [{ CaseWhen: { expr: node, result: constant(false) } }], defresult: copy(node) } }),
]

/** Doubles a member of a list. */
function double(dice: Dice, root: Node): void {
  const lists = listsOf(root).filter(({ list }) => list.length > 0)
  if (lists.length === 0) return
  const { list, key } = dice.pick(lists)
  const member = copy(dice.pick(list)) as Node
  if (key === 'fromClause' || key === 'ctes') renameAlias(dice, member)
  list.push(member)
}

function renameAlias(dice: Dice, member: Node): void {
  const inner = Object.values(member)[0] as Node
  const name = `dup${dice.int(1, 99)}`
  if ('ctename' in inner) inner['ctename'] = name
  else if ('relname' in inner || 'subquery' in inner)
    inner['alias'] = { ...(inner['alias'] as Node | undefined), aliasname: name }
}

/** Leaves a clause or a member of a list out. */
function drop(dice: Dice, root: Node): void {
  if (dice.chance(0.5)) {
    const found = nodesOf(root).flatMap(({ node }) =>
      OPTIONAL.filter((key) => key in node).map((key) => ({ node, key })),
    )
    if (found.length === 0) return
    const { node, key } = dice.pick(found)
    delete node[key]
    return
  }
  const lists = listsOf(root).filter(({ list }) => list.length > 1)
  if (lists.length === 0) return
  const { list } = dice.pick(lists)
  list.splice(dice.int(0, list.length - 1), 1)
}

/** Another operator, join or set operation of the same kind. */
function turn(dice: Dice, root: Node): void {
  const found = nodesOf(root).flatMap(({ node }) =>
    Object.keys(TURNS)
      .filter((key) => TURNS[key]?.includes(node[key]))
      .map((key) => ({ node, key })),
  )
  if (found.length === 0) return
  const { node, key } = dice.pick(found)
  node[key] = dice.pick(TURNS[key] ?? [])
}

const TURNS: Readonly<Record<string, readonly unknown[]>> = {
  boolop: ['AND_EXPR', 'OR_EXPR'],
  jointype: ['JOIN_INNER', 'JOIN_LEFT', 'JOIN_RIGHT', 'JOIN_FULL'],
  op: ['SETOP_UNION', 'SETOP_INTERSECT', 'SETOP_EXCEPT'],
  all: [true],
  nulltesttype: ['IS_NULL', 'IS_NOT_NULL'],
  booltesttype: ['IS_TRUE', 'IS_NOT_TRUE', 'IS_FALSE', 'IS_NOT_FALSE', 'IS_UNKNOWN', 'IS_NOT_UNKNOWN'],
  sortby_dir: ['SORTBY_DEFAULT', 'SORTBY_ASC', 'SORTBY_DESC'],
  sortby_nulls: ['SORTBY_NULLS_DEFAULT', 'SORTBY_NULLS_FIRST', 'SORTBY_NULLS_LAST'],
  strength: ['LCS_FORKEYSHARE', 'LCS_FORSHARE', 'LCS_FORNOKEYUPDATE', 'LCS_FORUPDATE'],
  ctematerialized: ['CTEMaterializeDefault', 'CTEMaterializeAlways', 'CTEMaterializeNever'],
  subLinkType: ['ANY_SUBLINK', 'ALL_SUBLINK'],
  action: ['ONCONFLICT_NOTHING', 'ONCONFLICT_UPDATE'],
}

/** A query becomes a subquery in FROM, a WITH query, or an arm of a set operation. */
function wrapQuery(dice: Dice, root: Node): void {
  const slots = slotsOf(root, (type) => type === 'SelectStmt')
  const holders = 'SelectStmt' in root ? [...slots, { holder: { root }, key: 'root', type: 'SelectStmt' }] : slots
  if (holders.length === 0) return
  const slot = dice.pick(holders)
  const query = copy(read(slot) as Node) as Node
  const table = (): Node => ({ RangeVar: { relname: 'w', inh: true, relpersistence: 'p' } })
  const made = dice.pick([
    () =>
      select({
        targetList: [star()],
        fromClause: [{ RangeSubselect: { subquery: query, alias: { aliasname: 'w' } } }],
      }),
    () =>
      select({
        targetList: [star()],
        fromClause: [{ RangeSubselect: { lateral: true, subquery: query, alias: { aliasname: 'w' } } }],
      }),
    () =>
      select({
        targetList: [star()],
        fromClause: [table()],
        withClause: {
          ctes: [{ CommonTableExpr: { ctename: 'w', ctematerialized: 'CTEMaterializeDefault', ctequery: query } }],
        },
      }),
    () => ({
      SelectStmt: {
        limitOption: 'LIMIT_OPTION_DEFAULT',
        op: dice.pick(['SETOP_UNION', 'SETOP_EXCEPT', 'SETOP_INTERSECT']),
        all: dice.chance(0.5),
        larg: query['SelectStmt'],
        rarg: copy(query['SelectStmt']),
      },
    }),
  ])()
  if (slot.key !== 'root') return write(slot, made)
  root['SelectStmt'] = made['SelectStmt']
}

/** What stands in WHERE goes to a join's ON, or the other way round. */
function moveCondition(dice: Dice, root: Node): void {
  const joins = nodesOf(root).filter(({ type, node }) => type === 'JoinExpr' && 'quals' in node)
  const queries = nodesOf(root).filter(({ node }) => 'whereClause' in node)
  if (joins.length === 0 || queries.length === 0) return
  const join = dice.pick(joins).node
  const query = dice.pick(queries).node
  const [quals, where] = [join['quals'], query['whereClause']]
  if (contains(where, join) || contains(quals, query)) return
  join['quals'] = where
  query['whereClause'] = quals
}

/** Every place below where a wrapped node stands. */
function slotsOf(value: unknown, isWanted: (type: string) => boolean): Slot[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]): Slot[] => {
    const place = Array.isArray(value) ? Number(key) : key
    const type = wrappedType(inner)
    const here = type !== undefined && isWanted(type) ? [{ holder: value as Node, key: place, type }] : []
    return [...here, ...slotsOf(inner, isWanted)]
  })
}

function wrappedType(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const keys = Object.keys(value)
  return keys.length === 1 && /^[A-Z]/.test(keys[0] ?? '') ? keys[0] : undefined
}

/** Every node below, with its type where it is wrapped. */
export function nodesOf(value: unknown, type?: string): { type: string | undefined; node: Node }[] {
  if (typeof value !== 'object' || value === null) return []
  const here = Array.isArray(value) ? [] : [{ type, node: value as Node }]
  return [...here, ...Object.entries(value).flatMap(([key, inner]) => nodesOf(inner, key))]
}

function listsOf(root: Node): { key: string; list: unknown[] }[] {
  return nodesOf(root).flatMap(({ node }) =>
    LISTS.filter((key) => Array.isArray(node[key])).map((key) => ({ key, list: node[key] as unknown[] })),
  )
}

const read = ({ holder, key }: Slot): unknown => (holder as Node)[key]
const copy = <T>(value: T): T => structuredClone(value)

function write({ holder, key }: Slot, value: unknown): void {
  ;(holder as Node)[key] = value
}

function contains(value: unknown, wanted: unknown): boolean {
  if (value === wanted) return true
  return typeof value === 'object' && value !== null && Object.values(value).some((inner) => contains(inner, wanted))
}
