import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import type { Query } from '../../../src/core/database/statement.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { startWireProxy, type WireProxy } from '../../wire-proxy.ts'

const query = (name: string, text: string, ...values: unknown[]): Query => ({ statement: { name, text }, values })
const one = query('one', 'SELECT $1::INT8 AS n', 1)
const two = query('two', 'SELECT $1::TEXT AS t', 'x')
const boom = query('boom', 'SELECT 1 / $1::INT8', 0)
const unnamed = query('', 'SELECT 3 AS three')

let database: TestDatabase
let proxy: WireProxy
let pool: Pool

beforeAll(async () => {
  database = await createTestDatabase()
  proxy = await startWireProxy(database.target('app'))
})
afterAll(async () => {
  await proxy.close()
  await database.drop()
})
beforeEach(async () => {
  pool = await createPool({ connection: proxy.address, size: 1, applicationName: 'wire' })
  proxy.reset()
})
afterEach(() => pool.close())

const send = (queries: Query[]) => pool.transaction((transaction) => transaction.send(queries, { commit: true }))

describe('what goes over the wire', () => {
  test('first use: Parse directly before its own Bind, one Sync, one round trip', async () => {
    await send([one, two])
    expect(proxy.counts).toMatchObject({ roundTrips: 1, syncs: 1, messages: 'PBDEPBDES' })
  })

  test('afterwards: no Parse, no Describe', async () => {
    await send([one, two])
    proxy.reset()
    const results = await send([two, one, one])
    expect(results.map(({ rows }) => rows)).toEqual([[{ t: 'x' }], [{ n: '1' }], [{ n: '1' }]])
    expect(proxy.counts).toMatchObject({ roundTrips: 1, syncs: 1, messages: 'BEBEBES' })
  })

  test('the same new name twice in one flight is parsed once', async () => {
    await send([one, one])
    expect(proxy.counts.messages).toBe('PBDEBDES')
    proxy.reset()
    await send([one])
    expect(proxy.counts.messages).toBe('BES')
  })

  test('unnamed statements are parsed and described each time', async () => {
    await send([unnamed, unnamed])
    await send([unnamed])
    expect(proxy.counts).toMatchObject({ roundTrips: 2, syncs: 2, messages: 'PBDEPBDESPBDES' })
  })

  test('several flights: BEGIN travels with the first, COMMIT with the last', async () => {
    const run = async (): Promise<void> => {
      const transaction = await pool.begin({ readOnly: true })
      await transaction.send([one])
      await transaction.send([two], { commit: true })
    }
    await run()
    proxy.reset()
    await run()
    expect(proxy.counts).toMatchObject({ roundTrips: 2, syncs: 2, messages: 'BEBESBEBES' })
  })

  test('begin, commit and rollback of nothing send nothing', async () => {
    await (await pool.begin()).commit()
    await (await pool.begin()).rollback()
    expect(proxy.counts.roundTrips).toBe(0)
  })

  test('a failed implicit transaction needs no ROLLBACK, an explicit one does', async () => {
    await send([boom]).catch(() => undefined)
    expect(proxy.counts).toMatchObject({ roundTrips: 1, syncs: 1 })
    proxy.reset()
    await pool.transaction((transaction) => transaction.send([boom])).catch(() => undefined)
    expect(proxy.counts).toMatchObject({ roundTrips: 2, syncs: 2 })
  })

  test('only what was answered is known: names after an error are parsed later, the failed one is described later', async () => {
    await send([one, boom, two]).catch(() => undefined)
    proxy.reset()
    await send([one, two])
    expect(proxy.counts.messages).toBe('BEPBDES')
    proxy.reset()
    await send([query('boom', 'SELECT 1 / $1::INT8', 1)])
    expect(['BES', 'BDES']).toContain(proxy.counts.messages)
  })

  test('a statement that gives no rows is known to give none', async () => {
    const set = query('set', "SELECT set_config('holdfast.x', '1', true)")
    const nothing = query('nothing', 'SET LOCAL statement_timeout = 1000')
    await pool.transaction((transaction) => transaction.send([set, nothing]))
    proxy.reset()
    await pool.transaction((transaction) => transaction.send([set, nothing]))
    expect(proxy.counts.messages).toMatch(/^BEBEBES/)
  })

  test('the plain path costs a round trip for each statement, BEGIN and COMMIT too', async () => {
    const plain = await createPool({ connection: proxy.address, size: 1, applicationName: 'plain', mode: 'sequential' })
    proxy.reset()
    await plain.transaction((transaction) => transaction.send([one, two], { commit: true }))
    expect(proxy.counts.roundTrips).toBe(4)
    await plain.close()
  })

  test('10,000 different values and 2 MB in one flight are still one round trip', async () => {
    const big = query('big', 'SELECT length($1::TEXT) AS n', 'ż'.repeat(1_000_000))
    const [result] = await send([big])
    expect(result?.rows).toEqual([{ n: 1_000_000 }])
    expect(proxy.counts).toMatchObject({ roundTrips: 1, syncs: 1 })
  })
})
