import type { DatabaseError } from './errors.ts'
import type { PooledTransaction, Transaction } from './transaction.ts'

/** How a whole transaction is repeated. */
export type RetryOptions = {
  /** Most runs in all, the first included. */
  readonly tries?: number
  /** Told before each further run: which run comes next (2 …), and why. */
  readonly onRetry?: (attempt: number, error: DatabaseError) => void
}

/** Chance and time, passed in so that tests can hold them. */
export type RetryClock = { readonly random: () => number; readonly sleep: (milliseconds: number) => Promise<void> }

/** Runs in all. Under contention the chance to fail falls with each; after eight, something else is wrong. */
const defaultTries = 8
/** The first pause lasts at most this many milliseconds, about one short transaction; the bound doubles with each run. */
const basePauseMs = 5
/** No pause lasts longer than this, in milliseconds, so that a request does not outlive its client. */
const mostPauseMs = 250

/** The process's own chance and time. */
export const systemClock: RetryClock = {
  random: Math.random,
  sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
}

/** Pause before a run, drawn evenly from zero to a cap that doubles: "full jitter", so that rivals part. */
export function pauseBefore(attempt: number, random: () => number): number {
  return Math.floor(random() * Math.min(mostPauseMs, basePauseMs * 2 ** (attempt - 1)))
}

/**
 * Runs work in a transaction and commits it; runs it whole again, in a new transaction, after a serialization failure
 * or a deadlock – even if the work has swallowed or wrapped the error. An ambiguous commit is never repeated.
 *
 * @throws whatever the work throws; else the transaction's own error
 */
export async function runWithRetry<T>(
  begin: () => Promise<PooledTransaction>,
  work: (transaction: Transaction) => Promise<T>,
  o: RetryOptions,
  clock: RetryClock,
): Promise<T> {
  const tries = Math.max(1, o.tries ?? defaultTries)
  let refreshed = false
  for (let attempt = 1; ; attempt++) {
    const transaction = await begin()
    let problem: unknown
    try {
      const value = await work(transaction)
      // Work that swallowed the error must not look like success.
      if (transaction.failure === undefined) {
        if (transaction.state === 'new' || transaction.state === 'open') await transaction.commit()
        return value
      }
      problem = transaction.failure
    } catch (error) {
      problem = error
    }
    await transaction.rollback()
    const failure = transaction.failure
    if (failure === undefined) throw problem
    const isStale: boolean = transaction.hasStaleStatement && !refreshed
    if (!isStale && (!transaction.isRetriable || attempt >= tries)) throw problem
    refreshed ||= isStale
    o.onRetry?.(attempt + 1, failure)
    if (!isStale) await clock.sleep(pauseBefore(attempt, clock.random))
  }
}
