import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  countAttempts,
  countIn,
  forgive,
  type ThrottleRule,
  throttleKey,
} from '../../../src/service/identity/throttle.ts'
import { statements } from '../../../src/service/identity/statements.ts'
import { openRoom, type Room } from '../room.ts'

const rule: ThrottleRule = { name: 'test', freeAttempts: 3, capSeconds: 900, memorySeconds: 86_400 }
let room: Room

beforeAll(async () => {
  room = await openRoom()
})
afterAll(() => room.close())

const hit = (subject: string): Promise<number> =>
  countAttempts(room.pool, room.keys.throttle, [{ rule, subject }]).then(
    () => 0,
    (error: { code: string; retryAfterSeconds: number }) => error.retryAfterSeconds,
  )
const keyOf = (subject: string): Buffer => throttleKey(room.keys.throttle, { rule, subject })
/** Lets time pass for a subject: the stored times move back. */
const pass = (subject: string, seconds: number) =>
  room.database.owner(
    `UPDATE holdfast.throttle SET blocked_until = blocked_until - $2::INT8 * INTERVAL '1 second',
     expires_at = expires_at - $2::INT8 * INTERVAL '1 second' WHERE key = $1`,
    [keyOf(subject), seconds],
  )
const failures = async (subject: string) =>
  Number(
    (await room.database.owner('SELECT failures FROM holdfast.throttle WHERE key = $1', [keyOf(subject)]))[0]?.failures,
  )

test('free attempts, then one second, doubled each time up to the cap', async () => {
  for (let index = 0; index < rule.freeAttempts; index++) expect(await hit('a')).toBe(0)
  const waits: number[] = []
  for (let index = 0; index < 14; index++) {
    const wait = await hit('a')
    waits.push(wait)
    await pass('a', wait)
    expect(await hit('a')).toBe(0)
  }
  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900])
})

test('an attempt that had to wait does not count', async () => {
  for (let index = 0; index < 3; index++) await hit('b')
  for (let index = 0; index < 20; index++) expect(await hit('b')).toBe(1)
  expect(await failures('b')).toBe(3)
})

test('who is blocked waits for no lock, and holds up no connection', async () => {
  for (let index = 0; index < 4; index++) await hit('g')
  await room.database.owner(`UPDATE holdfast.throttle SET blocked_until = now() + INTERVAL '9 s' WHERE key = $1`, [
    keyOf('g'),
  ])
  // somebody holds the row: nobody who is refused waits for it
  const holder = await room.pool.begin()
  await holder.query({ name: '', text: 'UPDATE holdfast.throttle SET failures = failures WHERE key = $1::BYTEA' }, [
    keyOf('g'),
  ])
  const refused = Promise.all(Array.from({ length: 300 }, () => hit('g')))
  expect(room.pool.stats.waiting).toBeLessThan(3)
  const waits = await Promise.race([refused, new Promise<number[]>((resolve) => setTimeout(() => resolve([]), 2000))])
  const [direct] = await room.pool.transaction((transaction) =>
    transaction.send([{ statement: statements.throttleHit, values: [keyOf('g'), 3, 900, 60] }], { commit: true }),
  )
  await holder.rollback()
  expect(waits).toHaveLength(300)
  expect(Math.min(...waits)).toBeGreaterThan(7)
  expect(direct?.rowCount).toBe(0)
})

test('a hundred at once count exactly', async () => {
  const waits = await Promise.all(Array.from({ length: 100 }, () => hit('c')))
  expect(waits.filter((wait) => wait === 0)).toHaveLength(3)
  expect(await failures('c')).toBe(3)
})

test.each([
  ['counted for the first time', 0, false],
  ['counted again', 1, false],
  ['got an attempt back', 2, true],
])('whoever began earlier is not held up by a count that %s meanwhile', async (_, before, givesBack) => {
  const subject = `older-${before}`
  const attempt = { rule: { ...rule, freeAttempts: 10 }, subject }
  const key = room.keys.throttle
  for (let index = 0; index < before; index++) await countAttempts(room.pool, key, [attempt])
  await room.pool.transaction(
    async (older) => {
      await older.query({ name: 'now', text: 'SELECT now() AS now' })
      await countAttempts(room.pool, key, [attempt])
      if (givesBack) await forgive(room.pool, key, { clear: [], giveBack: [attempt] })
      await countIn(older, key, [attempt])
    },
    { isolation: 'read committed' },
  )
  expect(await failures(subject)).toBe(before + (givesBack ? 1 : 2))
})

test('after a day without a try all is forgotten', async () => {
  for (let index = 0; index < 3; index++) await hit('d')
  await pass('d', 86_399)
  expect(await hit('d')).toBe(0)
  expect(await failures('d')).toBe(4)
  await pass('d', 86_400)
  for (let index = 0; index < 3; index++) expect(await hit('d')).toBe(0)
  expect(await hit('d')).toBe(1)
})

test('subjects and rules do not share a count, and the table names neither', async () => {
  for (let index = 0; index < 3; index++) await hit('eve@example.com')
  expect(await hit('eve@example.net')).toBe(0)
  const other = { rule: { ...rule, name: 'other' }, subject: 'eve@example.com' }
  await countAttempts(room.pool, room.keys.throttle, [other])
  const rows = await room.database.owner(`SELECT encode(key, 'escape') AS key FROM holdfast.throttle`)
  expect(JSON.stringify(rows)).not.toContain('eve')
})

test('what is given back is one attempt, never below none', async () => {
  await hit('f')
  const attempt = { rule, subject: 'f' }
  for (let index = 0; index < 3; index++) {
    await forgive(room.pool, room.keys.throttle, { clear: [], giveBack: [attempt] })
  }
  expect(await failures('f')).toBe(0)
  await forgive(room.pool, room.keys.throttle, { clear: [attempt], giveBack: [] })
  expect(await failures('f')).toBeNaN()
})
