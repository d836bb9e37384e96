import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createPool, type Pool, type PoolOptions } from '../../../src/core/database/pool.ts'
import type { Query } from '../../../src/core/database/statement.ts'
import type { Transaction } from '../../../src/core/database/transaction.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { type Cut, startWireProxy, type WireProxy } from '../../wire-proxy.ts'

const query = (name: string, text: string, ...values: unknown[]): Query => ({ statement: { name, text }, values })
const insert = query('insert', 'INSERT INTO public.marks (id) VALUES ($1::INT8)', 1)
const read = query('read', 'SELECT id FROM public.marks')

let database: TestDatabase
let proxy: WireProxy

beforeAll(async () => {
  database = await createTestDatabase()
  proxy = await startWireProxy(database.target('app'))
  await database.owner('CREATE TABLE public.marks (id INT8 PRIMARY KEY)')
  await database.owner('GRANT USAGE ON SCHEMA public TO holdfast_app')
  await database.owner('GRANT SELECT, INSERT ON TABLE public.marks TO holdfast_app')
})
afterAll(async () => {
  await proxy.close()
  await database.drop()
})
beforeEach(() => database.owner('DELETE FROM public.marks'))

async function withPool(o: Partial<PoolOptions>, work: (pool: Pool) => Promise<void>): Promise<void> {
  const pool = await createPool({ connection: proxy.address, size: 2, applicationName: 'loss', ...o })
  try {
    await work(pool)
  } finally {
    await pool.close()
  }
}

async function storedSoon(): Promise<number> {
  // The server may still be rolling back a session whose client has gone.
  await database.owner(
    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = 'loss' AND state LIKE 'idle in%'",
  )
  return (await database.owner('SELECT id FROM public.marks')).length
}

const inOneFlight = (transaction: Transaction) => transaction.send([insert], { commit: true })
const commitWithLast = async (transaction: Transaction) => {
  await transaction.send([read])
  await transaction.send([insert], { commit: true })
}
const commitAlone = async (transaction: Transaction) => {
  await transaction.send([insert])
  await transaction.commit()
}

const cases: { how: string; work: (transaction: Transaction) => Promise<unknown>; cut: Cut; stored: number }[] = [
  { how: 'one implicit flight', work: inOneFlight, cut: 'before commit', stored: 0 },
  { how: 'one implicit flight', work: inOneFlight, cut: 'after commit', stored: 1 },
  { how: 'COMMIT with the last query', work: commitWithLast, cut: 'after commit', stored: 1 },
  { how: 'COMMIT alone', work: commitAlone, cut: 'after commit', stored: 1 },
]

