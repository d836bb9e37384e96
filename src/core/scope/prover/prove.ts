import type { Struct } from '../grammar.ts'
import type { Table } from '../manifest.ts'
import {
  callersParameter,
  type Claim,
  confiningOf,
  described,
  holderOf,
  leafOf,
  reachOf,
  type Scene,
  type Slot,
  tableOf,
  type Target,
  targetOf,
} from './confine.ts'
import {
  demand,
  entriesWithin,
  holdsKey,
  list,
  lockedBy,
  nameOf,
  namesOf,
  open,
  read,
  under,
  Unproven,
} from './proof-tree.ts'
import { providedBy, type Sight, visit, visitKeys } from './walk.ts'

export { type Claim, type Slot, Unproven }

/** The main statement, or a query of its WITH. */
type Part = { readonly label: string; readonly type: string; readonly statement: Struct }

const RESERVED_NAME = /^(?:pg_|information_schema$|crdb_internal$|system$)/i
const KINDS: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt'])

/**
 * Proves that a text, its parameters bound as the slots say, touches no row outside the caller's tenant, under reach
 * `own` no row of another owner, no column that the manifest given lacks, by no verb that the grants do not hold (CWE-639,
 * CWE-863).
 * @returns the proof, for people: one line a step, two blanks of indent a level; positions are bytes of the final text.
 * Names and numbers of parameters, never a literal of the text
 * @throws Unproven when that cannot be shown
 */
export function prove(claim: Claim): readonly string[] {
  const [only, ...others] = read(claim.text)
  demand(only !== undefined && others.length === 0, 'exactly one statement')
  for (const [index, slot] of claim.slots.entries()) {
    demand(slot.kind !== 'value' || slot.index === index, 'a value at its own place')
  }
  const scene = sceneOf(claim, only)
  const parts = partsOf(only)
  // each is proven by itself, so that the main statement need not be walked into them
  for (const { statement } of parts.slice(1)) scene.shown.add(statement)
  return parts.flatMap((part) => {
    scene.lines = []
    const heading = part.label + provePart(scene, part)
    return [heading, ...scene.lines.map((line) => `  ${line}`)]
  })
}

function sceneOf(claim: Claim, only: Struct): Scene {
  const ctes = new Set<string>()
  const locked = new Set<Struct>()
  for (const [key, value] of entriesWithin(only)) {
    if (key === 'ctename') ctes.add(String(value))
    const hasLock = typeof value === 'object' && value !== null && 'lockingClause' in value
    if (hasLock) for (const relation of lockedBy(value as Struct)) locked.add(relation)
  }
  const { tables } = claim.manifest
  for (const name of ctes) {
    // else `WITH a AS (SELECT * FROM docs), docs AS (…)` would read the table where a query seems meant
    demand(!RESERVED_NAME.test(name) && tables.every((table) => table.name !== name), 'name of a CTE')
  }
  const columns = tables.flatMap((table) => Object.entries(table.columns))
  // lists of roles are for whoever knows the role; here they would go unheeded (CWE-1220)
  demand(
    columns.every(([, { hidden, readOnly }]) => hidden === undefined && !Array.isArray(readOnly)),
    'the manifest as a role sees it',
  )
  return {
    claim,
    ctes,
    locked,
    bytes: Buffer.from(claim.text),
    columns: new Set(columns.map(([name]) => name)),
    shown: new Set(),
    lines: [],
  }
}

/** Only these may write: the statement itself, and what stands directly in its WITH. */
function partsOf(only: Struct): readonly Part[] {
  const [type, statement] = open(only)
  const queries = list(under(statement, 'withClause')['ctes']).map((item): Part => {
    const { ctename, ctequery } = under(item, 'CommonTableExpr')
    const [kind, query] = open(ctequery)
    return { label: `WITH ${legible(String(ctename))}: `, type: kind, statement: query }
  })
  const parts = [{ label: '', type, statement }, ...queries]
  demand(
    parts.every((part) => KINDS.has(part.type)),
    'one of the four kinds of statement',
  )
  // what only reads is walked with the main statement
  return parts.filter((part, index) => index === 0 || part.type !== 'SelectStmt')
}

/** A name as a line can hold it. */
function legible(name: string): string {
  return /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name)
}

function provePart(scene: Scene, { type, statement }: Part): string {
  if (type === 'SelectStmt') {
    visit(scene, type, statement, undefined)
    return holdsKey({ ...statement, withClause: undefined }, 'lockingClause')
      ? 'SELECT, locks rows'
      : 'SELECT, reads only'
  }
  const { relation, ...clauses } = statement
  const target = targetOf(scene.claim, relation as Struct)
  return type === 'InsertStmt' ? proveInsert(scene, clauses, target) : proveChange(scene, type, clauses, target)
}

