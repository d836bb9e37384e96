import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import type { Query, Row } from '../../../src/core/database/statement.ts'
import { RowStream, type StreamLimits } from '../../../src/core/database/stream.ts'
import { borrowStreamPool, createStreamPool } from '../../../src/core/database/stream-pool.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

const query = (name: string, text: string, ...values: unknown[]): Query => ({ statement: { name, text }, values })
const numbers = (count: number): Query => query('numbers', 'SELECT pg_catalog.generate_series(1, $1::INT4) AS n', count)
const hello = query('hello', 'SELECT 1 AS one')
const limits: StreamLimits = { timeoutMs: 20_000, maxBytes: 10_000_000 }

let database: TestDatabase
let pool: Pool
beforeAll(async () => {
  database = await createTestDatabase()
  await database.owner('CREATE TABLE public.items (id INT8 PRIMARY KEY)')
  await database.owner('GRANT USAGE ON SCHEMA public TO holdfast_app')
  await database.owner('GRANT SELECT, INSERT ON TABLE public.items TO holdfast_app')
})
afterAll(() => database.drop())
beforeEach(async () => {
  pool = await createPool({ connection: database.target('app'), size: 1, applicationName: 'streams' })
})
afterEach(() => pool.close())

async function open(asked: Query, more: Partial<StreamLimits> = {}): Promise<RowStream<{ n: number }>> {
  const transaction = await pool.begin({ isolation: 'repeatable read', readOnly: true })
  await transaction.send([hello])
  return await RowStream.open(transaction, asked, { ...limits, ...more })
}
async function all(stream: AsyncIterable<Row>): Promise<unknown[]> {
  const rows: unknown[] = []
  for await (const row of stream) rows.push(row['n'])
  return rows
}
const isFree = async (): Promise<void> => {
  expect((await pool.transaction((transaction) => transaction.query(hello.statement))).rows).toEqual([{ one: 1 }])
}
const kept = { created: 1, destroyed: 0, idle: 1 }

describe('a stream', () => {
  test.each([0, 1, 499, 500, 501, 1_000, 1_250])(
    'of %i rows has all of them, and gives its connection back',
    async (count) => {
      // the second time the statement is known to the connection
      for (let round = 0; round < 2; round++) {
        expect(await all(await open(numbers(count)))).toEqual(Array.from({ length: count }, (_, index) => index + 1))
        expect(pool.stats).toMatchObject(kept)
      }
      await isFree()
    },
  )

  test('fetches no more than is asked for', async () => {
    const stream = await open(numbers(100_000))
    const { flights } = pool.stats
    for (let n = 1; n <= 500; n++) expect(await stream.next()).toEqual({ done: false, value: { n } })
    expect(pool.stats.flights).toBe(flights)
    expect(await stream.next()).toEqual({ done: false, value: { n: 501 } })
    expect(pool.stats.flights).toBe(flights + 1)
    await stream.return()
  })

  test('left in the middle gives its connection back', async () => {
    for await (const { n } of await open(numbers(100_000))) if (n > 600) break
    expect(pool.stats).toMatchObject(kept)
    await isFree()
  })

  test('given up is over, and may be given up again', async () => {
    const stream = await open(numbers(100_000))
    expect(await stream.return()).toEqual({ done: true, value: undefined })
    expect(await stream.return()).toEqual({ done: true, value: undefined })
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    expect(stream.signal.aborted).toBe(false)
  })

  test('given up amid a fetch costs its connection, and frees its place', async () => {
    const stream = await open(
      query(
        'slow',
        'SELECT n, pg_catalog.pg_sleep(CASE WHEN n > 500 THEN 30 ELSE 0 END) FROM pg_catalog.generate_series(1, 600) AS s(n)',
      ),
    )
    for (let n = 1; n <= 500; n++) await stream.next()
    const refused = expect(stream.next()).rejects.toMatchObject({ code: 'connection_lost' })
    await stream.return()
    await refused
    expect(pool.stats).toMatchObject({ destroyed: 1 })
    await isFree()
  })

  test('sees one snapshot: what comes after its start is not in it', async () => {
    await database.owner('DELETE FROM public.items')
    await database.owner('INSERT INTO public.items SELECT pg_catalog.generate_series(1, 600)')
    const stream = await open(query('items', 'SELECT id::INT4 AS n FROM public.items ORDER BY id'))
    await database.owner('INSERT INTO public.items SELECT pg_catalog.generate_series(601, 700)')
    expect(await all(stream)).toHaveLength(600)
  })

  test('cannot write', async () => {
    const write = query('write', 'INSERT INTO public.items (id) VALUES (1000) RETURNING id::INT4 AS n')
    await expect(open(write)).rejects.toMatchObject({ sqlstate: '25006' })
    expect(pool.stats).toMatchObject(kept)
  })

  test('is not opened before its caller is entered', async () => {
    const transaction = await pool.begin({ readOnly: true })
    await expect(RowStream.open(transaction, numbers(1), limits)).rejects.toMatchObject({ code: 'transaction_state' })
    await isFree()
  })
})

