import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { completeSignUp, signUp } from '../../../src/service/identity/account.ts'
import { signIn } from '../../../src/service/identity/sign-in.ts'
import { openRoom, PASSWORD, type Room } from '../room.ts'

let room: Room
const trace = { address: '192.0.2.7' }

beforeAll(async () => {
  room = await openRoom()
})
afterAll(() => room.close())
beforeEach(async () => {
  await room.database.owner('DELETE FROM holdfast.throttle')
  await room.takeMail()
})

const complete = (token: string, password = PASSWORD, displayName = 'Grace Hopper') =>
  completeSignUp(room, { token, password, displayName }, trace)
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: { code: string }) => error.code,
  )
const count = async (table: string): Promise<number> =>
  Number((await room.database.owner(`SELECT count(*) FROM holdfast.${table}`))[0]?.count)

/** Asks to sign up, and takes the token out of the mail. */
async function mailedToken(email: string): Promise<string> {
  await signUp(room, { email }, trace)
  const [mail] = await room.takeMail()
  expect(mail?.recipient).toBe(email)
  return mail?.token ?? ''
}

test('sign-up, mail, password, sign-in', async () => {
  const token = await mailedToken('grace@example.com')
  const hashes = room.passwords.count
  const account = await complete(token)
  expect(room.passwords.count - hashes).toBe(1)
  expect(account).toEqual({ userId: expect.any(String), email: 'grace@example.com', tenant: null })
  const session = await signIn(room, { email: 'grace@example.com', password: PASSWORD }, trace)
  expect(session.userId).toBe(account.userId)
  expect(await codeOf(complete(token))).toBe('token_invalid')
})

test('the token is stored only as its hash, and the mail only sealed', async () => {
  await signUp(room, { email: 'sealed@example.com' }, trace)
  const stored = await room.database.owner('SELECT * FROM holdfast.one_time_tokens')
  const outbox = await room.database.owner(`SELECT recipient, encode(sealed, 'escape') AS sealed FROM holdfast.outbox`)
  const journal = await room.database.owner('SELECT * FROM holdfast.journal')
  const [mail] = await room.takeMail()
  expect(mail?.token).toMatch(/^hfu_/)
  const secret = (mail?.token ?? '').slice(4)
  expect(JSON.stringify([stored, outbox, journal])).not.toContain(secret)
  expect(JSON.stringify(outbox)).not.toContain('Confirm')
})

test('links come from the configured origin', async () => {
  await signUp(room, { email: 'link@example.com' }, trace)
  const [mail] = await room.takeMail()
  expect(mail?.text).toContain(`https://app.example.com/complete#token=${mail?.token}`)
  expect(mail?.text.match(/https?:\/\/[^/\s]+/g)).toEqual(['https://app.example.com'])
})

test('an address with an account costs the same statements, and only its mail says so', async () => {
  await room.account('known@example.com')
  room.sent()
  await signUp(room, { email: 'fresh@example.com' }, trace)
  const fresh = room.sent()
  await signUp(room, { email: 'Known@Example.com' }, trace)
  expect(room.sent()).toEqual(fresh)
  expect(fresh).toEqual([
    'throttle_wait',
    'throttle_hit',
    'throttle_wait',
    'sign_up_pend',
    'account_by_email',
    'outbox_add',
    'journal_add',
  ])
  const mails = await room.takeMail()
  expect(mails.map(({ recipient, subject, token }) => [recipient, subject, token !== ''])).toEqual([
    ['fresh@example.com', 'Confirm your e-mail address', true],
    ['known@example.com', 'You have an account already', false],
  ])
})

test('closed sign-up refuses before anything is looked at', async () => {
  const closed = { ...room, settings: { ...room.settings, signUpOpen: false } }
  room.sent()
  for (const email of ['known@example.com', 'new@example.com', 'nonsense']) {
    await expect(signUp(closed, { email }, trace)).rejects.toMatchObject({ code: 'sign_up_closed', status: 403 })
  }
  expect(room.sent()).toEqual([])
})