/** UPDATE and DELETE: WHERE begins with the confinement, and what is assigned may be. */
function proveChange(scene: Scene, type: string, clauses: Struct, target: Target): string {
  const { claim } = scene
  const { table } = target
  const confined = confiningOf(scene, clauses['whereClause'], target)
  visitClauses(scene, type, clauses, target)
  // an effect that depends on a column tells what the column holds
  const reads = clauses['returningClause'] !== undefined || target.references > 0
  const verb = type === 'UpdateStmt' ? 'update' : 'delete'
  const { isOwn, needs } = reachOf(claim, table, reads ? [verb, 'read'] : [verb])
  const rows = `${described(claim, table, confined, isOwn)} first in WHERE`
  if (type === 'DeleteStmt') return `DELETE from ${table.schema}.${table.name}, ${rows}, ${needs}`
  const names = proveAssignments(claim, list(clauses['targetList']), table, isOwn)
  return `UPDATE of ${table.schema}.${table.name}, ${rows}, sets ${names}, ${needs}`
}

/** INSERT: each row is the caller's, and so is each row that a conflict updates. */
function proveInsert(scene: Scene, clauses: Struct, target: Target): string {
  const { claim } = scene
  const { table } = target
  const { isOwn, needs } = reachOf(
    claim,
    table,
    clauses['returningClause'] === undefined ? ['create'] : ['create', 'read'],
  )
  const names = list(clauses['cols']).map((column) => String(open(column)[1]['name']))
  const [sourceType, source] = open(clauses['selectStmt'])
  demand(names.length > 0 && sourceType === 'SelectStmt', 'columns and a source')
  const arms = armsOf(source)
  const rows =
    table.through === undefined
      ? proveRows(scene, names, arms, table, isOwn)
      : proveLinks(scene, names, arms, table, isOwn)
  for (const name of names) {
    const isForced = name === table.tenant || (isOwn && name === table.owner) || name === table.through?.column
    demand(Object.hasOwn(table.columns, name), 'the columns of INSERT')
    if (isForced || table.columns[name]?.readOnly === undefined) continue
    const items = arms.flatMap((arm) => itemsOf(arm, names, name))
    demand(
      items.every((item) => item !== undefined && 'SetToDefault' in item),
      'a column that is not read-only, or left to its default',
    )
  }
  const conflict = under(clauses, 'onConflictClause')
  const confined = confiningOf(scene, conflict['whereClause'], target)
  visitClauses(scene, 'InsertStmt', clauses, target)
  if (conflict['action'] === 'ONCONFLICT_UPDATE') {
    const reach = reachOf(claim, table, ['update', 'read'])
    const which = `${described(claim, table, confined, reach.isOwn)} first in WHERE`
    const sets = proveAssignments(claim, list(conflict['targetList']), table, reach.isOwn)
    scene.lines.push(`ON CONFLICT: UPDATE, ${which}, sets ${sets}, ${reach.needs}`)
  }
  return `INSERT into ${table.schema}.${table.name}, ${rows} in each row, ${needs}`
}

/** WITH and the source of INSERT cannot see the target; everything else may. */
function visitClauses(scene: Scene, type: string, clauses: Struct, target: Target): void {
  const { withClause, selectStmt, ...sighted } = clauses
  const joined = providedBy(scene, [...list(clauses['fromClause']), ...list(clauses['usingClause'])])
  const names = new Set([...Object.keys(target.table.columns), ...joined])
  const sight: Sight = { target, names, isQuery: false }
  visitKeys(scene, type, sighted, sight)
  if (withClause !== undefined) visit(scene, 'WithClause', withClause as Struct, undefined)
  if (selectStmt !== undefined) visit(scene, ...open(selectStmt), undefined)
}

/** The item of each row for the tenant's column is the tenant's parameter, and under reach own the same for the owner. */
function proveRows(
  scene: Scene,
  names: readonly string[],
  arms: readonly Struct[],
  table: Table,
  isOwn: boolean,
): string {
  const forced = [['tenant', table.tenant] as const, ...(isOwn ? [['user', table.owner] as const] : [])]
  const found = forced.map(([kind, column]) => {
    const numbers = arms
      .flatMap((arm) => itemsOf(arm, names, column))
      .map((item) => {
        const number = column === undefined ? undefined : callersParameter(scene, item, table, column, kind)
        demand(number !== undefined, `the ${kind} of each row`)
        return `$${number}`
      })
    return `${kind === 'tenant' ? 'tenant' : 'owner'} = ${[...new Set(numbers)].join(' and ')}`
  })
  return found.join(', ')
}

