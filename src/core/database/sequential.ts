import type { QueryConfig } from 'pg'
import { type Carry, type LoadEnd, commitStatement, openingOf, rollbackStatement, surpriseOf } from './carry.ts'
import type { Connection, FlightLoss } from './connection.ts'
import { assertSendable, encodeValues } from './encoder.ts'
import { readReport, type WireError } from './errors.ts'
import type { FlightEnd, TransactionStatus } from './flight.ts'
import { Answer, type Query, type Result, type Row } from './statement.ts'

/**
 * The plain path: each statement by `pg`'s own query, one after another, with BEGIN and COMMIT said. It is the
 * executable specification of a flight – same results, same failures, same state afterwards – and has no part in
 * serving requests. One contract suite runs over both.
 */
export const carrySequentially: Carry = async (connection, load) => {
  // What cannot be sent must be found before anything is.
  for (const { statement, values } of load.queries) {
    assertSendable(statement)
    encodeValues(values)
  }
  const results: Result[] = []
  const tags: string[] = []
  let index = -1
  let excess: number | undefined
  connection.countAnswer()
  try {
    for (const query of openingOf(connection, load)) await run(connection, query)
    for (const query of load.queries) {
      index++
      const { result, tag } = await run(connection, query)
      if (result.rows.length > connection.maxRows) excess ??= index
      results.push(result)
      tags.push(tag)
    }
    index = load.queries.length
    if (load.commit) tags.push((await run(connection, { statement: commitStatement, values: [] })).tag)
  } catch (error) {
    return fail(connection, load.implicit, results, index, error as Error)
  }
  const status = statusOf(connection)
  return { results, excess, status, failure: undefined, surprise: surpriseOf(load, tags, status) }
}

async function run(
  connection: Connection,
  { statement, values, reading = {} }: Query,
): Promise<{ result: Result; tag: string }> {
  const { name, text } = connection.asSent(statement)
  const answer = await connection.client.query<Row>({
    name,
    text,
    values: [...values],
    queryMode: 'extended',
    rowMode: reading.rowMode,
    types: reading.types,
  } as QueryConfig)
  const rowCount = answer.rowCount ?? 0
  const tag = `${answer.command ?? ''}${rowCount > 0 ? ` ${rowCount}` : ''}`
  const rows = reading.rowMode === 'array' ? answer.rows : answer.rows.map((row) => ({ ...row }))
  return { result: new Answer(rows, rowCount, tag, answer.fields), tag }
}

async function fail(
  connection: Connection,
  implicit: boolean,
  results: readonly Result[],
  index: number,
  error: WireError,
): Promise<LoadEnd | FlightLoss> {
  const report = readReport(error)
  const failure: FlightEnd['failure'] = report === undefined ? undefined : { index, report }
  if (failure === undefined || failure.report.severity !== 'ERROR') {
    connection.destroy(error)
    return { cause: connection.ended ?? error, submitted: true, failure }
  }
  await isReady(connection)
  if (implicit && statusOf(connection) !== 'I') await run(connection, { statement: rollbackStatement, values: [] })
  return { results, excess: undefined, status: statusOf(connection), failure, surprise: undefined }
}

/** `pg` tells of an error before the ReadyForQuery that ends its answer, and says where the transaction stands. */
async function isReady({ client }: Connection): Promise<void> {
  if ((client as unknown as { readyForQuery: boolean }).readyForQuery) return
  await new Promise<void>((resolve) => {
    client.connection.once('readyForQuery', resolve)
    client.connection.once('end', resolve)
  })
}

function statusOf(connection: Connection): TransactionStatus {
  return connection.client.getTransactionStatus() ?? 'I'
}
