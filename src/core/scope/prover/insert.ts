import type { Struct } from '../grammar.ts'
import type { Table } from '../manifest.ts'
import {
  callersParameter,
  type Claim,
  confiningOf,
  described,
  holderOf,
  type Kind,
  leafOf,
  proveAssignments,
  reachOf,
  type Scene,
  tableOf,
  type Target,
} from './confine.ts'
import { demand, demandEach, holdsKey, list, nameOf, namesOf, open, under } from './proof-tree.ts'
import { visitClauses } from './walk.ts'

/** What an INSERT makes: its columns, and the SELECTs or VALUES that rows come from. */
type Rows = {
  readonly table: Table
  readonly names: readonly string[]
  readonly arms: readonly Struct[]
  readonly isOwn: boolean
}

/** INSERT: each row is the caller's, and so is each row that a conflict updates. */
export function proveInsert(scene: Scene, clauses: Struct, target: Target): string {
  const { claim } = scene
  const { table } = target
  const { cols, selectStmt, returningClause, onConflictClause } = clauses
  const { isOwn, needs } = reachOf(claim, table, returningClause === undefined ? ['create'] : ['create', 'read'])
  const names = list(cols).map((column) => String(open(column)[1]['name']))
  const [sourceType, source] = open(selectStmt)
  demand(names.length > 0 && sourceType === 'SelectStmt', 'columns and a source')
  const arms = armsOf(source)
  const rows = { table, names, arms, isOwn }
  const whose = table.through === undefined ? proveCallers(scene, rows) : proveLinks(claim, rows)
  for (const name of names) {
    const isForced = name === table.tenant || (isOwn && name === table.owner) || name === table.through?.column
    demand(Object.hasOwn(table.columns, name), 'the columns of INSERT')
    if (isForced || table.columns[name]?.readOnly === undefined) continue
    const isDefault = (item: Struct | undefined): boolean => item !== undefined && 'SetToDefault' in item
    demandEach(itemsOf(rows, name), isDefault, 'a column that is not read-only, or left to its default')
  }
  const conflict = under(onConflictClause)
  const confined = confiningOf(scene, conflict['whereClause'], target)
  visitClauses(scene, 'InsertStmt', clauses, target)
  if (conflict['action'] === 'ONCONFLICT_UPDATE') {
    const reach = reachOf(claim, table, ['update', 'read'])
    const which = `${described(claim, table, confined, reach.isOwn)} first in WHERE`
    const sets = proveAssignments(claim, list(conflict['targetList']), table, reach.isOwn)
    scene.lines.push(`ON CONFLICT: UPDATE, ${which}, sets ${sets}, ${reach.needs}`)
  }
  return `INSERT into ${table.schema}.${table.name}, ${whose} in each row, ${needs}`
}

/** The item of each row for the tenant's column is the tenant's parameter, and under reach own the same for the owner. */
function proveCallers(scene: Scene, rows: Rows): string {
  const { table, isOwn } = rows
  const found = (kind: Kind, column: string | undefined): string => {
    const numbers = itemsOf(rows, column).map((item) => {
      const number = callersParameter(scene, item, table, column, kind)
      demand(number !== undefined, `the ${kind} of each row`)
      return `$${number}`
    })
    return [...new Set(numbers)].join(' and ')
  }
  const tenant = `tenant = ${found('tenant', table.tenant)}`
  return isOwn ? `${tenant}, owner = ${found('user', table.owner)}` : tenant
}

/**
 * A child's link is, in each row, the parent's key from a leaf of the parent's in that very FROM: from no side of a join
 * that may be empty, and not grouped away, or the row would have no parent.
 */
function proveLinks(claim: Claim, rows: Rows): string {
  const { table, isOwn } = rows
  const parent = holderOf(claim, table)
  for (const arm of rows.arms) {
    const [item] = itemsOf({ ...rows, arms: [arm] }, table.through?.column)
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

/** The SELECTs of a source, or its VALUES. */
function armsOf(select: Struct): readonly Struct[] {
  if (select['op'] === 'SETOP_NONE') return [select]
  return [under(select, 'larg'), under(select, 'rarg')].flatMap((arm) => {
    demand(arm['valuesLists'] === undefined, 'no VALUES as an arm')
    return armsOf(arm)
  })
}

/** What a column gets in each row. */
function itemsOf({ names, arms }: Rows, column: string | undefined): readonly (Struct | undefined)[] {
  const index = names.indexOf(column ?? '')
  demand(index >= 0 && names.lastIndexOf(column ?? '') === index, 'a column of INSERT that must be there once')
  return arms.flatMap(rowsOf).map((row) => {
    const isNoStar = (item: Struct): boolean => !holdsKey(item, 'A_Star')
    demandEach(row.slice(0, index), isNoStar, 'no star, which would move what follows')
    return row[index]
  })
}

function rowsOf({ valuesLists, targetList }: Struct): readonly (readonly Struct[])[] {
  if (valuesLists === undefined) return [list(targetList).map((item) => under(open(item)[1], 'val'))]
  return list(valuesLists).map((row) => list(open(row)[1]['items']))
}
