import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { acquireLease, holdLease, releaseLease, renewLease } from '../../../src/core/database/lease.ts'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

let database: TestDatabase
let pools: Pool[]
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())
beforeEach(async () => {
  await database.owner('DELETE FROM holdfast.leases')
  const make = () => createPool({ connection: database.target('identity'), size: 4, applicationName: 'lease' })
  pools = await Promise.all([make(), make()])
})
afterEach(() => Promise.all(pools.map((pool) => pool.close())))
const pool = (index = 0): Pool => pools[index] as Pool
const expire = (name: string) =>
  database.owner("UPDATE holdfast.leases SET expires_at = now() - INTERVAL '1 second' WHERE name = $1", [name])

describe('a lease', () => {
  test('is held by one; who does not know whether it was given asks again, and has it', async () => {
    expect(await acquireLease(pool(0), 'job', 'a', 30)).toBe(true)
    expect(await acquireLease(pool(1), 'job', 'b', 30)).toBe(false)
    expect(await acquireLease(pool(0), 'job', 'a', 30)).toBe(true)
    expect(await acquireLease(pool(1), 'other job', 'b', 30)).toBe(true)
  })

  test('is free after release, which only its holder can do', async () => {
    await acquireLease(pool(), 'job', 'a', 30)
    await releaseLease(pool(), 'job', 'b')
    expect(await acquireLease(pool(), 'job', 'b', 30)).toBe(false)
    await releaseLease(pool(), 'job', 'a')
    expect(await acquireLease(pool(), 'job', 'b', 30)).toBe(true)
  })

  test('is taken over once it has run out, and then lost for the old holder', async () => {
    await acquireLease(pool(), 'job', 'a', 30)
    await renewLease(pool(), 'job', 'a', 30)
    await expire('job')
    await expect(renewLease(pool(), 'job', 'a', 30)).rejects.toMatchObject({ code: 'lease_lost' })
    expect(await acquireLease(pool(), 'job', 'b', 30)).toBe(true)
    await expect(renewLease(pool(), 'job', 'a', 30)).rejects.toMatchObject({ code: 'lease_lost' })
    await releaseLease(pool(), 'job', 'a')
    await renewLease(pool(), 'job', 'b', 30)
  })

  test.each(['fresh', 'expired'])('raced for by sixteen (%s): exactly one gets it, each time', async (state) => {
    for (let round = 0; round < 10; round++) {
      const name = `race ${state} ${round}`
      if (state === 'expired') {
        await acquireLease(pool(), name, 'dead', 30)
        await expire(name)
      }
      const results = await Promise.all(
        Array.from({ length: 16 }, (_, index) => acquireLease(pool(index % 2), name, `holder ${index}`, 30)),
      )
      expect(results.filter(Boolean)).toHaveLength(1)
      const [row] = await database.owner('SELECT holder FROM holdfast.leases WHERE name = $1', [name])
      expect(row).toEqual({ holder: `holder ${results.indexOf(true)}` })
    }
  })

  test('is taken once, also where two of one process ask for it', async () => {
    const [one, two] = await Promise.all([holdLease(pool(), 'job', 'a', 30), holdLease(pool(), 'job', 'a', 30)])
    expect([one, two].filter((lease) => lease !== undefined)).toHaveLength(1)
    await (one ?? two)?.release()
  })

  test('held: renews itself, and is given back', async () => {
    const lease = await holdLease(pool(), 'job', 'a', 1)
    expect(await holdLease(pool(1), 'job', 'b', 1)).toBeUndefined()
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(lease?.lost.aborted).toBe(false)
    expect(await acquireLease(pool(1), 'job', 'b', 1)).toBe(false)
    await lease?.release()
    expect(await acquireLease(pool(1), 'job', 'b', 1)).toBe(true)
  })

  test('held and lost: the holder is told', async () => {
    const lease = await holdLease(pool(), 'job', 'a', 1)
    await expire('job')
    await acquireLease(pool(1), 'job', 'b', 30)
    await expect.poll(() => lease?.lost.aborted).toBe(true)
    expect(lease?.lost.reason).toMatchObject({ code: 'lease_lost' })
    await lease?.release()
    expect(await database.owner('SELECT holder FROM holdfast.leases')).toEqual([{ holder: 'b' }])
  })
})
