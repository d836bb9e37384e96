import type { Pool } from '../../core/database/pool.ts'
import { DatabaseError } from '../../core/database/errors.ts'
import type { RequiredSource } from '../../core/database/migration-file.ts'
import type { Row, Statement } from '../../core/database/statement.ts'

/** A probe that hangs is worse than one that fails: load balancers ask every few seconds. */
const PROBE_TIMEOUT_MS = 2_000
/** All probes of this time share one answer, so that the open route cannot load the database (CWE-400). */
const PROBE_SHARED_MS = 1_000

const ANSWERS: Statement = { name: 'ready_answers', text: 'SELECT 1 AS answers' }
const MIGRATED: Statement = {
  name: 'ready_migrated',
  text: `SELECT max(CASE WHEN source = 'holdfast' THEN version END)::INT8 AS holdfast,
  max(CASE WHEN source = 'application' THEN version END)::INT8 AS application FROM holdfast.migrations`,
}

/** How long a pool without a place in its queue is watched. */
const BUSY_WATCH_MS = 250

/**
 * Whether requests can be served: both roles' databases answer, and have the migrations that this version needs. A pool
 * that is busy answers others, which is as good: a flood at one route must not take the instance out of service (CWE-400).
 */
export type Readiness = () => Promise<boolean>

/** @param pools by role @param newest number of the newest file of each set */
export function createReadiness(
  pools: { app: Pool; identity: Pool },
  newest: Readonly<Record<RequiredSource, number>>,
): Readiness {
  let shared: { readonly until: number; readonly answer: Promise<boolean> } | undefined
  const judges = [judge(pools.app, ANSWERS, () => true), judge(pools.identity, MIGRATED, isMigrated)]
  function isMigrated(row: Row | undefined): boolean {
    return (['holdfast', 'application'] as const).every((source) => Number(row?.[source] ?? 0) >= newest[source])
  }
  return () => {
    const now = performance.now()
    if (shared === undefined || now >= shared.until) {
      shared = {
        until: now + PROBE_SHARED_MS,
        answer: Promise.all(judges.map((ask) => ask())).then((all) => all.every(Boolean)),
      }
    }
    return shared.answer
  }
}

/** Asks a pool; where it has no connection free, whether it has once passed and is answering others meanwhile. */
function judge(pool: Pool, statement: Statement, passes: (row: Row | undefined) => boolean): () => Promise<boolean> {
  let passed = false
  return async () => {
    const before = pool.stats.flights
    const verdict = await withTimeLimit(
      pool
        .transaction((transaction) => transaction.query(statement), { tries: 1 })
        .then(
          ({ rows }) => passes(rows[0]),
          (error: unknown) => (error instanceof DatabaseError && error.code === 'pool_exhausted' ? 'busy' : false),
        ),
    )
    if (verdict !== 'busy') {
      passed = verdict
      return verdict
    }
    if (!passed) return false
    await new Promise((resolve) => setTimeout(resolve, BUSY_WATCH_MS))
    // more flights than connections: some connection has had its answer and been given to the next
    return pool.stats.flights - before > pool.stats.size
  }
}

/** @returns `busy` when no answer has come in time */
async function withTimeLimit<T>(asked: Promise<T>): Promise<T | 'busy'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'busy'>((resolve) => {
    timer = setTimeout(() => resolve('busy'), PROBE_TIMEOUT_MS)
  })
  try {
    return await Promise.race([asked, late])
  } finally {
    clearTimeout(timer)
  }
}
