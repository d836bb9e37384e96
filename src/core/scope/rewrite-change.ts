import { aliasOf, columnsOf, type Draft, isStar, OTHER_ALIASES } from './draft.ts'
import { isWord, listOf, type Struct, stringsOf, type Token, unwrap } from './grammar.ts'
import { nameText, predicatesOf, quoted } from './leaf.ts'
import { isNamed } from './lexis.ts'
import type { Table } from './manifest.ts'

/** UPDATE and DELETE: the confinement goes in front of WHERE, and what was there into parentheses. */
export function rewriteChange(draft: Draft, statement: Struct, verb: 'update' | 'delete'): void {
  const relation = statement['relation'] as Struct
  const at = relation['location']
  const table = draft.targetOf(relation)
  const alias = aliasOf(relation)
  // WITH does not see the target
  const { relation: _, withClause: __, ...rest } = statement
  const isJoined = statement['fromClause'] !== undefined || statement['usingClause'] !== undefined
  // an effect that depends on what a row holds tells what it holds
  const reads = isJoined || statement['returningClause'] !== undefined || columnsOf(rest).length > 0
  const own = draft.reach(table, reads ? [verb, 'read'] : [verb], at) === 'own'
  checkAssignments(draft, listOf(statement['targetList']), table, own)
  const { targetList, whereClause, returningClause } = statement
  checkTargetColumns(draft, { targetList, whereClause, returningClause }, table, alias)
  const { start, end } = draft.nameTokens(relation)
  const named = relation['alias'] === undefined ? ` AS "${table.name}"` : ''
  draft.edit(start, end, nameText(table) + named)
  confine(draft, end, draft.tokensOf(relation), table, alias, own)
  const joined = [...listOf(statement['fromClause']), ...listOf(statement['usingClause'])]
  expandReturning(draft, returningClause as Struct | undefined, table, alias, joined)
}

/** ON CONFLICT DO UPDATE: without the confinement it would overwrite whatever row is in the way (CWE-639). */
export function rewriteConflict(draft: Draft, statement: Struct, table: Table, alias: string): void {
  const clause = statement['onConflictClause'] as Struct | undefined
  if (clause === undefined) return
  const { infer, targetList, whereClause, location } = clause
  for (const item of listOf((infer as Struct | undefined)?.['indexElems'])) {
    const { name } = unwrap(item)[1]
    // an expression's columns are the prover's to judge
    if (typeof name === 'string') draft.requireColumn(table, name, location)
  }
  if (clause['action'] !== 'ONCONFLICT_UPDATE') return
  const own = draft.reach(table, ['update', 'read'], location) === 'own'
  checkAssignments(draft, listOf(targetList), table, own)
  checkTargetColumns(draft, { targetList, whereClause }, table, alias)
  const tokens = draft.tokensOf(statement['relation'] as Struct)
  let depth = 0
  // the inference clause may have a WHERE of its own
  const update = tokens.find((token) => {
    if (token.start < Number(location ?? 0)) return false
    if (token.text === '(') depth++
    if (token.text === ')') depth--
    return depth === 0 && isWord(token, 'DO')
  })
  if (update === undefined) throw new TypeError('ON CONFLICT has a DO')
  confine(draft, update.start, tokens, table, alias, own)
}

/** A star of the target becomes its columns: the table may have others that the manifest hides. */
export function expandReturning(
  draft: Draft,
  clause: Struct | undefined,
  table: Table,
  alias: string,
  joined: readonly Struct[],
): void {
  for (const expression of listOf(clause?.['exprs'])) {
    const column = (unwrap(expression)[1]['val'] as Struct | undefined)?.['ColumnRef'] as Struct | undefined
    if (column === undefined || !isStar(column)) continue
    const [qualifier] = stringsOf(column['fields'])
    const isBare = listOf(column['fields']).length === 1
    if (!isBare && qualifier !== alias) continue
    const others = isBare ? joined.flatMap((item) => sourcesOf(draft, item)) : []
    if (others.includes(undefined)) {
      draft.refuse(column['location'], 'column_not_accepted', `name what you want: RETURNING ${alias}.*`)
    }
    const start = Number(column['location'] ?? 0)
    const { end } = draft.tokenAfter(start, (token) => token.text === '*')
    const columns = [{ table, alias }, ...others].flatMap((source) =>
      Object.keys(source?.table.columns ?? {}).map((name) => `${quoted(source?.alias ?? '')}."${name}"`),
    )
    draft.edit(start, end, columns.join(', '))
  }
}

