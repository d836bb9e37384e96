import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { StatementError } from '../../../src/core/database/errors.ts'
import { createPool, type Pool, type PoolOptions } from '../../../src/core/database/pool.ts'
import type { Transaction } from '../../../src/core/database/transaction.ts'
import type { Query, Statement } from '../../../src/core/database/statement.ts'
import type { BackendName, BackendSetup, ReadySetup } from '../../backends.ts'
import { backendState, createTestDatabase, type TestDatabase } from '../../postgres.ts'

const statement = (name: string, text: string): Statement => ({ name, text })
const query = (name: string, text: string, ...values: unknown[]): Query => ({
  statement: statement(name, text),
  values,
})
const insert = (id: number, note: string | null = null): Query =>
  query('insert', 'INSERT INTO public.items (id, note) VALUES ($1::INT8, $2::TEXT)', id, note)
const all = query('all', 'SELECT id, note FROM public.items ORDER BY id')
const boom = query('boom', 'SELECT 1 / $1::INT8 AS never', 0)

/** Ways of a pool. */
export type Variant = { readonly name: string; readonly options: Partial<PoolOptions> }

/** Whether or not the transaction is said. */
export const plainVariants: readonly Variant[] = [
  { name: 'flight', options: { mode: 'flight' } },
  { name: 'sequential', options: { mode: 'sequential' } },
]
export const allVariants: readonly Variant[] = [
  ...plainVariants,
  { name: 'flight with explicit BEGIN and COMMIT', options: { mode: 'flight', dialect: 'cockroachdb' } },
  { name: 'sequential, explicit', options: { mode: 'sequential', dialect: 'cockroachdb' } },
]

/**
 * The same promises on every backend, in both modes, whether or not the transaction is said.
 *
 * @param started - a backend of the test file's own; else one of the whole run
 */
