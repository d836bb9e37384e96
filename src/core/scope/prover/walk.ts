import type { Struct } from '../grammar.ts'
import { SHAPES } from '../shapes.ts'
import { COLLATIONS, FUNCTIONS, isFunctionField, OPERATORS, TYPES } from '../vocabulary/index.ts'
import { leafOf, OTHER_ALIASES, proveLeaf, reachOf, type Scene, tableOf, type Target } from './confine.ts'
import {
  demand,
  demandEach,
  HOME,
  isAlias,
  isBetween,
  isHomely,
  isPlain,
  list,
  locationOf,
  namesOf,
  open,
  under,
  Unproven,
} from './proof-tree.ts'

/** What names may mean at a place of the tree where a target is in sight, hidden columns of which a name could reach. */
type Sight = {
  readonly target: Target
  /** bare names that are found before a hidden column would be: the target's own columns, and those of leaves */
  readonly names: ReadonlySet<string>
  readonly isQuery: boolean
}

/**
 * The lists are shared with the admission, so a name that slipped into one would pass both. These never do: what takes SQL
 * or a relation as text, reads files, settings or the catalog, or acts on the session (CWE-89, CWE-749).
 */
const NEVER_CALLED =
  /^(?:pg_|lo_|to_reg|ts_(?:stat|rewrite)$|(?:query|table|schema|database|cursor)_to_|set_config$|current_|session_|(?:next|curr|last|set)val$|has_|row_security|(?:obj|col|shobj)_description$|inet_(?:client|server)|txid_|crdb_)/
/** Their like among types: input functions that look a name up, and what is the system's. */
const NEVER_CAST = /^_?(?:reg|pg_|oid|x?[ct]?id$|xml|refcursor|aclitem)/

/** WITH and the source of INSERT cannot see the target; everything else may. */
export function visitClauses(scene: Scene, type: string, clauses: Struct, target: Target): void {
  const { withClause, selectStmt, ...sighted } = clauses
  const joined = providedBy(scene, [...list(clauses['fromClause']), ...list(clauses['usingClause'])])
  const names = new Set([...Object.keys(target.table.columns), ...joined])
  visitKeys(scene, type, sighted, { target, names, isQuery: false })
  if (withClause !== undefined) visit(scene, 'WithClause', withClause as Struct, undefined)
  if (selectStmt !== undefined) visit(scene, ...open(selectStmt), undefined)
}

/** Walks a node: nothing but the nodes, keys and names of the lists, no write, no relation but in its leaf. */
export function visit(scene: Scene, type: string, struct: Struct, sight: Sight | undefined): void {
  if (scene.shown.has(struct)) return
  const leaf = type === 'SelectStmt' ? leafOf(struct) : undefined
  try {
    demand(type === 'SelectStmt' || !type.endsWith('Stmt'), 'a change as a query of the outermost WITH')
    if (leaf !== undefined) return proveLeaf(scene, struct, leaf)
    judge(scene, type, struct, sight)
    visitKeys(scene, type, struct, sight)
  } catch (error) {
    if (error instanceof Unproven) error.at ??= locationOf(type, leaf ?? struct)
    throw error
  }
}

/** Walks what a node consists of. */
function visitKeys(scene: Scene, type: string, struct: Struct, sight: Sight | undefined): void {
  const shape = Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined
  demand(shape !== undefined, 'the kind of a node')
  for (const [key, value] of Object.entries(struct)) {
    const content = Object.hasOwn(shape, key) ? shape[key] : undefined
    demand(content !== undefined, 'a key of a node')
    const within = sightFor(scene, sight, type, struct, key)
    if (key === 'lockedRels') demandEach(list(value), isAlias, 'what is locked')
    else if (content === 'value') demand(typeof value !== 'object', 'a scalar')
    else if (typeof content === 'object') demand(content.includes(value as string), 'a value of the list')
    else if (content === 'node') visit(scene, ...open(value), within)
    else if (content === 'nodes') for (const item of list(value)) visit(scene, ...open(item), within)
    else visit(scene, content.slice(1), value as Struct, within)
  }
}

/** A query adds the columns of the leaves in its FROM; a join's condition sees those of the join alone. */
function sightFor(scene: Scene, sight: Sight | undefined, type: string, struct: Struct, key: string) {
  if (sight === undefined) return undefined
  if (type === 'SelectStmt') {
    const sees = key !== 'fromClause' && key !== 'withClause'
    const provided = sees ? providedBy(scene, list(struct['fromClause'])) : []
    return { ...sight, names: new Set([...sight.names, ...provided]), isQuery: true }
  }
  if (type !== 'JoinExpr' || key !== 'quals') return sight
  const joined = providedBy(scene, [struct['larg'], struct['rarg']] as Struct[])
  return { ...sight, names: new Set([...sight.names, ...joined]) }
}

