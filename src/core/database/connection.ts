import pg from 'pg'
import type { ConnectionAddress } from './connection-target.ts'
import { type Dialect, hasLateSettings } from './dialect.ts'
import { assertSendable, encodeValues } from './encoder.ts'
import { DatabaseError } from './errors.ts'
import { Flight, type FlightEnd, type FlightStep, type TransactionStatus } from './flight.ts'
import { KnownStatements } from './known-statements.ts'
import { inspectPooler, isPooled, type Pooler, refusesSettings } from './pooler.ts'
import type { RoleName } from './roles.ts'
import {
  type SessionTimes,
  judgeStartup,
  policyFirst,
  policyFirstText,
  startupCheck,
  watchClientText,
  startupOptions,
} from './startup.ts'
import type { Query, Statement } from './statement.ts'

/** Rows of one answer: a page has some hundreds, and every row is an object in memory (CWE-770). */
const defaultMaxRows = 10_000
/** Bytes of the answers of one round trip: some hundreds of such answers at once fit into a process (CWE-770). */
const defaultMaxAnswerBytes = 64 * 1024 * 1024
/** SQLSTATE of "cannot use serializable mode in a hot standby". */
const standbySqlstate = '0A000'
/**
 * Warnings that a transaction was expected and is not there, or the other way round: somebody ended or began one behind
 * our back, or a setting was to be the transaction's and is nobody's. What follows could run as another caller (CWE-639).
 */
const outOfTransaction = new Set(['25001', '25P01'])
/** A server that does not take leave in this time is left without. */
const closeTimeoutMs = 1_000

/** How a connection is made. */
export type ConnectionOptions = SessionTimes & {
  readonly address: ConnectionAddress
  readonly applicationName: string
  readonly connectTimeoutMs: number
  readonly statementLimit: number
  /** Most rows of one answer; 10,000 if left out. */
  readonly maxRows?: number | undefined
  /** Most bytes of the answers of one round trip; 64 MiB if left out. More of them, and the connection is given up. */
  readonly maxAnswerBytes?: number | undefined
  /** Role to take on after signing in, for the migrator alone. */
  readonly role?: RoleName
}

/** What is known when a connection ends in the middle of a flight. */
export type FlightLoss = { readonly cause: Error; readonly submitted: boolean; readonly failure: FlightEnd['failure'] }

/** One session. Not safe for two flights at once: the transaction that holds it sends one after another. */
export class Connection {
  readonly #client: pg.Client
  readonly #statements: KnownStatements
  readonly #onEnd: (connection: Connection) => void
  #flight: Flight | undefined
  #ended: Error | undefined
  #bytesReceived = 0
  /** The answer of the round trip under way has begun after so many bytes. */
  #answerFrom = 0
  readonly #maxAnswerBytes: number
  /** Most rows of one answer. */
  readonly maxRows: number
  /** Set by the pool: when this connection should be replaced, in its clock's milliseconds. */
  expiresAt = Number.POSITIVE_INFINITY
  /** Set by the pool: up to which change of the schema its prepared statements are good. */
  epoch = 0
  /** Set by the pool: since when nobody uses it, in its clock's milliseconds. */
  idleSince = Number.POSITIVE_INFINITY
  #status: TransactionStatus = 'I'
  #stray: Error | undefined
  readonly dialect: Dialect
  /** What stands between, if anything does. */
  readonly pooler: Pooler | undefined
  #keepsNames: boolean

