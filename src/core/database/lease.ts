import { randomUUID } from 'node:crypto'
import { DatabaseError } from './errors.ts'
import type { Pool } from './pool.ts'
import type { Query } from './statement.ts'

const text = {
  // Whoever does not know whether it was given asks again under the same name, and has it.
  // Two statements and not DO UPDATE … WHERE: the same words on both databases. Expiry is the database's clock alone.
  takeOver: `UPDATE holdfast.leases SET holder = $2::TEXT, expires_at = now() + $3::INT8 * INTERVAL '1 second'
WHERE name = $1::TEXT AND (expires_at <= now() OR holder = $2::TEXT)`,
  create: `INSERT INTO holdfast.leases (name, holder, expires_at)
VALUES ($1::TEXT, $2::TEXT, now() + $3::INT8 * INTERVAL '1 second') ON CONFLICT (name) DO NOTHING`,
  renew: `UPDATE holdfast.leases SET expires_at = now() + $3::INT8 * INTERVAL '1 second'
WHERE name = $1::TEXT AND holder = $2::TEXT AND expires_at > now()`,
  release: 'DELETE FROM holdfast.leases WHERE name = $1::TEXT AND holder = $2::TEXT',
} as const

function query(name: keyof typeof text, values: readonly unknown[]): Query {
  return { statement: { name: `hf_lease_${name.toLowerCase()}`, text: text[name] }, values }
}

/**
 * Takes a lease: a row that says who may do a job, and until when by the database's clock. There is no lock behind it,
 * so it works on CockroachDB too; whoever holds one must stop when it cannot be renewed.
 *
 * @param name - the job, such as `migrate`
 * @param holder - text that nobody else uses, and nothing else of this process: who asks again under it has it still
 * @param ttlSeconds - whole seconds until others may take it over
 * @returns false when somebody else has it
 */
export async function acquireLease(pool: Pool, name: string, holder: string, ttlSeconds: number): Promise<boolean> {
  const values = [name, holder, ttlSeconds]
  const results = await pool.transaction(
    (transaction) => transaction.send([query('takeOver', values), query('create', values)], { commit: true }),
    { idempotent: true },
  )
  return results.some((result) => result.rowCount === 1)
}

/**
 * Prolongs a lease that is still held.
 *
 * @throws DatabaseError `lease_lost` when it has run out, even if nobody has taken it since
 */
export async function renewLease(pool: Pool, name: string, holder: string, ttlSeconds: number): Promise<void> {
  const [result] = await pool.transaction(
    (transaction) => transaction.send([query('renew', [name, holder, ttlSeconds])], { commit: true }),
    { idempotent: true },
  )
  if (result?.rowCount !== 1) throw new DatabaseError('lease_lost', `The lease "${name}" was lost.`)
}

/** Gives a lease back; does nothing when it is somebody else's by now. */
export async function releaseLease(pool: Pool, name: string, holder: string): Promise<void> {
  const queries = [query('release', [name, holder])]
  await pool.transaction((transaction) => transaction.send(queries, { commit: true }), { idempotent: true })
}

/** A lease that renews itself until it is released or lost. */
export type HeldLease = {
  readonly holder: string
  /** Aborted, with a DatabaseError `lease_lost` as reason, when the lease could not be renewed in time. */
  readonly lost: AbortSignal
  /** Stops renewing and gives the lease back. */
  release(): Promise<void>
}

/** Renewed this often within its time: two renewals may fail before it is lost. */
const renewalsPerTtl = 3

/**
 * Takes a lease and keeps it.
 *
 * @param process - text that no other process uses; the holder is one taking of it
 * @returns undefined when somebody has it
 */
export async function holdLease(
  pool: Pool,
  name: string,
  process: string,
  ttlSeconds: number,
): Promise<HeldLease | undefined> {
  const holder = `${process} ${randomUUID()}`
  let deadline = performance.now() + ttlSeconds * 1000
  if (!(await acquireLease(pool, name, holder, ttlSeconds))) return undefined
  const controller = new AbortController()
  let renewing: Promise<void> | undefined
  const renew = async (): Promise<void> => {
    const next = performance.now() + ttlSeconds * 1000
    try {
      await renewLease(pool, name, holder, ttlSeconds)
      deadline = next
    } catch (error) {
      // Trouble with the connection is no loss yet, as long as there is time for another try.
      const isLost = error instanceof DatabaseError && error.code === 'lease_lost'
      if (isLost || performance.now() >= deadline) {
        clearInterval(timer)
        controller.abort(isLost ? error : new DatabaseError('lease_lost', `The lease "${name}" was lost.`, error))
      }
    } finally {
      renewing = undefined
    }
  }
  const timer = setInterval(
    () => {
      renewing ??= renew()
    },
    (ttlSeconds * 1000) / renewalsPerTtl,
  )
  timer.unref()
  return {
    holder,
    lost: controller.signal,
    async release() {
      clearInterval(timer)
      await renewing
      if (!controller.signal.aborted) await releaseLease(pool, name, holder)
    },
  }
}