describe('a stream that fails', () => {
  test('at once, says so before there is a stream', async () => {
    await expect(open(query('zero', 'SELECT 1 / $1::INT4 AS n', 0))).rejects.toMatchObject({ sqlstate: '22012' })
    expect(pool.stats).toMatchObject(kept)
  })

  test('in the middle: it throws, again too, and its signal is aborted', async () => {
    const stream = await open(
      query('middle', 'SELECT n, 1 / (700 - n) AS x FROM (SELECT pg_catalog.generate_series(1, 1000) AS n) AS s'),
    )
    for (let n = 1; n <= 500; n++) await stream.next()
    const failure = { code: 'statement_failed', sqlstate: '22012' }
    await expect(stream.next()).rejects.toMatchObject(failure)
    await expect(stream.next()).rejects.toMatchObject(failure)
    expect(stream.signal.reason).toMatchObject(failure)
    expect(pool.stats).toMatchObject(kept)
    await isFree()
  })

  test('past its time, though nobody reads: its signal tells, its connection is free', async () => {
    const stream = await open(numbers(100_000), { timeoutMs: 100 })
    await new Promise((resolve) => stream.signal.addEventListener('abort', resolve))
    await expect.poll(() => pool.stats.idle).toBe(1)
    await isFree()
    await expect(stream.next()).rejects.toMatchObject({ code: 'transaction_timeout' })
  })

  test('past its time amid a fetch', async () => {
    const slow = query(
      'slow',
      'SELECT n, pg_catalog.pg_sleep(CASE WHEN n > 500 THEN 30 ELSE 0 END) FROM pg_catalog.generate_series(1, 600) AS s(n)',
    )
    const stream = await open(slow, { timeoutMs: 200 })
    await expect(all(stream)).rejects.toMatchObject({ code: 'transaction_timeout' })
    expect(pool.stats).toMatchObject({ destroyed: 1 })
    await isFree()
  })

  test('past its bytes', async () => {
    const wide = query(
      'wide',
      `SELECT n, pg_catalog.repeat('x', 100) AS x FROM pg_catalog.generate_series(1, 5000) AS s(n)`,
    )
    const stream = await open(wide, { maxBytes: 200_000 })
    await expect(all(stream)).rejects.toMatchObject({ code: 'answer_too_large', status: 500 })
    expect(pool.stats).toMatchObject(kept)
    await isFree()
    // all of it has some 600,000
    expect(await all(await open(wide))).toHaveLength(5_000)
  })

  test('because it is not wanted any more: its signal gives it up, before and amid a fetch', async () => {
    const gone = new AbortController()
    const reason = new Error('gone')
    const stream = await open(numbers(100_000), { signal: gone.signal })
    gone.abort(reason)
    await expect(stream.next()).rejects.toBe(reason)
    await expect.poll(() => pool.stats).toMatchObject(kept)
    await expect(open(numbers(1), { signal: gone.signal })).rejects.toBe(reason)
    const later = new AbortController()
    setTimeout(() => later.abort(reason), 100)
    const sleep = open(query('sleep', 'SELECT 1 AS n FROM pg_catalog.pg_sleep(30)'), { signal: later.signal })
    await expect(sleep).rejects.toBe(reason)
    await isFree()
  })

  test('because its connection is lost', async () => {
    const stream = await open(
      query('pid', 'SELECT pg_catalog.pg_backend_pid() AS n FROM pg_catalog.generate_series(1, 1000)'),
    )
    const { value } = await stream.next()
    await database.owner('SELECT pg_terminate_backend($1)', [value?.n])
    await expect(all(stream)).rejects.toMatchObject({ code: 'connection_lost' })
    await isFree()
  })
})

describe('the pool of streams', () => {
  test('is made for the first stream, and holds so many at once', async () => {
    const streams = createStreamPool(database.target('app'), { poolSize: 1, timeoutMs: 1_000 })
    expect(streams.limits).toEqual({ timeoutMs: 1_000, maxBytes: 268_435_456 })
    const [one, again] = await Promise.all([streams.open(), streams.open()])
    expect(again).toBe(one)
    expect(one.stats).toMatchObject({ size: 1 })
    await streams.close()
    await expect(streams.open()).rejects.toMatchObject({ code: 'pool_closed' })
  })

  test('that could not be made is tried again', async () => {
    const target = database.target('app')
    const wrong = { ...target, password: 'wrong' }
    const streams = createStreamPool(wrong)
    for (let round = 0; round < 2; round++) {
      await expect(streams.open()).rejects.toMatchObject({ code: 'database_unavailable' })
    }
    await streams.close()
  })

  test('closed before it is used costs nothing', async () => {
    await createStreamPool(database.target('app')).close()
  })

  test.each([{ timeoutMs: 0 }, { maxBytes: 1.5 }])('%o is refused', (wrong) => {
    expect(() => createStreamPool(database.target('app'), wrong)).toThrow(RangeError)
    expect(() => borrowStreamPool(pool, wrong)).toThrow(RangeError)
  })
})
