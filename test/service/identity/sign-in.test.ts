import { hash } from '@node-rs/argon2'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { hashSessionToken } from '../../../src/core/guard/credential.ts'
import { signIn } from '../../../src/service/identity/sign-in.ts'
import { THROTTLE_RULES } from '../../../src/service/identity/throttle.ts'
import { openRoom, PASSWORD, type Room } from '../room.ts'

let room: Room
let ada: string
const trace = { address: '192.0.2.7', userAgent: 'curl/8' }

beforeAll(async () => {
  room = await openRoom()
  ada = await room.account('ada@example.com')
})
afterAll(() => room.close())
beforeEach(() => room.database.owner('DELETE FROM holdfast.throttle'))

const attempt = (email: string, password: string, address = trace.address) =>
  signIn(room, { email, password }, { ...trace, address }).then(
    () => 'in',
    (error: { code: string }) => error.code,
  )

test('the right password begins a session whose token is stored only as its hash', async () => {
  const session = await signIn(room, { email: ' ADA@example.com ', password: PASSWORD }, trace)
  expect(session).toMatchObject({ userId: ada, tenant: null, tenants: [] })
  const [row] = await room.database.owner('SELECT * FROM holdfast.sessions WHERE id = $1', [session.sessionId])
  expect(row).toMatchObject({
    user_id: ada,
    tenant_id: null,
    idle_seconds: '3600',
    user_agent: 'curl/8',
    assurance: 'aal1',
  })
  expect(row?.token_hash).toEqual(hashSessionToken(session.token))
  expect(JSON.stringify(row)).not.toContain(session.token.slice(4))
  expect(session.expiresAt.getTime() - Date.now()).toBeGreaterThan(86_390_000)
})

test('each sign-in has a new token, and ends the session that came along', async () => {
  const first = await signIn(room, { email: 'ada@example.com', password: PASSWORD }, trace)
  const endedTokenHash = hashSessionToken(first.token)
  const second = await signIn(room, { email: 'ada@example.com', password: PASSWORD, endedTokenHash }, trace)
  expect(second.token).not.toBe(first.token)
  const rows = await room.database.owner('SELECT id FROM holdfast.sessions WHERE id = ANY($1) AND revoked_at IS NULL', [
    [first.sessionId, second.sessionId],
  ])
  expect(rows).toEqual([{ id: second.sessionId }])
})

test('a session that came along lives on when the sign-in fails', async () => {
  const { token, sessionId } = await signIn(room, { email: 'ada@example.com', password: PASSWORD }, trace)
  const failing = { email: 'ada@example.com', password: 'wrong', endedTokenHash: hashSessionToken(token) }
  await expect(signIn(room, failing, trace)).rejects.toMatchObject({ code: 'invalid_credentials', status: 401 })
  const [row] = await room.database.owner('SELECT revoked_at FROM holdfast.sessions WHERE id = $1', [sessionId])
  expect(row).toEqual({ revoked_at: null })
})

test('the only tenant is chosen; of two none is; a suspended one does not count', async () => {
  const grace = await room.account('grace@example.com')
  const acme = await room.tenant('acme')
  await room.join(acme, grace, 'viewer')
  const sign = () => signIn(room, { email: 'grace@example.com', password: PASSWORD }, trace)
  const one = await sign()
  expect(one.tenant).toEqual({ id: acme, slug: 'acme', name: 'acme', role: 'viewer' })
  const globex = await room.tenant('globex')
  await room.join(globex, grace, 'owner')
  const two = await sign()
  expect(two.tenant).toBeNull()
  expect(two.tenants.map(({ slug, role }) => [slug, role])).toEqual([
    ['acme', 'viewer'],
    ['globex', 'owner'],
  ])
  await room.database.owner(`UPDATE holdfast.tenants SET status = 'suspended' WHERE id = $1`, [acme])
  expect((await sign()).tenant?.slug).toBe('globex')
})

test('all ways to fail have one answer, one number of hashes and the same statements', async () => {
  const disabled = await room.account('disabled@example.com')
  await room.database.owner(`UPDATE holdfast.users SET status = 'disabled' WHERE id = $1`, [disabled])
  const service = `INSERT INTO holdfast.users (kind, email, display_name) VALUES ('service', 'bot@example.com', 'bot')`
  await room.database.owner(service)
  const cases: [string, string, string][] = [
    ['a wrong password', 'ada@example.com', 'not the right one'],
    ['an unknown address', 'nobody@example.com', PASSWORD],
    ['a disabled user', 'disabled@example.com', PASSWORD],
    ['an account without a password', 'bot@example.com', PASSWORD],
    ['no address at all', 'ada@example.com,eve@example.com', PASSWORD],
    ['a NUL', 'ada\0@example.com', PASSWORD],
    ['an empty password', 'ada@example.com', ''],
    ['a password beyond all bounds', 'ada@example.com', 'x'.repeat(100_000)],
  ]
  const seen = []
  for (const [, email, password] of cases) {
    room.sent()
    const hashes = room.passwords.count
    const error = await signIn(room, { email, password }, trace).catch((thrown: Error) => thrown)
    seen.push(JSON.stringify([error, (error as Error).message, room.passwords.count - hashes, room.sent()]))
  }
  expect([...new Set(seen)]).toEqual([seen[0]])
  expect(seen[0]).toContain('invalid_credentials')
  expect(JSON.parse(seen[0] ?? '')).toMatchObject([
    {},
    'E-mail address and password do not match an account.',
    1,
    [
      ...Array.from({ length: 3 }, () => ['throttle_wait', 'throttle_hit', 'throttle_wait']).flat(),
      'account_by_email',
      'journal_add',
    ],
  ])
})

