import { type Carry, carryFlight } from './carry.ts'
import type { Connection, ConnectionOptions } from './connection.ts'
import type { ConnectionTarget } from './connection-target.ts'
import type { Dialect } from './dialect.ts'
import { DatabaseError } from './errors.ts'
import { Hosts } from './hosts.ts'
import { noRetries, type RetryOptions, runWithRetry, systemClock } from './retry.ts'
import type { RoleName } from './roles.ts'
import { carrySequentially } from './sequential.ts'
import type { Row, Statement } from './statement.ts'
import { PooledTransaction, type Transaction, type TransactionHost, type TransactionOptions } from './transaction.ts'

export type { ConnectionTarget } from './connection-target.ts'

/** How a pool is made. Times are in milliseconds. */
export type PoolOptions = {
  readonly connection: ConnectionTarget
  /** Most connections. */
  readonly size: number
  /** So many are kept, used or not; none but the first if left out. As many as `size`: no request waits for one to be made. */
  readonly minimum?: number | undefined
  /** Seconds that a connection is used before another takes its place, ± a tenth; 300 if left out. */
  readonly lifetimeSeconds?: number | undefined
  /** Shown in the server's list of sessions. */
  readonly applicationName: string
  /** Speak as to this database; found out if left out. */
  readonly dialect?: Dialect
  readonly statementTimeoutMs?: number
  readonly transactionTimeoutMs?: number
  readonly acquireTimeoutMs?: number
  /** A connection that nobody used for so long is asked whether it is still there before it is; 30,000 ms if left out. */
  readonly idleCheckMs?: number
  /** Most rows of one answer, 10,000 if left out; a unit with a larger one is rolled back: `too_many_rows`. */
  readonly maxRows?: number | undefined
  /** Most bytes of the answers of one round trip, 64 MiB if left out; beyond, the connection is given up: `answer_too_large`. */
  readonly maxAnswerBytes?: number | undefined
  readonly mode?: 'flight' | 'sequential'
  /** Role to take on after signing in, for the migrator alone: login roles are what they are. */
  readonly role?: RoleName
  /** Looks at each connection before it is handed out: for tests, as it costs a round trip. */
  readonly onCheckout?: CheckoutLook | undefined
}

/** Asks a connection something before a transaction has it. What it throws, the transaction's beginning throws. */
export type CheckoutLook = (ask: (text: string) => Promise<readonly Row[]>) => Promise<void>

/** Numbers for metrics. */
type PoolStats = {
  readonly size: number
  readonly idle: number
  readonly waiting: number
  readonly created: number
  readonly destroyed: number
  readonly flights: number
  /** Further runs of transactions, by the SQLSTATE that led to them; 08001: no connection, 08006: lost without a word. */
  readonly retries: Readonly<Record<string, number>>
  /** Commits of which nobody knows whether they happened. */
  readonly ambiguous: number
  /** Failures that another run might have mended, had tries or time been left. */
  readonly exhausted: number
}

/** Connections to one database as one role. */
export type Pool = {
  readonly dialect: Dialect
  /**
   * Takes a connection for a transaction. Nothing is sent yet.
   *
   * @throws DatabaseError `pool_exhausted`, `pool_closed`, `database_unavailable`, `database_read_only`
   */
  begin(o?: TransactionOptions): Promise<Transaction>
  /**
   * Runs work in a transaction and commits it, unless the work has committed or rolled back itself. After a
   * serialization failure, and where a connection could not be had or was lost before anything was answered, the work
   * runs again from the start, so it must have no effect outside the database.
   *
   * @param o - `idempotent: true` also repeats it where nobody knows whether it was committed
   * @throws what the work throws, and what `begin` and `send` throw
   */
  transaction<T>(work: (transaction: Transaction) => Promise<T>, o?: TransactionOptions & RetryOptions): Promise<T>
  /** Takes no new work, waits for transactions under way (they have their own time limit), closes all connections. */
  close(): Promise<void>
  readonly stats: PoolStats
}

/** Shorter than a transaction, so that the database cancels a statement and the connection is kept. */
const defaultStatementTimeoutMs = 4_000
/** A transaction lives at most 5 s: longer ones hold back revocations and clean-up. */
const defaultTransactionTimeoutMs = 5_000
/** Longer than most bursts last, shorter than clients wait. */
const defaultAcquireTimeoutMs = 5_000
/** More waiters than this for each connection would only time out (CWE-770). */
const waitersPerConnection = 64
/** Connecting and signing in may take this long, in milliseconds: a database that is there answers far sooner. */
const connectTimeoutMs = 5_000
/** Connections are renewed, so that load spreads over the nodes of a cluster; jitter keeps them from going all at once. */
const defaultLifetimeSeconds = 300
const lifetimeJitter = 0.1
/** What stands between – a balancer, a firewall – drops connections that are silent for some minutes. */
const defaultIdleCheckMs = 30_000
/** An idle connection that does not answer within so many milliseconds is given up. */
const idleAnswerMs = 1_000
/** A connection that is kept ready and could not be made is tried again after so many milliseconds. */
const refillPauseMs = 1_000
const stillThere: Statement = { name: 'hf_still_there', text: 'SELECT 1 AS still_there' }
/** Prepared names a connection; a server keeps a plan of some 10–50 kB for each. */
const statementLimit = 256

