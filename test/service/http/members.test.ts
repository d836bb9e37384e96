import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type House, openHouse } from '../../proofs/house.ts'

type Answer = { status: number; body: Record<string, unknown>; etag: string | null }
let house: House
let users: House['tenants']['acme']['users']
let acme: House['tenants']['acme']
const tokens: Record<string, string> = {}

beforeAll(async () => {
  house = await openHouse()
  acme = house.tenants.acme
  users = acme.users
  for (const [role, { id }] of Object.entries(users)) tokens[role] = await house.tenants.session(id, acme.id)
  tokens['globex'] = await house.tenants.session(house.tenants.globex.users.owner.id, house.tenants.globex.id)
})
afterAll(() => house.close())
beforeEach(async () => {
  for (const role of ['owner', 'admin', 'member', 'viewer'] as const)
    await house.tenants.setRole(acme, users[role].id, role)
  await house.tenants.setRole(acme, users.service.id, 'member')
})

async function call(who: string, method: string, path: string, body?: unknown, ifMatch?: string): Promise<Answer> {
  const response = await fetch(`${house.origin}/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${tokens[who]}`,
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return {
    status: response.status,
    body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
    etag: response.headers.get('etag'),
  }
}

const NOWHERE = '00000000-0000-4000-8000-000000000000'
const give = (who: string, user: string, role: string, ifMatch = '*') =>
  call(who, 'PATCH', `/members/${user}`, { role }, ifMatch)

describe('the own tenant', () => {
  it('is read by every role, and renamed by an owner who knows its revision', async () => {
    for (const who of ['owner', 'admin', 'member', 'viewer', 'service']) {
      const { status, body } = await call(who, 'GET', '/tenant')
      expect([status, body['id'], body['slug']]).toEqual([200, acme.id, 'acme'])
    }
    const { etag } = await call('owner', 'GET', '/tenant')
    expect(etag).toBe('"1"')
    expect(await call('owner', 'PATCH', '/tenant', { name: 'x' })).toMatchObject({ status: 428 })
    expect(await call('owner', 'PATCH', '/tenant', { name: 'x' }, '"7"')).toMatchObject({ status: 412 })
    expect(await call('owner', 'PATCH', '/tenant', { name: 'x' }, 'W/"1"')).toMatchObject({ status: 412 })
    expect(await call('owner', 'PATCH', '/tenant', { name: '\u200b' }, '*')).toMatchObject({ status: 422 })
    expect(await call('admin', 'PATCH', '/tenant', { name: 'x' }, '*')).toMatchObject({ status: 403 })
    const renamed = await call('owner', 'PATCH', '/tenant', { name: ' Acme, Inc. ' }, '"1"')
    expect(renamed).toMatchObject({ status: 200, etag: '"2"', body: { name: 'Acme, Inc.', slug: 'acme' } })
    expect((await call('globex', 'GET', '/tenant')).body['slug']).toBe('globex')
  })
})

describe('members', () => {
  it('are listed in pages, of the own tenant alone', async () => {
    const seen: unknown[] = []
    let cursor = ''
    for (let pages = 0; pages < 9; pages++) {
      const { status, body } = await call('admin', 'GET', `/members?limit=2${cursor}`)
      expect(status).toBe(200)
      seen.push(...(body['members'] as { user_id: string }[]).map(({ user_id }) => user_id))
      if (body['next_cursor'] === null) break
      cursor = `&cursor=${body['next_cursor'] as string}`
    }
    expect(seen).toEqual(
      Object.values(users)
        .map(({ id }) => id)
        .sort(),
    )
    const first = await call('admin', 'GET', '/members?limit=2')
    const stolen = String(first.body['next_cursor'])
    expect(await call('globex', 'GET', `/members?cursor=${stolen}`)).toMatchObject({ status: 400 })
    expect(await call('admin', 'GET', `/members?role=viewer&cursor=${stolen}`)).toMatchObject({ status: 400 })
    const viewers = (await call('admin', 'GET', '/members?role=viewer')).body['members'] as { user_id: string }[]
    expect(viewers.map(({ user_id }) => user_id)).toEqual([users.viewer.id])
    for (const limit of ['0', '201', '-1', 'x', ''])
      expect((await call('admin', 'GET', `/members?limit=${limit}`)).status).toBe(400)
  })

  it('of other tenants and of none are unknown alike', async () => {
    for (const id of [house.tenants.globex.users.viewer.id, NOWHERE]) {
      for (const answer of [
        await call('owner', 'GET', `/members/${id}`),
        await give('owner', id, 'viewer'),
        await call('owner', 'DELETE', `/members/${id}`),
      ])
        expect([answer.status, answer.body['code']]).toEqual([404, 'member_not_found'])
    }
  })

  it.each([
    ['an admin makes themselves an owner', 'admin', 'admin', 'owner', 403, 'role_exceeds_own'],
    ['an admin makes a member an owner', 'admin', 'member', 'owner', 403, 'role_exceeds_own'],
    ['an admin demotes the owner', 'admin', 'owner', 'viewer', 403, 'role_exceeds_own'],
    ['the last owner steps down', 'owner', 'owner', 'admin', 409, 'last_owner'],
    ['a role that is none', 'owner', 'member', 'emperor', 422, 'role_unknown'],
    ['a member', 'member', 'viewer', 'viewer', 403, 'forbidden'],
    ['a viewer, themselves', 'viewer', 'viewer', 'owner', 403, 'forbidden'],
    ['a service account', 'service', 'viewer', 'viewer', 403, 'forbidden'],
    ['an admin makes a member an admin', 'admin', 'member', 'admin', 200, undefined],
    ['an owner makes an admin an owner', 'owner', 'admin', 'owner', 200, undefined],
    ['an owner stays one', 'owner', 'owner', 'owner', 200, undefined],
  ] as const)('%s', async (_, who, whom, role, status, code) => {
    const answer = await give(who, users[whom].id, role)
    expect([answer.status, answer.body['code']]).toEqual([status, code])
    if (status !== 200) expect((await call('admin', 'GET', `/members/${users[whom].id}`)).body['role']).toBe(whom)
  })

  it('a service account, or somebody disabled, does not keep a tenant as its owner', async () => {
    expect((await give('owner', users.service.id, 'owner')).status).toBe(200)
    expect(await call('owner', 'DELETE', `/members/${users.owner.id}`)).toMatchObject({ status: 409 })
    expect((await give('owner', users.admin.id, 'owner')).status).toBe(200)
    await house.database.owner(`UPDATE holdfast.users SET status = 'disabled' WHERE id = $1`, [users.admin.id])
    expect(await give('owner', users.owner.id, 'viewer')).toMatchObject({ status: 409 })
    await house.database.owner(`UPDATE holdfast.users SET status = 'active' WHERE id = $1`, [users.admin.id])
  })

  it('are changed on the revision that was read', async () => {
    const { id } = users.viewer
    const { etag } = await call('admin', 'GET', `/members/${id}`)
    expect(await call('admin', 'PATCH', `/members/${id}`, { role: 'member' })).toMatchObject({ status: 428 })
    const changed = await give('admin', id, 'member', etag ?? '')
    expect(changed).toMatchObject({ status: 200, body: { role: 'member' } })
    expect(changed.etag).not.toBe(etag)
    expect(await give('admin', id, 'viewer', etag ?? '')).toMatchObject({ status: 412 })
    expect(await call('admin', 'DELETE', `/members/${id}`, undefined, etag ?? '')).toMatchObject({ status: 412 })
    const [entry] = await house.database.owner(
      `SELECT user_id, details FROM holdfast.journal WHERE event = 'member_role_changed' ORDER BY at DESC LIMIT 1`,
    )
    expect(entry).toEqual({ user_id: users.admin.id, details: { member: id, role: 'member', was: 'viewer' } })
  })

  it('are removed with profile and places, and not by those below them', async () => {
    expect(await call('admin', 'DELETE', `/members/${users.owner.id}`)).toMatchObject({ status: 403 })
    expect(await call('owner', 'DELETE', `/members/${users.owner.id}`)).toMatchObject({ status: 409 })
    expect(await call('admin', 'DELETE', `/members/${users.member.id}`)).toMatchObject({ status: 204 })
    const left = await house.database.owner(
      `SELECT user_id FROM tenancy.profiles WHERE user_id = $1 UNION ALL
       SELECT user_id FROM tenancy.team_members WHERE user_id = $1`,
      [users.member.id],
    )
    expect(left).toEqual([])
    expect((await call('member', 'GET', '/me')).status).toBe(404)
  })
})

describe('invitations', () => {
  it('are listed without a token, filtered by status, and withdrawn once', async () => {
    const made = await call('admin', 'POST', '/invitations', { email: 'new@acme.example', role: 'viewer' })
    const old = await call('admin', 'POST', '/invitations', { email: 'old@acme.example', role: 'viewer' })
    await house.database.owner('UPDATE holdfast.invitations SET expires_at = now() WHERE id = $1', [old.body['id']])
    const idsOf = async (query: string) => {
      const { body } = await call('admin', 'GET', `/invitations${query}`)
      expect(JSON.stringify(body)).not.toMatch(/hfi_|token/)
      return (body['invitations'] as { id: string }[]).map(({ id }) => id)
    }
    expect(await idsOf('?status=pending')).toEqual([made.body['id']])
    expect(await idsOf('?status=expired')).toEqual([old.body['id']])
    expect(await idsOf('')).toHaveLength(2)
    const path = `/invitations/${String(made.body['id'])}`
    expect(await call('globex', 'DELETE', path)).toMatchObject({ status: 404 })
    expect(await call('viewer', 'DELETE', path)).toMatchObject({ status: 403 })
    expect(await call('admin', 'DELETE', path)).toMatchObject({ status: 204 })
    expect(await call('admin', 'DELETE', path)).toMatchObject({ status: 404, body: { code: 'invitation_not_found' } })
    expect((await call('globex', 'GET', '/invitations')).body['invitations']).toEqual([])
  })

  it('end with the rights of whoever sent them, and do not come back with these', async () => {
    const pending = async () => (await call('owner', 'GET', '/invitations')).body['invitations'] as unknown[]
    const before = (await pending()).length
    await call('admin', 'POST', '/invitations', { email: 'soon@acme.example', role: 'admin' })
    expect(await give('owner', users.admin.id, 'owner')).toMatchObject({ status: 200 })
    expect(await pending()).toHaveLength(before + 1)
    expect(await give('owner', users.admin.id, 'viewer')).toMatchObject({ status: 200 })
    expect(await give('owner', users.admin.id, 'admin')).toMatchObject({ status: 200 })
    const left = await house.database.owner('SELECT id FROM holdfast.invitations WHERE invited_by = $1', [
      users.admin.id,
    ])
    expect(left).toEqual([])
  })

  it('end when their sender is removed', async () => {
    await call('admin', 'POST', '/invitations', { email: 'later@acme.example', role: 'viewer' })
    expect(await call('owner', 'DELETE', `/members/${users.admin.id}`)).toMatchObject({ status: 204 })
    const left = await house.database.owner('SELECT id FROM holdfast.invitations WHERE invited_by = $1', [
      users.admin.id,
    ])
    expect(left).toEqual([])
  })
})
