import { hash } from '@node-rs/argon2'
import { beforeAll, expect, test } from 'vitest'
import { createLane } from '../../../src/service/identity/lane.ts'
import {
  ARGON2_PARAMETERS,
  checkPassword,
  createPasswords,
  needsUpgrade,
  type Passwords,
} from '../../../src/service/identity/password.ts'

const names = { email: 'ada.lovelace@example.com', displayName: 'Ada Lovelace' }
let passwords: Passwords

beforeAll(async () => {
  passwords = await createPasswords(createLane())
})

test.each([
  'fifteen charact',
  '               ',
  'ααααααααααααααα',
  '🔑'.repeat(15),
  'a'.repeat(256),
  'no composition rules at all',
  '\ufb03'.repeat(5), // three letters each after NFKC
])('%j may be a password', (password) => {
  expect(() => checkPassword(password, names)).not.toThrow()
})

test.each([
  ['', 'password_too_short'],
  ['fourteen chara', 'password_too_short'],
  ['🔑'.repeat(14), 'password_too_short'],
  ['e\u0301'.repeat(14), 'password_too_short'],
  ['a'.repeat(257), 'password_too_long'],
  ['\ufdfa'.repeat(15), 'password_too_long'], // eighteen characters each after NFKC
  ['a'.repeat(1_000_000), 'password_too_long'],
  ['fifteen charact\ud800', 'password_malformed'],
  ['my ADA.Lovelace@Example.com!', 'password_contains_name'],
  ['xx ada.lovelace xxx', 'password_contains_name'],
  ['Ada Lovelace was here', 'password_contains_name'],
  ['\uff21da Lovelace was here', 'password_contains_name'],
])('%j is refused: %s', (password, code) => {
  expect(() => checkPassword(password, names)).toThrowError(expect.objectContaining({ code, status: 422 }))
})

test('names of three letters forbid nothing', () => {
  expect(() => checkPassword('the ada programming', { email: 'ada@example.com', displayName: 'Ada' })).not.toThrow()
})

test('a stored hash is Argon2id with the parameters of the house', async () => {
  const stored = await passwords.hash('correct horse battery')
  expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  expect(await passwords.hash('correct horse battery')).not.toBe(stored)
})

test.each([
  ['the same', 'correct horse battery', 'correct horse battery', true],
  ['another way of typing it', 'caf\u00e9 au lait for two', 'cafe\u0301 au lait for two', true],
  ['full-width letters', 'password of letters', '\uff50assword of letters', true],
  ['another case', 'correct horse battery', 'Correct horse battery', false],
  ['a space more', 'correct horse battery', 'correct horse battery ', false],
  ['cut short', 'correct horse battery', 'correct horse batter', false],
  ['too long to be one', 'correct horse battery', 'a'.repeat(3000), false],
  ['an unpaired surrogate', 'correct horse battery', 'correct horse battery\ud800', false],
])('%s: %j against %j', async (_, chosen, typed, right) => {
  const stored = await passwords.hash(chosen)
  const before = passwords.count
  expect(await passwords.verify(typed, stored)).toEqual({ right, upgrade: false })
  expect(passwords.count - before).toBe(1)
})

test('a user who is not there costs one hash too, and is never right', async () => {
  const before = passwords.count
  for (const typed of ['correct horse battery', '', 'a'.repeat(3000)]) {
    expect(await passwords.verify(typed, undefined)).toEqual({ right: false, upgrade: false })
  }
  expect(passwords.count - before).toBe(3)
})

test('other parameters ask for an upgrade, when the password was right', async () => {
  const weak = await hash('correct horse battery', { algorithm: 2, memoryCost: 8192, timeCost: 1, parallelism: 1 })
  const argon2i = await hash('correct horse battery', { algorithm: 1, memoryCost: 19_456, timeCost: 2, parallelism: 1 })
  expect(await passwords.verify('correct horse battery', weak)).toEqual({ right: true, upgrade: true })
  expect(await passwords.verify('correct horse batter!', weak)).toEqual({ right: false, upgrade: false })
  expect(needsUpgrade(argon2i, ARGON2_PARAMETERS)).toBe(true)
  expect(needsUpgrade(await passwords.hash('x'), ARGON2_PARAMETERS)).toBe(false)
})
