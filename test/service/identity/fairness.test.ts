import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLane } from '../../../src/service/identity/lane.ts'
import { createPasswords } from '../../../src/service/identity/password.ts'
import { signIn } from '../../../src/service/identity/sign-in.ts'
import { openRoom, PASSWORD, type Room } from '../room.ts'

const random = promisify(randomBytes)
const STORM = 40
let room: Room

beforeAll(async () => {
  room = await openRoom()
})
afterAll(() => room.close())

/** How many hashes had been computed when other work of the thread pool was done, in a storm of hashes. */
async function hashesBefore(concurrency: number, rounds: number): Promise<number> {
  const lane = createLane({ concurrency })
  const passwords = await createPasswords(lane)
  const before = lane.stats.done
  const storm = Array.from({ length: STORM }, () => passwords.hash(PASSWORD))
  for (let round = 0; round < rounds; round++) await random(16)
  const done = lane.stats.done - before
  await Promise.all(storm)
  return done
}

test('a storm of hashes leaves half the thread pool free; without the lane all waits behind it', async () => {
  expect(await hashesBefore(2, 20)).toBeLessThan(STORM / 4)
  expect(await hashesBefore(STORM, 1)).toBeGreaterThan(STORM / 4)
})

test('a storm of sign-ins does not hold up what hashes nothing', async () => {
  const strong = { ...room, passwords: await createPasswords(createLane()) }
  const storm = Array.from({ length: STORM }, (_, index) =>
    signIn(
      strong,
      { email: `nobody${index}@example.com`, password: PASSWORD },
      { address: `198.51.100.${index}` },
    ).catch(({ code }: { code: string }) => code),
  )
  let ended = false
  const all = Promise.all(storm).finally(() => {
    ended = true
  })
  let queries = 0
  for (; queries < 50 && !ended; queries++) {
    await room.pool.transaction((transaction) => transaction.query({ name: 'one', text: 'SELECT 1 AS one' }))
    await random(16)
  }
  expect(queries).toBe(50)
  expect(strong.passwords.count).toBeLessThan(STORM)
  expect(new Set(await all)).toEqual(new Set(['invalid_credentials']))
  expect(strong.passwords.count).toBe(STORM)
})
