import { type Manifest, parentOf, type Table } from './manifest.ts'

/** Numbers of the parameters that hold the tenant and, under reach `own`, the user. */
export type ScopeParameters = { readonly tenant: number | undefined; readonly user: number | undefined }

/**
 * The one text that a table of the manifest may be read through: its columns, confined. Parentheses make it a unit,
 * whatever surrounds it; the prover has the same template and compares byte for byte.
 */
export function leafText(manifest: Manifest, table: Table, parameters: ScopeParameters): string {
  const columns = Object.keys(table.columns).map((column) => `"${table.name}"."${column}"`)
  const confinement = predicatesOf(manifest, table, table.name, parameters).join(' AND ')
  const where = confinement === '' ? '' : ` WHERE ${confinement}`
  return `(SELECT ${columns.join(', ')} FROM ${nameText(table)}${where})`
}

/** The table's name as it is always written: qualified and quoted. */
export function nameText(table: Table): string {
  return `"${table.schema}"."${table.name}"`
}

/**
 * What confines a table under an alias: the tenant and, where there is a user parameter, the owner. Qualified, for a bare
 * name could resolve to another query's column and be always true (CWE-639); the operator's schema is named, and the
 * parameter is cast so that both databases infer one type. A child without a tenant column is confined by its parent.
 */
export function predicatesOf(manifest: Manifest, table: Table, alias: string, parameters: ScopeParameters): string[] {
  const parent = parentOf(manifest, table)
  if (table.through === undefined || parent === undefined) return ownPredicates(table, alias, parameters)
  const { column, references } = table.through
  const link = `"${parent.name}"."${references}" OPERATOR(pg_catalog.=) ${quoted(alias)}."${column}"`
  const conditions = [link, ...ownPredicates(parent, parent.name, parameters)].join(' AND ')
  return [`EXISTS (SELECT 1 FROM ${nameText(parent)} WHERE ${conditions})`]
}

function ownPredicates(table: Table, alias: string, { tenant, user }: ScopeParameters): string[] {
  const predicate = (column: string, parameter: number): string =>
    `${quoted(alias)}."${column}" OPERATOR(pg_catalog.=) $${parameter}::${table.columns[column]?.type}`
  return [
    ...(table.tenant === undefined || tenant === undefined ? [] : [predicate(table.tenant, tenant)]),
    ...(table.owner === undefined || user === undefined ? [] : [predicate(table.owner, user)]),
  ]
}

/** A name in quotes; unlike the manifest's, an alias may hold any character. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
