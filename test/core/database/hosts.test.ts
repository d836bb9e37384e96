import { createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import type { RetryOptions } from '../../../src/core/database/retry.ts'
import { freePort } from '../../serve-process.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { startTcpProxy, type TcpProxy } from '../../tcp-proxy.ts'

let database: TestDatabase
let first: TcpProxy
let second: TcpProxy
const pools: Pool[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  await database.owner('CREATE TABLE public.marks (id INT8)')
  await database.owner('GRANT USAGE ON SCHEMA public TO holdfast_app')
  await database.owner('GRANT INSERT ON TABLE public.marks TO holdfast_app')
})
afterAll(() => database.drop())
beforeEach(async () => {
  first = await startTcpProxy(database.target('app'))
  second = await startTcpProxy(database.target('app'))
})
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()))
  await Promise.all([first.close(), second.close()])
})

function urlOf(ports: readonly number[], more = ''): string {
  const { user, password, database: name } = database.target('app')
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join(',')
  return `postgresql://${user}:${encodeURIComponent(password)}@${hosts}/${name}${more}`
}
async function open(ports: readonly number[], more = '', size = 2): Promise<Pool> {
  const pool = await createPool({ connection: { url: urlOf(ports, more) }, size, applicationName: 'hosts' })
  pools.push(pool)
  return pool
}
const insert = { statement: { name: 'mark', text: 'INSERT INTO public.marks (id) VALUES (1)' }, values: [] }
const write = (pool: Pool, o: RetryOptions = {}) =>
  pool.transaction((transaction) => transaction.send([insert], { commit: true }), o)
const connections = () => [first.connections, second.connections]

describe('several hosts', () => {
  test('in the order given: the first that takes a connection has them all', async () => {
    const pool = await open([first.port, second.port])
    await Promise.all([write(pool), write(pool)])
    expect(connections()).toEqual([2, 0])
  })

  test('at random: each has some', async () => {
    const pool = await open([first.port, second.port], '?load_balance_hosts=random', 24)
    const held = await Promise.all(Array.from({ length: 24 }, () => pool.begin()))
    expect(first.connections + second.connections).toBe(24)
    // one chance in eight millions to fail
    expect(Math.min(...connections())).toBeGreaterThan(0)
    await Promise.all(held.map((each) => each.rollback()))
  })

  test('one that leaves is left, and asked last for a while when it is back', async () => {
    const pool = await open([first.port, second.port])
    await write(pool)
    await first.leave()
    await expect.poll(() => pool.stats.size).toBe(0)
    await write(pool)
    expect(connections()).toEqual([0, 1])
    await first.comeBack()
    second.cut()
    await expect.poll(() => pool.stats.size).toBe(0)
    await write(pool)
    expect(connections()).toEqual([0, 1])
  })

  test('one that takes connections and says nothing costs its own time, not all of it', async () => {
    first.stall()
    const started = performance.now()
    const pool = await open([first.port, second.port])
    const took = performance.now() - started
    expect(took).toBeGreaterThan(1_900)
    expect(took).toBeLessThan(4_500)
    await write(pool)
    expect(second.connections).toBe(1)
  })

  test('where none takes a connection, each is named with why, and no password', async () => {
    const silent = createServer((socket) => socket.destroy())
    const closed = await freePort()
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const { port } = silent.address() as { port: number }
    const error = await open([closed, port]).then(
      () => new Error('a connection was made'),
      (reason: Error) => reason,
    )
    silent.close()
    expect(error).toMatchObject({ code: 'database_unavailable' })
    expect(error.message).toMatch(
      new RegExp(`127\\.0\\.0\\.1:${closed} \\(ECONNREFUSED\\), 127\\.0\\.0\\.1:${port} \\(`),
    )
    expect(`${error.stack}${JSON.stringify(error)}`).not.toContain(database.target('app').password)
  })

  test('a wrong password is wrong everywhere: no other host learns it', async () => {
    const url = urlOf([first.port, second.port]).replace(/:[^:@]*@/, ':wrong@')
    const error = await createPool({ connection: { url }, size: 1, applicationName: 'hosts' }).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'database_unavailable', cause: { code: '28P01' } })
    expect(second.connections).toBe(0)
  })

  test('one that has become read-only is left at the first write; when all are, that is said', async () => {
    const pool = await open([first.port, second.port], '', 1)
    await write(pool)
    await database.owner(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`)
    // for the session that there is: as a reload of the configuration would
    await pool.transaction((transaction) =>
      transaction.query({ name: '', text: "SELECT set_config('default_transaction_read_only', 'on', false)" }),
    )
    await expect(write(pool, { budgetMs: 1_500 })).rejects.toMatchObject({ code: 'database_read_only', status: 503 })
    expect(pool.stats).toMatchObject({ size: 0, destroyed: 1, exhausted: 1, retries: { '25006': 1 } })
    expect(pool.stats.retries['08001']).toBeGreaterThan(0)
    await database.owner(`ALTER DATABASE ${database.name} RESET default_transaction_read_only`)
    await write(pool)
    expect(second.connections + first.connections).toBe(1)
  })

  test('a database that is gone for a moment: work that has not begun waits for it', async () => {
    const pool = await open([first.port])
    await first.leave()
    await expect.poll(() => pool.stats.size).toBe(0)
    const writing = write(pool)
    setTimeout(() => void first.comeBack(), 300)
    await writing
    expect(pool.stats.retries['08001']).toBeGreaterThan(0)
    await first.leave()
    await expect.poll(() => pool.stats.size).toBe(0)
    await expect(pool.transaction((transaction) => transaction.send([insert]), { tries: 1 })).rejects.toMatchObject({
      code: 'database_unavailable',
    })
  })
})
