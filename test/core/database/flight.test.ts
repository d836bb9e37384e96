import type { Connection } from 'pg'
import { describe, expect, test } from 'vitest'
import { Flight, type FlightEnd, type FlightStep } from '../../../src/core/database/flight.ts'
import { KnownStatements } from '../../../src/core/database/known-statements.ts'

type Turn = (flight: Flight) => void
const parsed: Turn = (flight) => flight.handleParseComplete()
const n = { name: 'n', dataTypeID: 20, tableID: 0, columnID: 0, dataTypeSize: 8, dataTypeModifier: -1, format: 'text' }
const described: Turn = (flight) => flight.handleRowDescription({ fields: [n] })
const noRows: Turn = (flight) => flight.handleNoData()
const row: Turn = (flight) => flight.handleDataRow({ fields: ['1'] })
const wideRow: Turn = (flight) => flight.handleDataRow({ fields: ['1', '2'] })
const complete: Turn = (flight) => flight.handleCommandComplete({ text: 'SELECT 1' })
const failed: Turn = (flight) =>
  flight.handleError(Object.assign(new Error('no'), { severity: 'ERROR', code: '22012' }))
const lost: Turn = (flight) => flight.handleError(new Error('socket'))
const ready: Turn = (flight) => flight.end('I')

function fly(turns: readonly Turn[]): { ends: (FlightEnd | Error)[]; writes: number; statements: KnownStatements } {
  const statements = new KnownStatements(8, false)
  const known = statements.add({ name: 'known', text: 'SELECT 2' })
  known.reader = null
  const steps: FlightStep[] = [
    {
      statement: { name: 'new', text: 'SELECT 1' },
      parse: true,
      describe: true,
      values: ['ż'.repeat(100_000)],
      known: undefined,
    },
    { statement: { name: 'known', text: 'SELECT 2' }, parse: false, describe: false, values: [], known },
  ]
  const ends: (FlightEnd | Error)[] = []
  const flight = new Flight([], steps, statements, 3, (end) => ends.push(end))
  let writes = 0
  flight.submit({ stream: { write: () => writes++ } } as unknown as Connection)
  for (const turn of turns) turn(flight)
  return { ends, writes, statements }
}

describe('a flight', () => {
  test('is one write, and ends once', () => {
    const { ends, writes } = fly([parsed, described, row, complete, complete, ready])
    expect(writes).toBe(1)
    expect(ends).toEqual([
      {
        results: [
          { rows: [{ n: '1' }], rowCount: 1 },
          { rows: [], rowCount: 1 },
        ],
        excess: undefined,
        tags: ['SELECT 1', 'SELECT 1'],
        status: 'I',
        failure: undefined,
      },
    ])
  })

  test('that fails ends at ReadyForQuery, with the first failure', () => {
    const { ends, statements } = fly([parsed, described, complete, failed, failed, ready])
    expect(ends).toMatchObject([{ failure: { index: 1, report: { sqlstate: '22012' } }, status: 'I' }])
    expect(statements.use({ name: 'new', text: 'SELECT 1' })).toBeDefined()
  })

  test('whose Parse was refused knows no name', () => {
    const { statements } = fly([failed, ready])
    expect(statements.use({ name: 'new', text: 'SELECT 1' })).toBeUndefined()
  })

  test.each<[string, Turn[]]>([
    ['a second ParseComplete', [parsed, parsed]],
    ['a description nobody asked for', [parsed, described, complete, described]],
    ['two descriptions', [parsed, described, described]],
    ['a row before its description', [parsed, row]],
    ['a row where there are none', [parsed, noRows, row]],
    ['a row of another width', [parsed, described, wideRow]],
    ['a row of the second for the first', [parsed, described, row, complete, row]],
    ['a third CommandComplete', [parsed, described, complete, complete, complete]],
    ['CommandComplete after an error', [parsed, failed, complete]],
    ['ReadyForQuery too early', [parsed, described, complete, ready]],
    ['a suspended portal', [(flight) => flight.handlePortalSuspended()]],
    ['COPY in', [(flight) => flight.handleCopyInResponse()]],
    ['COPY out', [(flight) => flight.handleCopyData()]],
    ['a lost socket', [parsed, lost]],
  ])('%s is a surprise', (_, turns) => {
    expect(fly(turns).ends[0]).toBeInstanceOf(Error)
  })
})