/**
 * A child's link is, in each row, the parent's key from a leaf of the parent's in that very FROM: from no side of a join
 * that may be empty, and not grouped away, or the row would have no parent.
 */
function proveLinks(
  scene: Scene,
  names: readonly string[],
  arms: readonly Struct[],
  table: Table,
  isOwn: boolean,
): string {
  const { claim } = scene
  const parent = holderOf(claim, table)
  for (const arm of arms) {
    const [item] = itemsOf(arm, names, table.through?.column)
    const [alias, column, ...more] = namesOf(under(item, 'ColumnRef')['fields'])
    const isKey = alias !== undefined && column === table.through?.references && more.length === 0
    demand(isKey && !holdsKey(arm['groupClause'], 'GroupingSet'), 'the link of each row')
    const [origin, ...namesakes] = list(arm['fromClause'])
      .flatMap((one) => inSight(one))
      .filter((one) => nameOf(one.item) === alias)
    const { subquery, alias: naming } = under(origin?.item, 'RangeSubselect')
    const leaf = leafOf(under(subquery, 'SelectStmt'))
    const isParents = leaf !== undefined && tableOf(claim, leaf) === parent && under(naming)['colnames'] === undefined
    demand(isParents && origin?.isSure === true && namesakes.length === 0, "the parent's leaf in the FROM of each row")
  }
  demand(!isOwn || reachOf(claim, parent, ['read']).isOwn, 'own parents for own rows')
  return `${table.through?.column} from a leaf of ${parent.schema}.${parent.name}`
}

/** What a FROM item gives names to, and whether it has a part in every row: a side of an outer join may be empty. */
function inSight(item: Struct, isSure = true): readonly { readonly item: Struct; readonly isSure: boolean }[] {
  const { alias, jointype, larg, rarg } = under(item, 'JoinExpr')
  // the alias of a join hides the names in it
  if (jointype === undefined || alias !== undefined) return [{ item, isSure }]
  const keeps = (...types: readonly string[]): boolean => isSure && types.some((type) => type === jointype)
  return [
    { item, isSure: false },
    ...inSight(larg as Struct, keeps('JOIN_INNER', 'JOIN_LEFT')),
    ...inSight(rarg as Struct, keeps('JOIN_INNER', 'JOIN_RIGHT')),
  ]
}

/** No statement moves a row to another tenant or parent; whoever reaches only their own rows gives none away (CWE-915). */
function proveAssignments(claim: Claim, targets: readonly Struct[], table: Table, isOwn: boolean): string {
  const names = targets.map((target) => String(open(target)[1]['name']))
  for (const name of names) {
    const isFixed = name === table.tenant || name === table.through?.column
    demand(Object.hasOwn(table.columns, name) && !isFixed, 'the column assigned')
    demand(table.columns[name]?.readOnly === undefined, 'a column that is not read-only')
    const mayGive = !isOwn && claim.grants.get(`${table.resource}:reassign`) === 'tenant'
    demand(name !== table.owner || mayGive, 'the owner assigned')
  }
  return [...new Set(names)].join(', ')
}

/** The SELECTs of a source, or its VALUES. */
function armsOf(select: Struct): readonly Struct[] {
  if (select['op'] === 'SETOP_NONE') return [select]
  return [under(select, 'larg'), under(select, 'rarg')].flatMap((arm) => {
    demand(arm['valuesLists'] === undefined, 'no VALUES as an arm')
    return armsOf(arm)
  })
}

/** What a column gets in each row of an arm. */
function itemsOf(arm: Struct, names: readonly string[], column: string | undefined): readonly (Struct | undefined)[] {
  const index = names.indexOf(column ?? '')
  demand(index >= 0 && names.lastIndexOf(column ?? '') === index, 'a column of INSERT that must be there once')
  const { valuesLists, targetList } = arm
  const rows =
    valuesLists === undefined
      ? [list(targetList).map((item) => under(open(item)[1], 'val'))]
      : list(valuesLists).map((row) => list(open(row)[1]['items']))
  return rows.map((row) => {
    demand(
      row.slice(0, index).every((item) => !holdsKey(item, 'A_Star')),
      'no star, which would move what follows',
    )
    return row[index]
  })
}