describe('a connection that is cut', () => {
  test.each(cases)('$how, $cut: ambiguous, and never run again', async ({ work, cut, stored }) => {
    await withPool(cut === 'after commit' && work !== inOneFlight ? { dialect: 'cockroachdb' } : {}, async (pool) => {
      let runs = 0
      const attempt = pool.transaction(async (transaction) => {
        runs++
        if (work === inOneFlight) {
          proxy.cutNext(cut)
          await work(transaction)
        } else {
          // Only the last Sync commits here: arm the cut when the one before has passed.
          const original = transaction.send.bind(transaction)
          let sends = 0
          await work({
            ...transaction,
            send: async (queries, o) => {
              if (++sends === 2) proxy.cutNext(cut)
              return original(queries, o)
            },
            commit: async () => {
              proxy.cutNext(cut)
              await transaction.commit()
            },
          } as Transaction)
        }
      })
      await expect(attempt).rejects.toMatchObject({ code: 'commit_ambiguous' })
      expect(runs).toBe(1)
      expect(await storedSoon()).toBe(stored)
      expect(pool.stats).toMatchObject({ size: 0, destroyed: 1 })
      // The pool mends itself.
      expect((await pool.transaction((transaction) => transaction.send([read], { commit: true })))[0]?.rowCount).toBe(
        stored,
      )
    })
  })

  test('amid a transaction, before any COMMIT: lost, and nothing is stored', async () => {
    await withPool({}, async (pool) => {
      const attempt = pool.transaction(async (transaction) => {
        await transaction.send([insert])
        proxy.cutAll()
        await transaction.send([read])
      })
      await expect(attempt).rejects.toMatchObject({ code: 'connection_lost' })
      expect(await storedSoon()).toBe(0)
    })
  })

  test('a read-only transaction is never ambiguous', async () => {
    await withPool({ dialect: 'cockroachdb' }, async (pool) => {
      const attempt = pool.transaction(
        async (transaction) => {
          proxy.cutNext('after commit')
          await transaction.send([read], { commit: true })
        },
        { readOnly: true },
      )
      await expect(attempt).rejects.toMatchObject({ code: 'connection_lost' })
    })
  })

  test('while idle: the pool throws it away and nobody notices', async () => {
    await withPool({}, async (pool) => {
      proxy.cutAll()
      await expect.poll(() => pool.stats.size).toBe(0)
      await pool.transaction((transaction) => transaction.send([insert], { commit: true }))
      expect(pool.stats).toMatchObject({ created: 2, destroyed: 1 })
    })
  })

  test('terminated by an administrator amid a statement: not committed, so only lost', async () => {
    await withPool({}, async (pool) => {
      const attempt = pool.transaction(
        (transaction) => transaction.send([insert, query('sleep', 'SELECT pg_sleep(3)'), read], { commit: true }),
        { tries: 1 },
      )
      const settled = expect(attempt).rejects.toMatchObject({ code: 'connection_lost' })
      await expect
        .poll(
          async () =>
            (
              await database.owner(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'loss' AND query LIKE '%pg_sleep%' AND state = 'active'",
              )
            ).length,
        )
        .toBe(1)
      await settled
      expect(await storedSoon()).toBe(0)
    })
  })

  test('40003 from the server is ambiguous too, and never run again', async () => {
    await database.owner(
      "CREATE OR REPLACE FUNCTION public.unsure() RETURNS INT8 LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'unsure' USING ERRCODE = '40003'; END $$",
    )
    await database.owner('GRANT EXECUTE ON FUNCTION public.unsure TO holdfast_app')
    await withPool({}, async (pool) => {
      let runs = 0
      const attempt = pool.transaction((transaction) => {
        runs++
        return transaction.send([query('unsure', 'SELECT u FROM public.unsure() u')], { commit: true })
      })
      await expect(attempt).rejects.toMatchObject({ code: 'commit_ambiguous', sqlstate: '40003' })
      expect(runs).toBe(1)
    })
  })

  test('200 writes, cut at random: what was acknowledged is there, what was lost is not', async () => {
    await withPool({ size: 4 }, async (pool) => {
      const outcomes = new Map<number, string>()
      let next = 1
      const writer = async (): Promise<void> => {
        while (next <= 200) {
          const id = next++
          if (id % 25 === 0) proxy.cutNext(id % 2 === 0 ? 'before commit' : 'after commit')
          if (id % 60 === 0) proxy.cutAll()
          const work = (transaction: Transaction) =>
            transaction.send([query('insert', insert.statement.text, id)], { commit: true })
          const outcome = await pool.transaction(work).then(
            () => 'stored',
            (error: { code: string }) => error.code,
          )
          outcomes.set(id, outcome)
        }
      }
      await Promise.all([writer(), writer(), writer(), writer()])
      await database.owner(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = 'loss' AND state LIKE 'idle in%'",
      )
      const stored = new Set((await database.owner('SELECT id::INT4 AS id FROM public.marks')).map(({ id }) => id))
      for (const [id, outcome] of outcomes) {
        if (outcome !== 'commit_ambiguous') expect(stored.has(id), `${id}: ${outcome}`).toBe(outcome === 'stored')
      }
      const seen = [...outcomes.values()]
      expect(seen.filter((outcome) => outcome === 'stored').length).toBeGreaterThan(150)
      expect(seen).toContain('commit_ambiguous')
    })
  })

  test('a server that is not there', async () => {
    const connection = { ...database.target('app'), host: '/nonexistent' }
    await expect(createPool({ connection, size: 1, applicationName: 'none' })).rejects.toMatchObject({
      code: 'database_unavailable',
    })
  })

  test('a wrong password', async () => {
    const connection = { ...database.target('app'), password: 'wrong' }
    const error: unknown = await createPool({ connection, size: 1, applicationName: 'none' }).catch(
      (reason: unknown) => reason,
    )
    expect(error).toMatchObject({ code: 'database_unavailable', cause: { code: '28P01' } })
  })
})