export function contract(backend: BackendName, variants: readonly Variant[], started?: BackendSetup): void {
  const { isThere, why } = backendState(backend, started)
  for (const { name, options } of variants) {
    describe.skipIf(!isThere)(`${backend}, ${name}${why === '' ? '' : ` – ${why}`}`, () => {
      let database: TestDatabase
      let pool: Pool

      beforeAll(async () => {
        database = await createTestDatabase({ backend: (started as ReadySetup | undefined) ?? backend })
        await database.owner('CREATE TABLE public.items (id INT8 PRIMARY KEY, note TEXT)')
        await database.owner('GRANT USAGE ON SCHEMA public TO holdfast_app')
        await database.owner('GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE public.items TO holdfast_app')
      })
      afterAll(() => database.drop())
      beforeEach(async () => {
        await database.owner('DELETE FROM public.items')
        pool = await createPool({
          connection: database.target('app'),
          size: 2,
          applicationName: 'contract',
          ...options,
        })
      })
      afterEach(() => pool.close())
      const stored = async (): Promise<unknown[]> => database.owner('SELECT id, note FROM public.items ORDER BY id')
      const failure = async (promise: Promise<unknown>): Promise<StatementError> => {
        const error = await promise.then(
          () => undefined,
          (reason: unknown) => reason,
        )
        expect(error).toBeInstanceOf(StatementError)
        return error as StatementError
      }

      test('one flight: results in order, rows and counts, committed', async () => {
        const transaction = await pool.begin()
        expect(transaction.state).toBe('new')
        const results = await transaction.send([insert(1, 'żółć ✓'), insert(2), all], { commit: true })
        expect(transaction.state).toBe('committed')
        expect(results).toEqual([
          { rows: [], rowCount: 1 },
          { rows: [], rowCount: 1 },
          {
            rows: [
              { id: '1', note: 'żółć ✓' },
              { id: '2', note: null },
            ],
            rowCount: 2,
          },
        ])
        expect(await stored()).toHaveLength(2)
        await transaction.commit()
      })

      test('several flights, then commit; nothing is seen by others before', async () => {
        const transaction = await pool.begin()
        await transaction.send([insert(1)])
        expect(transaction.state).toBe('open')
        expect((await transaction.query(all.statement)).rowCount).toBe(1)
        expect(await stored()).toEqual([])
        await transaction.commit()
        expect(await stored()).toHaveLength(1)
      })

      test('several flights, commit with the last', async () => {
        const transaction = await pool.begin()
        await transaction.send([insert(1)])
        await transaction.send([insert(2)], { commit: true })
        expect(transaction.state).toBe('committed')
        expect(await stored()).toHaveLength(2)
      })

      test('rollback takes everything back and keeps the connection', async () => {
        const transaction = await pool.begin()
        await transaction.send([insert(1)])
        await transaction.rollback()
        expect(transaction.state).toBe('rolled back')
        expect(await stored()).toEqual([])
        expect(pool.stats).toMatchObject({ created: 1, destroyed: 0, idle: 1 })
      })

      test('nothing sent: commit and rollback cost nothing', async () => {
        for (const end of ['commit', 'rollback'] as const) {
          const transaction = await pool.begin()
          await transaction[end]()
        }
        expect(pool.stats.flights).toBe(0)
        expect(pool.stats.idle).toBe(1)
      })

      test.each([
        { where: 'the only flight', before: false, commit: true },
        { where: 'the first flight', before: false, commit: false },
        { where: 'a later flight', before: true, commit: false },
        { where: 'the last flight', before: true, commit: true },
      ])('an error in $where skips the rest, rolls back, and keeps the connection', async ({ before, commit }) => {
        const transaction = await pool.begin()
        if (before) await transaction.send([insert(1)])
        const error = await failure(transaction.send([insert(2), boom, insert(3)], { commit }))
        expect(error).toMatchObject({ code: 'statement_failed', index: 1, sqlstate: '22012' })
        expect(transaction.state).toBe('rolled back')
        expect(await stored()).toEqual([])
        expect(pool.stats).toMatchObject({ created: 1, destroyed: 0, idle: 1 })
        // The names after the error were never prepared, the ones before were: all of them work now.
        const next = await pool.transaction((again) => again.send([insert(2), insert(3), all], { commit: true }))
        expect(next.at(-1)?.rowCount).toBe(2)
        await expect(transaction.send([all])).rejects.toBe(error)
      })

      test('an error at commit says so', async () => {
        await database.owner(
          'CREATE TABLE IF NOT EXISTS public.pairs (id INT8 PRIMARY KEY, other INT8 REFERENCES public.pairs DEFERRABLE INITIALLY DEFERRED)',
        )
        await database.owner('GRANT INSERT ON TABLE public.pairs TO holdfast_app')
        const add = query('pair', 'INSERT INTO public.pairs (id, other) VALUES ($1::INT8, $2::INT8)', 1, 99)
        const error = await failure(
          pool.transaction((transaction) => transaction.send([insert(1), add], { commit: true })),
        )
        expect(error).toMatchObject({ code: 'statement_failed', index: 2, sqlstate: '23503' })
        const later = await failure(
          pool.transaction(async (transaction) => {
            await transaction.send([add])
          }),
        )
        expect(later).toMatchObject({ index: 0, sqlstate: '23503' })
        expect(await stored()).toEqual([])
        // nobody knows what a failed COMMIT leaves behind
        expect(pool.stats).toMatchObject({ created: 2, destroyed: 2 })
      })

      test('a denial raised by a function carries its SQLSTATE and DETAIL', async () => {
        await database.owner(
          "CREATE OR REPLACE FUNCTION public.deny() RETURNS INT8 LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'KH403', DETAIL = 'grant_missing'; END $$",
        )
        await database.owner('GRANT EXECUTE ON FUNCTION public.deny TO holdfast_app')
        for (let round = 0; round < 3; round++) {
          const denied = query('deny', 'SELECT d FROM public.deny() d')
          const error = await failure(
            pool.transaction((transaction) => transaction.send([denied, insert(1)], { commit: true })),
          )
          expect(error).toMatchObject({ index: 0, sqlstate: 'KH403', detail: 'grant_missing' })
        }
        expect(pool.stats).toMatchObject({ created: 1, destroyed: 0 })
        expect(await stored()).toEqual([])
      })

      test('transaction(): commits after the work, rolls back when it throws', async () => {
        expect(
          await pool.transaction(
            async (transaction) => (await transaction.query(insert(1).statement, [1, 'a'])).rowCount,
          ),
        ).toBe(1)
        const reason = new Error('the work has its reasons')
        const attempt = pool.transaction(async (transaction) => {
          await transaction.send([insert(2)])
          throw reason
        })
        await expect(attempt).rejects.toBe(reason)
        expect(await stored()).toHaveLength(1)
      })

      describe('an answer has a bound', () => {
        const narrow = async (more: Partial<PoolOptions> = {}): Promise<Pool> => {
          await pool.close()
          const limits = { maxRows: 3, maxAnswerBytes: 100_000, ...more }
          pool = await createPool({
            connection: database.target('app'),
            size: 1,
            applicationName: 'narrow',
            ...options,
            ...limits,
          })
          return pool
        }
        const count = (n: number): Query =>
          query('count', 'SELECT n FROM pg_catalog.generate_series(1, $1::INT4) AS s(n)', n)
        const refused = { code: 'too_many_rows', status: 500 }

        test('as many rows as allowed are given out', async () => {
          const [answer] = await (await narrow()).transaction((t) => t.send([count(3)], { commit: true }))
          expect(answer?.rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
        })
        test('one row more: rolled back, the connection kept, said how to page', async () => {
          await narrow()
          const attempt = pool.transaction(async (t) => {
            await t.send([insert(1)])
            await t.send([insert(2), count(4), insert(3)])
          })
          await expect(attempt).rejects.toMatchObject({
            ...refused,
            message: expect.stringMatching(/^Query 1 answered with more than 3 rows: .*LIMIT.* row\.$/) as unknown,
          })
          expect(await stored()).toEqual([])
          expect(pool.stats).toMatchObject({ created: 1, destroyed: 0, idle: 1 })
        })
        test('rows of RETURNING count too', async () => {
          await narrow()
          const many = query(
            'many',
            'INSERT INTO public.items (id) SELECT n FROM pg_catalog.generate_series(1, 4) AS s(n) RETURNING id',
          )
          await expect(pool.transaction((t) => t.query(many.statement))).rejects.toMatchObject(refused)
          expect(await stored()).toEqual([])
        })
        test('swallowed, it is no success', async () => {
          await narrow()
          const attempt = pool.transaction(async (t) => {
            await t.send([insert(1)])
            await t.send([count(4)]).catch(() => undefined)
          })
          await expect(attempt).rejects.toMatchObject(refused)
          expect(await stored()).toEqual([])
        })
        test('under a savepoint that alone is undone, even where it is swallowed', async () => {
          await narrow()
          await pool.transaction(async (t) => {
            await t.send([insert(1)])
            await expect(
              t.savepoint(async () => {
                await t.send([insert(2), count(9)]).catch(() => undefined)
              }),
            ).rejects.toMatchObject(refused)
            await t.send([insert(3)])
          })
          expect(await stored()).toHaveLength(2)
        })
        test('with COMMIT on board the answer is refused and the message says what stands', async () => {
          await narrow()
          const write = pool.transaction((t) => t.send([insert(1), count(4)], { commit: true }))
          await expect(write).rejects.toMatchObject({
            ...refused,
            message: expect.stringMatching(/committed with it\.$/) as unknown,
          })
          expect(await stored()).toHaveLength(1)
          const read = pool.transaction((t) => t.send([count(4)], { commit: true }), { readOnly: true })
          await expect(read).rejects.toMatchObject({
            ...refused,
            message: expect.not.stringContaining('committed') as unknown,
          })
          expect(pool.stats).toMatchObject({ destroyed: 0, idle: 1 })
        })
        test.each([
          ['one huge row', 'SELECT pg_catalog.repeat($1::TEXT, 10000000) AS wide', 'x'],
          ['rows without end', 'SELECT pg_catalog.generate_series(1, 1000000000) AS n, $1::TEXT AS x', 'x'],
        ])('%s: abandoned before it is in memory, and the pool goes on', async (_, text, value) => {
          await narrow()
          const wide = query('', text, value)
          const attempt = pool.transaction(async (t) => {
            await t.send([insert(1)])
            await t.send([wide])
          })
          await expect(attempt).rejects.toMatchObject({ code: 'answer_too_large', status: 500 })
          expect(await stored()).toEqual([])
          expect(pool.stats).toMatchObject({ destroyed: 1 })
          expect((await pool.transaction((t) => t.query(all.statement))).rows).toEqual([])
        })
        test('bytes are counted afresh for each round trip', async () => {
          await narrow()
          await pool.transaction(async (t) => {
            for (let round = 0; round < 4; round++) {
              await t.send([query('', `SELECT pg_catalog.repeat('x', 40000) AS wide`)])
            }
          })
          expect(pool.stats.destroyed).toBe(0)
        })
        test.each<Partial<PoolOptions>>([{ maxRows: 0 }, { maxRows: 1.5 }, { maxAnswerBytes: -1 }])(
          'a bound of %o is refused',
          async (wrong) => {
            await expect(narrow(wrong)).rejects.toThrow(RangeError)
            pool = await createPool({ connection: database.target('app'), size: 1, applicationName: 'contract' })
          },
        )
      })

      describe('a statement without end is cancelled by the database', () => {
        test.each([
          ['recursion', 'WITH RECURSIVE t(n) AS (SELECT 1::INT8 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t'],
          [
            'a cross join',
            'SELECT count(*) FROM pg_catalog.generate_series(1, 100000) a(n), pg_catalog.generate_series(1, 100000) b(n), pg_catalog.generate_series(1, 100000) c(n)',
          ],
          [
            'a series over time',
            `SELECT count(*) FROM pg_catalog.generate_series('0001-01-01'::TIMESTAMPTZ, '9999-01-01'::TIMESTAMPTZ, INTERVAL '1 microsecond') s(at)`,
          ],
        ])('%s', async (_, text) => {
          await pool.close()
          pool = await createPool({
            connection: database.target('app'),
            size: 1,
            applicationName: 'endless',
            ...options,
            statementTimeoutMs: 300,
          })
          const attempt = pool.transaction(async (t) => {
            await t.send([insert(1)])
            await t.send([query('', text)])
          })
          await expect(attempt).rejects.toMatchObject({ code: 'statement_timeout', sqlstate: '57014', status: 503 })
          expect(await stored()).toEqual([])
          expect(pool.stats).toMatchObject({ created: 1, destroyed: 0, idle: 1 })
          expect((await pool.transaction((t) => t.query(all.statement))).rows).toEqual([])
        })
      })

      describe('savepoint', () => {
        const kept = async (): Promise<unknown[]> => (await stored()).map((row) => (row as { id: unknown }).id)
        test('kept when its work ends, undone alone when it throws', async () => {
          const reason = new Error('inner')
          await pool.transaction(async (t) => {
            await t.send([insert(1)])
            await t.savepoint(() => t.send([insert(2)]))
            await expect(
              t.savepoint(async () => {
                await t.send([insert(3)])
                throw reason
              }),
            ).rejects.toBe(reason)
            await t.send([insert(4)])
          })
          expect(await kept()).toEqual(['1', '2', '4'])
          expect(pool.stats).toMatchObject({ destroyed: 0, idle: 1 })
        })
        test('first thing in a transaction', async () => {
          await pool.transaction((t) => t.savepoint(() => t.send([insert(1)])))
          expect(await kept()).toEqual(['1'])
        })
        test('a failed statement ends at it', async () => {
          await pool.transaction(async (t) => {
            await t.send([insert(1)])
            const error = await failure(t.savepoint(() => t.send([insert(2), boom])))
            expect(error.sqlstate).toBe('22012')
            await t.send([insert(3)])
          })
          expect(await kept()).toEqual(['1', '3'])
        })
        test('a swallowed failure is no success, and the outer goes on', async () => {
          await pool.transaction(async (t) => {
            await failure(
              t.savepoint(async () => {
                await t.send([insert(2)])
                await t.send([boom]).catch(() => undefined)
              }),
            )
            await t.send([insert(3)])
          })
          expect(await kept()).toEqual(['3'])
        })
        test('after a swallowed failure nothing more is sent inside', async () => {
          await pool.transaction(async (t) => {
            const error = await failure(
              t.savepoint(async () => {
                await t.send([boom]).catch(() => undefined)
                await t.send([insert(9)])
              }),
            )
            expect(error.sqlstate).toBe('22012')
          })
          expect(await kept()).toEqual([])
        })
        test('nested: inner undone, middle kept', async () => {
          await pool.transaction((t) =>
            t.savepoint(async () => {
              await t.send([insert(1)])
              await failure(t.savepoint(() => t.send([insert(2), boom])))
              await t.savepoint(() => t.send([insert(3)]))
            }),
          )
          expect(await kept()).toEqual(['1', '3'])
        })
        test('nested: outer undone takes the inner with it', async () => {
          await pool.transaction(async (t) => {
            await t.send([insert(1)])
            await t
              .savepoint(async () => {
                await t.savepoint(() => t.send([insert(2)]))
                throw new Error('x')
              })
              .catch(() => undefined)
          })
          expect(await kept()).toEqual(['1'])
        })
        test('at most eight deep', async () => {
          const dive = (t: Transaction, left: number): Promise<unknown> =>
            t.savepoint(() => (left > 1 ? dive(t, left - 1) : t.send([insert(left)])))
          await pool.transaction((t) => dive(t, 8))
          await expect(pool.transaction((t) => dive(t, 9))).rejects.toMatchObject({
            code: 'transaction_state',
            message: expect.stringContaining('at most 8') as unknown,
          })
          expect(await kept()).toEqual(['1'])
        })
        test.each(['40001', '40P01'])('%s inside repeats the whole, even swallowed', async (state) => {
          await database.owner(
            `CREATE OR REPLACE FUNCTION public.raise_it(state TEXT) RETURNS INT8 LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = state, DETAIL = 'grant_missing'; END $$`,
          )
          await database.owner('GRANT EXECUTE ON FUNCTION public.raise_it TO holdfast_app')
          let runs = 0
          await pool.transaction(async (t) => {
            runs++
            await t.send([insert(runs)])
            await t
              .savepoint(async () => {
                if (runs === 1) await t.send([query('raise', 'SELECT public.raise_it($1::TEXT)', state)])
              })
              .catch(() => undefined)
          })
          expect([runs, await kept()]).toEqual([2, ['2']])
        })
        test('a denial inside ends the transaction', async () => {
          await database.owner(
            `CREATE OR REPLACE FUNCTION public.raise_it(state TEXT) RETURNS INT8 LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = state, DETAIL = 'grant_missing'; END $$`,
          )
          await database.owner('GRANT EXECUTE ON FUNCTION public.raise_it TO holdfast_app')
          const error = await failure(
            pool.transaction(async (t) => {
              await t.send([insert(1)])
              await t
                .savepoint(() => t.send([query('raise', 'SELECT public.raise_it($1::TEXT)', 'KH403')]))
                .catch(() => undefined)
              await t.send([insert(2)])
            }),
          )
          expect(error.sqlstate).toBe('KH403')
          expect(await kept()).toEqual([])
          expect(pool.stats).toMatchObject({ destroyed: 0, idle: 1 })
        })
        test('not awaited: the transaction is not committed', async () => {
          let late: Promise<unknown> = Promise.resolve()
          let go = (): void => undefined
          const wait = new Promise<void>((resolve) => {
            go = resolve
          })
          await expect(
            pool.transaction(async (t) => {
              await t.send([insert(1)])
              let opened = (): void => undefined
              const open = new Promise<void>((resolve) => {
                opened = resolve
              })
              late = t.savepoint(async () => {
                opened()
                await wait
                await t.send([insert(2)])
              })
              late.catch(() => undefined)
              await open
            }),
          ).rejects.toMatchObject({ code: 'transaction_state' })
          go()
          await expect(late).rejects.toThrow()
          expect(await kept()).toEqual([])
          await pool.transaction((t) => t.send([insert(5)]))
          expect(await kept()).toEqual(['5'])
        })
        test('not awaited, its first flight under way', async () => {
          await expect(
            pool.transaction(async (t) => {
              await t.send([insert(1)])
              t.savepoint(() => t.send([insert(2)])).catch(() => undefined)
            }),
          ).rejects.toMatchObject({ code: 'transaction_state' })
          await new Promise((resolve) => setTimeout(resolve, 50))
          expect(await kept()).toEqual([])
          await pool.transaction((t) => t.send([insert(5)]))
          expect(await kept()).toEqual(['5'])
        })
        test('an inner one not awaited fails the one around it, and the outer goes on', async () => {
          await pool.transaction(async (t) => {
            let go = (): void => undefined
            const wait = new Promise<void>((resolve) => {
              go = resolve
            })
            await expect(
              t.savepoint(async () => {
                await t.send([insert(1)])
                await new Promise<void>((opened) => {
                  t.savepoint(async () => {
                    opened()
                    await wait
                  }).catch(() => undefined)
                })
              }),
            ).rejects.toMatchObject({ code: 'transaction_state' })
            go()
            await new Promise((resolve) => setTimeout(resolve, 20))
            await t.send([insert(2)])
          })
          expect(await kept()).toEqual(['2'])
        })
        test('commit inside is refused', async () => {
          await expect(
            pool.transaction((t) => t.savepoint(() => t.send([insert(1)], { commit: true }))),
          ).rejects.toMatchObject({ code: 'transaction_state' })
          expect(await kept()).toEqual([])
        })
        test('a value that cannot be sent undoes only it', async () => {
          await pool.transaction(async (t) => {
            await t.send([insert(1)])
            await expect(
              t.savepoint(() => t.send([insert(2), query('bad', 'SELECT $1::TEXT', { a: 1n })])),
            ).rejects.toBeDefined()
            await t.send([insert(3)])
          })
          expect(await kept()).toEqual(['1', '3'])
        })
      })

      test('work that swallows a database error is no success', async () => {
        const attempt = pool.transaction(async (transaction) => {
          await transaction.send([insert(1)])
          await transaction.send([boom]).catch(() => undefined)
        })
        expect(await failure(attempt)).toMatchObject({ sqlstate: '22012' })
        expect(await stored()).toEqual([])
      })

      test('settings made transaction-locally are gone afterwards', async () => {
        const set = query('set', "SELECT set_config('holdfast.tenant_id', $1::TEXT, true) AS value", 't1')
        const get = query('get', "SELECT NULLIF(current_setting('holdfast.tenant_id', true), '') AS value")
        const results = await pool.transaction((transaction) => transaction.send([set, get], { commit: true }))
        expect(results[1]?.rows).toEqual([{ value: 't1' }])
        const after = await pool.transaction((transaction) => transaction.send([get], { commit: true }))
        expect(after[0]?.rows).toEqual([{ value: null }])
      })

      test.each([
        { isolation: undefined, readOnly: undefined, shows: ['serializable', 'off'] },
        { isolation: 'serializable', readOnly: false, shows: ['serializable', 'off'] },
        { isolation: 'read committed', readOnly: false, shows: ['read committed', 'off'] },
        { isolation: 'read committed', readOnly: true, shows: ['read committed', 'on'] },
        { isolation: undefined, readOnly: true, shows: ['serializable', 'on'] },
      ] as const)('isolation $isolation, read-only $readOnly', async ({ isolation, readOnly, shows }) => {
        const show = query(
          'show',
          "SELECT current_setting('transaction_isolation') AS isolation, current_setting('transaction_read_only') AS access",
        )
        const transaction = await pool.begin({
          ...(isolation === undefined ? {} : { isolation }),
          ...(readOnly === undefined ? {} : { readOnly }),
        })
        const [result] = await transaction.send([show])
        expect(Object.values(result?.rows[0] ?? {})).toEqual(shows)
        await transaction.commit()
      })

      test('values of every kind arrive as pg would send them', async () => {
        const echo = query(
          'echo',
          `SELECT $1::TEXT AS t, $2::INT8 AS n, $3::BOOL AS b, $4::BYTEA AS y, $5::TEXT[] AS a, $6::JSONB AS j, $7::TIMESTAMPTZ AS d, $8::TEXT AS z, $9::FLOAT8 AS f`,
          '✓\t\'"\\',
          12n,
          true,
          new Uint8Array([0, 255, 10]),
          ['a', 'b"c', null],
          { k: ['ł'] },
          new Date('2026-02-03T04:05:06.789Z'),
          undefined,
          1.5,
        )
        for (let round = 0; round < 2; round++) {
          const [result] = await pool.transaction((transaction) => transaction.send([echo], { commit: true }))
          expect(result?.rows).toEqual([
            {
              t: '✓\t\'"\\',
              n: '12',
              b: true,
              y: Buffer.from([0, 255, 10]),
              a: ['a', 'b"c', null],
              j: { k: ['ł'] },
              d: new Date('2026-02-03T04:05:06.789Z'),
              z: null,
              f: 1.5,
            },
          ])
        }
      })

      test('what cannot be sent is refused before anything is, and the transaction goes on', async () => {
        const transaction = await pool.begin()
        await transaction.send([insert(1)])
        const circular: Record<string, unknown> = {}
        circular['self'] = circular
        await expect(
          transaction.send([insert(2), query('circular', 'SELECT $1::JSONB', circular)]),
        ).rejects.toMatchObject({ code: 'value_invalid' })
        await expect(transaction.send([query('nul', 'SELECT 1\0; DROP TABLE x')])).rejects.toMatchObject({
          code: 'value_invalid',
        })
        await transaction.send([insert(3)], { commit: true })
        expect(await stored()).toEqual([
          { id: '1', note: null },
          { id: '3', note: null },
        ])
      })

      test.each([
        ['too few values', query('count', 'SELECT $1::INT8, $2::INT8', 1), '08P01'],
        ['too many values', query('count', 'SELECT $1::INT8', 1, 2), '08P01'],
        ['two statements in one text', query('two', 'SELECT 1; SELECT 2'), '42601'],
        ['a syntax error', query('syntax', 'SELEKT'), '42601'],
        ['a malformed value', query('uuid', 'SELECT $1::UUID AS id', 'no'), '22P02'],
        ['an unsupported character', query('nul value', 'SELECT $1::TEXT AS t', 'a\0b'), '22021'],
      ])('%s is an ordinary failure', async (_, bad, sqlstate) => {
        const error = await failure(
          pool.transaction((transaction) => transaction.send([insert(1), bad], { commit: true })),
        )
        expect(error).toMatchObject({ index: 1, sqlstate })
        expect(await stored()).toEqual([])
        expect(pool.stats).toMatchObject({ created: 1, destroyed: 0 })
      })

      test('a query that ends the transaction destroys the connection', async () => {
        for (const text of ['COMMIT', 'ROLLBACK', 'BEGIN', 'START TRANSACTION']) {
          const before = pool.stats.destroyed
          const attempt = pool.transaction((transaction) =>
            transaction.send([insert(1), query('', text)], { commit: true }),
          )
          await expect(attempt).rejects.toBeInstanceOf(Error)
          // CockroachDB takes a second BEGIN for a failure like any other.
          const isFailure = database.dialect === 'cockroachdb' && /^(?:BEGIN|START)/.test(text)
          expect(pool.stats.destroyed, text).toBe(isFailure ? before : before + 1)
          if (isFailure) expect(await stored(), text).toEqual([])
          await database.owner('DELETE FROM public.items')
        }
      })

      test('an empty text is an empty result', async () => {
        const [result] = await pool.transaction((transaction) => transaction.send([query('', '')], { commit: true }))
        expect(result).toEqual({ rows: [], rowCount: 0 })
      })

      test('the public error tells nothing of the data', async () => {
        await pool.transaction((transaction) => transaction.send([insert(7, 'secret')], { commit: true }))
        const error = await failure(pool.transaction((transaction) => transaction.send([insert(7)], { commit: true })))
        expect(error.sqlstate).toBe('23505')
        expect(`${error.message}${error.publicMessage}${JSON.stringify(error)}`).not.toMatch(/items|pkey|\b7\b.*exists/)
        expect(error.isConstraint('items_pkey')).toBe(true)
        expect(error.isTable('public', 'items')).toBe(true)
      })
    })
  }
}
