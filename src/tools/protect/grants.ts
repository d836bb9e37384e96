import { quoted, quotedTable } from './names.ts'
import type { TableFacts } from './table-facts.ts'

/** What may be done with a table's rows, as permissions say it, and the privilege that it needs. */
export const PRIVILEGES: Readonly<Record<string, string>> = {
  read: 'SELECT',
  create: 'INSERT',
  update: 'UPDATE',
  delete: 'DELETE',
}

/** Takes away first what opens the table before it is closed (CWE-732). */
export function revokeStatements(facts: TableFacts): string[] {
  return ['PUBLIC', 'holdfast_app']
    .filter((role) => facts.hasColumnGrants || facts.grants.has(role))
    .map((role) => `REVOKE ALL ON TABLE ${quotedTable(facts)} FROM ${role}`)
}

/**
 * The least that the app role needs; last, when all else stands.
 *
 * @param wanted - privileges; nothing: those that are there stay as they are
 * @param isFresh - whether {@link revokeStatements} took away all that was there
 */
export function grantStatements(
  facts: TableFacts,
  wanted: ReadonlySet<string> | undefined,
  isFresh: boolean,
): string[] {
  const table = quotedTable(facts)
  const there = isFresh ? new Set<string>() : (facts.grants.get('holdfast_app') ?? new Set<string>())
  if (wanted === undefined) return []
  const list = (all: Iterable<string>): string => [...all].join(', ')
  const missing = Object.values(PRIVILEGES).filter((privilege) => wanted.has(privilege) && !there.has(privilege))
  const extra = [...there].filter((privilege) => !wanted.has(privilege)).sort()
  return [
    ...(extra.length === 0 ? [] : [`REVOKE ${list(extra)} ON TABLE ${table} FROM holdfast_app`]),
    ...(facts.schemaUsable || wanted.size === 0
      ? []
      : [`GRANT USAGE ON SCHEMA ${quoted(facts.schema)} TO holdfast_app`]),
    // a serial key draws from a sequence
    ...(missing.includes('INSERT')
      ? facts.sequences.map((sequence) => `GRANT USAGE ON SEQUENCE ${quotedTable(sequence)} TO holdfast_app`)
      : []),
    ...(missing.length === 0 ? [] : [`GRANT ${list(missing)} ON TABLE ${table} TO holdfast_app`]),
  ]
}
