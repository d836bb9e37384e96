import type { TestDatabase } from '../postgres.ts'

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
