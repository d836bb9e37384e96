import type { Connection, Submittable } from 'pg'
import { encodeFlight, type WireStep } from './encoder.ts'
import { readReport, type ServerReport, type WireError } from './errors.ts'
import type { KnownStatement, KnownStatements } from './known-statements.ts'
import { readArray, readerFor, readRow, type RowReader, rowReader } from './row-reader.ts'
import { Answer, type Field, type Reading, type Result, type Row } from './statement.ts'

/** One statement under way. `known` is set from the start for a name the connection has, else when ParseComplete comes. */
export type FlightStep = WireStep & { known: KnownStatement | undefined; readonly reading?: Reading | undefined }

/** Instead of a command tag: as many rows came as were asked for, and more may follow. */
export const SUSPENDED = 'PORTAL SUSPENDED'

/** Transaction status of ReadyForQuery: idle, in a transaction, in a failed one. */
export type TransactionStatus = 'I' | 'T' | 'E'

/**
 * How a flight ended. `tags` are the command tags of the steps that completed; `excess` is the first step that answered
 * with more rows than are kept: its result is not whole.
 */
export type FlightEnd = {
  readonly results: readonly Result[]
  readonly excess: number | undefined
  readonly tags: readonly string[]
  readonly status: TransactionStatus
  readonly failure: { readonly report: ServerReport; readonly index: number } | undefined
}

/**
 * Several statements in one write under one Sync: a custom query for `pg`. It counts every answer against what was
 * sent; whatever does not fit is a surprise, upon which the connection must be destroyed.
 */
export class Flight implements Submittable {
  readonly #closes: readonly string[]
  readonly #steps: readonly FlightStep[]
  readonly #statements: KnownStatements
  readonly #maxRows: number
  readonly #settle: (end: FlightEnd | Error) => void
  readonly #results: Result[] = []
  readonly #tags: string[] = []
  #rows: Row[] = []
  /** Of the step under way; null: it gives no rows. */
  #reader: RowReader | null | undefined
  #described = false
  /** Index of the next step whose Parse is unanswered. */
  #parsed = 0
  #failure: FlightEnd['failure']
  #excess: number | undefined
  #submitted = false

  /**
   * @param maxRows - rows kept of one step: those beyond are read off the wire and dropped
   * @param settle - called exactly once: with the end, or with an Error after which the connection is not usable
   */
  constructor(
    closes: readonly string[],
    steps: readonly FlightStep[],
    statements: KnownStatements,
    maxRows: number,
    settle: (end: FlightEnd | Error) => void,
  ) {
    this.#closes = closes
    this.#steps = steps
    this.#statements = statements
    this.#maxRows = maxRows
    this.#settle = settle
  }

  /** Have the messages been handed to the socket? Then a lost connection says nothing about what was done. */
  get submitted(): boolean {
    return this.#submitted
  }

  submit(connection: Connection): null {
    this.#submitted = true
    connection.stream.write(encodeFlight(this.#closes, this.#steps))
    return null
  }

  /** `pg` has no call for this: the connection's owner listens and tells. */
  handleParseComplete(): void {
    while (this.#parsed < this.#steps.length && !this.#steps[this.#parsed]?.parse) this.#parsed++
    const step = this.#steps[this.#parsed++]
    if (step === undefined) return this.#surprise('ParseComplete')
    if (step.statement.name !== '') step.known = this.#statements.add(step.statement)
  }

  handleRowDescription(message: { readonly fields: readonly Field[] }): void {
    this.#describe(rowReader(message.fields))
  }

  handleNoData(): void {
    this.#describe(null)
  }

  #describe(reader: RowReader | null): void {
    const step = this.#steps[this.#tags.length]
    if (step === undefined || !step.describe || this.#described) return this.#surprise('RowDescription')
    this.#described = true
    this.#reader = reader === null || step.reading === undefined ? reader : readerFor(reader, step.reading)
    if (step.known !== undefined) step.known.reader = reader
  }

  handleDataRow(message: { readonly fields: readonly (string | null)[] }): void {
    const step = this.#steps[this.#tags.length]
    const reader = this.#readerOf(step)
    if (reader === undefined || reader === null) return this.#surprise('DataRow')
    // The server goes on to COMMIT whatever is thought of its rows here: reading on is how its end is known (CWE-770).
    if (this.#rows.length >= this.#maxRows) {
      this.#excess ??= this.#tags.length
      return
    }
    try {
      const row =
        step?.reading?.rowMode === 'array' ? readArray(reader, message.fields) : readRow(reader, message.fields)
      this.#rows.push(row as Row)
    } catch (error) {
      this.#surprise('DataRow', error)
    }
  }

  #readerOf(step: FlightStep | undefined): RowReader | null | undefined {
    if (this.#reader !== undefined || step === undefined || this.#described) return this.#reader
    const known = step.known?.reader
    this.#reader = known && step.reading !== undefined ? readerFor(known, step.reading) : known
    return this.#reader
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.#complete(message.text)
  }

  handleEmptyQuery(): void {
    this.#complete('')
  }

  #complete(tag: string): void {
    if (this.#tags.length >= this.#steps.length || this.#failure !== undefined) return this.#surprise('CommandComplete')
    const fields = this.#readerOf(this.#steps[this.#tags.length])?.fields ?? []
    this.#results.push(new Answer(this.#rows, countOf(tag), tag, fields))
    this.#tags.push(tag)
    this.#rows = []
    this.#described = false
    this.#reader = undefined
  }

  /** An ErrorResponse, or an Error of the connection itself. ReadyForQuery follows only the first kind. */
  handleError(error: WireError): void {
    const report = readReport(error)
    if (report === undefined) return this.#settle(error)
    this.#failure ??= { index: this.#tags.length, report }
  }

  /** The connection's owner tells: after an error `pg` no longer does. */
  end(status: TransactionStatus): void {
    if (this.#failure === undefined && this.#tags.length !== this.#steps.length) return this.#surprise('ReadyForQuery')
    if (this.#failure !== undefined) this.#skipNames()
    this.#settle({ results: this.#results, excess: this.#excess, tags: this.#tags, status, failure: this.#failure })
  }

  #skipNames(): void {
    for (const { parse, statement } of this.#steps.slice(this.#parsed)) {
      if (parse && statement.name !== '') this.#statements.skip(statement.name)
    }
  }

  handleReadyForQuery(): void {}

  handlePortalSuspended(): void {
    if (this.#steps[this.#tags.length]?.fetch === undefined) return this.#surprise('PortalSuspended')
    this.#complete(SUSPENDED)
  }

  handleCopyInResponse(): void {
    this.#surprise('CopyInResponse')
  }

  handleCopyData(): void {
    this.#surprise('CopyData')
  }

  /** The failure so far, for the owner to judge when the connection ends before ReadyForQuery. */
  get failure(): FlightEnd['failure'] {
    return this.#failure
  }

  #surprise(message: string, cause?: unknown): void {
    this.#settle(new Error(`unexpected ${message}`, { cause }))
  }
}

/** The number a command tag ends with: `INSERT 0 3` → 3, `SELECT 5` → 5, `BEGIN` → 0. */
function countOf(tag: string): number {
  const count = Number.parseInt(tag.slice(tag.lastIndexOf(' ') + 1), 10)
  return Number.isNaN(count) ? 0 : count
}
