import { afterAll, beforeAll, expect, test } from 'vitest'
import { completeSignUp, signUp } from '../../../src/service/identity/account.ts'
import { chooseTenant } from '../../../src/service/identity/session.ts'
import { signIn } from '../../../src/service/identity/sign-in.ts'
import { openRoom, PASSWORD, type Room } from '../room.ts'

const CROWD = 100
let room: Room

beforeAll(async () => {
  room = await openRoom()
})
afterAll(() => room.close())

/** All at once; the codes of those that failed. */
async function failuresOf(work: (index: number) => Promise<unknown>): Promise<string[]> {
  const results = await Promise.allSettled(Array.from({ length: CROWD }, (_, index) => work(index)))
  return results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as { code: string }).code] : []))
}

const email = (index: number) => `person${index}@example.com`
const trace = (index: number) => ({ address: `2001:db8:0:${index}::1` })

// on an empty database, where few pages hold all rows, transactions that have nothing to do with each other collide most
test('a hundred people sign up, sign in and choose a tenant at once, and nobody is turned away', async () => {
  expect(await failuresOf((index) => signUp(room, { email: email(index) }, trace(index)))).toEqual([])
  const mails = await room.takeMail()
  expect(new Set(mails.map(({ recipient }) => recipient)).size).toBe(CROWD)

  const complete = (index: number) =>
    completeSignUp(
      room,
      { token: mails[index]?.token ?? '', password: PASSWORD, displayName: `Person ${index}` },
      trace(index),
    )
  expect(await failuresOf(complete)).toEqual([])

  const tokens: string[] = []
  const sign = async (index: number) => {
    tokens[index] = (await signIn(room, { email: email(index), password: PASSWORD }, trace(index))).token
  }
  expect(await failuresOf(sign)).toEqual([])

  const acme = await room.tenant('acme')
  for (const { id } of await room.database.owner('SELECT id FROM holdfast.users')) {
    await room.join(acme, String(id), 'viewer')
  }
  const choose = (index: number) => room.as({ token: tokens[index] ?? '' }, (unit) => chooseTenant(unit, 'acme'))
  expect(await failuresOf(choose)).toEqual([])
})

test('one user signs in on a hundred devices at once', async () => {
  const sign = (index: number) => signIn(room, { email: email(0), password: PASSWORD }, trace(index))
  const failures = await failuresOf(sign)
  // the throttle counts attempts before it knows that they are right: some may have to wait, none may fail otherwise
  expect(new Set([...failures, 'throttled'])).toEqual(new Set(['throttled']))
})
