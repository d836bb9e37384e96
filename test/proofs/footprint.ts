import type { TestDatabase } from '../postgres.ts'

/** What a denial may leave behind, and what keeps time by itself. */
const EXEMPT = new Set(['holdfast.journal', 'holdfast.throttle', 'holdfast.leases'])

/** Every row of every table, as text, by table. */
export type Footprint = ReadonlyMap<string, readonly string[]>

/** Reads the whole database past both walls, but for journal, throttle and leases. */
export async function footprintOf({ owner }: TestDatabase): Promise<Footprint> {
  const tables = await owner(`SELECT n.nspname || '.' || c.relname AS name FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname IN ('holdfast', 'tenancy') ORDER BY 1`)
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

/** Puts the database back as it was before these differences. */
export async function undo({ owner }: TestDatabase, found: readonly string[]): Promise<void> {
  if (found.length === 0) return
  await owner(`SET session_replication_role = 'replica'`)
  for (const kind of ['+', '-']) {
    for (const difference of found.filter((one) => one.startsWith(kind))) {
      const [, table = '', row = ''] = /^. (\S+) (.*)$/s.exec(difference) ?? []
      // a session that ended is not revived: each request brings its own
      if (table === 'holdfast.sessions') continue
      if (kind === '+') await owner(`DELETE FROM ${table} t WHERE pg_catalog.to_jsonb(t) = $1::JSONB`, [row])
      else
        await owner(`INSERT INTO ${table} SELECT * FROM pg_catalog.jsonb_populate_record(NULL::${table}, $1::JSONB)`, [
          row,
        ])
    }
  }
  await owner(`SET session_replication_role = 'origin'`)
}