test('what failed is written down without address or password', async () => {
  await room.database.owner('DELETE FROM holdfast.journal')
  await attempt('nobody@example.com', 'hunter2-hunter2-hunter2')
  const rows = await room.database.owner('SELECT event, user_id, network, details FROM holdfast.journal')
  expect(rows).toEqual([
    {
      event: 'sign_in_failed',
      user_id: null,
      network: '192.0.2.7',
      details: { account: expect.stringMatching(/^[0-9a-f]{64}$/) },
    },
  ])
})

test.each([
  ['one network', 100, (index: number) => `2001:db8::${index + 1}`, THROTTLE_RULES.signInPair.freeAttempts],
  ['many networks', 150, (index: number) => `2001:db8:${index}::1`, THROTTLE_RULES.signInAccount.freeAttempts],
])('parallel guesses at one account from %s: so many are compared, the others told to wait', async (...given) => {
  const [, total, address, free] = given
  const hashes = room.passwords.count
  const guesses = Array.from({ length: total }, (_, index) =>
    signIn(room, { email: 'ada@example.com', password: `guess ${index}` }, { address: address(index) }).catch(
      (error: unknown) => error,
    ),
  )
  const answers = (await Promise.all(guesses)) as { code: string; retryAfterSeconds?: number }[]
  expect(room.passwords.count - hashes).toBe(free)
  expect(answers.filter(({ code }) => code === 'invalid_credentials')).toHaveLength(free)
  const throttled = answers.filter(({ code }) => code === 'throttled')
  expect(throttled).toHaveLength(total - free)
  // who waited for the row reckons from its own, older start: a moment more than a second
  for (const error of throttled) expect([1, 2]).toContain(error.retryAfterSeconds)
  expect(await attempt('ada@example.com', PASSWORD, address(0))).toBe('throttled')
})

test.each(['ada@example.com', 'nobody@example.com'])('one network keeps nobody else out of %s', async (email) => {
  const from = '198.51.100.66'
  const guesses: string[] = []
  for (let index = 0; index < 8; index++) guesses.push(await attempt(email, 'wrong', from))
  expect(guesses.slice(4)).toEqual(['invalid_credentials', 'throttled', 'throttled', 'throttled'])
  expect(await attempt(email, PASSWORD, '203.0.113.1')).not.toBe('throttled')
})

test('success clears the account and gives the network its attempt back, no more', async () => {
  for (let index = 0; index < 4; index++) expect(await attempt('ada@example.com', 'wrong')).toBe('invalid_credentials')
  expect(await attempt('ada@example.com', PASSWORD)).toBe('in')
  const rows = await room.database.owner('SELECT failures FROM holdfast.throttle')
  expect(rows).toEqual([{ failures: '4' }])
})

test('a network that must wait counts against no account', async () => {
  const { freeAttempts } = THROTTLE_RULES.signInNetwork
  for (let index = 0; index < freeAttempts; index++)
    await attempt(`nobody${index}@example.com`, 'wrong', `::ffff:192.0.2.7`)
  room.sent()
  expect(await attempt('ada@example.com', 'wrong')).toBe('throttled')
  expect(room.sent()).toEqual(['throttle_wait'])
  expect(await attempt('ada@example.com', PASSWORD, '192.0.2.8')).toBe('in')
})

test('when the lane is full the answer is busy, and nothing was guessed', async () => {
  const full = {
    ...room,
    passwords: { ...room.passwords, verify: () => Promise.reject(Object.assign(new Error(), { code: 'busy' })) },
  }
  for (let index = 0; index < 8; index++) {
    const refused = signIn(full, { email: 'ada@example.com', password: PASSWORD }, trace)
    await expect(refused).rejects.toMatchObject({ code: 'busy' })
  }
  expect(await attempt('ada@example.com', PASSWORD)).toBe('in')
})

test('a password hashed with other parameters is hashed anew when it was right', async () => {
  const weak = await hash(PASSWORD, { algorithm: 2, memoryCost: 64, timeCost: 1, parallelism: 1 })
  const store = 'UPDATE holdfast.passwords SET hash = $2 WHERE user_id = $1'
  const stored = 'SELECT hash FROM holdfast.passwords WHERE user_id = $1'
  await room.database.owner(store, [ada, weak])
  expect(await attempt('ada@example.com', 'wrong')).toBe('invalid_credentials')
  expect(await room.database.owner(stored, [ada])).toEqual([{ hash: weak }])
  // all at once: the password is still the same for those who lose the race to store it
  const all = await Promise.all(Array.from({ length: 4 }, () => attempt('ada@example.com', PASSWORD)))
  expect(all).toEqual(['in', 'in', 'in', 'in'])
  const [row] = await room.database.owner(stored, [ada])
  expect(row?.hash).toContain('m=256,t=1,p=1')
  expect(await attempt('ada@example.com', PASSWORD)).toBe('in')
})

test.each([
  ['disabled', `UPDATE holdfast.users SET status = 'disabled' WHERE id = $1`],
  ['given another password', `UPDATE holdfast.passwords SET changed_at = now() WHERE user_id = $1`],
])('a user %s while the password was compared gets no session', async (_, change) => {
  const id = await room.account(`mallory-${_.length}@example.com`)
  const racing = {
    ...room,
    passwords: {
      ...room.passwords,
      async verify(password: string, against: string | undefined) {
        const verdict = await room.passwords.verify(password, against)
        await room.database.owner(change, [id])
        return verdict
      },
    },
  }
  const signing = signIn(racing, { email: `mallory-${_.length}@example.com`, password: PASSWORD }, trace)
  await expect(signing).rejects.toMatchObject({ code: 'invalid_credentials' })
  expect(await room.database.owner('SELECT id FROM holdfast.sessions WHERE user_id = $1', [id])).toEqual([])
})
