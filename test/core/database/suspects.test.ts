import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { carryFlight } from '../../../src/core/database/carry.ts'
import { Connection } from '../../../src/core/database/connection.ts'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import type { Query } from '../../../src/core/database/statement.ts'
import { borrowStreamPool } from '../../../src/core/database/stream-pool.ts'
import { PooledTransaction, type Transaction } from '../../../src/core/database/transaction.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { startWireProxy, type WireProxy } from '../../wire-proxy.ts'

const query = (text: string, ...values: unknown[]): Query => ({ statement: { name: '', text }, values })
const raise = (sqlstate: string) => query('SELECT public.raise_it($1::TEXT)', sqlstate)
const mark = query('INSERT INTO public.marks (id) VALUES (1)')

let database: TestDatabase
let proxy: WireProxy
let pool: Pool
beforeAll(async () => {
  database = await createTestDatabase()
  proxy = await startWireProxy(database.target('app'))
  for (const sql of [
    'CREATE TABLE public.marks (id INT8)',
    'CREATE TABLE public.pairs (id INT8 PRIMARY KEY, other INT8 REFERENCES public.pairs DEFERRABLE INITIALLY DEFERRED)',
    `CREATE FUNCTION public.raise_it(state TEXT) RETURNS INT8 LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = state; END $$`,
    `CREATE FUNCTION public.warn() RETURNS INT8 LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'x' USING ERRCODE = '25P01'; RETURN 1; END $$`,
    'GRANT USAGE ON SCHEMA public TO holdfast_app',
    'GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO holdfast_app',
    'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO holdfast_app',
  ]) {
    await database.owner(sql)
  }
})
afterAll(async () => {
  await proxy.close()
  await database.drop()
})
beforeEach(async () => {
  await database.owner('DELETE FROM public.marks')
  pool = await createPool({ connection: proxy.address, size: 1, applicationName: 'suspects' })
})
afterEach(() => pool.close())

const run = (work: (transaction: Transaction) => Promise<unknown>) =>
  pool.transaction(work, { tries: 1 }).then(
    () => 'done',
    (error: { code: string }) => error.code,
  )

describe('a connection', () => {
  const enterWith = (sqlstate: string) => (transaction: Transaction) =>
    transaction.send([raise(sqlstate), mark], { commit: true, entering: true })
  const cases: {
    what: string
    work: (transaction: Transaction) => Promise<unknown>
    code: string
    destroyed: number
  }[] = [
    { what: 'a statement fails', work: (t) => t.send([mark, raise('22012')]), code: 'statement_failed', destroyed: 0 },
    { what: 'entering is denied', work: enterWith('KH401'), code: 'statement_failed', destroyed: 0 },
    { what: 'entering collides', work: enterWith('40001'), code: 'serialization_failure', destroyed: 0 },
    { what: 'entering fails', work: enterWith('22P02'), code: 'statement_failed', destroyed: 1 },
    { what: 'entering fails inside', work: enterWith('XX000'), code: 'statement_failed', destroyed: 1 },
    {
      what: 'what follows entering fails',
      work: (t) => t.send([mark, raise('22P02')], { commit: true, entering: true }),
      code: 'statement_failed',
      destroyed: 0,
    },
    {
      what: 'COMMIT fails',
      work: (t) => t.send([query('INSERT INTO public.pairs VALUES (1, 2)')], { commit: true }),
      code: 'statement_failed',
      destroyed: 1,
    },
    {
      what: 'the server goes',
      work: (t) => t.send([raise('57P01')], { commit: true }),
      code: 'connection_lost',
      destroyed: 1,
    },
    { what: 'it is cut off behind', work: (t) => t.send([raise('08006')]), code: 'connection_lost', destroyed: 1 },
    { what: 'the server has no room', work: (t) => t.send([raise('53300')]), code: 'connection_lost', destroyed: 1 },
    {
      what: 'the server is read-only',
      work: (t) => t.send([raise('25006')]),
      code: 'database_read_only',
      destroyed: 1,
    },
    { what: 'the answer is ambiguous', work: (t) => t.send([raise('40003')]), code: 'commit_ambiguous', destroyed: 1 },
    {
      what: 'a warning says that there is no transaction',
      work: (t) => t.send([query('SELECT public.warn()')]),
      code: 'connection_lost',
      destroyed: 1,
    },
  ]
  test.each(cases)('where $what: given up $destroyed times', async ({ work, code, destroyed }) => {
    expect(await run(work)).toBe(code)
    expect(pool.stats).toMatchObject({ destroyed })
    expect(await database.owner('SELECT id FROM public.marks')).toEqual([])
    expect(await run((transaction) => transaction.send([query('SELECT 1')], { commit: true }))).toBe('done')
  })

  test('a write that a read-only transaction refuses is the work’s own fault', async () => {
    const attempt = pool.transaction((transaction) => transaction.send([mark]), { readOnly: true })
    await expect(attempt).rejects.toMatchObject({ code: 'statement_failed', sqlstate: '25006' })
    expect(pool.stats.destroyed).toBe(0)
  })

  test('whose transaction is not where it should be: nothing more is sent', async () => {
    const connection = await Connection.open(
      {
        address: database.target('app'),
        applicationName: 'suspects',
        connectTimeoutMs: 5_000,
        statementLimit: 8,
        statementTimeoutMs: 4_000,
        idleInTransactionTimeoutMs: 0,
      },
      () => undefined,
    )
    const transaction = new PooledTransaction(
      connection,
      {
        dialect: 'postgresql',
        carry: carryFlight,
        timeoutMs: 5_000,
        idleStatus: 'I',
        givesUpSuspects: true,
        release: () => undefined,
        avoidHostOf: () => undefined,
        countFlight: () => undefined,
        forgetStatements: () => undefined,
      },
      {},
    )
    await transaction.send([query('SELECT 1')])
    // as DDL does on CockroachDB, where it commits what it finds
    await connection.fly([query('COMMIT')])
    await expect(transaction.send([mark], { commit: true })).rejects.toMatchObject({ code: 'protocol_surprise' })
    expect(connection.isUsable).toBe(false)
    expect(await database.owner('SELECT id FROM public.marks')).toEqual([])
  })
})

