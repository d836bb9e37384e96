import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TwoTenants } from '../../two-tenants.ts'
import { type OpenService, ORIGIN } from './open-service.ts'
import { type OpenTenants, openTenants } from './open-tenants.ts'

let room: OpenService
let tenants: TwoTenants
let as: OpenTenants['as']
beforeAll(async () => {
  ;({ room, tenants, as } = await openTenants())
})
afterAll(() => room.close())

describe('GET /v1/me', () => {
  it.each(['acme owner', 'acme viewer', 'globex member'])('is the profile of %s', async (who) => {
    const [slug, role] = who.split(' ') as ['acme' | 'globex', 'owner']
    const { id, email, name } = tenants[slug].users[role]
    const answer = await room.call('GET', '/me', { token: as(who) })
    expect([answer.status, answer.body]).toEqual([200, { id, email, display_name: name }])
    expect(answer.headers['cache-control']).toBe('no-store')
  })

  it('is 404 for a service account, which has no profile', async () => {
    expect((await room.call('GET', '/me', { token: as('acme service') })).status).toBe(404)
  })

  it('is 400 without a tenant, 401 without a credential', async () => {
    const token = await tenants.session(tenants.acme.users.owner.id, null)
    expect(await room.call('GET', '/me', { token })).toMatchObject({
      status: 400,
      body: { code: 'tenant_not_selected' },
    })
    expect(await room.call('GET', '/me')).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
  })

  it.each<[string, Record<string, string>, string]>([
    ['a header', { 'x-tenant': 'globex', 'x-holdfast-tenant': 'globex' }, '/me'],
    ['a forwarded host', { 'x-forwarded-host': 'globex.example.com', host: 'globex.example.com' }, '/me'],
    ['the query', {}, '/me?tenant=globex&tenant_id=globex'],
  ])("a client's own tenant does not count: %s", async (_, headers, path) => {
    const answer = await room.call('GET', path, { token: as('acme owner'), headers })
    expect(answer.body['id']).toBe(tenants.acme.users.owner.id)
  })
})

describe('PATCH /v1/me', () => {
  it('changes the caller’s display name, and nobody else’s', async () => {
    const rows = () => room.database.owner('SELECT user_id, display_name FROM tenancy.profiles ORDER BY user_id')
    const before = await rows()
    const { id } = tenants.acme.users.viewer
    const answer = await room.call('PATCH', '/me', { token: as('acme viewer'), body: { display_name: '  Vi Ewer ' } })
    expect([answer.status, answer.body['display_name']]).toEqual([200, 'Vi Ewer'])
    expect(await rows()).toEqual(
      before.map((row) => (row['user_id'] === id ? { ...row, display_name: 'Vi Ewer' } : row)),
    )
  })

  it('is 404, and no silent success, where no row is touched', async () => {
    expect((await room.call('PATCH', '/me', { token: as('acme service'), body: { display_name: 'x' } })).status).toBe(
      404,
    )
  })

  it.each<[string, Record<string, unknown>, number]>([
    ['another field', { display_name: 'x', email: 'new@acme.example' }, 400],
    ['another user', { display_name: 'x', user_id: '7' }, 400],
    ['nothing', {}, 400],
    ['blank', { display_name: '   ' }, 422],
    ['a right-to-left override', { display_name: 'a\u202eb' }, 422],
  ])('refuses %s', async (_, body, status) => {
    expect((await room.call('PATCH', '/me', { token: as('acme owner'), body })).status).toBe(status)
  })
})

