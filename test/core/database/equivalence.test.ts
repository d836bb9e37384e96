import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { StatementError } from '../../../src/core/database/errors.ts'
import { createPool, type Pool, type PoolOptions } from '../../../src/core/database/pool.ts'
import type { Query } from '../../../src/core/database/statement.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

const query = (name: string, text: string, ...values: unknown[]): Query => ({ statement: { name, text }, values })

const key = fc.integer({ min: 0, max: 5 })
/** Queries that succeed, that fail in different ways and places, and that fail only at commit. */
const step: fc.Arbitrary<Query> = fc.oneof(
  { weight: 4, arbitrary: key.map((id) => query('insert', 'INSERT INTO public.items (id) VALUES ($1::INT8)', id)) },
  {
    weight: 3,
    arbitrary: key.map((id) => query('delete', 'DELETE FROM public.items WHERE id >= $1::INT8 RETURNING id', id)),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom('all', '').map((name) => query(name, 'SELECT id, other FROM public.items ORDER BY id')),
  },
  { weight: 2, arbitrary: key.map((id) => query('later', 'UPDATE public.items SET other = $1::INT8', id)) },
  { weight: 1, arbitrary: key.map((n) => query('divide', 'SELECT 6 / $1::INT8 AS n', n)) },
  { weight: 1, arbitrary: fc.constantFrom('x', '7').map((text) => query('cast', 'SELECT $1::TEXT::INT8 AS n', text)) },
  { weight: 1, arbitrary: fc.constant(query('broken', 'SELECT FROM WHERE')) },
  { weight: 1, arbitrary: fc.constant(query('few', 'SELECT $1::INT8, $2::INT8', 1)) },
  { weight: 1, arbitrary: fc.constant(query('', '')) },
)
const transaction = fc.record({
  flights: fc.array(fc.array(step, { maxLength: 4 }), { minLength: 1, maxLength: 3 }),
  end: fc.constantFrom('commit with the last', 'commit', 'rollback'),
  isolation: fc.constantFrom('serializable', 'read committed'),
} as const)
type Script = typeof transaction extends fc.Arbitrary<infer T> ? T : never

/** All that can be seen of a transaction: results, the failure, the state. */
async function play(pool: Pool, { flights, end, isolation }: Script): Promise<unknown[]> {
  const seen: unknown[] = []
  const running = await pool.begin({ isolation })
  try {
    for (const [index, queries] of flights.entries()) {
      seen.push(await running.send(queries, { commit: end === 'commit with the last' && index === flights.length - 1 }))
      seen.push(running.state)
    }
    if (end === 'commit') await running.commit()
    if (end === 'rollback') await running.rollback()
  } catch (error) {
    if (!(error instanceof StatementError)) throw error
    seen.push([error.code, error.index, error.sqlstate, error.detail, error.serverMessage])
  }
  return [...seen, running.state]
}

let databases: TestDatabase[]
let pools: Pool[]
const modes: Partial<PoolOptions>[] = [
  { mode: 'sequential' },
  { mode: 'flight' },
  { mode: 'flight', dialect: 'cockroachdb' },
]

beforeAll(async () => {
  databases = await Promise.all(modes.map(() => createTestDatabase()))
  for (const { owner } of databases) {
    await owner(
      'CREATE TABLE public.items (id INT8 PRIMARY KEY, other INT8 REFERENCES public.items DEFERRABLE INITIALLY DEFERRED)',
    )
    await owner('GRANT USAGE ON SCHEMA public TO holdfast_app')
    await owner('GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE public.items TO holdfast_app')
  }
  pools = await Promise.all(
    modes.map((mode, index) =>
      createPool({
        connection: (databases[index] as TestDatabase).target('app'),
        size: 1,
        applicationName: 'equal',
        ...mode,
      }),
    ),
  )
})
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.close()))
  await Promise.all(databases.map((database) => database.drop()))
})

test('law: a flight does what the plain path does – results, failures, state, rows', async () => {
  let failures = 0
  await fc.assert(
    fc.asyncProperty(fc.array(transaction, { minLength: 1, maxLength: 6 }), async (scripts) => {
      await Promise.all(databases.map(({ owner }) => owner('TRUNCATE public.items')))
      for (const script of scripts) {
        const [plain, ...others] = await Promise.all(pools.map((pool) => play(pool, script)))
        for (const other of others) expect(other).toEqual(plain)
        if (plain?.some((part) => Array.isArray(part) && typeof part[0] === 'string')) failures++
      }
      const [plain, ...others] = await Promise.all(
        databases.map(({ owner }) => owner('SELECT id, other FROM public.items ORDER BY id')),
      )
      for (const other of others) expect(other).toEqual(plain)
    }),
    { numRuns: 150 },
  )
  expect(failures).toBeGreaterThan(50)
  // A connection that saw COMMIT fail is given up; nothing else of this was a fault of its own.
  const [plain, ...others] = pools.map(({ stats: { created, destroyed } }) => ({ created, destroyed }))
  expect(plain?.destroyed).toBeGreaterThan(0)
  for (const other of others) expect(other).toEqual(plain)
})
