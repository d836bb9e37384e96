import { type Carry, type Load, type LoadEnd, rollbackStatement } from './carry.ts'
import type { Connection, FlightLoss } from './connection.ts'
import { type Dialect, beginText, hasImplicitTransaction } from './dialect.ts'
import { DatabaseError, type ServerReport, StatementError } from './errors.ts'
import type { Query, Result, Statement } from './statement.ts'

/** How a transaction runs; SERIALIZABLE and read-write if nothing is said. */
export type TransactionOptions = {
  readonly isolation?: 'serializable' | 'read committed'
  /**
   * Said to the server with BEGIN. A transaction that is one flight with `commit` has no BEGIN on PostgreSQL: there the
   * caller's first statement sets `transaction_read_only` itself, as *enter* does.
   */
  readonly readOnly?: boolean
}

/** Where a transaction stands. */
export type TransactionState = 'new' | 'open' | 'committed' | 'rolled back' | 'broken'

/** A transaction on one connection. Not for use after it has ended: the connection then serves another. */
export type Transaction = {
  readonly state: TransactionState
  /**
   * Sends queries as one flight: one round trip. With `commit` the transaction is committed in the same one.
   *
   * @throws StatementError when one query fails: the rest, COMMIT included, did not run; everything is rolled back
   * @throws DatabaseError `connection_lost`, `commit_ambiguous`, `transaction_timeout`, `value_invalid`, `protocol_surprise`
   */
  send(queries: readonly Query[], o?: { readonly commit?: boolean }): Promise<Result[]>
  /** Sends one query. @throws as `send` */
  query(statement: Statement, values?: readonly unknown[]): Promise<Result>
  /** Commits, if that has not happened and anything was sent. @throws as `send` */
  commit(): Promise<void>
  /** Rolls back; costs no round trip if nothing is open. Never throws. */
  rollback(): Promise<void>
}

/** What a transaction needs from its pool. */
export type TransactionHost = {
  readonly dialect: Dialect
  readonly carry: Carry
  readonly timeoutMs: number
  /** Takes the connection back, usable or not. Called exactly once. */
  release(connection: Connection): void
  /** Counts a flight. */
  countFlight(): void
  /** Prepared statements have gone stale on all connections. */
  forgetStatements(): void
}

/** SQLSTATEs after which the whole transaction may simply be run again. */
const retriable = new Set(['40001', '40P01'])
/** The server knows another set of prepared names than we do. */
const lostBookkeeping = new Set(['26000', '42P05'])
const ambiguous = '40003'
const featureNotSupported = '0A000'

/** A transaction with what the retry loop wants to know of it. */
export class PooledTransaction implements Transaction {
  readonly #connection: Connection
  readonly #host: TransactionHost
  readonly #options: TransactionOptions
  readonly #timer: NodeJS.Timeout
  #state: TransactionState = 'new'
  #busy = false
  #committing = false
  #released = false
  #timedOut = false
  #failure: DatabaseError | undefined
  #staleStatement = false

  constructor(connection: Connection, host: TransactionHost, options: TransactionOptions) {
    this.#connection = connection
    this.#host = host
    this.#options = options
    this.#timer = setTimeout(() => this.#expire(), host.timeoutMs)
  }

  get state(): TransactionState {
    return this.#state
  }

  /** The error that ended it, whatever the caller made of it. */
  get failure(): DatabaseError | undefined {
    return this.#failure
  }

