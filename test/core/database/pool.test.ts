import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createPool, type Pool, type PoolOptions } from '../../../src/core/database/pool.ts'
import type { Query } from '../../../src/core/database/statement.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

const query = (name: string, text: string, ...values: unknown[]): Query => ({ statement: { name, text }, values })
const pid = query('pid', 'SELECT pg_catalog.pg_backend_pid() AS pid')
const pause = (seconds: number) => query('pause', 'SELECT pg_catalog.pg_sleep($1::FLOAT8)', seconds)

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

async function withPool(o: Partial<PoolOptions>, work: (pool: Pool) => Promise<void>): Promise<void> {
  const pool = await createPool({ connection: database.target('app'), size: 2, applicationName: 'pool', ...o })
  try {
    await work(pool)
  } finally {
    await pool.close()
  }
}

const send = (pool: Pool, queries: Query[]) =>
  pool.transaction((transaction) => transaction.send(queries, { commit: true }))

describe('a pool', () => {
  test('uses the connection that came back last', async () => {
    await withPool({ size: 3 }, async (pool) => {
      const pids: unknown[] = []
      await Promise.all([send(pool, [pause(0.05)]), send(pool, [pause(0.05)])])
      for (let round = 0; round < 5; round++) pids.push((await send(pool, [pid]))[0]?.rows[0]?.['pid'])
      expect(new Set(pids).size).toBe(1)
      expect(pool.stats).toMatchObject({ size: 2, idle: 2 })
    })
  })

  test('never has more connections than its size, and everybody gets a turn in order', async () => {
    await withPool({ size: 2 }, async (pool) => {
      const order: number[] = []
      await Promise.all(
        Array.from({ length: 10 }, async (_, index) => {
          await send(pool, [pause(0.01)])
          order.push(index)
        }),
      )
      expect(pool.stats).toMatchObject({ size: 2, created: 2, waiting: 0 })
      expect(order.toSorted((a, b) => a - b)).toHaveLength(10)
    })
  })

  test('exhausted: after the acquire timeout', async () => {
    await withPool({ size: 1, acquireTimeoutMs: 50 }, async (pool) => {
      const held = await pool.begin()
      await expect(pool.begin()).rejects.toMatchObject({ code: 'pool_exhausted', status: 503 })
      expect(pool.stats.waiting).toBe(0)
      await held.rollback()
      await (await pool.begin()).rollback()
    })
  })

  test('exhausted: at once when too many wait already', async () => {
    await withPool({ size: 1 }, async (pool) => {
      const held = await pool.begin()
      const waiting = Array.from({ length: 64 }, () => pool.begin())
      await expect(pool.begin()).rejects.toMatchObject({ code: 'pool_exhausted' })
      await held.rollback()
      for (const next of waiting) await (await next).rollback()
    })
  })

  test('one transaction, one flight at a time', async () => {
    await withPool({}, async (pool) => {
      const transaction = await pool.begin()
      const first = transaction.send([pause(0.05)])
      await expect(transaction.send([pid])).rejects.toMatchObject({ code: 'transaction_state' })
      await first
      await transaction.commit()
      await expect(transaction.send([pid])).rejects.toMatchObject({ code: 'transaction_state' })
    })
  })

  test('work that gives up amid a flight does not hand its connection to the next', async () => {
    await withPool({ size: 1 }, async (pool) => {
      let flight: Promise<unknown> = Promise.resolve()
      const attempt = pool.transaction((transaction) => {
        flight = transaction.send([pause(0.2), query('late', "SELECT 'late' AS answer")])
        return Promise.reject(new Error('gave up'))
      })
      await expect(attempt).rejects.toThrow('gave up')
      await expect(flight).rejects.toMatchObject({ code: 'connection_lost' })
      expect((await send(pool, [query('next', "SELECT 'next' AS answer")]))[0]?.rows).toEqual([{ answer: 'next' }])
      expect(pool.stats).toMatchObject({ created: 2, destroyed: 1 })
    })
  })

  test('close waits for transactions under way, and takes no new ones', async () => {
    const pool = await createPool({ connection: database.target('app'), size: 1, applicationName: 'pool' })
    const transaction = await pool.begin()
    const waiter = pool.begin()
    const refused = expect(waiter).rejects.toMatchObject({ code: 'pool_closed' })
    const closing = pool.close()
    await refused
    await expect(pool.begin()).rejects.toMatchObject({ code: 'pool_closed' })
    expect((await transaction.send([pid], { commit: true }))[0]?.rowCount).toBe(1)
    await closing
    expect(pool.stats).toMatchObject({ size: 0, idle: 0 })
  })

  test.each([0, -1, 1.5, Number.NaN])('a size of %s is refused', async (size) => {
    await expect(createPool({ connection: database.target('app'), size, applicationName: 'x' })).rejects.toThrow(
      RangeError,
    )
  })
})

