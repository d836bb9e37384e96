import type { Row } from '../core/database/statement.ts'

/** What a denial may leave behind, and what keeps time by itself. */
const EXEMPT = new Set(['holdfast.journal', 'holdfast.throttle', 'holdfast.leases'])

/** Every row of every table, as text, by table. */
export type Footprint = ReadonlyMap<string, readonly string[]>

/** Whatever reads a database past both walls. */
export type Owner = { readonly owner: (sql: string, values?: readonly unknown[]) => Promise<Row[]> }

/** Reads the whole database past both walls, but for journal, throttle and leases. */
export async function footprintOf({ owner }: Owner): Promise<Footprint> {
  const tables =
    await owner(`SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema$)' ORDER BY 1`)
  const names = tables.map(({ name }) => String(name)).filter((name) => !EXEMPT.has(name))
  // last_seen_at keeps the time of day of whoever was admitted: it is no effect of the request
  const rows = await owner(
    names
      .map((name) => `SELECT '${name}' AS name, (pg_catalog.to_jsonb(t) - 'last_seen_at')::TEXT AS row FROM ${name} t`)
      .join(' UNION ALL '),
  )
  const footprint = new Map<string, string[]>(names.map((name) => [name, []]))
  for (const { name, row } of rows) footprint.get(String(name))?.push(String(row))
  for (const list of footprint.values()) list.sort()
  return footprint
}

/** The rows that differ, each with its table and a sign. */
export function differences(before: Footprint, after: Footprint): string[] {
  const found: string[] = []
  for (const [name, rows] of before) {
    const [old, now] = [new Set(rows), new Set(after.get(name))]
    for (const row of old) if (!now.has(row)) found.push(`- ${name} ${row}`)
    for (const row of now) if (!old.has(row)) found.push(`+ ${name} ${row}`)
  }
  return found
}
