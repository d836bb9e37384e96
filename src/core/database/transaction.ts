import { type Carry, type Load, type LoadEnd, rollbackStatement } from './carry.ts'
import type { Connection, FlightLoss } from './connection.ts'
import { type Dialect, beginText, hasImplicitTransaction, namesRoutines } from './dialect.ts'
import { DatabaseError, type DatabaseErrorCode, type ServerReport, StatementError } from './errors.ts'
import { type FlightEnd, SUSPENDED } from './flight.ts'
import type { Query, Result, Row, Statement } from './statement.ts'

/** How a transaction runs; SERIALIZABLE and read-write if nothing is said. */
export type TransactionOptions = {
  readonly isolation?: 'serializable' | 'repeatable read' | 'read committed'
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
   * @param o - `entering`: the first query binds the transaction to its caller; an error of its own, other than a denial,
   * destroys the connection
   * @throws StatementError when one query fails: the rest, COMMIT included, did not run; everything is rolled back
   * @throws DatabaseError `too_many_rows` when one answers with more rows than the pool accepts: everything is rolled
   * back – but for a transaction that writes and was committed in this very flight, which the message then says
   * @throws DatabaseError `connection_lost`, `commit_ambiguous`, `transaction_timeout`, `answer_too_large`,
   * `database_read_only`, `value_invalid`, `protocol_surprise`
   */
  send(queries: readonly Query[], o?: SendOptions): Promise<Result[]>
  /** Sends one query. @throws as `send` */
  query(statement: Statement, values?: readonly unknown[]): Promise<Result>
  /**
   * Gets some rows of a query by a portal: the first ones, or with `again` the next ones of the query before. Nothing
   * else may be sent until there are no more.
   *
   * @param rows - most rows
   * @throws as `send`; nothing is retried
   */
  fetch(query: Query, rows: number, again?: boolean): Promise<Fetched>
  /** Commits, if that has not happened and anything was sent. @throws as `send` */
  commit(): Promise<void>
  /**
   * Runs work under a savepoint: when it throws, only what it sent is undone, and the transaction goes on. What ends a
   * whole transaction still does: a serialization failure, a denial, a lost connection, the time limit. The transaction
   * itself is used inside; one savepoint is open at a time, others nest in it.
   *
   * @throws what the work throws; the failure of a statement that the work swallowed
   * @throws DatabaseError `transaction_state` for one nested too deeply, or not awaited
   */
  savepoint<T>(work: () => Promise<T>): Promise<T>
  /** Rolls back; costs no round trip if nothing is open. Never throws. */
  rollback(): Promise<void>
}

/** How queries are sent. */
export type SendOptions = { readonly commit?: boolean; readonly entering?: boolean }

/** Some rows of a query, and how many bytes came with them. */
export type Fetched = { readonly rows: Row[]; readonly isLast: boolean; readonly bytes: number }

/** What a transaction needs from its pool. */
export type TransactionHost = {
  readonly dialect: Dialect
  readonly carry: Carry
  readonly timeoutMs: number
  /** What a connection says that nobody uses. */
  readonly idleStatus: 'I' | 'T'
  /** Is a connection given up that saw an error in BEGIN, in COMMIT or in entering? Not where it is the only one there can be. */
  readonly givesUpSuspects: boolean
  /** Takes the connection back, usable or not. Called exactly once. */
  release(connection: Connection): void
  /** The connection's host takes no writes. */
  avoidHostOf(connection: Connection): void
  /** Counts a flight. */
  countFlight(): void
  /** Prepared statements have gone stale on all connections. */
  forgetStatements(): void
}

/** SQLSTATEs after which the whole transaction may simply be run again. */
const retriable = new Set(['40001', '40P01'])
/** The server knows another set of prepared names than we do. */
const lostBookkeeping = new Set(['26000', '42P05'])
/** The server cannot say whether it has committed: "statement completion unknown". */
const ambiguous = '40003'
/** The server goes, has no room, or cannot be reached by whoever stands between – and not 08P01, a wrong message. */
const connectionGone = /^(?:08\d{3}|57P0[123]|53300)$/
/** A write was refused because nothing may be written there: a standby, or a server that was made read-only. */
const readOnlySqlstate = '25006'
/** Counted for a connection that went without a word: "connection failure". */
const lostSqlstate = '08006'
const queryCanceled = '57014'
const featureNotSupported = '0A000'
/** Where PostgreSQL says that a prepared statement no longer fits its tables. */
const staleRoutine = 'RevalidateCachedQuery'
/** SQLSTATEs of our own: the caller may not. A denial ends the transaction, whatever surrounds it. */
const denial = 'KH'
/** Savepoints in one another: each costs the server memory and a subtransaction; deeper is a loop, not a design. */
const mostSavepoints = 8

