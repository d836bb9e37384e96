import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { type HeldLease, holdLease } from './lease.ts'
import { MigrationError } from './migration-error.ts'
import { lookUp } from './migration-ledger.ts'
import type { Pool } from './pool.ts'
import type { Statement } from './statement.ts'

/** Who migrates a database now. */
export type Migrator = {
  /** As text for people: process and machine. */
  readonly holder: string
  /** Whole seconds until the lease runs out, unless its holder renews it. */
  readonly secondsLeft: number
}

/** A holder that died is waited for this long, in seconds; a statement may take longer, the lease is renewed meanwhile. */
const leaseSeconds = 30
/** Pause between two looks at another process's lease, in milliseconds. */
const waitStepMs = 50

const whoHolds: Statement = {
  name: 'hf_migrator',
  text: `SELECT holder, ceil(extract(epoch FROM expires_at - now()))::INT8 AS seconds FROM holdfast.leases
WHERE name = 'migrate' AND expires_at > now()`,
}

/** Who holds the lease `migrate`; nobody where it has run out, or where no runner ever was. */
export async function readMigrator(pool: Pool): Promise<Migrator | undefined> {
  const [row] = await lookUp(pool, whoHolds)
  if (row === undefined) return undefined
  const [pid = '', host = ''] = String(row['holder']).split(' ')
  return { holder: `process ${pid}${host === '' ? '' : ` on ${host}`}`, secondsLeft: Number(row['seconds']) }
}

/**
 * Takes the lease `migrate`, waiting for whoever has it.
 *
 * @param waitMs - how long, in milliseconds; 0: not at all
 * @param tell - told once, who is waited for
 * @throws MigrationError `lease_held`, which says who has it
 */
export async function takeMigrateLease(
  pool: Pool,
  waitMs: number,
  tell: (migrator: Migrator) => void,
): Promise<HeldLease> {
  const holder = `${process.pid} ${hostname()} ${randomUUID()}`
  const start = performance.now()
  for (let isFirst = true; ; isFirst = false) {
    const lease = await holdLease(pool, 'migrate', holder, leaseSeconds)
    if (lease !== undefined) return lease
    const isOver = performance.now() - start >= waitMs
    if (isFirst || isOver) {
      const migrator = await readMigrator(pool)
      // it may have been given back between the two looks
      if (migrator !== undefined && isOver) throw held(migrator)
      if (migrator !== undefined) tell(migrator)
    }
    await new Promise((resolve) => setTimeout(resolve, waitStepMs))
  }
}

function held({ holder, secondsLeft }: Migrator): MigrationError {
  return new MigrationError('lease_held', {
    what: `Another migration is under way: ${holder} holds the lease "migrate".`,
    migration: '',
    next: [
      `It is renewed while that process lives; if it has died, the lease runs out in ${secondsLeft} s.`,
      'With --wait SECONDS this command waits for it.',
    ],
  })
}
