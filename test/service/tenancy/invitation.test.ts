import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { parseGrants } from '../../../src/core/scope/grants.ts'
import { completeSignUp } from '../../../src/service/identity/account.ts'
import { acceptInvitation, createInvitation } from '../../../src/service/tenancy/invitation.ts'
import { defaultRoles } from '../../../src/service/tenancy/manifest.ts'
import { openRoom, PASSWORD, type Room } from '../room.ts'

type Role = keyof typeof defaultRoles
const roles = Object.keys(defaultRoles) as Role[]
const trace = { address: '192.0.2.7' }
let room: Room
let acme: string
let globex: string
const staff: Record<string, string> = {}

beforeAll(async () => {
  room = await openRoom()
  acme = await room.tenant('acme')
  globex = await room.tenant('globex')
  for (const role of roles) {
    staff[role] = await room.account(`${role}@acme.example`)
    await room.join(acme, staff[role], role)
  }
})
afterAll(() => room.close())
beforeEach(async () => {
  await room.database.owner('DELETE FROM holdfast.throttle')
  await room.takeMail()
})

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: { code: string }) => error.code,
  )
const member = (role: Role) => ({ userId: staff[role] ?? '', tenantId: acme, grants: parseGrants(defaultRoles[role]) })
const invite = (email: string, role: string, by: Role = 'owner') =>
  room.as(member(by), (unit) => createInvitation(unit, room, { email, role }))
const accept = (userId: string, token: string) => room.as({ userId }, (unit) => acceptInvitation(unit, { token }))
const complete = (token: string) =>
  completeSignUp(room, { token, password: PASSWORD, displayName: 'Grace Hopper' }, trace)

async function invitedToken(email: string, role: string, by: Role = 'owner'): Promise<string> {
  await invite(email, role, by)
  const [mail] = await room.takeMail()
  expect(mail?.recipient).toBe(email)
  return mail?.token ?? ''
}

/** Membership and profile of an address, past both walls. */
const places = (email: string) =>
  room.database.owner(
    `SELECT t.slug, m.role, p.email, p.display_name FROM holdfast.users u
     JOIN holdfast.memberships m ON m.user_id = u.id JOIN holdfast.tenants t ON t.id = m.tenant_id
     LEFT JOIN tenancy.profiles p ON p.tenant_id = m.tenant_id AND p.user_id = m.user_id
     WHERE u.email = $1 ORDER BY t.slug`,
    [email],
  )

test('an invited address without an account signs up by it, and is a member with a profile', async () => {
  const mails = room.mails
  const invited = await invite(' Grace@Example.com', 'member')
  expect(invited).toEqual({
    id: expect.any(String),
    email: 'grace@example.com',
    role: 'member',
    expiresAt: expect.any(Date),
  })
  expect(room.mails - mails).toBe(1)
  const [mail] = await room.takeMail()
  expect(mail?.subject).toBe('Invitation to acme')
  const completed = await complete(mail?.token ?? '')
  expect(completed).toMatchObject({ email: 'grace@example.com', tenant: { id: acme, slug: 'acme', role: 'member' } })
  expect(await places('grace@example.com')).toEqual([
    { slug: 'acme', role: 'member', email: 'grace@example.com', display_name: 'Grace Hopper' },
  ])
  expect(await codeOf(complete(mail?.token ?? ''))).toBe('token_invalid')
})

test('an invited address with an account accepts signed in, not by signing up again', async () => {
  const linus = await room.account('linus@example.com')
  const token = await invitedToken('linus@example.com', 'viewer')
  expect(await codeOf(complete(token))).toBe('account_exists')
  expect(await accept(linus, token)).toMatchObject({ id: acme, slug: 'acme', role: 'viewer' })
  expect(await places('linus@example.com')).toEqual([
    { slug: 'acme', role: 'viewer', email: 'linus@example.com', display_name: 'Ada' },
  ])
  expect(await codeOf(accept(linus, token))).toBe('token_invalid')
})