  /** Is running the whole transaction again likely to help? */
  get isRetriable(): boolean {
    return (
      this.#failure instanceof StatementError &&
      this.#failure.code !== 'commit_ambiguous' &&
      retriable.has(this.#failure.sqlstate)
    )
  }

  /** Did it fail because a schema change made a prepared statement stale? Then one more run helps. */
  get hasStaleStatement(): boolean {
    return this.#staleStatement
  }

  async query(statement: Statement, values: readonly unknown[] = []): Promise<Result> {
    const [result] = await this.send([{ statement, values }])
    return result as Result
  }

  async send(queries: readonly Query[], o: { readonly commit?: boolean } = {}): Promise<Result[]> {
    const commit = o.commit === true
    this.#assertUsable()
    if (queries.length === 0 && (!commit || this.#state === 'new')) {
      if (commit) this.#finish('committed')
      return []
    }
    const load = this.#load(queries, commit)
    this.#busy = true
    this.#committing = commit
    let end: LoadEnd | FlightLoss
    try {
      this.#host.countFlight()
      end = await this.#host.carry(this.#connection, load)
    } catch (error) {
      // Nothing was sent: a value or a name was unusable. The transaction goes on as it was.
      if (error instanceof DatabaseError && this.#connection.isUsable) throw error
      throw this.#break(new DatabaseError('connection_lost', undefined, error))
    } finally {
      this.#busy = false
      this.#committing = false
    }
    if ('cause' in end) throw this.#break(this.#lossOf(end, load))
    if (end.failure !== undefined) throw await this.#fail(end.failure, end.status, load)
    if (end.surprise !== undefined)
      throw this.#break(new DatabaseError('protocol_surprise', `Protocol: ${end.surprise}.`))
    if (commit) this.#finish('committed')
    else this.#state = 'open'
    return [...end.results]
  }

  async commit(): Promise<void> {
    if (this.#state === 'committed') return
    this.#assertUsable()
    await this.send([], { commit: true })
  }

  async rollback(): Promise<void> {
    if (this.#state !== 'new' && this.#state !== 'open') return
    // The answer to the flight is still to come: nobody else may get this connection.
    if (this.#busy) return void this.#break(new DatabaseError('transaction_state', 'Rolled back amid a flight.'))
    if (this.#state === 'new') return this.#finish('rolled back')
    await this.#sendRollback()
  }

  #load(queries: readonly Query[], commit: boolean): Load {
    const isFirst = this.#state === 'new'
    const implicit =
      isFirst &&
      commit &&
      (this.#options.isolation ?? 'serializable') === 'serializable' &&
      hasImplicitTransaction(this.#host.dialect)
    const text = beginText(this.#options)
    const opening = isFirst ? { name: `hf_${text.toLowerCase().replaceAll(/\W+/g, '_')}`, text } : undefined
    return { opening, queries, commit, implicit }
  }

  #assertUsable(): void {
    if (this.#timedOut) throw this.#failure ?? new DatabaseError('transaction_timeout')
    if (this.#busy) throw new DatabaseError('transaction_state', 'A flight of this transaction is still under way.')
    if (this.#state === 'new' || this.#state === 'open') return
    throw this.#failure ?? new DatabaseError('transaction_state', `The transaction is ${this.#state}.`)
  }

  /** A statement failed: everything is rolled back, and the connection kept. */
  async #fail(
    failure: { report: ServerReport; index: number },
    status: 'I' | 'T' | 'E',
    load: Load,
  ): Promise<DatabaseError> {
    const { report, index } = failure
    if (lostBookkeeping.has(report.sqlstate)) {
      return this.#break(new StatementError('protocol_surprise', index, report))
    }
    if (report.sqlstate === featureNotSupported && index >= 0 && load.queries[index]?.statement.name !== '') {
      // "cached plan must not change result type", in whatever language: prepare everything afresh.
      this.#staleStatement = true
      this.#host.forgetStatements()
    }
    if (report.sqlstate === ambiguous) return this.#break(new StatementError('commit_ambiguous', index, report))
    this.#failure = new StatementError(
      retriable.has(report.sqlstate) ? 'serialization_failure' : 'statement_failed',
      index,
      report,
    )
    if (status === 'I') this.#finish('rolled back')
    else await this.#sendRollback()
    return this.#failure
  }

  async #sendRollback(): Promise<void> {
    this.#busy = true
    try {
      this.#host.countFlight()
      const load: Load = {
        opening: undefined,
        queries: [{ statement: rollbackStatement, values: [] }],
        commit: false,
        implicit: false,
      }
      const end = await this.#host.carry(this.#connection, load)
      if ('cause' in end || end.failure !== undefined || end.status !== 'I') {
        this.#break(new DatabaseError('protocol_surprise', 'ROLLBACK did not succeed.'))
      } else this.#finish('rolled back')
    } finally {
      this.#busy = false
    }
  }

  /** What a lost connection means. Only where COMMIT was on its way, and not known to have been skipped, is it open. */
  #lossOf(loss: FlightLoss, load: Load): DatabaseError {
    const skipped = loss.failure !== undefined && loss.failure.index < load.queries.length
    if (load.commit && loss.submitted && !skipped && this.#options.readOnly !== true) {
      return new DatabaseError('commit_ambiguous', undefined, loss.cause)
    }
    if (this.#timedOut) return new DatabaseError('transaction_timeout')
    return new DatabaseError('connection_lost', undefined, loss.cause)
  }

  #expire(): void {
    this.#timedOut = true
    const error = new DatabaseError('transaction_timeout')
    // A flight under way fails by itself when its connection goes; it knows whether a commit was on board.
    if (this.#busy) {
      this.#failure ??= this.#committing ? undefined : error
      this.#connection.destroy(error)
    } else this.#break(error)
  }

  #break(error: DatabaseError): DatabaseError {
    this.#failure = this.#failure?.code === 'transaction_timeout' ? this.#failure : error
    this.#connection.destroy(error)
    this.#finish('broken')
    return this.#failure
  }

  #finish(state: TransactionState): void {
    this.#state = state
    if (this.#released) return
    this.#released = true
    clearTimeout(this.#timer)
    this.#host.release(this.#connection)
  }
}