  private constructor(
    client: pg.Client,
    { dialect, pooler }: { readonly dialect: Dialect; readonly pooler: Pooler | undefined },
    o: ConnectionOptions,
    onEnd: (connection: Connection) => void,
  ) {
    this.#client = client
    this.dialect = dialect
    this.pooler = pooler
    this.#keepsNames = pooler?.keepsNames ?? true
    this.maxRows = o.maxRows ?? defaultMaxRows
    this.#maxAnswerBytes = o.maxAnswerBytes ?? defaultMaxAnswerBytes
    this.#statements = new KnownStatements(o.statementLimit, pooler !== undefined)
    this.#onEnd = onEnd
    client.on('error', (error) => this.#end(error))
    client.on('end', () => this.#end(new Error('the connection was closed')))
    const wire = client.connection
    wire.on('parseComplete', () => this.#flight?.handleParseComplete())
    wire.on('noData', () => this.#flight?.handleNoData())
    wire.on('copyOutResponse', () => this.#flight?.handleCopyData())
    wire.stream.on('data', (chunk: Buffer) => this.#count(chunk.length))
    wire.on('readyForQuery', (message: { status: TransactionStatus }) => {
      this.#status = message.status
      this.#flight?.end(message.status)
    })
    wire.on('notice', (message: { code?: string }) => {
      if (!outOfTransaction.has(message.code ?? '')) return
      this.#stray ??= new Error(`unexpected warning ${message.code}`)
      // a flight is read to its end first: what it did is done by then
      if (this.#flight === undefined) this.#end(this.#stray)
    })
  }

  /**
   * Connects and checks the session's invariants, all within `connectTimeoutMs`.
   *
   * @param onEnd - called once when the connection has ended, whoever ended it
   * @throws DatabaseError `database_unavailable`, `database_unsupported`, `database_read_only`, `startup_invariant`
   */
  static async open(o: ConnectionOptions, onEnd: (connection: Connection) => void): Promise<Connection> {
    try {
      return await Connection.#open(o, onEnd, true)
    } catch (error) {
      if (!refusesSettings((error as Error).cause ?? {})) throw error
      return Connection.#open(o, onEnd, false)
    }
  }

  static async #open(
    o: ConnectionOptions,
    onEnd: (connection: Connection) => void,
    hasSettings: boolean,
  ): Promise<Connection> {
    const { host, port, user, password, database, ssl } = o.address
    const client = new pg.Client({
      host,
      port,
      user,
      password,
      database,
      // Verification has no switch (CWE-295).
      ssl: ssl === undefined ? false : { ...ssl, rejectUnauthorized: true },
      // Binds the password's proof to this very TLS channel, where the server offers it (RFC 5802, CWE-300).
      enableChannelBinding: ssl !== undefined,
      application_name: o.applicationName,
      keepAlive: true,
      ...(hasSettings ? { options: startupOptions(o) } : {}),
    })
    // Without a listener an error between here and the constructor would end the process.
    const ignore = (): void => undefined
    client.on('error', ignore)
    // A server that takes the connection and then says nothing must not be waited for: this ends every wait below.
    const timer = setTimeout(() => {
      client.connection.stream.destroy(new Error(`no answer within ${o.connectTimeoutMs} ms`))
    }, o.connectTimeoutMs)
    try {
      await client.connect()
      const { rows } = await client.query<Record<string, unknown>>(startupCheck)
      const [row = {}] = rows
      if (isPooled(client, row)) {
        const pooler = await inspectPooler(client, o, ssl !== undefined)
        return new Connection(client, { dialect: 'postgresql', pooler }, o, onEnd)
      }
      const version = judgeStartup(row, ssl !== undefined)
      if (hasLateSettings(version.dialect) && row[policyFirst.name] !== policyFirst.value) {
        await client.query(policyFirstText)
      }
      // where the system cannot tell, it is as it was
      if (hasLateSettings(version.dialect)) await client.query(watchClientText).catch(ignore)
      if (o.role !== undefined) await client.query(`SET ROLE ${o.role}`)
      return new Connection(client, { dialect: version.dialect, pooler: undefined }, o, onEnd)
    } catch (error) {
      void client.end().catch(ignore)
      if (error instanceof DatabaseError) throw error
      const isStandby = (error as { code?: unknown }).code === standbySqlstate
      throw new DatabaseError(isStandby ? 'database_read_only' : 'database_unavailable', undefined, error)
    } finally {
      clearTimeout(timer)
    }
  }

  /** A statement as it is sent: without its name where names are not kept. */
  asSent(statement: Statement): Statement {
    return this.#keepsNames ? statement : { name: '', text: statement.text }
  }

  /** The session's own client, for the sequential path. */
  get client(): pg.Client {
    return this.#client
  }

  /** What ended it. */
  get ended(): Error | undefined {
    return this.#ended
  }

  /** The answers of a round trip are counted from here on. */
  countAnswer(): void {
    this.#answerFrom = this.#bytesReceived
  }

  /** A message is put together in memory before it is told, so bytes are counted as they arrive. */
  #count(bytes: number): void {
    this.#bytesReceived += bytes
    if (this.#bytesReceived - this.#answerFrom <= this.#maxAnswerBytes || this.#ended !== undefined) return
    this.#end(new DatabaseError('answer_too_large'))
  }

  get isUsable(): boolean {
    return this.#ended === undefined
  }

  /** Where its transaction stands, as the server said last: idle, in one, in a failed one. */
  get status(): TransactionStatus {
    return this.#status
  }

  /**
   * Forgets all prepared names: a schema change made their result types stale. A pooler that keeps track of names goes on
   * with what it has once prepared of a text, so from then on there are none.
   */
  forgetStatements(): void {
    if (this.pooler !== undefined) this.#keepsNames = false
    this.#statements.forgetAll()
  }

  /**
   * Sends queries as one flight.
   *
   * @param queries - in order
   * @returns how it ended – a failure of a statement is an ordinary end – or what is known when the connection was lost
   * @throws DatabaseError `value_invalid`, `statement_name_reused`: nothing was sent
   */
  fly(queries: readonly Query[]): Promise<FlightEnd | FlightLoss> {
    return this.#launch(this.#prepare(queries))
  }

  #launch(steps: readonly FlightStep[]): Promise<FlightEnd | FlightLoss> {
    if (this.#flight !== undefined)
      throw new DatabaseError('transaction_state', 'A connection carries one flight at a time.')
    if (this.#ended !== undefined) return Promise.resolve({ cause: this.#ended, submitted: false, failure: undefined })
    const needed = new Set<string>()
    let added = 0
    for (const { statement, parse } of steps) {
      if (parse && statement.name !== '') added++
      needed.add(statement.name)
    }
    const closes = this.#statements.takeClosing(needed, added)
    this.countAnswer()
    return new Promise((resolve) => {
      const flight = new Flight(closes, steps, this.#statements, this.maxRows, (end) => {
        if (this.#flight !== flight) return
        this.#flight = undefined
        const cause = end instanceof Error ? end : this.#stray
        if (cause === undefined) return resolve(end as FlightEnd)
        resolve({ cause, submitted: flight.submitted, failure: flight.failure })
        // Whatever came out of turn: nothing on this connection can be trusted any more.
        this.destroy(cause)
      })
      this.#flight = flight
      this.#client.query(flight)
    })
  }

  /**
   * Gets some rows of a query by a portal, which lives as long as the transaction, or until another query is flown.
   *
   * @param rows - most rows
   * @param again - go on with the portal of this query, which was flown last
   * @returns as `fly`; where the first tag is `SUSPENDED` more may follow
   * @throws DatabaseError as `fly`
   */
  fetch(query: Query, rows: number, again: boolean): Promise<FlightEnd | FlightLoss> {
    return this.#launch(this.#prepare([query]).map((step) => ({ ...step, fetch: { rows, again } })))
  }

  /** Bytes that have come in all. */
  get bytesReceived(): number {
    return this.#bytesReceived
  }

  #prepare(queries: readonly Query[]): FlightStep[] {
    const fresh = new Map<string, string>()
    return queries.map(({ statement: asked, values, reading }) => {
      const statement = this.asSent(asked)
      assertSendable(statement)
      const wire = encodeValues(values)
      if (statement.name === '')
        return { statement, parse: true, describe: true, values: wire, known: undefined, reading }
      const known = this.#statements.use(statement)
      if (known !== undefined) {
        return { statement, parse: false, describe: known.reader === undefined, values: wire, known, reading }
      }
      const text = fresh.get(statement.name)
      if (text !== undefined && text !== statement.text) throw new DatabaseError('statement_name_reused')
      fresh.set(statement.name, statement.text)
      // A second use in the same flight finds the name there, but not yet its row description.
      return { statement, parse: text === undefined, describe: true, values: wire, known: undefined, reading }
    })
  }

  /** Ends the connection at once; a flight under way is lost. */
  destroy(cause: Error): void {
    this.#end(cause)
  }

  /** Says goodbye and waits for the socket to close. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return
    this.#ended = new Error('the connection was closed')
    this.#onEnd(this)
    const timer = setTimeout(() => this.#client.connection.stream.destroy(), closeTimeoutMs)
    await this.#client.end().catch(() => undefined)
    clearTimeout(timer)
  }

  #end(cause: Error): void {
    const flight = this.#flight
    if (this.#ended === undefined) {
      this.#ended = cause
      this.#client.connection.stream.destroy()
      this.#onEnd(this)
    }
    flight?.handleError(cause)
  }
}
