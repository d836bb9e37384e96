import { aliasOf, type Draft } from './draft.ts'
import { mayLack, relationsOf } from './from.ts'
import { isWord, listOf, type Struct, stringsOf, type Token, unwrap } from './grammar.ts'
import { nameText, quoted } from './leaf.ts'
import { parentOf, type Table } from './manifest.ts'
import { expandReturning, rewriteConflict } from './rewrite-change.ts'

/** INSERT: the tenant – and, for reach `own`, the owner – comes first in the column list and in each row. */
export function rewriteInsert(draft: Draft, statement: Struct): void {
  const relation = statement['relation'] as Struct
  const at = relation['location']
  const table = draft.targetOf(relation)
  const alias = aliasOf(relation)
  const returning = statement['returningClause'] as Struct | undefined
  const own = draft.reach(table, returning === undefined ? ['create'] : ['create', 'read'], at) === 'own'
  const columns = listOf(statement['cols']).map((column) => unwrap(column)[1])
  for (const [index, { name, location }] of columns.entries()) {
    // DEFAULT in each row is the column left out
    if (isDefault(statement['selectStmt'], index)) draft.requireColumn(table, String(name), location)
    else draft.requireAssignable(table, String(name), location)
  }
  if (statement['selectStmt'] === undefined) insertDefaults(draft, relation, table, own)
  else if (columns.length === 0) refuseWithoutList(draft, at, table)
  else {
    const source = unwrap(statement['selectStmt'])[1]
    if (table.through === undefined) forceColumns(draft, relation, columns, source, table, own)
    else requireParent(draft, columns, source, table, own, at)
  }
  const { start, end } = draft.nameTokens(relation)
  draft.edit(start, end, nameText(table))
  rewriteConflict(draft, statement, table, alias)
  expandReturning(draft, returning, table, alias, [])
}

/** Whether VALUES says DEFAULT for a column in each of its rows: object-relational mappers list every column. */
function isDefault(source: unknown, index: number): boolean {
  const { valuesLists } = source === undefined ? {} : unwrap(source)[1]
  const rows = listOf(valuesLists).map((row) => listOf(unwrap(row)[1]['items'])[index])
  return rows.length > 0 && rows.every((item) => item !== undefined && 'SetToDefault' in item)
}

/** `DEFAULT VALUES`: the forced columns are the only ones. */
function insertDefaults(draft: Draft, relation: Struct, table: Table, own: boolean): void {
  const at = relation['location']
  if (table.through !== undefined) draft.refuse(at, 'link_not_assignable', hintOfLink(table))
  const tokens = draft.tokensOf(relation)
  const first = tokens.findIndex(
    (token, index) => isWord(token, 'DEFAULT') && isWord(tokens[index + 1] ?? token, 'VALUES'),
  )
  const [start, last] = [tokens[first], tokens[first + 1]]
  if (start === undefined || last === undefined) throw new TypeError('the parsed statement has DEFAULT VALUES')
  const { names, items } = forcedText(draft, table, forced(table, own))
  draft.edit(start.start, last.end, `(${names.join(', ')}) VALUES (${items.join(', ')})`)
}

function refuseWithoutList(draft: Draft, at: unknown, table: Table): never {
  const others = Object.keys(table.columns).filter((name) => name !== table.tenant)
  draft.refuse(at, 'column_list_missing', `INSERT INTO ${table.name} (${others.join(', ')}) …`)
}

/** Puts the columns that Holdfast sets in front, unless the statement gives them as parameters itself. */
function forceColumns(
  draft: Draft,
  relation: Struct,
  columns: readonly Struct[],
  source: Struct,
  table: Table,
  own: boolean,
): void {
  const list = draft.tokenAfter(draft.nameTokens(relation).end, (token) => token.text === '(')
  const absent: Forced[] = []
  for (const [column, kind] of forced(table, own)) {
    const index = columns.findIndex(({ name }) => name === column)
    if (index < 0) absent.push([column, kind])
    else claim(draft, source, index, kind, column, table, columns[index]?.['location'])
  }
  if (absent.length === 0) return
  const { names, items } = forcedText(draft, table, absent)
  draft.edit(list.end, list.end, `${names.join(', ')}, `)
  const text = `${items.join(', ')}, `
  if (source['valuesLists'] === undefined) prependToArms(draft, source, list, text)
  else prependToRows(draft, source, list, draft.tokensOf(relation), text)
}

