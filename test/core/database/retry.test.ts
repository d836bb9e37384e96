import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import { pauseBefore } from '../../../src/core/database/retry.ts'
import type { Query } from '../../../src/core/database/statement.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

const query = (name: string, text: string, ...values: unknown[]): Query => ({ statement: { name, text }, values })
const raise = (sqlstate: string): Query => query('raise', 'SELECT r FROM public.raise_once($1::TEXT) r', sqlstate)
const sum = query('sum', 'SELECT sum(n)::INT4 AS sum FROM public.counters WHERE side = $1::TEXT', 'a')

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
  for (const sql of [
    'CREATE TABLE public.counters (id INT8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, side TEXT NOT NULL, n INT8 NOT NULL)',
    'CREATE SEQUENCE public.calls',
    // Fails with the SQLSTATE as often as the sequence was set below zero.
    `CREATE FUNCTION public.raise_once(state TEXT) RETURNS INT8 LANGUAGE plpgsql AS $$
     BEGIN IF nextval('public.calls') < 100 THEN RAISE EXCEPTION 'injected' USING ERRCODE = state; END IF; RETURN 1; END $$`,
    'GRANT USAGE ON SCHEMA public TO holdfast_app',
    'GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO holdfast_app',
    'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO holdfast_app',
    'GRANT EXECUTE ON FUNCTION public.raise_once TO holdfast_app',
  ]) {
    await database.owner(sql)
  }
})
afterAll(() => database.drop())

