import { afterAll, beforeAll, expect, test } from 'vitest'
import { DatabaseError } from '../../../src/core/database/errors.ts'
import type { Pool } from '../../../src/core/database/pool.ts'
import { createReadiness } from '../../../src/service/http/readiness.ts'
import { signIn } from '../../../src/service/identity/sign-in.ts'
import { openRoom, PASSWORD, type Room } from '../room.ts'

let room: Room
beforeAll(async () => {
  room = await openRoom()
})
afterAll(() => room.close())

test('three hundred blocked sign-ins at once leave the pool free and the instance ready', async () => {
  const attempt = () =>
    signIn(room, { email: 'x@example.com', password: PASSWORD }, { address: '192.0.2.1' }).catch(() => 0)
  for (let index = 0; index < 6; index++) await attempt()
  await room.database.owner(`UPDATE holdfast.throttle SET blocked_until = now() + INTERVAL '1 minute'`)
  const flood = Promise.all(Array.from({ length: 300 }, attempt))
  expect(room.pool.stats.waiting).toBeLessThan(3)
  expect(await createReadiness({ app: room.pool, identity: room.pool }, { holdfast: 1, application: 0 })()).toBe(true)
  await flood
})

/** A pool that answers once, and is exhausted from then on. */
function exhausting(progress: boolean): Pool {
  let asked = 0
  let flights = 0
  return {
    get stats() {
      if (progress) flights += 20
      return { size: 10, idle: 0, waiting: 640, created: 10, destroyed: 0, flights }
    },
    transaction: async () => {
      if (asked++ > 0) throw new DatabaseError('pool_exhausted')
      return { rows: [{ holdfast: '3' }] }
    },
  } as unknown as Pool
}

test.each([
  ['answers others', true],
  ['answers nobody', false],
])('an exhausted pool that %s: ready %s', async (_, progress) => {
  const ready = createReadiness(
    { app: exhausting(progress), identity: exhausting(progress) },
    { holdfast: 3, application: 0 },
  )
  expect(await ready()).toBe(true)
  await new Promise((resolve) => setTimeout(resolve, 1_050))
  expect(await ready()).toBe(progress)
})