describe('a transaction lives so long and no longer', () => {
  test.each(['flight', 'sequential'] as const)('amid a statement (%s)', async (mode) => {
    await withPool({ mode, transactionTimeoutMs: 100, statementTimeoutMs: 60_000 }, async (pool) => {
      const attempt = pool.transaction((transaction) => transaction.send([pause(30)]))
      await expect(attempt).rejects.toMatchObject({ code: 'transaction_timeout' })
      expect(pool.stats).toMatchObject({ size: 0, destroyed: 1 })
      expect((await send(pool, [pid]))[0]?.rowCount).toBe(1)
    })
  })

  test('between statements, even if the work never ends', async () => {
    await withPool({ transactionTimeoutMs: 100, size: 1 }, async (pool) => {
      const transaction = await pool.begin()
      await transaction.send([pid])
      await expect.poll(() => transaction.state).toBe('broken')
      await expect(transaction.send([pid])).rejects.toMatchObject({ code: 'transaction_timeout' })
      await expect(transaction.commit()).rejects.toMatchObject({ code: 'transaction_timeout' })
      await transaction.rollback()
      expect((await send(pool, [pid]))[0]?.rowCount).toBe(1)
    })
  })

  test('with a commit on board it is ambiguous, and says so', async () => {
    await withPool({ transactionTimeoutMs: 100, statementTimeoutMs: 60_000 }, async (pool) => {
      await expect(send(pool, [pause(30)])).rejects.toMatchObject({ code: 'commit_ambiguous' })
    })
  })

  test('the default is five seconds', async () => {
    await withPool({}, async (pool) => {
      const transaction = await pool.begin()
      const start = performance.now()
      await transaction.send([pid])
      await expect.poll(() => transaction.state, { timeout: 8_000, interval: 20 }).toBe('broken')
      expect(performance.now() - start).toBeGreaterThan(4_900)
      expect(performance.now() - start).toBeLessThan(6_000)
    })
  })

  test('the statement timeout is an ordinary failure', async () => {
    await withPool({ statementTimeoutMs: 50 }, async (pool) => {
      await expect(send(pool, [pause(5)])).rejects.toMatchObject({
        code: 'statement_timeout',
        sqlstate: '57014',
        index: 0,
      })
      expect(pool.stats.destroyed).toBe(0)
    })
  })
})

describe('prepared names', () => {
  test('at most 256 a connection: the least recently used is closed', async () => {
    await withPool({ size: 1 }, async (pool) => {
      const count = query('', 'SELECT count(*)::INT4 AS n FROM pg_catalog.pg_prepared_statements')
      for (let index = 0; index < 300; index += 10) {
        const names = Array.from({ length: 10 }, (_, offset) =>
          query(`n${index + offset}`, `SELECT ${index + offset} AS n`),
        )
        const results = await send(pool, [pid, ...names, count])
        expect(results.at(-1)?.rows[0]?.['n']).toBe(Math.min(1 + index + 10, 256))
      }
      const [result] = await send(pool, [count])
      expect(result?.rows).toEqual([{ n: 256 }])
      const [kept] = await send(pool, [
        query(
          '',
          "SELECT count(*)::INT4 AS n FROM pg_catalog.pg_prepared_statements WHERE name IN ('pid', 'n299', 'n0')",
        ),
      ])
      expect(kept?.rows).toEqual([{ n: 2 }])
      // A closed one is simply prepared again.
      expect((await send(pool, [query('n0', 'SELECT 0 AS n')]))[0]?.rows).toEqual([{ n: 0 }])
    })
  })

  test('one flight may use more names than are kept', async () => {
    await withPool({ size: 1 }, async (pool) => {
      const many = Array.from({ length: 300 }, (_, index) => query(`m${index}`, `SELECT ${index} AS n`))
      for (let round = 0; round < 2; round++) {
        const results = await send(pool, many)
        expect(results.map(({ rows }) => rows[0]?.['n'])).toEqual(many.map((_, index) => index))
      }
    })
  })

  test('one name for two texts is refused before anything is sent', async () => {
    await withPool({ size: 1 }, async (pool) => {
      await send(pool, [query('same', 'SELECT 1')])
      await expect(send(pool, [query('same', 'SELECT 2')])).rejects.toMatchObject({ code: 'statement_name_reused' })
      await expect(send(pool, [query('new', 'SELECT 1'), query('new', 'SELECT 2')])).rejects.toMatchObject({
        code: 'statement_name_reused',
      })
      expect(pool.stats.destroyed).toBe(0)
    })
  })

  test('names dropped behind our back: the connection is destroyed, the next one is sound', async () => {
    await withPool({ size: 1 }, async (pool) => {
      await send(pool, [pid])
      await send(pool, [query('', 'DEALLOCATE ALL')])
      await expect(send(pool, [pid])).rejects.toMatchObject({ code: 'protocol_surprise', sqlstate: '26000' })
      expect(pool.stats.destroyed).toBe(1)
      expect((await send(pool, [pid]))[0]?.rowCount).toBe(1)
    })
  })

  test.each(['COPY (SELECT 1) TO STDOUT', 'COPY pg_temp.t FROM STDIN'])('%s has no place in a flight', async (text) => {
    await withPool({ size: 1 }, async (pool) => {
      await expect(send(pool, [query('', text)])).rejects.toBeInstanceOf(Error)
      expect((await send(pool, [pid]))[0]?.rowCount).toBe(1)
    })
  })
})