describe.each(['flight', 'sequential'] as const)('%s', (mode) => {
  let pool: Pool
  beforeEach(async () => {
    await database.owner('DELETE FROM public.counters')
    pool = await createPool({ connection: database.target('app'), size: 8, applicationName: 'retry', mode })
  })
  afterEach(() => pool.close())
  const failTimes = (times: number) => database.owner("SELECT setval('public.calls', $1)", [100 - times])

  test.each([
    { sqlstate: '40001', failures: 3, runs: 4 },
    { sqlstate: '40P01', failures: 1, runs: 2 },
  ])('injected $sqlstate $failures times: the whole work runs again', async ({ sqlstate, failures, runs }) => {
    await failTimes(failures + 1)
    const told: number[] = []
    let count = 0
    await pool.transaction(
      async (transaction) => {
        count++
        await transaction.send([query('add', 'INSERT INTO public.counters (side, n) VALUES ($1::TEXT, 1)', 'a')])
        await transaction.send([raise(sqlstate)], { commit: true })
      },
      { onRetry: (attempt, error) => told.push(attempt) && expect(error.code).toBe('serialization_failure') },
    )
    expect(count).toBe(runs)
    expect(told).toEqual(Array.from({ length: failures }, (_, index) => index + 2))
    expect(await database.owner('SELECT count(*)::INT4 AS n FROM public.counters')).toEqual([{ n: 1 }])
    expect(pool.stats.destroyed).toBe(0)
  })

  test('tries are bounded; then the failure is told', async () => {
    await failTimes(90)
    let count = 0
    const attempt = pool.transaction(
      (transaction) => {
        count++
        return transaction.send([raise('40001')], { commit: true })
      },
      { tries: 3 },
    )
    await expect(attempt).rejects.toMatchObject({ code: 'serialization_failure', sqlstate: '40001', status: 503 })
    expect(count).toBe(3)
  })

  test.each(['23505', '22P02', 'KH401', '57014', '55P03', 'XXA00'])('%s is not retried', async (sqlstate) => {
    await failTimes(5)
    let count = 0
    const attempt = pool.transaction((transaction) => {
      count++
      return transaction.send([raise(sqlstate)], { commit: true })
    })
    await expect(attempt).rejects.toMatchObject({ sqlstate })
    expect(count).toBe(1)
  })

  test('an error that only looks like one, thrown by the work, is not retried', async () => {
    let count = 0
    const attempt = pool.transaction(() => {
      count++
      return Promise.reject(Object.assign(new Error('mine'), { code: 'serialization_failure', sqlstate: '40001' }))
    })
    await expect(attempt).rejects.toThrow('mine')
    expect(count).toBe(1)
  })

  test('work that wraps or swallows a 40001 is run again all the same', async () => {
    await failTimes(3)
    let count = 0
    await pool.transaction(async (transaction) => {
      count++
      try {
        await transaction.send([raise('40001')])
      } catch (error) {
        if (count === 1) throw new Error('wrapped', { cause: error })
      }
    })
    expect(count).toBe(3)
  })

  test('real conflicts: write skew under SERIALIZABLE ends as some order would have it', async () => {
    await database.owner("INSERT INTO public.counters (side, n) VALUES ('a', 1), ('b', 1)")
    let runs = 0
    const waiting = new Set(['a', 'b'])
    const bothHaveRead = gate()
    // Each adds the other side's sum to its own. In any order the sums differ; under write skew they would be equal.
    const cross = (from: string, to: string) =>
      pool.transaction(async (transaction) => {
        runs++
        const { rows } = await transaction.query(sum.statement, [from])
        // Neither writes before both have read, however loaded the machine is: else one may end before the other begins.
        waiting.delete(from)
        if (waiting.size === 0) bothHaveRead.release()
        await bothHaveRead.promise
        await transaction.send(
          [query('put', 'INSERT INTO public.counters (side, n) VALUES ($1::TEXT, $2::INT8)', to, rows[0]?.['sum'])],
          { commit: true },
        )
      })
    await Promise.all([cross('a', 'b'), cross('b', 'a')])
    const rows = await database.owner(
      'SELECT side, sum(n)::INT4 AS sum FROM public.counters GROUP BY side ORDER BY sum',
    )
    expect(rows.map(({ sum: total }) => total)).toEqual([2, 3])
    expect(runs).toBeGreaterThanOrEqual(3)
  })

  test('twenty at once on one row: every increment is there', async () => {
    await database.owner("INSERT INTO public.counters (side, n) VALUES ('a', 0)")
    const add = query('increment', "UPDATE public.counters SET n = n + 1 WHERE side = 'a'")
    await Promise.all(
      Array.from({ length: 20 }, () =>
        pool.transaction((transaction) => transaction.send([add], { commit: true }), { tries: 30 }),
      ),
    )
    expect(await database.owner('SELECT n::INT4 AS n FROM public.counters')).toEqual([{ n: 20 }])
  })

  test('a real deadlock: one gives way, both are done in the end', async () => {
    await database.owner("INSERT INTO public.counters (side, n) VALUES ('a', 0), ('b', 0)")
    const bump = (side: string) => query('bump', 'UPDATE public.counters SET n = n + 1 WHERE side = $1::TEXT', side)
    const both = (first: string, second: string) =>
      pool.transaction(
        async (transaction) => {
          await transaction.send([bump(first)])
          await new Promise((resolve) => setTimeout(resolve, 50))
          await transaction.send([bump(second)], { commit: true })
        },
        { isolation: 'read committed' },
      )
    await Promise.all([both('a', 'b'), both('b', 'a')])
    expect(await database.owner('SELECT DISTINCT n::INT4 AS n FROM public.counters')).toEqual([{ n: 2 }])
  })

  test('a changed result type: every connection forgets its names, the work runs once more', async () => {
    await database.owner('DROP TABLE IF EXISTS public.shape')
    await database.owner('CREATE TABLE public.shape (a INT8)')
    await database.owner('GRANT SELECT ON TABLE public.shape TO holdfast_app')
    const look = query('look', 'SELECT * FROM public.shape')
    const use = () => pool.transaction((transaction) => transaction.send([look, sum], { commit: true }))
    // Prepared on several connections.
    await Promise.all([use(), use(), use(), use()])
    await database.owner('INSERT INTO public.shape VALUES (1)')
    await database.owner("ALTER TABLE public.shape ADD COLUMN b TEXT DEFAULT 'new'")
    const results = await Promise.all([use(), use(), use(), use(), use()])
    for (const [first] of results) expect(first?.rows).toEqual([{ a: '1', b: 'new' }])
    expect(pool.stats.destroyed).toBe(mode === 'flight' ? 0 : pool.stats.destroyed)
  })
})

/** A promise, and what settles it. */
function gate(): { readonly promise: Promise<void>; release(): void } {
  let release = (): void => undefined
  const promise = new Promise<void>((resolve) => {
    release = resolve
  })
  return { promise, release: () => release() }
}

test('pauses grow, are capped, and are drawn from zero on', () => {
  expect([2, 3, 4, 20].map((attempt) => pauseBefore(attempt, () => 0.999_999))).toEqual([9, 19, 39, 249])
  expect(pauseBefore(20, () => 0)).toBe(0)
})
