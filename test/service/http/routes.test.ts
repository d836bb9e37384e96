import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seedTwoTenants, type TwoTenants } from '../../two-tenants.ts'
import { type Answer, type OpenService, openService, ORIGIN } from './open-service.ts'

let room: OpenService
let tenants: TwoTenants
/** tokens by tenant and role: `acme owner` */
const tokens: Record<string, string> = {}

beforeAll(async () => {
  room = await openService()
  tenants = await seedTwoTenants(room.database)
  for (const tenant of [tenants.acme, tenants.globex]) {
    for (const [role, user] of Object.entries(tenant.users)) {
      tokens[`${tenant.slug} ${role}`] = await tenants.session(user.id, tenant.id)
    }
  }
})
afterAll(() => room.close())

const as = (who: string): string => tokens[who] ?? ''

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

describe('GET /v1/teams/:slug/members', () => {
  const cases: [string, string, number][] = [
    ['acme owner', 'core', 200],
    ['acme member', 'core', 200],
    ['acme admin', 'core', 403],
    ['acme viewer', 'core', 403],
    ['acme service', 'core', 403],
    ['acme owner', 'nope', 404],
    ['acme owner', 'CORE', 404],
    ['globex owner', 'core', 200],
    ['globex viewer', 'core', 403],
  ]
  it.each(cases)('%s, %s: %i', async (who, slug, status) => {
    const answer = await room.call('GET', `/teams/${slug}/members`, { token: as(who) })
    expect(answer.status).toBe(status)
    const [tenant] = who.split(' ') as ['acme' | 'globex']
    const other = tenant === 'acme' ? tenants.globex : tenants.acme
    expect(JSON.stringify(answer.body)).not.toContain(other.canary)
    if (status !== 200) return
    const { owner, member } = tenants[tenant].users
    const members = answer.body['members'] as { user_id: string }[]
    expect(members).toHaveLength(2)
    expect(members).toEqual(
      expect.arrayContaining([
        { user_id: owner.id, role: 'lead', display_name: owner.name },
        { user_id: member.id, role: 'member', display_name: member.name },
      ]),
    )
  })
})

describe('the statement of GET /v1/teams/:slug/members', () => {
  it('reads nobody’s name for a caller who is not on the team', async () => {
    const route = room.service.server.routes().find(({ url }) => url === '/v1/teams/:slug/members')
    const text = (route?.first?.text ?? '').replaceAll(/(FROM|JOIN) (\w+)/g, '$1 tenancy.$2')
    const rows = await room.database.owner(text, [tenants.acme.users.admin.id, 'core'])
    expect(rows).toHaveLength(2)
    for (const row of rows) expect(row).toEqual({ own: null, user_id: null, role: null, display_name: null })
  })
})

describe('POST /v1/teams', () => {
  it('founds a team that its founder leads', async () => {
    const answer = await room.call('POST', '/teams', { token: as('acme member'), body: { slug: 'new', name: ' New ' } })
    expect(answer).toMatchObject({ status: 201, body: { slug: 'new', name: 'New' } })
    const { body } = await room.call('GET', '/teams/new/members', { token: as('acme member') })
    expect(body['members']).toEqual([expect.objectContaining({ user_id: tenants.acme.users.member.id, role: 'lead' })])
    expect((await room.call('GET', '/teams/new/members', { token: as('globex owner') })).status).toBe(404)
  })

  it('is 409 for a slug of one’s own tenant, and free of the other’s', async () => {
    const body = { slug: 'twin', name: 'Twin' }
    const statuses = []
    for (const who of ['acme owner', 'globex owner', 'acme owner']) {
      statuses.push((await room.call('POST', '/teams', { token: as(who), body })).status)
    }
    expect(statuses).toEqual([201, 201, 409])
  })

  it('is 422 for a name of nothing', async () => {
    const body = { slug: 'nameless', name: '\u200b' }
    const answer = await room.call('POST', '/teams', { token: as('acme owner'), body })
    expect(answer).toMatchObject({ status: 422, body: { code: 'team_name_invalid' } })
    expect(await room.database.owner(`SELECT 1 FROM tenancy.teams WHERE slug = 'nameless'`)).toEqual([])
  })

  it('is 403 for a viewer, and leaves nothing', async () => {
    const body = { slug: 'forbidden', name: 'x' }
    expect((await room.call('POST', '/teams', { token: as('acme viewer'), body })).status).toBe(403)
    expect(await room.database.owner(`SELECT 1 FROM tenancy.teams WHERE slug = 'forbidden'`)).toEqual([])
  })
})

describe('PUT /v1/teams/:slug/members/:user_id', () => {
  const put = (who: string, slug: string, user: string, role = 'member'): Promise<Answer> =>
    room.call('PUT', `/teams/${slug}/members/${user}`, { token: as(who), body: { role } })

  it('adds, then changes', async () => {
    const { id } = tenants.acme.users.viewer
    expect(await put('acme admin', 'core', id)).toMatchObject({ status: 201, body: { user_id: id, role: 'member' } })
    expect(await put('acme admin', 'core', id, 'lead')).toMatchObject({ status: 200, body: { role: 'lead' } })
    expect((await room.call('GET', '/teams/core/members', { token: as('acme viewer') })).status).toBe(200)
  })

  it.each<[string, () => Promise<Answer>, number]>([
    ['a team that is not there', () => put('acme owner', 'nope', tenants.acme.users.viewer.id), 404],
    ['a user of the other tenant', () => put('acme owner', 'core', tenants.globex.users.viewer.id), 404],
    ['a user who is nowhere', () => put('acme owner', 'core', '00000000-0000-4000-8000-000000000000'), 404],
    ['a member, who may not', () => put('acme member', 'core', tenants.acme.users.admin.id), 403],
    ['a role that is none', () => put('acme owner', 'core', tenants.acme.users.admin.id, 'king'), 400],
  ])('refuses %s', async (_, ask, status) => {
    expect((await ask()).status).toBe(status)
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
