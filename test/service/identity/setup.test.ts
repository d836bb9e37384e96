import { afterAll, beforeAll, expect, test } from 'vitest'
import { completeSetup, issueSetupToken } from '../../../src/service/identity/setup.ts'
import { signIn } from '../../../src/service/identity/sign-in.ts'
import { openRoom, PASSWORD, type Room } from '../room.ts'

let room: Room
const trace = { address: '192.0.2.7' }
const owner = { email: 'Owner@Example.com', password: PASSWORD, displayName: 'Olive Owner' }
const tenant = { slug: 'acme', name: 'Acme, Inc.' }

beforeAll(async () => {
  room = await openRoom()
})
afterAll(() => room.close())

const token = async (): Promise<string> => (await issueSetupToken(room)) ?? ''
const codeOf = (input: Partial<Parameters<typeof completeSetup>[1]>): Promise<string> =>
  completeSetup(room, { token: '', tenant, owner, ...input }, trace).then(
    () => 'done',
    (error: { code: string }) => error.code,
  )

test('each start prints another token, and only the last one works', async () => {
  const [first, second] = [await token(), await token()]
  expect(first).toMatch(/^hfp_/)
  expect(await codeOf({ token: first })).toBe('token_invalid')
  const stored = await room.database.owner(`SELECT encode(token_hash, 'hex') AS hash FROM holdfast.one_time_tokens`)
  expect(stored).toHaveLength(1)
  expect(JSON.stringify(stored)).not.toContain(second.slice(4))
})

test.each([
  ['a slug with capitals', { tenant: { slug: 'Acme', name: 'Acme' } }, 'slug_invalid'],
  ['a slug that ends in a hyphen', { tenant: { slug: 'acme-', name: 'Acme' } }, 'slug_invalid'],
  ['a slug of 33 characters', { tenant: { slug: 'a'.repeat(33), name: 'Acme' } }, 'slug_invalid'],
  ['no slug', { tenant: { slug: '', name: 'Acme' } }, 'slug_invalid'],
  ['no name', { tenant: { slug: 'acme', name: ' ' } }, 'tenant_name_invalid'],
  ['no address', { owner: { ...owner, email: 'olive' } }, 'email_invalid'],
  ['a short password', { owner: { ...owner, password: 'short' } }, 'password_too_short'],
  ['no display name', { owner: { ...owner, displayName: '' } }, 'display_name_invalid'],
  ['no token', { token: '' }, 'token_invalid'],
  ['a token of another purpose', { token: `hfu_${'A'.repeat(43)}` }, 'token_invalid'],
])('%s: refused, and nothing is left behind', async (_, input, code) => {
  const live = await token()
  expect(await codeOf({ token: live, ...input })).toBe(code)
  for (const table of ['users', 'tenants', 'memberships']) {
    expect(await room.database.owner(`SELECT 1 FROM holdfast.${table}`)).toEqual([])
  }
})

test('an expired token is invalid', async () => {
  const expired = await token()
  await room.database.owner('UPDATE holdfast.one_time_tokens SET expires_at = now()')
  expect(await codeOf({ token: expired })).toBe('token_invalid')
})

test('fifty parallel set-ups with one token make one tenant and its owner, who can sign in', async () => {
  const live = await token()
  const hashes = room.passwords.count
  const codes = await Promise.all(
    Array.from({ length: 50 }, (_, index) => codeOf({ token: live, tenant: { slug: `acme-${index}`, name: 'Acme' } })),
  )
  expect(codes.filter((code) => code === 'done')).toHaveLength(1)
  expect(new Set(codes)).toEqual(new Set(['done', 'token_invalid', 'throttled']))
  expect(room.passwords.count - hashes).toBeLessThanOrEqual(5)
  expect(await room.database.owner('SELECT email FROM holdfast.users')).toEqual([{ email: 'owner@example.com' }])
  const session = await signIn(room, { email: owner.email, password: PASSWORD }, trace)
  expect(session.tenant).toMatchObject({ role: 'owner', name: 'Acme' })
  const profiles = await room.database.owner('SELECT tenant_id, user_id, email, display_name FROM tenancy.profiles')
  expect(profiles).toEqual([
    { tenant_id: session.tenant?.id, user_id: session.userId, email: 'owner@example.com', display_name: 'Olive Owner' },
  ])
})

test('once there is a tenant, a start makes no token; the operator can make one for a further tenant', async () => {
  expect(await issueSetupToken(room)).toBeUndefined()
  const live = (await issueSetupToken(room, true)) ?? ''
  const second = { ...owner, email: 'second@example.com' }
  const hashes = room.passwords.count
  expect(await codeOf({ token: live, owner, tenant: { slug: 'new', name: 'New' } })).toBe('account_exists')
  const [{ slug } = {}] = await room.database.owner('SELECT slug FROM holdfast.tenants')
  expect(await codeOf({ token: live, owner: second, tenant: { slug: String(slug), name: 'Again' } })).toBe('slug_taken')
  expect(room.passwords.count).toBe(hashes)
  expect(await codeOf({ token: live, tenant: { slug: 'globex', name: 'Globex' }, owner: second })).toBe('done')
  expect(await codeOf({ token: live, tenant: { slug: 'initech', name: 'Initech' }, owner: second })).toBe(
    'token_invalid',
  )
  const session = await signIn(room, { email: second.email, password: PASSWORD }, trace)
  expect(session.tenants.map(({ slug }) => slug)).toEqual(['globex'])
})