describe('identity routes', () => {
  it('lead from an invitation to an own session, and to its end', async () => {
    const invite = { email: 'zoe@acme.example', role: 'member' }
    expect(await room.call('POST', '/invitations', { token: as('acme member'), body: invite })).toMatchObject({
      status: 403,
    })
    const invited = await room.call('POST', '/invitations', { token: as('acme admin'), body: invite })
    expect(invited).toMatchObject({ status: 201, body: invite })
    expect(JSON.stringify(invited.body)).not.toContain('hfi_')
    const token = await mailed('zoe@acme.example')
    const password = 'a long enough passphrase'
    const completed = await room.call('POST', '/sign-up/complete', { body: { token, password, display_name: 'Zoe' } })
    expect(completed).toMatchObject({
      status: 201,
      body: { email: 'zoe@acme.example', tenant: { slug: 'acme', role: 'member' } },
    })
    expect(
      await room.call('POST', '/sign-up/complete', { body: { token, password, display_name: 'Zoe' } }),
    ).toMatchObject({
      status: 400,
      body: { code: 'token_invalid' },
    })

    const wrong = await room.call('POST', '/sign-in', { body: { email: 'zoe@acme.example', password: 'wrong' } })
    expect(wrong).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
    const session = await room.call('POST', '/sign-in', { body: { email: 'zoe@acme.example', password } })
    expect(session).toMatchObject({
      status: 200,
      body: { token_type: 'Bearer', tenant: { slug: 'acme' }, tenants: [{ slug: 'acme' }] },
    })
    expect(session.headers['set-cookie']).toBeUndefined()
    const own = String(session.body['token'])
    expect((await room.call('GET', '/me', { token: own })).body).toMatchObject({ display_name: 'Zoe' })
    expect((await room.call('GET', '/tenants', { token: own })).body).toMatchObject({
      tenants: [{ slug: 'acme', role: 'member' }],
    })
    expect(await room.call('POST', '/session/tenant', { token: own, body: { tenant: 'globex' } })).toMatchObject({
      status: 404,
    })
    const moved = await room.call('POST', '/session/tenant', { token: own, body: { tenant: 'acme' } })
    expect(moved.status).toBe(200)
    expect((await room.call('GET', '/me', { token: own })).status).toBe(401)
    const now = String(moved.body['token'])
    const sessions = (await room.call('GET', '/sessions', { token: now })).body['sessions'] as {
      id: string
      current: boolean
    }[]
    expect(sessions.map(({ current }) => current)).toEqual([true])
    const foreign = await room.database.owner('SELECT id FROM holdfast.sessions WHERE user_id = $1', [
      tenants.acme.users.owner.id,
    ])
    expect((await room.call('DELETE', `/sessions/${String(foreign[0]?.['id'])}`, { token: now })).status).toBe(404)
    expect((await room.call('GET', '/me', { token: as('acme owner') })).status).toBe(200)
    expect((await room.call('DELETE', `/sessions/${sessions[0]?.id}`, { token: now })).status).toBe(204)
    expect((await room.call('GET', '/me', { token: now })).status).toBe(401)
  })

  it('are closed where sign-up is', async () => {
    expect(await room.call('POST', '/sign-up', { body: { email: 'a@b.example' } })).toMatchObject({
      status: 403,
      body: { code: 'sign_up_closed' },
    })
    const tenant = { slug: 'mine', name: 'Mine' }
    expect(await room.call('POST', '/tenants', { token: as('acme owner'), body: tenant })).toMatchObject({
      status: 403,
    })
    expect(
      await room.call('POST', '/setup', {
        body: { token: 'hfp_x', tenant, owner: { email: 'a@b.example', password: 'x', display_name: 'x' } },
      }),
    ).toMatchObject({ status: 400, body: { code: 'token_invalid' } })
  })

  it('carry a session in a cookie that other sites cannot use', async () => {
    const { email } = tenants.acme.users.owner
    const password = 'a long enough passphrase'
    const { createPasswords } = await import('../../../src/service/identity/password.ts')
    const { createLane } = await import('../../../src/service/identity/lane.ts')
    const hash = await (await createPasswords(createLane())).hash(password)
    await room.database.owner('INSERT INTO holdfast.passwords (user_id, hash) VALUES ($1, $2)', [
      tenants.acme.users.owner.id,
      hash,
    ])
    const body = { email, password, transport: 'cookie' }
    expect((await room.call('POST', '/sign-in', { body })).status).toBe(403)
    const session = await room.call('POST', '/sign-in', { body, headers: { 'sec-fetch-site': 'same-origin' } })
    expect(session.status).toBe(200)
    expect(session.body['token']).toBeUndefined()
    const set = String(session.headers['set-cookie'])
    expect(set).toMatch(/^__Host-holdfast=hfs_[\w-]{43}; Expires=.*; Path=\/; Secure; HttpOnly; SameSite=Strict$/)
    const cookie = set.split(';')[0] ?? ''
    expect((await room.call('GET', '/me', { headers: { cookie } })).status).toBe(200)
    expect((await room.call('POST', '/sign-out', { headers: { cookie } })).status).toBe(403)
    const moved = await room.call('POST', '/session/tenant', {
      headers: { cookie, origin: ORIGIN },
      body: { tenant: 'acme' },
    })
    expect(moved.body['token']).toBeUndefined()
    const next = String(moved.headers['set-cookie']).split(';')[0] ?? ''
    expect(next).not.toBe(cookie)
    expect((await room.call('GET', '/me', { headers: { cookie } })).status).toBe(401)
    const out = await room.call('POST', '/sign-out', { headers: { cookie: next, origin: ORIGIN } })
    expect([out.status, String(out.headers['set-cookie'])]).toEqual([
      204,
      '__Host-holdfast=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Strict',
    ])
    expect((await room.call('GET', '/me', { headers: { cookie: next } })).status).toBe(401)
  })
})

describe('the log', () => {
  it('tells why, and no secret', async () => {
    await room.call('GET', '/me', { token: `hfs_${'A'.repeat(43)}` })
    const log = room.log()
    expect(log).toContain('"because":"session_unknown"')
    expect(log).not.toMatch(/hfs_|hfi_|passphrase|canary/)
    expect(log).not.toContain('"level":50')
  })
})

/** The token that an invitation's mail carries: opened as the worker would. */
async function mailed(recipient: string): Promise<string> {
  const outbox = room.service.outbox
  await outbox.runOnce()
  const mail = room
    .printed()
    .split('--- mail to ')
    .find((text) => text.startsWith(recipient))
  return /^hfi_\S+$/m.exec(mail ?? '')?.[0] ?? ''
}