/** The few ways to begin, by their text. */
const openings = new Map<string, Statement>()

function openingOf(options: TransactionOptions): Statement {
  const text = beginText(options)
  const known = openings.get(text)
  if (known !== undefined) return known
  const opening = { name: `hf_${text.toLowerCase().replaceAll(/\W+/g, '_')}`, text }
  openings.set(text, opening)
  return opening
}

/** A transaction with what the retry loop wants to know of it. */
export class PooledTransaction implements Transaction {
  readonly #connection: Connection
  readonly #host: TransactionHost
  readonly #options: TransactionOptions
  readonly #timer: NodeJS.Timeout
  #state: TransactionState = 'new'
  #busy = false
  #committing = false
  /** A round trip has come back whole. */
  #answered = false
  #released = false
  #timedOut = false
  #failure: DatabaseError | undefined
  #staleStatement = false
  /** Savepoints that are open. */
  #depth = 0
  /** A statement failed under a savepoint: nothing more is sent until that is undone. */
  #undoFirst: DatabaseError | undefined

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

  /**
   * Why running the whole transaction again is safe and likely to help, as an SQLSTATE; nothing if it is not.
   *
   * @param idempotent - doing the work twice is as good as once: then also where nobody knows whether it was done
   */
  retryReason(idempotent: boolean): string | undefined {
    const failure = this.#failure
    if (failure === undefined) return undefined
    const sqlstate = failure instanceof StatementError ? failure.sqlstate : lostSqlstate
    switch (failure.code) {
      case 'serialization_failure':
      case 'database_read_only':
        return sqlstate
      case 'connection_lost':
        // nothing was committed; where nothing had been answered either, nobody has seen the first run
        return idempotent || !this.#answered ? sqlstate : undefined
      case 'commit_ambiguous':
        return idempotent ? sqlstate : undefined
      default:
        return undefined
    }
  }

  /** Did it fail because a schema change made a prepared statement stale? Then one more run helps. */
  get hasStaleStatement(): boolean {
    return this.#staleStatement
  }

  async query(statement: Statement, values: readonly unknown[] = []): Promise<Result> {
    const [result] = await this.send([{ statement, values }])
    return result as Result
  }