test('the token is no good in another’s hands, and stays good in the right ones', async () => {
  const [right, other] = [await room.account('right@example.com'), await room.account('other@example.com')]
  const token = await invitedToken('right@example.com', 'member')
  expect(await codeOf(accept(other, token))).toBe('token_invalid')
  expect(await places('other@example.com')).toEqual([])
  expect(await codeOf(accept(right, token))).toBe('done')
})

test.each(['', 'nonsense', `hfi_${'A'.repeat(43)}`, `hfu_${'A'.repeat(43)}`])(
  'the token %j is invalid',
  async (token) => {
    expect(await codeOf(accept(staff.viewer ?? '', token))).toBe('token_invalid')
  },
)

test('an invitation of an admin makes a member, as long as nothing below has happened', async () => {
  const token = await invitedToken('in-time@example.com', 'admin', 'admin')
  expect(await complete(token)).toMatchObject({ tenant: { role: 'admin' } })
})

test.each([
  ['has expired', `UPDATE holdfast.invitations SET expires_at = now()`],
  ['was consumed', `UPDATE holdfast.invitations SET consumed_at = now()`],
  ['was deleted', `DELETE FROM holdfast.invitations`],
  ['is into a suspended tenant', `UPDATE holdfast.tenants SET status = 'suspended' WHERE slug = 'acme'`],
  ['comes from somebody removed', `DELETE FROM holdfast.memberships WHERE role = 'admin'`],
  ['comes from somebody demoted', `UPDATE holdfast.memberships SET role = 'member' WHERE role = 'admin'`],
  ['comes from somebody disabled', `UPDATE holdfast.users SET status = 'disabled' WHERE email = 'admin@acme.example'`],
  ['is to a role that is no more', `UPDATE holdfast.invitations SET role = 'gone'`],
  ['is to a role beyond its sender', `UPDATE holdfast.invitations SET role = 'owner'`],
])('an invitation that %s makes no member', async (_, change) => {
  await room.database.owner('DELETE FROM holdfast.invitations')
  const token = await invitedToken('late@example.com', 'member', 'admin')
  await room.database.owner(change)
  expect(await codeOf(complete(token))).toBe('token_invalid')
  expect(await room.database.owner(`SELECT 1 FROM holdfast.users WHERE email = 'late@example.com'`)).toEqual([])
  await room.database.owner(`UPDATE holdfast.tenants SET status = 'active'`)
  await room.database.owner(`UPDATE holdfast.users SET status = 'active'`)
  await room.database.owner(`DELETE FROM holdfast.memberships WHERE user_id = $1`, [staff.admin])
  await room.join(acme, staff.admin ?? '', 'admin')
})

// who may invite to what: nobody to more than they hold
const allowed: Record<string, readonly Role[]> = {
  owner: ['owner', 'admin', 'member', 'viewer'],
  admin: ['admin', 'member', 'viewer'],
}
test.each(Object.keys(allowed).flatMap((by) => roles.map((role) => [by as Role, role] as const)))(
  'a %s invites a %s',
  async (by, role) => {
    const expected = allowed[by]?.includes(role) === true ? 'done' : 'role_exceeds_own'
    expect(await codeOf(invite(`to-${by}-${role}@example.com`, role, by))).toBe(expected)
    expect(await room.takeMail()).toHaveLength(expected === 'done' ? 1 : 0)
  },
)

test('the same permission at a narrower reach does not cover the wider one', async () => {
  const narrow = {
    ...member('owner'),
    grants: parseGrants(['profile:read@own', 'profile:update@own', 'team:read', 'team_member:read']),
  }
  const inviting = room.as(narrow, (unit) => createInvitation(unit, room, { email: 'n@example.com', role: 'viewer' }))
  await expect(inviting).rejects.toMatchObject({ code: 'role_exceeds_own', status: 403 })
})

test.each([
  ['an unknown role', 'x@example.com', 'emperor', 'role_unknown'],
  ['a role that cannot be stored', 'x@example.com', 'own\0er', 'role_unknown'],
  ['no role', 'x@example.com', '', 'role_unknown'],
  ['an address that is none', 'x@example.com, y@example.com', 'viewer', 'email_invalid'],
  ['a member', 'Viewer@acme.example', 'viewer', 'already_member'],
])('%s: refused, and no mail is written', async (_, email, role, code) => {
  expect(await codeOf(invite(email, role))).toBe(code)
  expect(await room.takeMail()).toEqual([])
})

