import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DatabaseError } from '../../src/core/database/errors.ts'
import { createPool, type PoolOptions } from '../../src/core/database/pool.ts'
import type { Query } from '../../src/core/database/statement.ts'
import type { Transaction, TransactionOptions } from '../../src/core/database/transaction.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import type { Cut } from './faults.ts'
import { installStandin } from './install.ts'
import { type Standin, startStandin } from './standin.ts'

const query = (name: string, text: string, ...values: unknown[]): Query => ({ statement: { name, text }, values })
const insert = (id: number): Query => query('insert', 'INSERT INTO public.items (id) VALUES ($1::INT8)', id)
const all = query('all', 'SELECT id FROM public.items')

/** A transaction of which every message is lost once: what it sends up to its last flight, and that flight, which commits. */
type Shape = {
  readonly name: string
  readonly options?: Partial<PoolOptions>
  readonly transaction?: TransactionOptions
  readonly before: (transaction: Transaction) => Promise<unknown>
  readonly last: (transaction: Transaction) => Promise<unknown>
  /** Rows that are there when it was applied. */
  readonly rows: number
  /** Run once on the same connection beforehand, so that names are known. */
  readonly isWarm?: boolean
}

const two: Shape = {
  name: 'two flights',
  before: (t) => t.send([insert(1), all]),
  last: (t) => t.send([insert(2)], { commit: true }),
  rows: 2,
}
const one: Shape = {
  name: 'one flight',
  before: async () => undefined,
  last: (t) => t.send([insert(1), insert(2)], { commit: true }),
  rows: 2,
}
const shapes: readonly Shape[] = [
  two,
  one,
  { ...two, name: 'two flights, names known', isWarm: true },
  { ...one, name: 'one flight, names known', isWarm: true },
  { ...two, name: 'two flights, one statement after another', options: { mode: 'sequential' } },
  {
    ...two,
    name: 'COMMIT alone',
    before: (t) => t.send([insert(1), insert(2)]),
    last: (t) => t.commit(),
  },
  {
    name: 'a savepoint undone',
    before: async (t) => {
      await t.send([insert(1)])
      await t.savepoint(() => t.send([insert(2), query('', 'SELECT 1 / 0')])).catch(() => undefined)
    },
    last: (t) => t.send([insert(3)], { commit: true }),
    rows: 2,
  },
  {
    name: 'read-only',
    transaction: { readOnly: true },
    before: (t) => t.send([all]),
    last: (t) => t.send([all], { commit: true }),
    rows: 0,
  },
]
const isLong = process.env['HOLDFAST_CUTS'] === 'all'

let database: TestDatabase
let standin: Standin
beforeAll(async () => {
  database = await createTestDatabase({ backend: 'embedded' })
  await installStandin(database.target('superuser'))
  await database.owner('CREATE TABLE public.items (id INT8 PRIMARY KEY)')
  await database.owner('GRANT USAGE ON SCHEMA public TO holdfast_app')
  await database.owner('GRANT SELECT, INSERT, DELETE ON TABLE public.items TO holdfast_app')
  standin = await startStandin(database.target('app'), {
    settings: { autocommit_before_ddl: 'off', enable_durable_locking_for_serializable: 'on' },
  })
})
afterAll(async () => {
  await standin.close()
  await database.drop()
})
beforeEach(() => standin.faults.reset())

const stored = async (): Promise<number> => (await database.owner('SELECT id FROM public.items')).length

type Counts = { client: number; server: number }
type Outcome = { readonly code: string; readonly rows: number; readonly before: Counts; readonly total: Counts }

/** Runs a shape on a connection of its own, which is cut or not. */
async function run(shape: Shape, cut: Cut | undefined): Promise<Outcome> {
  await database.owner('DELETE FROM public.items')
  const pool = await createPool({ connection: standin.address, size: 1, applicationName: 'cuts', ...shape.options })
  expect(pool.dialect).toBe('cockroachdb')
  let before: Counts = { client: 0, server: 0 }
  const work = async (): Promise<void> => {
    const transaction = await pool.begin(shape.transaction)
    await shape.before(transaction)
    before = { ...standin.faults.messages }
    await shape.last(transaction)
  }
  if (shape.isWarm === true) {
    await work()
    await database.owner('DELETE FROM public.items')
  }
  standin.faults.reset()
  if (cut !== undefined) standin.faults.cut(cut)
  const code = await work().then(
    () => 'done',
    (error: unknown) => (error instanceof DatabaseError ? error.code : String(error)),
  )
  const total = { ...standin.faults.messages }
  const { destroyed } = pool.stats
  await pool.close()
  await standin.quiet()
  expect(standin.faults.isArmed).toBe(false)
  if (code !== 'done' || cut === undefined) expect(destroyed).toBe(cut === undefined ? 0 : 1)
  return { code, rows: await stored(), before, total }
}

