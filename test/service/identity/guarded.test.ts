import { afterAll, beforeAll, expect, test } from 'vitest'
import { can, type GuardedAccess, signedIn } from '../../../src/core/guard/access.ts'
import { hashSessionToken } from '../../../src/core/guard/credential.ts'
import { createGuard, type Guard, type Unit } from '../../../src/core/guard/guard.ts'
import { completeSignUp } from '../../../src/service/identity/account.ts'
import { touchSession } from '../../../src/core/guard/touch-session.ts'
import { chooseTenant, listSessions, revokeAll, signOut } from '../../../src/service/identity/session.ts'
import { completeSetup, issueSetupToken } from '../../../src/service/identity/setup.ts'
import { signIn } from '../../../src/service/identity/sign-in.ts'
import { createInvitation } from '../../../src/service/tenancy/invitation.ts'
import { createTenant, listTenants } from '../../../src/service/tenancy/tenant.ts'
import { openRoom, PASSWORD, type Room } from '../room.ts'
import { serviceManifest } from '../../../src/service/tenancy/manifest.ts'

const trace = { address: '192.0.2.7' }
const owner = { email: 'owner@example.com', password: PASSWORD, displayName: 'Olive' }
let room: Room
let guard: Guard
const touched: Promise<void>[] = []

beforeAll(async () => {
  room = await openRoom()
  const noScope = {
    manifest: serviceManifest,
    stats: { size: 0, hits: 0, misses: 0 },
    scope: () => {
      throw new Error('the identity pool scopes nothing')
    },
  }
  guard = createGuard({
    pools: { app: room.pool, identity: room.pool },
    scope: noScope,
    onTouch: (_caller, { hash }) => touched.push(touchSession(room.pool, hash)),
  })
  const token = (await issueSetupToken(room)) ?? ''
  await completeSetup(room, { token, tenant: { slug: 'acme', name: 'Acme' }, owner }, trace)
})
afterAll(() => room.close())

const sign = async (email = owner.email): Promise<string> =>
  (await signIn(room, { email, password: PASSWORD }, trace)).token

function run<T>(token: string, work: (unit: Unit) => Promise<T>, access: GuardedAccess = signedIn(), readOnly = false) {
  const hash = hashSessionToken(token) ?? Buffer.of()
  const credential = { kind: 'session', transport: 'bearer', hash } as const
  return guard.run({ credential, selectors: [], access, readOnly, strict: false, pool: 'identity' }, work)
}

const invite = (token: string, email: string, role: string) =>
  run(token, (unit) => createInvitation(unit, room, { email, role }), can('invitation:create'))

test('a token is good for what its user may, until it is signed out', async () => {
  const token = await sign()
  expect(await run(token, listTenants, signedIn(), true)).toMatchObject([{ slug: 'acme', role: 'owner' }])
  expect((await run(token, listSessions, signedIn(), true)).map(({ current }) => current)).toContain(true)
  await run(token, signOut)
  await expect(run(token, listTenants)).rejects.toMatchObject({ status: 401, because: 'session_revoked' })
})

test('an owner invites an admin, who invites a member, who may not invite', async () => {
  for (const [inviter, email, role] of [
    ['owner@example.com', 'admin@example.com', 'admin'],
    ['admin@example.com', 'member@example.com', 'member'],
  ] as const) {
    await invite(await sign(inviter), email, role)
    const [mail] = await room.takeMail()
    await completeSignUp(room, { token: mail?.token ?? '', password: PASSWORD, displayName: 'Somebody' }, trace)
  }
  const admin = await sign('admin@example.com')
  await expect(invite(admin, 'boss@example.com', 'owner')).rejects.toMatchObject({ code: 'role_exceeds_own' })
  const member = await sign('member@example.com')
  const left = async () =>
    room.database.owner('SELECT 1 FROM holdfast.invitations UNION ALL SELECT 1 FROM holdfast.outbox')
  const before = await left()
  await expect(invite(member, 'x@example.com', 'viewer')).rejects.toMatchObject({
    status: 403,
    because: 'grant_missing',
  })
  expect(await left()).toEqual(before)
})

test('a demotion is felt by the next invitation', async () => {
  const admin = await sign('admin@example.com')
  await invite(admin, 'y@example.com', 'viewer')
  await room.database.owner(`UPDATE holdfast.memberships SET role = 'viewer' WHERE role = 'admin'`)
  await expect(invite(admin, 'z@example.com', 'viewer')).rejects.toMatchObject({ because: 'grant_missing' })
})

test('founding a second tenant and moving into it ends the old token', async () => {
  const token = await sign()
  await run(token, (unit) => createTenant(unit, room, { slug: 'globex', name: 'Globex' }))
  const moved = await run(token, (unit) => chooseTenant(unit, 'globex'))
  await expect(run(token, listTenants)).rejects.toMatchObject({ because: 'session_revoked' })
  const callerOf = await run(moved.token, async ({ caller }) => caller, can('tenant:update'))
  expect(callerOf).toMatchObject({ role: 'owner', tenantId: moved.tenant?.id })
})

test('twenty parallel choices with one token: one new session, the others are signed out', async () => {
  const token = await sign()
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, () => run(token, (unit) => chooseTenant(unit, 'acme'))),
  )
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  for (const result of results) {
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ status: 401, because: 'session_revoked' })
  }
})

test('a session that was used again after a minute is touched, once', async () => {
  const token = await sign()
  const shift = `UPDATE holdfast.sessions SET last_seen_at = last_seen_at - INTERVAL '2 minutes' WHERE token_hash = $1`
  await room.database.owner(shift, [hashSessionToken(token)])
  touched.length = 0
  await run(token, listTenants, signedIn(), true)
  await Promise.all(touched)
  await run(token, listTenants, signedIn(), true)
  expect(touched).toHaveLength(1)
})

test('after revoking all, every token of the user is dead', async () => {
  const tokens = [await sign(), await sign()]
  await run(tokens[0] ?? '', revokeAll)
  for (const token of tokens) await expect(run(token, listTenants)).rejects.toMatchObject({ status: 401 })
})