test('a newer invitation of an address ends the older one', async () => {
  const older = await invitedToken('again@example.com', 'member')
  const newer = await invitedToken('again@example.com', 'viewer')
  expect(await codeOf(complete(older))).toBe('token_invalid')
  expect(await complete(newer)).toMatchObject({ tenant: { role: 'viewer' } })
})

test('invitations of other tenants are untouched, and one user joins both', async () => {
  const boss = await room.account('boss@globex.example')
  await room.join(globex, boss, 'owner')
  const both = await room.account('both@example.com')
  const first = await invitedToken('both@example.com', 'member')
  const owner = { userId: boss, tenantId: globex, grants: parseGrants(defaultRoles.owner) }
  await room.as(owner, (unit) => createInvitation(unit, room, { email: 'both@example.com', role: 'admin' }))
  const [mail] = await room.takeMail()
  expect(await codeOf(accept(both, first))).toBe('done')
  expect(await codeOf(accept(both, mail?.token ?? ''))).toBe('done')
  expect((await places('both@example.com')).map(({ slug, role }) => [slug, role])).toEqual([
    ['acme', 'member'],
    ['globex', 'admin'],
  ])
})

test('someone who became a member meanwhile keeps their role', async () => {
  const token = await invitedToken('meanwhile@example.com', 'admin')
  const id = await room.account('meanwhile@example.com')
  await room.join(acme, id, 'viewer')
  expect(await codeOf(accept(id, token))).toBe('already_member')
  expect((await places('meanwhile@example.com')).map(({ role }) => role)).toEqual(['viewer'])
})

test('fifty parallel acceptances make one member', async () => {
  const id = await room.account('crowd@example.com')
  const token = await invitedToken('crowd@example.com', 'member')
  const codes = await Promise.all(Array.from({ length: 50 }, () => codeOf(accept(id, token))))
  expect(codes.filter((code) => code === 'done')).toHaveLength(1)
  expect(codes.filter((code) => code === 'token_invalid')).toHaveLength(49)
})

test('fifty parallel sign-ups by one invitation make one account', async () => {
  const token = await invitedToken('crowd2@example.com', 'member')
  const codes = await Promise.all(Array.from({ length: 50 }, () => codeOf(complete(token))))
  expect(codes.filter((code) => code === 'done')).toHaveLength(1)
  expect(new Set(codes)).not.toContain('serialization_failure')
  expect(await places('crowd2@example.com')).toHaveLength(1)
})

test('signing up by invitation ends the pending sign-up of the address', async () => {
  await room.database.owner(
    `INSERT INTO holdfast.one_time_tokens (purpose, token_hash, email, expires_at) VALUES ('sign_up', 'x', 'p@example.com', now() + INTERVAL '1 hour')`,
  )
  await complete(await invitedToken('p@example.com', 'member'))
  expect(await room.database.owner(`SELECT 1 FROM holdfast.one_time_tokens WHERE email = 'p@example.com'`)).toEqual([])
})

test('five mails from one tenant to one address, then a wait', async () => {
  for (let index = 0; index < 5; index++) expect(await codeOf(invite('flood@example.com', 'viewer'))).toBe('done')
  await expect(invite('flood@example.com', 'viewer')).rejects.toMatchObject({ code: 'throttled', retryAfterSeconds: 1 })
  expect(await codeOf(invite('calm@example.com', 'viewer'))).toBe('done')
})

test('the journal says who invited whom to what, without the token', async () => {
  await room.database.owner('DELETE FROM holdfast.journal')
  const token = await invitedToken('journal@example.com', 'member')
  await complete(token)
  const rows = await room.database.owner('SELECT event, tenant_id, details FROM holdfast.journal ORDER BY at, event')
  expect(rows.map(({ event }) => event)).toEqual(['invitation_created', 'account_created', 'invitation_accepted'])
  expect(rows[2]).toMatchObject({ tenant_id: acme, details: { role: 'member', invitation: expect.any(String) } })
  expect(JSON.stringify(rows)).not.toContain(token.slice(4))
})