type Waiter = { resolve(connection: Connection): void; reject(error: Error): void; timer: NodeJS.Timeout }

/**
 * Makes a pool: connects once, checks the session's invariants and finds out the dialect.
 *
 * @throws DatabaseError `database_unavailable`, `database_unsupported`, `startup_invariant`, `database_target_invalid`
 */
export async function createPool(o: PoolOptions): Promise<Pool> {
  const pool = new ConnectionPool(o)
  await pool.open()
  return pool
}

class ConnectionPool implements Pool {
  readonly #options: PoolOptions
  readonly #hosts: Hosts
  readonly #connecting: Omit<ConnectionOptions, 'address'>
  readonly #carry: Carry
  readonly #all = new Set<Connection>()
  /** Last in, first out: the connection used last has the warmest caches. */
  readonly #idle: Connection[] = []
  readonly #waiters: Waiter[] = []
  #dialect: Dialect = 'postgresql'
  #host: TransactionHost | undefined
  #opening = 0
  #closed: (() => void) | undefined
  #isClosing = false
  #epoch = 0
  #created = 0
  #destroyed = 0
  #flights = 0
  readonly #counts = noRetries()

  constructor(o: PoolOptions) {
    if (!Number.isInteger(o.size) || o.size < 1) throw new RangeError('a pool needs at least one connection')
    const { minimum = 0 } = o
    if (!Number.isInteger(minimum) || minimum < 0 || minimum > o.size) {
      throw new RangeError('a pool keeps at least none of its connections, and at most all')
    }
    for (const most of [o.maxRows, o.maxAnswerBytes, o.lifetimeSeconds]) {
      if (most !== undefined && !(Number.isSafeInteger(most) && most >= 1))
        throw new RangeError('a limit is at least one')
    }
    this.#options = o
    const statementTimeoutMs = o.statementTimeoutMs ?? defaultStatementTimeoutMs
    this.#hosts = new Hosts(o.connection)
    this.#connecting = {
      applicationName: o.applicationName,
      connectTimeoutMs,
      statementLimit,
      statementTimeoutMs,
      maxRows: o.maxRows,
      maxAnswerBytes: o.maxAnswerBytes,
      idleInTransactionTimeoutMs: 2 * (o.transactionTimeoutMs ?? defaultTransactionTimeoutMs),
      ...(o.role === undefined ? {} : { role: o.role }),
    }
    this.#carry = o.mode === 'sequential' ? carrySequentially : carryFlight
  }

  get dialect(): Dialect {
    return this.#dialect
  }

  get stats(): PoolStats {
    return {
      size: this.#all.size,
      idle: this.#idle.length,
      waiting: this.#waiters.length,
      created: this.#created,
      destroyed: this.#destroyed,
      flights: this.#flights,
      ...this.#counts,
      retries: { ...this.#counts.retries },
    }
  }

  /** Connects the first connection, and then those that are kept ready. */
  async open(): Promise<void> {
    const first = await this.#connect()
    this.#dialect = this.#options.dialect ?? first.dialect
    this.#give(first)
    this.#refill()
  }

  begin(o: TransactionOptions = {}): Promise<Transaction> {
    return this.#begin(o)
  }

  transaction<T>(
    work: (transaction: Transaction) => Promise<T>,
    o: TransactionOptions & RetryOptions = {},
  ): Promise<T> {
    return runWithRetry(() => this.#begin(o), work, o, systemClock, this.#counts)
  }

  async close(): Promise<void> {
    this.#isClosing = true
    for (const waiter of this.#waiters.splice(0)) {
      clearTimeout(waiter.timer)
      waiter.reject(new DatabaseError('pool_closed'))
    }
    await Promise.all(this.#idle.splice(0).map((connection) => connection.close()))
    if (this.#all.size === 0 && this.#opening === 0) return
    await new Promise<void>((resolve) => {
      this.#closed = resolve
    })
  }

  async #begin(o: TransactionOptions): Promise<PooledTransaction> {
    const connection = await this.#acquire()
    if (connection.epoch !== this.#epoch) {
      connection.forgetStatements()
      connection.epoch = this.#epoch
    }
    this.#host ??= this.#makeHost()
    return new PooledTransaction(connection, this.#host, o)
  }

  #makeHost(): TransactionHost {
    return {
      dialect: this.#dialect,
      carry: this.#carry,
      timeoutMs: this.#options.transactionTimeoutMs ?? defaultTransactionTimeoutMs,
      idleStatus: 'I',
      givesUpSuspects: true,
      release: (connection) => this.#release(connection),
      avoidHostOf: (connection) => this.#hosts.avoidHostOf(connection),
      countFlight: () => {
        this.#flights++
      },
      forgetStatements: () => {
        this.#epoch++
      },
    }
  }

  /** A connection that is there, idle, and – where that is looked for – clean. */
  async #acquire(): Promise<Connection> {
    for (;;) {
      const connection = await this.#take()
      if (!(await this.#isThere(connection))) continue
      await this.#look(connection)
      return connection
    }
  }

  /** Idle by what the server said last, and by its answer if it has been silent for long: else it is given up. */
  async #isThere(connection: Connection): Promise<boolean> {
    if (connection.status !== 'I') {
      connection.destroy(new DatabaseError('protocol_surprise', `Protocol: idle, and status ${connection.status}.`))
      return false
    }
    if (performance.now() - connection.idleSince < (this.#options.idleCheckMs ?? defaultIdleCheckMs)) return true
    const timer = setTimeout(() => connection.destroy(new Error('an idle connection did not answer')), idleAnswerMs)
    const end = await connection.fly([{ statement: stillThere, values: [] }])
    clearTimeout(timer)
    if ('cause' in end || end.failure !== undefined) connection.destroy(new Error('an idle connection was of no use'))
    return connection.isUsable
  }

  async #look(connection: Connection): Promise<void> {
    try {
      await this.#options.onCheckout?.(async (text) => {
        const end = await connection.fly([{ statement: { name: '', text }, values: [] }])
        if ('cause' in end || end.failure !== undefined) throw new DatabaseError('database_unavailable')
        return end.results[0]?.rows ?? []
      })
    } catch (error) {
      connection.destroy(error as Error)
      throw error
    }
  }

  #take(): Promise<Connection> | Connection {
    if (this.#isClosing) throw new DatabaseError('pool_closed')
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (!connection.isUsable) continue
      if (connection.expiresAt > performance.now() && !this.#isOutdated(connection)) return connection
      void connection.close()
    }
    if (this.#waiters.length >= waitersPerConnection * this.#options.size) throw new DatabaseError('pool_exhausted')
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        reject(new DatabaseError('pool_exhausted'))
      }, this.#options.acquireTimeoutMs ?? defaultAcquireTimeoutMs)
      const waiter: Waiter = { resolve, reject, timer }
      this.#waiters.push(waiter)
      this.#grow()
    })
  }

  /** `pg` keeps names of its own on the plain path and cannot be made to forget them. */
  #isOutdated(connection: Connection): boolean {
    return this.#options.mode === 'sequential' && connection.epoch !== this.#epoch
  }

  #grow(): void {
    const wanted = Math.min(this.#options.size - this.#all.size - this.#opening, this.#waiters.length - this.#opening)
    for (let count = 0; count < wanted; count++) {
      this.#connect().then(
        (connection) => this.#give(connection),
        (error: Error) => {
          // Whoever waits longest is told; the others may still get a connection that is given back.
          const waiter = this.#waiters.shift()
          if (waiter === undefined) return
          clearTimeout(waiter.timer)
          waiter.reject(error)
        },
      )
    }
  }

  async #connect(): Promise<Connection> {
    this.#opening++
    try {
      const connection = await this.#hosts.open(this.#connecting, (ended) => this.#remove(ended))
      this.#created++
      this.#all.add(connection)
      connection.epoch = this.#epoch
      const lifetimeMs = 1000 * (this.#options.lifetimeSeconds ?? defaultLifetimeSeconds)
      connection.expiresAt = performance.now() + lifetimeMs * (1 + lifetimeJitter * (2 * Math.random() - 1))
      return connection
    } finally {
      this.#opening--
      this.#settleClose()
    }
  }

  #release(connection: Connection): void {
    if (!connection.isUsable) return this.#grow()
    if (connection.expiresAt <= performance.now() || this.#isOutdated(connection)) void connection.close()
    else this.#give(connection)
  }

  #give(connection: Connection): void {
    if (this.#isClosing) return void connection.close()
    const waiter = this.#waiters.shift()
    connection.idleSince = waiter === undefined ? performance.now() : Number.POSITIVE_INFINITY
    if (waiter === undefined) return void this.#idle.push(connection)
    clearTimeout(waiter.timer)
    waiter.resolve(connection)
  }

  #remove(connection: Connection): void {
    if (!this.#all.delete(connection)) return
    this.#destroyed++
    const index = this.#idle.indexOf(connection)
    if (index >= 0) this.#idle.splice(index, 1)
    if (!this.#isClosing) this.#grow()
    this.#refill()
    this.#settleClose()
  }

  /** Makes what is missing of the connections that are kept ready. */
  #refill(): void {
    const missing = (this.#options.minimum ?? 0) - this.#all.size - this.#opening
    for (let count = 0; count < missing && !this.#isClosing; count++) {
      this.#connect().then(
        (connection) => this.#give(connection),
        () => setTimeout(() => this.#refill(), refillPauseMs).unref(),
      )
    }
  }

  #settleClose(): void {
    if (this.#isClosing && this.#all.size === 0 && this.#opening === 0) this.#closed?.()
  }
}
