import { afterAll, beforeAll, expect, test } from 'vitest'
import { hashSessionToken } from '../../../src/core/guard/credential.ts'
import { touchSession } from '../../../src/core/guard/touch-session.ts'
import { chooseTenant, listSessions, revokeAll, revokeSession, signOut } from '../../../src/service/identity/session.ts'
import { signIn } from '../../../src/service/identity/sign-in.ts'
import { openRoom, PASSWORD, type Room } from '../room.ts'

let room: Room
let ada: string
let acme: string
let globex: string

beforeAll(async () => {
  room = await openRoom()
  ada = await room.account('ada@example.com')
  await room.account('eve@example.com')
  acme = await room.tenant('acme')
  globex = await room.tenant('globex')
  await room.join(acme, ada, 'owner')
  await room.join(globex, ada, 'viewer')
  await room.tenant('initech')
})
afterAll(() => room.close())

const sign = (email = 'ada@example.com') =>
  signIn(room, { email, password: PASSWORD }, { address: '192.0.2.7', userAgent: 'curl/8' })

/** What *enter* says of a token: `in`, or why not. */
async function enter(token: string, tenant = ''): Promise<string> {
  try {
    await room.database.owner(
      `SELECT e.user_id FROM holdfast.enter('session', $1, $2::TEXT[], $3, '{}', 'aal1', 0, '') AS e`,
      [hashSessionToken(token), tenant === '' ? [] : [tenant], tenant !== ''],
    )
    return 'in'
  } catch (error) {
    return String((error as { detail: string }).detail)
  }
}

const touch = (token: string) => touchSession(room.pool, hashSessionToken(token) ?? Buffer.of())

/** Lets time pass for one session: its stored times move back. */
const pass = (sessionId: string, seconds: number) =>
  room.database.owner(
    `UPDATE holdfast.sessions SET created_at = created_at - $2::INT8 * INTERVAL '1 second',
     last_seen_at = last_seen_at - $2::INT8 * INTERVAL '1 second',
     expires_at = expires_at - $2::INT8 * INTERVAL '1 second' WHERE id = $1`,
    [sessionId, seconds],
  )

test('signing out ends this session at once, and no other', async () => {
  const [one, other] = [await sign(), await sign()]
  await room.as(one, signOut)
  expect(await enter(one.token)).toBe('session_revoked')
  expect(await enter(other.token)).toBe('in')
})

test('an hour without a request ends a session', async () => {
  const { token, sessionId } = await sign()
  await pass(sessionId, 3590)
  expect(await enter(token)).toBe('in')
  await pass(sessionId, 10)
  expect(await enter(token)).toBe('session_idle')
  await touch(token)
})

test('a session in use ends after a day all the same', async () => {
  const { token, sessionId } = await sign()
  for (let hour = 0; hour < 47; hour++) {
    await pass(sessionId, 1800)
    expect(await enter(token)).toBe('in')
    await touch(token)
  }
  await pass(sessionId, 1800)
  expect(await enter(token)).toBe('session_expired')
})

test('last-seen moves at most once a minute, and never for a session that has ended', async () => {
  const { token, sessionId } = await sign()
  const seen = async () =>
    (
      await room.database.owner(
        "SELECT now() - last_seen_at < INTERVAL '30 seconds' AS fresh FROM holdfast.sessions WHERE id = $1",
        [sessionId],
      )
    )[0]?.fresh
  await pass(sessionId, 59)
  await touch(token)
  expect(await seen()).toBe(false)
  await pass(sessionId, 2)
  await touch(token)
  expect(await seen()).toBe(true)
  await pass(sessionId, 100)
  await room.database.owner('UPDATE holdfast.sessions SET revoked_at = now() WHERE id = $1', [sessionId])
  await touch(token)
  expect(await seen()).toBe(false)
})