/** The columns that leaves give to a FROM list; what else stands there is not counted on. */
function providedBy(scene: Scene, items: readonly Struct[]): string[] {
  return items.flatMap((item) => {
    const [type, struct] = open(item)
    if (under(struct, 'alias')['colnames'] !== undefined) return []
    if (type === 'JoinExpr') return providedBy(scene, [struct['larg'], struct['rarg']] as Struct[])
    const leaf = leafOf(under(struct, 'subquery', 'SelectStmt'))
    return Object.keys((leaf && tableOf(scene.claim, leaf)?.columns) ?? {})
  })
}

function judge(scene: Scene, type: string, struct: Struct, sight: Sight | undefined): void {
  switch (type) {
    case 'RangeVar':
      // with a schema it would be read past its leaf; bare, it can be nothing but a WITH query
      demand(struct['schemaname'] === undefined && isPlain(struct), 'a relation in its leaf')
      return demand(scene.ctes.has(String(struct['relname'])), 'a bare relation is a WITH query')
    case 'ColumnRef':
      return judgeColumn(scene, struct, sight)
    case 'ParamRef':
      // those of the caller's stand in confinements alone, which are not walked
      return demand(scene.claim.slots[Number(struct['number'] ?? 0) - 1]?.kind === 'value', 'a parameter of a value')
    case 'FuncCall':
      return judgeCall(scene, struct)
    case 'A_Expr':
      return demand(isHomely(struct['name'], OPERATORS) || isBetween(struct), 'an operator of the list')
    case 'SubLink':
      return demand(!('operName' in struct) || isHomely(struct['operName'], OPERATORS), 'an operator of the list')
    case 'TypeName':
      return demand(isType(scene, struct['names']), 'a type of the list')
    case 'CollateClause':
      return demand(isHomely(struct['collname'], COLLATIONS), 'a collation of the list')
    case 'A_Indirection':
      return demandEach(list(struct['indirection']), (item) => 'A_Indices' in item, 'no field of an expression')
    case 'IndexElem':
      // it is an expression, or a name that stands as a plain text in the tree
      return demand('expr' in struct || isColumn(sight, struct['name']), 'a column of a conflict')
  }
}

function isColumn(sight: Sight | undefined, name: unknown): boolean {
  return typeof name === 'string' && sight !== undefined && Object.hasOwn(sight.target.table.columns, name)
}

/** A function of the list, or one of the application's own by its full name, which reads for the whole tenant. */
function judgeCall({ claim, lines }: Scene, { funcname, location }: Struct): void {
  const [schema, name, ...more] = namesOf(funcname)
  const own = claim.manifest.functions?.find((one) => one.schema === schema && one.name === name)
  if (own === undefined || schema === HOME || more.length > 0) {
    return demand(isHomely(funcname, FUNCTIONS) && !NEVER_CALLED.test(name ?? schema ?? ''), 'a function of the list')
  }
  const needs = own.reads.map((read) => {
    const table = claim.manifest.tables.find((one) => `${one.schema}.${one.name}` === read)
    demand(table !== undefined && table.through === undefined, 'a table that a function may read')
    const reach = reachOf(claim, table, ['read'])
    demand(!reach.isOwn, 'the whole tenant for what a function reads')
    return `, reads ${read}, ${reach.needs}`
  })
  lines.push(`${schema}.${name}() at ${Number(location ?? 0)}: a function of the manifest${needs.join('')}`)
}

function isType({ claim }: Scene, names: unknown): boolean {
  const [schema, name, ...more] = namesOf(names)
  if (isHomely(names, TYPES)) return !NEVER_CAST.test(name ?? schema ?? '')
  const own = claim.manifest.types?.some((one) => one.schema === schema && one.name === name)
  return own === true && schema !== HOME && more.length === 0
}

/** Where a target can be seen, no name may reach a column that the manifest lacks; `x.f` must not be a call of f. */
function judgeColumn(scene: Scene, { fields }: Struct, sight: Sight | undefined): void {
  const names = namesOf(fields)
  const [first, second] = names
  demand(names.length === 1 || names.length === 2, 'a column of at most two names')
  if (sight !== undefined) {
    const { target } = sight
    target.references++
    if (names.length === 1) {
      return demand(first === undefined ? sight.isQuery : sight.names.has(first), 'whose a bare column is')
    }
    if (first === target.alias || OTHER_ALIASES.has(first ?? '')) {
      return demand(second !== undefined && Object.hasOwn(target.table.columns, second), "the target's column")
    }
  }
  if (second === undefined) return
  demand(!isFunctionField(second, scene.columns), 'a field that is no function')
}
