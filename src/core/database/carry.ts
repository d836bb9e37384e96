import type { Connection, FlightLoss } from './connection.ts'
import type { FlightEnd } from './flight.ts'
import type { Query, Result, Statement } from './statement.ts'

/** One round trip of a transaction, said independently of how it travels. */
export type Load = {
  /** Opens the transaction, at its first round trip. */
  readonly opening: Statement | undefined
  readonly queries: readonly Query[]
  /** Commit when all queries have succeeded. */
  readonly commit: boolean
  /** Opening and commit need not be said: the messages up to Sync are the transaction. */
  readonly implicit: boolean
}

/** How a load ended, counted in the caller's queries: failure index -1 is the opening, `queries.length` the commit. */
export type LoadEnd = {
  readonly results: readonly Result[]
  /** The first query that answered with more rows than are kept. The server knows nothing of it, and went on. */
  readonly excess: number | undefined
  readonly status: FlightEnd['status']
  readonly failure: FlightEnd['failure']
  /** The server ended or began a transaction that nobody here asked for. */
  readonly surprise: string | undefined
}

/** Brings a load to the server: in one flight, or – the executable specification – one statement after another. */
export type Carry = (connection: Connection, load: Load) => Promise<LoadEnd | FlightLoss>

/** COMMIT, as a prepared statement of constant text. */
export const commitStatement: Statement = { name: 'hf_commit', text: 'COMMIT' }
/** ROLLBACK, as a prepared statement of constant text. */
export const rollbackStatement: Statement = { name: 'hf_rollback', text: 'ROLLBACK' }

/** Statements that would pull the transaction from under its owner begin their command tag with one of these. */
const controlTags = /^(?:BEGIN|START|COMMIT|ROLLBACK|PREPARE TRANSACTION)/

/** Carries a load as one flight: one write, one Sync, one round trip. */
export const carryFlight: Carry = async (connection, load) => {
  if (load.implicit) {
    const end = await connection.fly(load.queries)
    if ('cause' in end) return end
    const { results, excess, status, failure, tags } = end
    return {
      results,
      excess,
      status,
      failure,
      surprise: failure === undefined ? surpriseOf(load, tags, status) : undefined,
    }
  }
  const opening = openingOf(connection, load)
  const before = opening.length
  const queries = [...opening, ...load.queries]
  if (load.commit) queries.push({ statement: commitStatement, values: [] })
  const end = await connection.fly(queries)
  const failure =
    end.failure === undefined ? undefined : { ...end.failure, index: Math.max(end.failure.index - before, -1) }
  if ('cause' in end) return { ...end, failure }
  const count = load.queries.length
  return {
    results: end.results.slice(before, before + count),
    excess: end.excess === undefined ? undefined : end.excess - before,
    status: end.status,
    failure,
    surprise: failure === undefined ? surpriseOf(load, end.tags.slice(before), end.status) : undefined,
  }
}

/** What opens a transaction: BEGIN, and behind a pooler the settings that a session of our own would have. */
export function openingOf({ pooler }: Connection, { opening }: Load): Query[] {
  if (opening === undefined) return []
  const statements = pooler === undefined ? [opening] : [opening, pooler.pin]
  return statements.map((statement) => ({ statement, values: [] }))
}

/** Does what the tags say differ from what was asked? */
export function surpriseOf(load: Load, tags: readonly string[], status: FlightEnd['status']): string | undefined {
  const count = load.queries.length
  const control = tags.slice(0, count).find((tag) => controlTags.test(tag))
  if (control !== undefined) return `a query answered ${control}`
  // COMMIT of a failed transaction answers ROLLBACK, and no error.
  const committed = tags[count]
  if (committed !== undefined && committed !== 'COMMIT') return `COMMIT answered ${committed}`
  const expected = load.commit ? 'I' : 'T'
  return status === expected ? undefined : `transaction status ${status} and not ${expected}`
}