type Forced = readonly [column: string, kind: 'tenant' | 'user']

function forced(table: Table, own: boolean): Forced[] {
  const pairs: Forced[] = []
  if (table.tenant !== undefined) pairs.push([table.tenant, 'tenant'])
  if (own && table.owner !== undefined) pairs.push([table.owner, 'user'])
  return pairs
}

function forcedText(draft: Draft, table: Table, pairs: readonly Forced[]): { names: string[]; items: string[] } {
  return {
    names: pairs.map(([column]) => `"${column}"`),
    items: pairs.map(([column, kind]) => `$${draft.slot(kind)}::${table.columns[column]?.type}`),
  }
}

/**
 * A child without a tenant column: in each row the link is a column of its parent's leaf, in that very FROM. So a row can
 * only hang on a parent that the caller reaches.
 */
function requireParent(
  draft: Draft,
  columns: readonly Struct[],
  source: Struct,
  table: Table,
  own: boolean,
  at: unknown,
): void {
  const { manifest } = draft
  const parent = parentOf(manifest, table)
  const index = columns.findIndex(({ name }) => name === table.through?.column)
  if (parent === undefined || index < 0 || source['valuesLists'] !== undefined) {
    draft.refuse(at, 'link_not_assignable', hintOfLink(table))
  }
  if (own && draft.grants.get(`${parent.resource}:read`) !== 'own') {
    draft.refuse(at, 'grant_missing', `own rows hang on own parents: it needs ${parent.resource}:read@own`)
  }
  for (const arm of armsOf(source)) {
    const items = listOf(arm['targetList']).map((item) => (unwrap(item)[1]['val'] ?? {}) as Struct)
    const link = items[index]?.['ColumnRef'] as Struct | undefined
    const from = listOf(arm['fromClause'])
    const relations = from.flatMap(relationsOf)
    const names = stringsOf(link?.['fields'])
    // a bare name where FROM holds one table is that table's
    const isBare =
      names.length === 1 && from.length === 1 && relations.length === 1 && unwrap(from[0])[0] === 'RangeVar'
    const [qualifier, column, ...more] = isBare ? [aliasOf(relations[0] as Struct), ...names] : names
    const isMoved = items.slice(0, index).some((item) => JSON.stringify(item).includes('"A_Star"'))
    const isLink = column === table.through?.references && more.length === 0 && !isMoved
    const found = relations.filter((relation) => aliasOf(relation) === qualifier)
    const [relation] = found
    const isParent = relation !== undefined && found.length === 1 && namesTable(draft, relation, parent)
    // the side of an outer join that may be empty, and a grouping set without the key, would hang the row on nothing
    const isSure = relation !== undefined && !from.some((item) => mayLack(item, relation))
    const isGrouped = JSON.stringify(arm['groupClause'] ?? '').includes('"GroupingSet"')
    if (!isLink || !isParent || !isSure || isGrouped) {
      draft.refuse(link?.['location'] ?? at, 'link_not_assignable', hintOfLink(table))
    }
    if (isBare)
      draft.edit(Number(link?.['location'] ?? 0), Number(link?.['location'] ?? 0), `${quoted(String(qualifier))}.`)
  }
}

/** Whether a relation is this table, and no CTE or column aliases stand in its place. */
function namesTable(draft: Draft, relation: Struct, table: Table): boolean {
  const { schemaname, relname, alias } = relation
  const isQuery = schemaname === undefined && draft.admitted.ctes.has(String(relname))
  return !isQuery && (alias as Struct | undefined)?.['colnames'] === undefined && draft.tableOf(relation) === table
}

function hintOfLink({ name, through }: Table): string {
  const { table, column, references } = through ?? { table: '', column: '', references: '' }
  return `INSERT INTO ${name} (${column}, …) SELECT p.${references}, … FROM ${table} p WHERE p.${references} = $1`
}

/**
 * A tenant or owner that the caller gives as DEFAULT: Holdfast's parameter stands in its place. Or as a parameter: bound from the caller's identity and compared at bind. The
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
    const left = row[index]?.['SetToDefault'] as Struct | undefined
    if (left !== undefined) {
      const { start, end } = draft.tokenAfter(left['location'], () => true)
      draft.edit(start, end, `$${draft.slot(kind)}::${type}`)
      continue
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
function prependToRows(draft: Draft, source: Struct, list: Token, tokens: readonly Token[], items: string): void {
  refuseOrdinals(draft, source)
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
