import { DatabaseError } from './errors.ts'
import type { PooledTransaction, Transaction } from './transaction.ts'

/** How a whole transaction is repeated. */
export type RetryOptions = {
  /** Most runs in all, the first included; 1: none is repeated. */
  readonly tries?: number
  /** Milliseconds from the first run's beginning after which no further one begins; 5,000 if left out. */
  readonly budgetMs?: number
  /**
   * Doing the work twice is as good as doing it once, in what it stores and in what it returns: then it is also repeated
   * where nobody knows whether it was committed.
   */
  readonly idempotent?: boolean
  /** Told before each further run: which run comes next (2 …), and why. */
  readonly onRetry?: (attempt: number, error: DatabaseError) => void
}

/** What became of transactions that failed for no fault of theirs, counted since the pool was made. */
export type RetryCounts = {
  /** Further runs, by the SQLSTATE that led to them; 08001: no connection could be made, 08006: one was lost. */
  readonly retries: Record<string, number>
  /** Commits of which nobody knows whether they happened. */
  ambiguous: number
  /** Failures that another run might have mended, had tries or time been left. */
  exhausted: number
}

/** Counters at zero. */
export function noRetries(): RetryCounts {
  return { retries: {}, ambiguous: 0, exhausted: 0 }
}

/** Chance and time, passed in so that tests can hold them. */
export type RetryClock = {
  readonly random: () => number
  readonly sleep: (milliseconds: number) => Promise<void>
  /** milliseconds of a clock that never goes back */
  readonly now: () => number
}

/** Runs in all. Under contention the chance to fail falls with each; after eight, something else is wrong. */
const defaultTries = 8
/** No further run begins so many milliseconds after the first: with a last one's own 5 s, clients still wait. */
const defaultBudgetMs = 5_000
/** A database that takes no connection is asked again for so long, in milliseconds: a restart or a fail-over, not an outage. */
const unreachableBudgetMs = 2_000
/** The first pause lasts at most this many milliseconds, about one short transaction; the bound doubles with each run. */
const basePauseMs = 5
/** No pause lasts longer than this, in milliseconds, so that a request does not outlive its client. */
const mostPauseMs = 250
/** SQLSTATE "unable to establish connection", under which such runs are counted. */
const unreachableSqlstate = '08001'
/** SQLSTATE of a prepared statement that a schema change has made stale. */
const staleSqlstate = '0A000'

/** The process's own chance and time. */
export const systemClock: RetryClock = {
  random: Math.random,
  sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  now: () => performance.now(),
}

/** Pause before a run, drawn evenly from zero to a cap that doubles: "full jitter", so that rivals part. */
export function pauseBefore(attempt: number, random: () => number): number {
  return Math.floor(random() * Math.min(mostPauseMs, basePauseMs * 2 ** (attempt - 1)))
}

/**
 * Runs work in a transaction and commits it; runs it whole again, in a new transaction, after a serialization failure or
 * a deadlock – even if the work has swallowed or wrapped the error –, where no connection could be had, where one was
 * lost before anything had been answered, and where a server takes no writes any more. An ambiguous commit is repeated
 * only where the work is declared idempotent.
 *
 * @throws whatever the work throws; else the transaction's own error
 */
export async function runWithRetry<T>(
  begin: () => Promise<PooledTransaction>,
  work: (transaction: Transaction) => Promise<T>,
  o: RetryOptions,
  clock: RetryClock,
  counts: RetryCounts,
): Promise<T> {
  const run = new Run(o, clock, counts)
  for (;;) {
    const transaction = await begin().catch((error: unknown) => run.judgeBeginning(error))
    if (transaction === undefined) continue
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
    if (!(await run.mayGoOn(transaction))) throw problem
  }
}

/** The runs of one piece of work. */
class Run {
  readonly #o: RetryOptions
  readonly #clock: RetryClock
  readonly #counts: RetryCounts
  readonly #started: number
  #attempt = 1
  #refusals = 0
  #refreshed = false

  constructor(o: RetryOptions, clock: RetryClock, counts: RetryCounts) {
    this.#o = o
    this.#clock = clock
    this.#counts = counts
    this.#started = clock.now()
  }

  /** No connection: nothing was sent. Waits, or @throws the error */
  async judgeBeginning(error: unknown): Promise<undefined> {
    if (!(error instanceof DatabaseError)) throw error
    if (error.code !== 'database_unavailable' && error.code !== 'database_read_only') throw error
    const budgetMs = Math.min(unreachableBudgetMs, this.#o.budgetMs ?? defaultBudgetMs)
    if (this.#tries <= 1 || this.#elapsedMs >= budgetMs) {
      this.#counts.exhausted++
      throw error
    }
    this.#count(unreachableSqlstate)
    await this.#clock.sleep(pauseBefore(++this.#refusals + 1, this.#clock.random))
    return undefined
  }

  /** Did it fail so that it may be run again? Then waits until it should be. */
  async mayGoOn(transaction: PooledTransaction): Promise<boolean> {
    const { failure, hasStaleStatement } = transaction
    if (failure?.code === 'commit_ambiguous') this.#counts.ambiguous++
    if (failure === undefined) return false
    if (hasStaleStatement && !this.#refreshed) {
      this.#refreshed = true
      this.#repeat(staleSqlstate, failure)
      return true
    }
    const reason = transaction.retryReason(this.#o.idempotent === true)
    if (reason === undefined) return false
    if (this.#attempt >= this.#tries || this.#elapsedMs >= (this.#o.budgetMs ?? defaultBudgetMs)) {
      this.#counts.exhausted++
      return false
    }
    const pause = pauseBefore(this.#attempt, this.#clock.random)
    this.#repeat(reason, failure)
    await this.#clock.sleep(pause)
    return true
  }

  #repeat(sqlstate: string, failure: DatabaseError): void {
    this.#count(sqlstate)
    this.#attempt++
    this.#o.onRetry?.(this.#attempt, failure)
  }

  #count(sqlstate: string): void {
    this.#counts.retries[sqlstate] = (this.#counts.retries[sqlstate] ?? 0) + 1
  }

  get #tries(): number {
    return Math.max(1, this.#o.tries ?? defaultTries)
  }

  get #elapsedMs(): number {
    return this.#clock.now() - this.#started
  }
}