/** The tables of an item of FROM or USING, in the order in which `*` shows them; undefined for what it shows otherwise. */
function sourcesOf(draft: Draft, item: Struct): ({ readonly table: Table; readonly alias: string } | undefined)[] {
  const [type, struct] = unwrap(item)
  const { schemaname, relname, alias, isNatural, usingClause, larg, rarg } = struct
  if (type === 'JoinExpr' && alias === undefined && isNatural === undefined && usingClause === undefined) {
    return [larg, rarg].flatMap((side) => sourcesOf(draft, side as Struct))
  }
  const isQuery = schemaname === undefined && draft.admitted.ctes.has(String(relname))
  const isPlain = type === 'RangeVar' && !isQuery && (alias as Struct | undefined)?.['colnames'] === undefined
  return [isPlain ? { table: draft.tableOf(struct), alias: aliasOf(struct) } : undefined]
}

function checkAssignments(draft: Draft, targets: readonly Struct[], table: Table, own: boolean): void {
  for (const target of targets) {
    const { name, location } = unwrap(target)[1]
    if (name === table.tenant) draft.refuse(location, 'tenant_not_assignable')
    if (name === table.through?.column) {
      draft.refuse(location, 'link_not_assignable', 'delete the row, and insert it under the other parent')
    }
    draft.requireAssignable(table, String(name), location)
    if (name !== table.owner) continue
    if (own) draft.refuse(location, 'owner_not_assignable')
    if (draft.grants.get(`${table.resource}:reassign`) !== 'tenant') {
      draft.refuse(location, 'owner_not_assignable', `it needs ${table.resource}:reassign`)
    }
  }
}

/** Columns of the target that the manifest does not have. Inside subqueries the prover knows better whose a name is. */
function checkTargetColumns(draft: Draft, visible: Struct, table: Table, alias: string): void {
  const returned = listOf((visible['returningClause'] as Struct | undefined)?.['exprs'])
  const listed = new Set(returned.map((item) => (unwrap(item)[1]['val'] as Struct | undefined)?.['ColumnRef']))
  for (const column of columnsOf(visible)) {
    const { fields, location } = column
    const [first, second] = stringsOf(fields)
    const isRow = listOf(fields).length === 2 && second === undefined && !listed.has(column)
    if (isRow && (first === alias || first === 'excluded')) {
      draft.refuse(location, 'column_not_accepted', 'compare the columns one by one: the row may have hidden ones')
    }
    const isTarget = first === alias || (first !== undefined && OTHER_ALIASES.has(first))
    if (listOf(fields).length === 2 && isTarget && second !== undefined) {
      draft.requireColumn(table, second, location)
    }
    if (listOf(fields).length === 1 && first === alias && !Object.hasOwn(table.columns, alias)) {
      draft.refuse(
        location,
        'column_not_accepted',
        `the row may have hidden columns: name what you want, or ${alias}.*`,
      )
    }
  }
}

/** Adds the confinement to a WHERE at depth 0, or makes one, before RETURNING or the end. @param tokens those of the write */
function confine(
  draft: Draft,
  from: number,
  tokens: readonly Token[],
  table: Table,
  alias: string,
  own: boolean,
): void {
  const predicate = predicatesOf(draft.manifest, table, alias, draft.parameters(table, own)).join(' AND ')
  let depth = 0
  let where: Token | undefined
  let last: Token | undefined
  for (const [index, token] of tokens.entries()) {
    if (token.end <= from) last = token
    if (token.start < from) continue
    const named = isNamed(tokens[index - 1])
    if (depth === 0 && (token.text === ';' || (isWord(token, 'RETURNING') && !named))) break
    if (token.text === '(' || token.text === '[') depth++
    if (token.text === ')' || token.text === ']') depth--
    if (depth === 0 && where === undefined && isWord(token, 'WHERE') && !named) where = token
    last = token
  }
  if (last === undefined) throw new TypeError('a statement has tokens')
  if (where === undefined) return draft.edit(last.end, last.end, ` WHERE ${predicate}`)
  draft.edit(where.end, where.end, ` ${predicate} AND (`)
  draft.edit(last.end, last.end, ')')
}
