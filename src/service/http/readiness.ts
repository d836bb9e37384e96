import type { Pool } from '../../core/database/pool.ts'
import type { Statement } from '../../core/database/statement.ts'

/** A probe that hangs is worse than one that fails: load balancers ask every few seconds. */
const PROBE_TIMEOUT_MS = 2_000
/** All probes of this time share one answer, so that the open route cannot load the database (CWE-400). */
const PROBE_SHARED_MS = 1_000

const ANSWERS: Statement = { name: 'ready_answers', text: 'SELECT 1 AS answers' }
const MIGRATED: Statement = {
  name: 'ready_migrated',
  text: 'SELECT max(version)::INT8 AS newest FROM holdfast.migrations',
}

/** Whether requests can be served: both roles' databases answer, and have the migrations that this version needs. */
export type Readiness = () => Promise<boolean>

/** @param pools by role @param newestMigration number of the newest file */
export function createReadiness(pools: { app: Pool; identity: Pool }, newestMigration: number): Readiness {
  let shared: { readonly until: number; readonly answer: Promise<boolean> } | undefined
  return () => {
    const now = performance.now()
    if (shared === undefined || now >= shared.until) {
      shared = { until: now + PROBE_SHARED_MS, answer: probe(pools, newestMigration) }
    }
    return shared.answer
  }
}

async function probe({ app, identity }: { app: Pool; identity: Pool }, newestMigration: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), PROBE_TIMEOUT_MS)
  })
  const asked = Promise.all([
    app.transaction((transaction) => transaction.query(ANSWERS), { tries: 1 }),
    identity.transaction((transaction) => transaction.query(MIGRATED), { tries: 1 }),
  ]).then(
    ([, migrated]) => Number(migrated.rows[0]?.['newest'] ?? 0) >= newestMigration,
    () => false,
  )
  try {
    return await Promise.race([asked, late])
  } finally {
    clearTimeout(timer)
  }
}
