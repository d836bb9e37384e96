import { DatabaseError } from './errors.ts'
import type { Query, Row } from './statement.ts'
import type { Fetched, Transaction } from './transaction.ts'

/** Rows that are fetched at once: a round trip for each such portion, and that many rows in memory. */
const ROWS_PER_FETCH = 500

/** How long a stream may last and how much may come, before it is given up; `signal`: or when nobody wants it any more. */
export type StreamLimits = {
  readonly timeoutMs: number
  readonly maxBytes: number
  readonly signal?: AbortSignal | undefined
  /** Told once when it has ended, however it did. */
  readonly onEnd?: (() => void) | undefined
}

/**
 * The rows of one query, fetched some at a time as they are asked for: whoever reads slowly slows the database down, and
 * fills no memory. It holds a connection until it has been read to its end, failed, or been given up by `return` – which
 * `for await` calls when it is left.
 *
 * It is read once, in one snapshot: as fresh as its start. It is never retried: an error in the middle is the end, and
 * what came before it must not pass for the whole.
 */
export class RowStream<R extends object = Row> implements AsyncIterableIterator<R> {
  readonly #transaction: Transaction
  readonly #query: Query
  readonly #maxBytes: number
  readonly #abort = new AbortController()
  readonly #given: AbortSignal | undefined
  readonly #onEnd: (() => void) | undefined
  readonly #timer: NodeJS.Timeout
  #rows: Row[] = []
  #next = 0
  #bytes = 0
  #isLast = false
  #isEnded = false

  private constructor(transaction: Transaction, query: Query, { timeoutMs, maxBytes, signal, onEnd }: StreamLimits) {
    this.#transaction = transaction
    this.#query = query
    this.#maxBytes = maxBytes
    const late = new DatabaseError('transaction_timeout', `The stream took longer than ${timeoutMs} ms.`)
    this.#timer = setTimeout(() => void this.#fail(late), timeoutMs)
    this.#given = signal
    this.#onEnd = onEnd
    signal?.addEventListener('abort', this.#giveUp)
  }

  /**
   * Fetches the first rows, so that a statement that fails at once fails here.
   *
   * @param transaction - read-only and entered; ended by the stream from here on
   * @throws DatabaseError as `Transaction.fetch`; the reason of a signal that is aborted
   */
  static async open<R extends object>(
    transaction: Transaction,
    query: Query,
    limits: StreamLimits,
  ): Promise<RowStream<R>> {
    const stream = new RowStream<R>(transaction, query, limits)
    if (limits.signal?.aborted === true) await stream.#fail(limits.signal.reason)
    stream.signal.throwIfAborted()
    await stream.#fetch(false)
    return stream
  }

  /** Aborted when the stream has failed, for whoever waits for something else meanwhile; its reason is the error. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /**
   * @throws StatementError, DatabaseError `transaction_timeout` past the time limit, `answer_too_large` past that of
   * bytes, `connection_lost`
   */
  async next(): Promise<IteratorResult<R, undefined>> {
    this.signal.throwIfAborted()
    if (this.#next < this.#rows.length) return { done: false, value: this.#rows[this.#next++] as R }
    if (this.#isEnded) return { done: true, value: undefined }
    if (this.#isLast) {
      await this.#settle(() => this.#transaction.commit())
      this.#end()
      return { done: true, value: undefined }
    }
    await this.#fetch(true)
    return await this.next()
  }

  /** Gives the rest up and the connection back. */
  async return(): Promise<IteratorResult<R, undefined>> {
    if (!this.#isEnded) {
      this.#end()
      await this.#transaction.rollback()
    }
    return { done: true, value: undefined }
  }

  async #fetch(again: boolean): Promise<void> {
    const { rows, isLast, bytes } = await this.#settle(() =>
      this.#transaction.fetch(this.#query, ROWS_PER_FETCH, again),
    )
    this.#bytes += bytes
    if (this.#bytes > this.#maxBytes) {
      await this.#fail(new DatabaseError('answer_too_large', `The stream has more than ${this.#maxBytes} bytes.`))
    }
    this.signal.throwIfAborted()
    this.#rows = rows
    this.#next = 0
    this.#isLast = isLast
  }

  async #settle<T extends Fetched | void>(send: () => Promise<T>): Promise<T> {
    try {
      return await send()
    } catch (error) {
      await this.#fail(error)
      // the time limit, where that came first
      throw this.signal.aborted ? this.signal.reason : error
    }
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#isEnded) return
    this.#end()
    this.#abort.abort(error)
    await this.#transaction.rollback()
  }

  readonly #giveUp = (): void => void this.#fail(this.#given?.reason)

  #end(): void {
    this.#isEnded = true
    this.#rows = []
    clearTimeout(this.#timer)
    this.#given?.removeEventListener('abort', this.#giveUp)
    this.#onEnd?.()
  }
}