describe('a commit of which nobody knows', () => {
  const write = async (idempotent: boolean) => {
    let runs = 0
    const outcome = await pool
      .transaction(
        (transaction) => {
          if (++runs === 1) proxy.cutNext('after commit')
          return transaction.send([mark], { commit: true })
        },
        { idempotent },
      )
      .then(
        () => 'done',
        (error: { code: string }) => error.code,
      )
    const stored = await database.owner('SELECT id FROM public.marks')
    return { outcome, runs, stored: stored.length, stats: pool.stats }
  }

  test('is not repeated', async () => {
    expect(await write(false)).toMatchObject({
      outcome: 'commit_ambiguous',
      runs: 1,
      stored: 1,
      stats: { ambiguous: 1, retries: {}, exhausted: 0 },
    })
  })

  test('is repeated where the work says that it may be – here it lies, and the mark is there twice', async () => {
    expect(await write(true)).toMatchObject({
      outcome: 'done',
      runs: 2,
      stored: 2,
      stats: { ambiguous: 1, retries: { '08006': 1 }, exhausted: 0 },
    })
  })
})

test('time for further runs is bounded, and what might have helped is counted', async () => {
  let runs = 0
  const attempt = pool.transaction(
    async (transaction) => {
      runs++
      await new Promise((resolve) => setTimeout(resolve, 60))
      await transaction.send([raise('40001')])
    },
    { budgetMs: 50 },
  )
  await expect(attempt).rejects.toMatchObject({ code: 'serialization_failure' })
  expect(runs).toBe(1)
  expect(pool.stats).toMatchObject({ exhausted: 1, retries: {} })
})

test('connections that are kept are there again after they were cut; an idle one is asked before it is used', async () => {
  const kept = await createPool({
    connection: proxy.address,
    size: 3,
    minimum: 3,
    applicationName: 'kept',
    idleCheckMs: 0,
  })
  await expect.poll(() => kept.stats.idle).toBe(3)
  proxy.cutAll()
  await expect.poll(() => kept.stats).toMatchObject({ idle: 3, created: 6 })
  proxy.reset()
  await kept.transaction((transaction) => transaction.send([query('SELECT 1')], { commit: true }))
  expect(proxy.counts.syncs).toBe(2)
  await kept.close()
  const target = { connection: proxy.address, applicationName: 'kept' }
  await expect(createPool({ ...target, size: 2, minimum: 3 })).rejects.toThrow(RangeError)
})

test('one tenant has its share of the streams, and no more', () => {
  const streams = borrowStreamPool(pool, { poolSize: 5 })
  const admit = (tenant: string) => streams.admit(tenant)
  const leave = [admit('acme'), admit('acme')]
  expect(() => admit('acme')).toThrow(expect.objectContaining({ code: 'stream_share', status: 503 }))
  admit('globex')
  leave[0]?.()
  leave[0]?.()
  admit('acme')
  expect(() => admit('acme')).toThrow(expect.objectContaining({ code: 'stream_share' }))
})