  async send(queries: readonly Query[], o: SendOptions = {}): Promise<Result[]> {
    const commit = o.commit === true
    this.#assertUsable()
    if (commit && this.#depth > 0) {
      throw new DatabaseError('transaction_state', 'A savepoint is still open: it was not awaited, or commits itself.')
    }
    if (queries.length === 0 && (!commit || this.#state === 'new')) {
      if (commit) this.#finish('committed')
      return []
    }
    this.#assertStatus()
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
    if (end.failure !== undefined) throw await this.#fail(end.failure, end.status, load, o.entering === true)
    if (end.surprise !== undefined)
      throw this.#break(new DatabaseError('protocol_surprise', `Protocol: ${end.surprise}.`))
    this.#answered = true
    if (end.excess !== undefined) throw await this.#refuseRows(end.excess, commit)
    if (commit) this.#finish('committed')
    else this.#state = 'open'
    return [...end.results]
  }

  async fetch(query: Query, rows: number, again = false): Promise<Fetched> {
    this.#assertUsable()
    if (this.#state !== 'open') throw new DatabaseError('transaction_state', 'Nothing is fetched before it is entered.')
    this.#assertStatus()
    const load: Load = { opening: undefined, queries: [query], commit: false, implicit: false }
    const before = this.#connection.bytesReceived
    this.#busy = true
    let end: FlightEnd | FlightLoss
    try {
      this.#host.countFlight()
      end = await this.#connection.fetch(query, rows, again)
    } finally {
      this.#busy = false
    }
    if ('cause' in end) throw this.#break(this.#lossOf(end, load))
    if (end.failure !== undefined) throw await this.#fail(end.failure, end.status, load)
    const [result] = end.results
    if (end.status !== 'T' || result === undefined) {
      throw this.#break(new DatabaseError('protocol_surprise', `Protocol: transaction status ${end.status} and not T.`))
    }
    const isLast = end.tags[0] !== SUSPENDED
    return { rows: result.rows, isLast, bytes: this.#connection.bytesReceived - before }
  }

  async commit(): Promise<void> {
    if (this.#state === 'committed') return
    this.#assertUsable()
    await this.send([], { commit: true })
  }

  async savepoint<T>(work: () => Promise<T>): Promise<T> {
    this.#assertUsable()
    if (this.#depth >= mostSavepoints) {
      throw new DatabaseError('transaction_state', `Savepoints nest at most ${mostSavepoints} deep.`)
    }
    await this.query(savepointStatement('SAVEPOINT', this.#depth + 1))
    const depth = ++this.#depth
    try {
      const value = await work()
      // Work that swallowed the error must not look like success.
      if (this.#undoFirst !== undefined) throw this.#undoFirst
      if (this.#depth !== depth) {
        throw new DatabaseError('transaction_state', 'A savepoint inside this one is still open: it was not awaited.')
      }
      await this.query(savepointStatement('RELEASE SAVEPOINT', depth))
      this.#depth = depth - 1
      return value
    } catch (error) {
      await this.#undo(depth)
      throw error
    }
  }

  /** Takes back what was done under a savepoint, and under those inside it. */
  async #undo(depth: number): Promise<void> {
    if (this.#state !== 'open' || this.#depth < depth) return
    if (this.#busy) return void this.#break(new DatabaseError('transaction_state', 'A savepoint ended amid a flight.'))
    this.#depth = depth - 1
    this.#undoFirst = undefined
    const statements = [
      savepointStatement('ROLLBACK TO SAVEPOINT', depth),
      savepointStatement('RELEASE SAVEPOINT', depth),
    ]
    const end = await this.#control(statements)
    if (end === 'T') return
    const code = this.#connection.isUsable ? 'protocol_surprise' : 'connection_lost'
    this.#break(new DatabaseError(code, 'ROLLBACK TO SAVEPOINT did not succeed.'))
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
      hasImplicitTransaction(this.#host.dialect) &&
      this.#connection.pooler === undefined
    const opening = isFirst ? openingOf(this.#options) : undefined
    return { opening, queries, commit, implicit }
  }

  #assertUsable(): void {
    if (this.#timedOut) throw this.#failure ?? new DatabaseError('transaction_timeout')
    if (this.#busy) throw new DatabaseError('transaction_state', 'A flight of this transaction is still under way.')
    if (this.#undoFirst !== undefined) throw this.#undoFirst
    if (this.#state === 'new' || this.#state === 'open') return
    throw this.#failure ?? new DatabaseError('transaction_state', `The transaction is ${this.#state}.`)
  }

  /** What the server said last must be what we think, or a statement would run outside of its transaction (CWE-639). */
  #assertStatus(): void {
    const { status, isUsable } = this.#connection
    const expected = this.#state === 'new' ? this.#host.idleStatus : 'T'
    if (!isUsable || status === expected) return
    const text = `Protocol: transaction status ${status} before a statement, and not ${expected}.`
    throw this.#break(new DatabaseError('protocol_surprise', text))
  }

  /** A statement failed: everything is rolled back, and the connection kept – unless it can no longer be trusted. */
  async #fail(
    failure: { report: ServerReport; index: number },
    status: 'I' | 'T' | 'E',
    load: Load,
    entering = false,
  ): Promise<DatabaseError> {
    const { report, index } = failure
    const fatal = this.#fatalCodeOf(report.sqlstate, index, load)
    if (fatal === 'database_read_only') this.#host.avoidHostOf(this.#connection)
    if (fatal !== undefined) return this.#break(new StatementError(fatal, index, report))
    const isNamed = index >= 0 && load.queries[index]?.statement.name !== ''
    if (report.sqlstate === featureNotSupported && isNamed && this.#mayBeStale(report)) {
      // "cached plan must not change result type", in whatever language: prepare everything afresh.
      this.#staleStatement = true
      this.#host.forgetStatements()
    }
    const error = new StatementError(codeOf(report.sqlstate), index, report)
    if (this.#host.givesUpSuspects && isSuspect(report.sqlstate, index, load, entering)) return this.#break(error)
    if (this.#depth > 0 && status === 'E' && this.#endsAtSavepoint(report.sqlstate)) {
      this.#undoFirst = error
      return error
    }
    this.#failure = error
    if (status === 'I') this.#finish('rolled back')
    else await this.#sendRollback()
    return this.#failure
  }

  /** After these the connection is of no more use, wherever they come from. */
  #fatalCodeOf(sqlstate: string, index: number, load: Load): DatabaseErrorCode | undefined {
    if (lostBookkeeping.has(sqlstate)) return 'protocol_surprise'
    const atCommit = load.commit && index === load.queries.length && this.#options.readOnly !== true
    if (sqlstate === ambiguous) return 'commit_ambiguous'
    if (connectionGone.test(sqlstate)) return atCommit ? 'commit_ambiguous' : 'connection_lost'
    return sqlstate === readOnlySqlstate && this.#options.readOnly !== true ? 'database_read_only' : undefined
  }

  /** A value may be a feature that is not supported, too, such as a unit of time: PostgreSQL tells where it said so. */
  #mayBeStale({ routine }: ServerReport): boolean {
    return !namesRoutines(this.#host.dialect) || routine === undefined || routine === staleRoutine
  }

  /** The answer is not given out by halves, and what led to it does not stay – unless its COMMIT was on board. */
  async #refuseRows(index: number, commit: boolean): Promise<DatabaseError> {
    const { maxRows } = this.#connection
    const done = commit && this.#options.readOnly !== true ? ' The transaction was committed with it.' : ''
    const error = new DatabaseError(
      'too_many_rows',
      `Query ${index} answered with more than ${maxRows} rows: read them a page at a time, by LIMIT and the key of the last row.${done}`,
    )
    if (this.#depth > 0) {
      this.#undoFirst = error
      return error
    }
    this.#failure = error
    if (commit) this.#finish('committed')
    else await this.#sendRollback()
    return this.#failure
  }

  /** What is repeated whole, or denied, does not stop at a savepoint. */
  #endsAtSavepoint(sqlstate: string): boolean {
    return !retriable.has(sqlstate) && !sqlstate.startsWith(denial) && !this.#staleStatement
  }

  async #sendRollback(): Promise<void> {
    if ((await this.#control([rollbackStatement])) === 'I') return this.#finish('rolled back')
    // Nothing that was not committed stays when the connection goes: what led here is still what is wrong.
    this.#break(this.#failure ?? new DatabaseError('connection_lost', 'ROLLBACK did not succeed.'))
  }

  /** Sends statements that change where the transaction stands, and tells the status they left; nothing if one failed. */
  async #control(statements: readonly Statement[]): Promise<'I' | 'T' | 'E' | undefined> {
    this.#busy = true
    try {
      this.#host.countFlight()
      const queries = statements.map((statement) => ({ statement, values: [] }))
      const load: Load = { opening: undefined, queries, commit: false, implicit: false }
      const end = await this.#host.carry(this.#connection, load)
      return 'cause' in end || end.failure !== undefined ? undefined : end.status
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
    if (loss.cause instanceof DatabaseError && loss.cause.code === 'answer_too_large') return loss.cause
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
    const told = this.#failure?.code === 'transaction_timeout' ? this.#failure : error
    // what broke it is told to the retry; what a flight under way says of it afterwards is not
    if (this.#state === 'broken') return told
    this.#failure = told
    this.#connection.destroy(error)
    this.#finish('broken')
    return told
  }

  #finish(state: TransactionState): void {
    this.#state = state
    if (this.#released) return
    this.#released = true
    clearTimeout(this.#timer)
    this.#host.release(this.#connection)
  }
}

/**
 * Errors after which nobody knows what the session is left with: in BEGIN, in COMMIT, and in what binds the transaction
 * to its caller, but for a denial. A conflict is none of them: it says itself that all was rolled back.
 */
function isSuspect(sqlstate: string, index: number, load: Load, entering: boolean): boolean {
  if (retriable.has(sqlstate)) return false
  if (index === -1 || (load.commit && index === load.queries.length)) return true
  return entering && index === 0 && !sqlstate.startsWith(denial)
}

function codeOf(sqlstate: string): 'serialization_failure' | 'statement_timeout' | 'statement_failed' {
  if (retriable.has(sqlstate)) return 'serialization_failure'
  return sqlstate === queryCanceled ? 'statement_timeout' : 'statement_failed'
}

/** One name stands for one text: there are as many as savepoints nest. */
function savepointStatement(
  verb: 'SAVEPOINT' | 'RELEASE SAVEPOINT' | 'ROLLBACK TO SAVEPOINT',
  depth: number,
): Statement {
  return { name: `hf_${verb.toLowerCase().replaceAll(' ', '_')}_${depth}`, text: `${verb} hf_${depth}` }
}
