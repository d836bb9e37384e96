import { aliasOf, type Draft } from './draft.ts'
import { isWord, listOf, type Struct, type Token, unwrap } from './grammar.ts'
import { nameText } from './leaf.ts'
import type { Table } from './manifest.ts'
import { expandReturning, rewriteConflict } from './rewrite-change.ts'

/** INSERT: the tenant – and, for reach `own`, the owner – comes first in the column list and in each row. */
export function rewriteInsert(draft: Draft, statement: Struct): void {
  const relation = statement['relation'] as Struct
  const at = relation['location']
  const table = draft.tableOf(relation)
  if (table.tenant === undefined) draft.refuse(at, 'relation_shared')
  const alias = aliasOf(relation)
  const returning = statement['returningClause'] as Struct | undefined
  const own = draft.reach(table, returning === undefined ? ['create'] : ['create', 'read'], at) === 'own'
  const columns = listOf(statement['cols']).map((column) => unwrap(column)[1])
  if (columns.length === 0 || statement['selectStmt'] === undefined) {
    draft.refuse(at, 'column_list_missing', `INSERT INTO ${table.name} (column, …) VALUES (…)`)
  }
  for (const { name, location } of columns) draft.requireColumn(table, String(name), location)
  const source = unwrap(statement['selectStmt'])[1]
  const list = draft.tokenAfter(draft.nameTokens(relation).end, (token) => token.text === '(')
  const names: string[] = []
  const items: string[] = []
  for (const [column, kind] of forced(table, own)) {
    const index = columns.findIndex(({ name }) => name === column)
    if (index >= 0) {
      claim(draft, source, index, kind, column, table, columns[index]?.['location'])
      continue
    }
    names.push(`"${column}", `)
    items.push(`$${draft.slot(kind)}::${table.columns[column]?.type}, `)
  }
  if (names.length > 0) {
    draft.edit(list.end, list.end, names.join(''))
    if (source['valuesLists'] === undefined) prependToArms(draft, source, list, items.join(''))
    else prependToRows(draft, source, list, items.join(''))
  }
  const { start, end } = draft.nameTokens(relation)
  draft.edit(start, end, nameText(table))
  rewriteConflict(draft, statement['onConflictClause'] as Struct | undefined, table, alias)
  expandReturning(draft, returning, table, alias, false)
}

function forced(table: Table, own: boolean): [column: string, kind: 'tenant' | 'user'][] {
  const pairs: [string, 'tenant' | 'user'][] = []
  if (table.tenant !== undefined) pairs.push([table.tenant, 'tenant'])
  if (own && table.owner !== undefined) pairs.push([table.owner, 'user'])
  return pairs
}

/**
 * A tenant or owner that the caller gives as a parameter: bound from the caller's identity and compared at bind. The
 * parameter gets the column's type, and may stand nowhere else: another cast could change what it says (CWE-704).
 */
function claim(
  draft: Draft,
  source: Struct,
  index: number,
  kind: 'tenant' | 'user',
  column: string,
  table: Table,
  at: unknown,
): void {
  const code = kind === 'tenant' ? 'tenant_not_assignable' : 'owner_not_assignable'
  const type = table.columns[column]?.type ?? ''
  for (const row of rowsOf(source)) {
    if (row.slice(0, index).some((item) => JSON.stringify(item).includes('"A_Star"'))) {
      draft.refuse(at, code, 'list the columns of the source one by one')
    }
    const parameter = parameterOf(row[index], type)
    if (parameter === undefined) draft.refuse(at, code, 'leave the column out, or give it one parameter')
    const { number, location, isCast } = parameter
    if (draft.admitted.uses.get(number) !== 1) draft.refuse(location, code, 'give the column a parameter of its own')
    const token = draft.tokenAfter(location, () => true)
    if (!isCast) draft.edit(token.end, token.end, `::${type}`)
    draft.slots[number - 1] = { kind }
    draft.checks.push({ kind: kind === 'tenant' ? 'tenant' : 'owner', index: number - 1 })
  }
}

/** `$n`, or `$n` cast to the column's own type. */
function parameterOf(
  item: Struct | undefined,
  type: string,
): { readonly number: number; readonly location: unknown; readonly isCast: boolean } | undefined {
  const cast = item?.['TypeCast'] as Struct | undefined
  if (cast !== undefined) {
    const { names, typmods, arrayBounds } = cast['typeName'] as Struct
    const name = listOf(names).map((part) => String((part['String'] as Struct | undefined)?.['sval']))
    if (name.at(-1) !== type || typmods !== undefined || arrayBounds !== undefined) return undefined
  }
  const parameter = ((cast?.['arg'] as Struct | undefined) ?? item)?.['ParamRef'] as Struct | undefined
  if (parameter === undefined) return undefined
  return { number: Number(parameter['number']), location: parameter['location'], isCast: cast !== undefined }
}

/** Puts items in front of each row of VALUES. */
function prependToRows(draft: Draft, source: Struct, list: Token, items: string): void {
  refuseOrdinals(draft, source)
  const { tokens } = draft.admitted
  let depth = 1
  let inRows = false
  for (const token of tokens) {
    if (token.start <= list.start) continue
    if (depth === 0 && isWord(token, 'VALUES')) inRows = true
    else if (depth === 0 && inRows && token.text !== '(' && token.text !== ',') return
    if (token.text === '(' && depth++ === 0 && inRows) draft.edit(token.end, token.end, items)
    if (token.text === ')') depth--
  }
  if (!inRows) draft.refuse(list.start, 'construct_not_accepted', 'write VALUES without parentheses around it')
}

/** Puts items in front of the target list of each arm of a SELECT. */
function prependToArms(draft: Draft, source: Struct, list: Token, items: string): void {
  refuseOrdinals(draft, source)
  for (const arm of armsOf(source)) {
    const [first] = listOf(arm['targetList'])
    const location = first === undefined ? undefined : unwrap(first)[1]['location']
    const start = draft.admitted.tokens.find((token) => token.start === Number(location ?? 0))
    if (arm['valuesLists'] !== undefined || first === undefined || start === undefined || isWord(start, 'TABLE')) {
      draft.refuse(list.start, 'construct_not_accepted', 'each part of the source must be a SELECT of columns')
    }
    refuseOrdinals(draft, arm)
    draft.edit(start.start, start.start, items)
  }
}

/** A number in ORDER BY or GROUP BY would mean another column than before. */
function refuseOrdinals(draft: Draft, select: Struct): void {
  const sorted = listOf(select['sortClause']).map((item) => unwrap(item)[1]['node'] as Struct)
  for (const item of [...sorted, ...listOf(select['groupClause']), ...listOf(select['distinctClause'])]) {
    if (!('A_Const' in item)) continue
    const { location } = item['A_Const'] as Struct
    draft.refuse(location, 'construct_not_accepted', 'name the column and not its number')
  }
}

function armsOf(select: Struct): Struct[] {
  if (select['op'] === 'SETOP_NONE') return [select]
  return [select['larg'], select['rarg']].flatMap((arm) => armsOf(arm as Struct))
}

function rowsOf(select: Struct): Struct[][] {
  const rows = select['valuesLists']
  if (rows !== undefined) return listOf(rows).map((row) => [...listOf(unwrap(row)[1]['items'])])
  return armsOf(select).map((arm) => listOf(arm['targetList']).map((item) => (unwrap(item)[1]['val'] ?? {}) as Struct))
}