test('the list has the live sessions of the caller, and no token', async () => {
  await room.database.owner('DELETE FROM holdfast.sessions')
  const [first, idle, expired, ended] = [await sign(), await sign(), await sign(), await sign()]
  const foreign = await sign('eve@example.com')
  await room.database.owner(`UPDATE holdfast.sessions SET last_seen_at = now() - INTERVAL '1 hour' WHERE id = $1`, [
    idle.sessionId,
  ])
  await room.database.owner('UPDATE holdfast.sessions SET expires_at = now() WHERE id = $1', [expired.sessionId])
  await room.as(ended, signOut)
  const last = await sign()
  const list = await room.as(last, listSessions)
  expect(list.map(({ id, current }) => [id, current])).toEqual([
    [last.sessionId, true],
    [first.sessionId, false],
  ])
  expect(list[0]).toMatchObject({ tenantId: null, assurance: 'aal1', userAgent: 'curl/8', expiresAt: expect.any(Date) })
  expect(Object.keys(list[0] ?? {})).not.toContain('tokenHash')
  expect(list.map(({ id }) => id)).not.toContain(foreign.sessionId)
})

test('one can be revoked by its id; another user’s is as unknown as any', async () => {
  const [one, other, foreign] = [await sign(), await sign(), await sign('eve@example.com')]
  await room.as(one, (unit) => revokeSession(unit, other.sessionId))
  expect(await enter(other.token)).toBe('session_revoked')
  for (const id of [
    foreign.sessionId,
    other.sessionId,
    '00000000-0000-4000-8000-000000000000',
    'nonsense',
    '',
    "'; --",
  ]) {
    const revoking = room.as(one, (unit) => revokeSession(unit, id))
    await expect(revoking).rejects.toMatchObject({ code: 'session_not_found', status: 404 })
  }
  expect(await enter(foreign.token)).toBe('in')
})

test('all can be revoked, this one too', async () => {
  const [one, other, foreign] = [await sign(), await sign(), await sign('eve@example.com')]
  expect(await room.as(one, revokeAll)).toBeGreaterThanOrEqual(2)
  expect(await enter(one.token)).toBe('session_revoked')
  expect(await enter(other.token)).toBe('session_revoked')
  expect(await enter(foreign.token)).toBe('in')
})

test.each([
  ['its slug', () => 'globex'],
  ['its id', () => globex],
  ['its id in capitals', () => globex.toUpperCase()],
])('choosing a tenant by %s: a new token, the old one ended, nothing prolonged', async (_, name) => {
  const old = await sign()
  await pass(old.sessionId, 3000)
  const chosen = await room.as(old, (unit) => chooseTenant(unit, name()))
  expect(chosen.token).not.toBe(old.token)
  expect(chosen.tenant).toMatchObject({ id: globex, role: 'viewer' })
  expect(chosen.tenants).toHaveLength(2)
  expect(await enter(old.token)).toBe('session_revoked')
  expect(await enter(chosen.token, globex)).toBe('in')
  expect(await enter(chosen.token, acme)).toBe('tenant_sources_disagree')
  expect(chosen.expiresAt.getTime()).toBe(old.expiresAt.getTime() - 3_000_000)
})

test.each(['initech', 'nowhere', '', 'ACME', '00000000-0000-4000-8000-000000000000'])(
  'the tenant %j cannot be chosen, and the session stays',
  async (tenant) => {
    const session = await sign()
    const choosing = room.as(session, (unit) => chooseTenant(unit, tenant))
    await expect(choosing).rejects.toMatchObject({ code: 'tenant_not_found', status: 404 })
    expect(await enter(session.token)).toBe('in')
  },
)

test('twenty parallel choices with one token: one live session comes of it', async () => {
  const session = await sign()
  await room.database.owner('UPDATE holdfast.sessions SET revoked_at = now() WHERE user_id = $1 AND id <> $2', [
    ada,
    session.sessionId,
  ])
  const choices = await Promise.allSettled(
    Array.from({ length: 20 }, () => room.as(session, (unit) => chooseTenant(unit, 'acme'))),
  )
  expect(choices.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  const live = await room.database.owner('SELECT id FROM holdfast.sessions WHERE user_id = $1 AND revoked_at IS NULL', [
    ada,
  ])
  expect(live).toHaveLength(1)
})
