import type { Pool } from '../database/pool.ts'
import type { Statement } from '../database/statement.ts'

const TOUCH: Statement = { name: 'touch_session', text: 'SELECT holdfast.touch_session($1::BYTEA) AS touched' }

/**
 * Writes down that a session was used, at most once a minute, outside the request's transaction: parallel requests of one
 * session must not collide. For the guard's `onTouch`.
 * @param hash the token's, as in a credential
 */
export async function touchSession(pool: Pool, hash: Buffer): Promise<void> {
  const touch = { statement: TOUCH, values: [hash] }
  const o = { isolation: 'read committed', idempotent: true } as const
  await pool.transaction((transaction) => transaction.send([touch], { commit: true }), o)
}
