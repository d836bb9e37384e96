import type { Pool } from './pool.ts'
import type { Statement } from './statement.ts'

/** Whom a pool's connections are, and where. */
export type Login = {
  readonly role: string
  /** Row-level security holds it in nothing: a superuser, or a role that bypasses it. */
  readonly isAbove: boolean
  readonly database: string
}

const WHO_AM_I: Statement = {
  name: 'who_am_i',
  text: `SELECT session_user AS role, current_database() AS database,
  (SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles r WHERE r.rolname = session_user) AS is_above`,
}

/** Asks the database whom it takes this pool for. @throws DatabaseError as any transaction */
export async function readLogin(pool: Pool): Promise<Login> {
  const { rows } = await pool.transaction((transaction) => transaction.query(WHO_AM_I))
  const { role, database, is_above: isAbove } = rows[0] ?? {}
  // what is not known to be held is above
  return { role: String(role), isAbove: isAbove !== false, database: String(database) }
}
