import type { Pool } from '../../core/database/pool.ts'
import { sweepKeysQuery } from '../../core/guard/idempotency.ts'
import { statements } from './statements.ts'

/** Idempotency keys that go in one transaction: it stays far below a statement's time. */
const KEYS_A_BATCH = 1_000

/** Deletes what has expired: idempotency keys, throttle rows, single-use secrets a day after their end, sessions thirty days after theirs or a day after they were ended. */
export async function sweep(pool: Pool): Promise<void> {
  await sweepKeys(pool)
  for (const statement of [statements.sweepThrottle, statements.sweepTokens, statements.sweepSessions]) {
    const query = { statement, values: [] }
    await pool.transaction((transaction) => transaction.send([query], { commit: true }), {
      isolation: 'read committed',
      idempotent: true,
    })
  }
}

async function sweepKeys(pool: Pool): Promise<void> {
  for (let gone = KEYS_A_BATCH; gone === KEYS_A_BATCH; ) {
    const [result] = await pool.transaction(
      (transaction) => transaction.send([sweepKeysQuery(KEYS_A_BATCH)], { commit: true }),
      { isolation: 'read committed' },
    )
    gone = Number(result?.rows[0]?.gone)
  }
}