test('a hundred parallel sign-ups of one address: a hundred equal answers, one pending row, one mail', async () => {
  const [pending, mails] = [await count('one_time_tokens'), room.mails]
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => codeOf(signUp(room, { email: 'crowd@example.com' }, trace))),
  )
  expect(new Set(answers)).toEqual(new Set(['done']))
  expect((await count('one_time_tokens')) - pending).toBe(1)
  expect(room.mails - mails).toBe(1)
  expect(await room.takeMail()).toHaveLength(1)
})

test('a second mail after a minute, whose token replaces the first', async () => {
  const first = await mailedToken('twice@example.com')
  await signUp(room, { email: 'twice@example.com' }, trace)
  expect(await room.takeMail()).toEqual([])
  await room.database.owner(`UPDATE holdfast.one_time_tokens SET created_at = created_at - INTERVAL '61 seconds'`)
  const second = await mailedToken('twice@example.com')
  expect(await codeOf(complete(first))).toBe('token_invalid')
  expect(await codeOf(complete(second))).toBe('done')
})

test('six hundred parallel completions of one token: one account, a handful of hashes, and sign-in is not busy', async () => {
  await room.account('bystander@example.com')
  const hashes = room.passwords.count
  const token = await mailedToken('race@example.com')
  const users = await count('users')
  const flood = Promise.all(Array.from({ length: 600 }, () => codeOf(complete(token))))
  const session = signIn(room, { email: 'bystander@example.com', password: PASSWORD }, trace)
  const [answers] = await Promise.all([flood, session])
  expect(answers.filter((code) => code === 'done')).toHaveLength(1)
  expect(new Set(answers)).toEqual(new Set(['done', 'token_invalid', 'throttled']))
  expect((await count('users')) - users).toBe(1)
  // five of the token, one of the sign-in
  expect(room.passwords.count - hashes).toBeLessThanOrEqual(6)
})

test.each([
  ['expired', `UPDATE holdfast.one_time_tokens SET expires_at = now() WHERE email = $1`],
  ['consumed', `UPDATE holdfast.one_time_tokens SET consumed_at = now() WHERE email = $1`],
  ['of another purpose', `UPDATE holdfast.one_time_tokens SET purpose = 'setup' WHERE email = $1`],
])('a token that is %s is as unknown as any, and asks for no hash', async (kind, change) => {
  const email = `${kind.replaceAll(' ', '-')}@example.com`
  const token = await mailedToken(email)
  await room.database.owner(change, [email])
  const hashes = room.passwords.count
  await expect(complete(token)).rejects.toMatchObject({ code: 'token_invalid', status: 400 })
  expect(room.passwords.count).toBe(hashes)
})

test.each([
  '',
  'hfu_',
  `hfu_${'A'.repeat(43)}`,
  `hfp_${'A'.repeat(43)}`,
  `hfi_${'A'.repeat(43)}`,
  `hfs_${'A'.repeat(43)}`,
])('the token %j is invalid', async (token) => {
  expect(await codeOf(complete(token))).toBe('token_invalid')
})

test.each([
  ['short', 'Grace', 'password_too_short'],
  [PASSWORD, ' ', 'display_name_invalid'],
  ['rules@example.com!!', 'Grace', 'password_contains_name'],
  ['xxGrace Hopperxx!', 'Grace Hopper', 'password_contains_name'],
])('password %j and name %j: %s, and the token stays good', async (password, name, code) => {
  await room.database.owner(`DELETE FROM holdfast.one_time_tokens WHERE email = 'rules@example.com'`)
  const token = await mailedToken('rules@example.com')
  expect(await codeOf(complete(token, password, name))).toBe(code)
  expect(await count(`one_time_tokens WHERE email = 'rules@example.com' AND consumed_at IS NULL`)).toBe(1)
})

test('an address that got its account elsewhere while the token lived', async () => {
  const token = await mailedToken('meanwhile@example.com')
  await room.account('meanwhile@example.com')
  const hashes = room.passwords.count
  expect(await codeOf(complete(token))).toBe('token_invalid')
  expect(room.passwords.count).toBe(hashes)
})

test('nobody can lay a password of theirs under another address: it is asked for after the proof (BC-08)', async () => {
  await signUp(room, { email: 'victim@example.com' }, trace)
  const password = 'the password of an attacker'
  expect(await codeOf(signIn(room, { email: 'victim@example.com', password }, trace))).toBe('invalid_credentials')
  expect(await count(`users WHERE email = 'victim@example.com'`)).toBe(0)
})
