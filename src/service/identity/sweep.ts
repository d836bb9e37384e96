import type { Pool } from '../../core/database/pool.ts'
import { statements } from './statements.ts'

/** Deletes what has expired: throttle rows, single-use secrets a day after their end, sessions thirty days after theirs or a day after they were ended. */
export async function sweep(pool: Pool): Promise<void> {
  for (const statement of [statements.sweepThrottle, statements.sweepTokens, statements.sweepSessions]) {
    const query = { statement, values: [] }
    await pool.transaction((transaction) => transaction.send([query], { commit: true }), {
      isolation: 'read committed',
    })
  }
}
