import { parsePlPgSQLSync, parseSync } from 'libpg-query'

/** A node of PostgreSQL's syntax tree: its kind, its fields, and in what it stands, the nearest last. */
export type Visit = {
  readonly kind: string
  readonly node: Record<string, unknown>
  readonly within: readonly Visit[]
}

/** A text as PostgreSQL's grammar reads it; the bodies of its functions are statements of their own. */
export type Reading = {
  readonly text: string
  readonly statements: readonly Visit[]
  /** Every node of every statement, the outer ones first. */
  readonly nodes: readonly Visit[]
  /** Kinds and fields of PL/pgSQL, in bodies of functions. */
  readonly procedural: readonly Visit[]
  /** What the bodies send, read the same way. */
  readonly bodies: readonly Reading[]
}

/** Fields whose value is a node without its kind in front. */
const kinds: Readonly<Record<string, string>> = {
  typeName: 'TypeName',
  argType: 'TypeName',
  returnType: 'TypeName',
  withClause: 'WithClause',
  setstmt: 'VariableSetStmt',
  onConflictClause: 'OnConflictClause',
  lockedRels: 'RangeVar',
  relation: 'RangeVar',
  pktable: 'RangeVar',
  rel: 'RangeVar',
  intoClause: 'IntoClause',
  view: 'RangeVar',
  larg: 'SelectStmt',
  rarg: 'SelectStmt',
}

/** @throws SqlError when PostgreSQL does not take the text */
export function readSql(text: string): Reading {
  const nodes: Visit[] = []
  const { stmts = [] } = parseSync(text) as { stmts?: readonly { readonly stmt: unknown }[] }
  const statements = stmts.flatMap(({ stmt }) => walk(stmt, [], nodes))
  const procedural: Visit[] = []
  const bodies = statements.flatMap((statement) => bodiesOf(statement, text, procedural))
  return { text, statements, nodes, procedural, bodies }
}

function walk(value: unknown, within: readonly Visit[], into: Visit[], field?: string): Visit[] {
  if (Array.isArray(value)) return value.flatMap((each) => walk(each, within, into, field))
  if (typeof value !== 'object' || value === null) return []
  const [[key, inner] = ['', undefined], ...more] = Object.entries(value)
  if (more.length === 0 && /^(?:[A-Z]|PL)/.test(key) && typeof inner === 'object' && inner !== null)
    return visit(key, inner as Record<string, unknown>, within, into)
  return visit(kinds[field ?? ''] ?? '', value as Record<string, unknown>, within, into)
}

function visit(kind: string, node: Record<string, unknown>, within: readonly Visit[], into: Visit[]): Visit[] {
  const self: Visit = { kind, node, within }
  into.push(self)
  for (const [field, child] of Object.entries(node)) walk(child, [...within, self], into, field)
  return [self]
}

function bodiesOf({ kind, node }: Visit, text: string, procedural: Visit[]): Reading[] {
  if (kind !== 'CreateFunctionStmt') return []
  const option = (name: string): unknown => optionsOf(node).find(({ defname }) => defname === name)?.arg
  const body = stringsOf(option('as')).join('')
  const language = stringsOf(option('language')).join('')
  if (language !== 'plpgsql') return body === '' ? [] : [readSql(body)]
  walk(parsePlPgSQLSync(text), [], procedural)
  return procedural
    .filter((each) => each.kind === 'PLpgSQL_expr')
    .map(({ node: { query, parseMode } }) =>
      readSql(parseMode === 0 ? String(query) : `SELECT ${String(query).replace(/^\w+ := /, '')}`),
    )
}

type Option = { readonly defname: string; readonly arg?: unknown }

/** Options of a statement such as CREATE FUNCTION. */
export function optionsOf(node: Readonly<Record<string, unknown>>): Option[] {
  return ((node['options'] ?? []) as { DefElem: Option }[]).map(({ DefElem }) => DefElem)
}

/** All names and texts within a node, in order. */
export function stringsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(stringsOf)
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    key === 'sval' && typeof inner === 'string' ? [inner] : stringsOf(inner),
  )
}

/** Names of a node's field: a function's, a type's, a column's. */
export const namesOf = (node: Readonly<Record<string, unknown>>, field: string): string[] => stringsOf(node[field])