/** What may be said when a message of the last flight, or of an earlier one, is lost. */
function expectHonest(shape: Shape, { code, rows }: Outcome, isLast: boolean, where: string): void {
  expect([0, shape.rows], `${where}: all or nothing`).toContain(rows)
  if (code === 'connection_lost') {
    if (shape.rows > 0) expect(rows, `${where}: lost, so not applied`).toBe(0)
    expect(isLast && shape.transaction?.readOnly !== true, `${where}: lost amid COMMIT is ambiguous`).toBe(false)
  } else {
    expect(code, where).toBe('commit_ambiguous')
    expect(isLast, `${where}: ambiguous only where COMMIT was on its way`).toBe(true)
  }
}

describe.each(isLong ? shapes : [two])('$name: every message lost', (shape) => {
  test.each<Cut['side']>(['client', 'server'])('of the %s', async (side) => {
    const whole = await run(shape, undefined)
    expect([whole.code, whole.rows]).toEqual(['done', shape.rows])
    const seen = new Set<string>()
    // What arrives before a cut arrives: after one message is before the next. After the last one everything has arrived.
    for (let message = 0; message <= whole.total[side]; message++) {
      const arrives = message === whole.total[side]
      const outcome = await run(shape, { side, message: arrives ? message - 1 : message, arrives })
      const where = `${side} ${message} of ${whole.total[side]}`
      // Who gets the last message of the server knows that it is done.
      if (side === 'server' && arrives && outcome.code === 'done') continue
      expectHonest(shape, outcome, message >= whole.before[side], where)
      seen.add(`${outcome.code} ${outcome.rows > 0 ? 'applied' : 'not applied'}`)
    }
    // Both were met, else nothing was shown.
    if (shape.rows > 0) expect([...seen]).toEqual(expect.arrayContaining(['commit_ambiguous applied']))
    if (shape.rows > 0 && side === 'client') expect(seen).toContain('commit_ambiguous not applied')
  })
})

describe('an injected failure, through the pool', () => {
  const attempt = async (
    arm: () => void,
  ): Promise<{ runs: number; code: string; rows: number; created: number; destroyed: number }> => {
    await database.owner('DELETE FROM public.items')
    const pool = await createPool({ connection: standin.address, size: 1, applicationName: 'faults' })
    let runs = 0
    arm()
    const code = await pool
      .transaction(async (t) => {
        runs++
        await t.send([insert(1), all])
        await t.send([insert(2)], { commit: true })
      })
      .then(
        () => 'done',
        (error: unknown) => (error instanceof DatabaseError ? error.code : String(error)),
      )
    const { created, destroyed } = pool.stats
    await pool.close()
    return { runs, code, rows: await stored(), created, destroyed }
  }

  // BEGIN, INSERT, SELECT, INSERT, COMMIT
  test.each([0, 1, 2, 3, 'commit'] as const)('40001 at %s: run again whole, applied once', async (place) => {
    const result = await attempt(() => standin.faults.fail('40001', place))
    expect(result).toEqual({ runs: 2, code: 'done', rows: 2, created: 1, destroyed: 0 })
  })
  test.each([true, false])('40003 at COMMIT, applied %s: ambiguous, and not run again', async (isApplied) => {
    const result = await attempt(() => standin.faults.fail('40003', 'commit', { isApplied }))
    expect(result).toEqual({ runs: 1, code: 'commit_ambiguous', rows: isApplied ? 2 : 0, created: 1, destroyed: 1 })
  })
  test('0A000 at a named statement: prepared afresh, run again', async () => {
    const result = await attempt(() => standin.faults.fail('0A000', 1))
    expect(result).toEqual({ runs: 2, code: 'done', rows: 2, created: 1, destroyed: 0 })
  })
})
