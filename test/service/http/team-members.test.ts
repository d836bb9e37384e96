import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TwoTenants } from '../../two-tenants.ts'
import type { Answer, OpenService } from './open-service.ts'
import { type OpenTenants, openTenants } from './open-tenants.ts'

let room: OpenService
let tenants: TwoTenants
let as: OpenTenants['as']
beforeAll(async () => {
  ;({ room, tenants, as } = await openTenants())
})
afterAll(() => room.close())

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
    const rows = await room.database.owner(text, [
      tenants.acme.users.admin.id,
      '00000000-0000-0000-0000-000000000000',
      'core',
      51,
    ])
    expect(rows).toHaveLength(2)
    for (const row of rows) expect(row).toEqual({ own: null, user_id: null, role: null, display_name: null })
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

describe('the pages of GET /v1/teams/:slug/members', () => {
  it('hold each member once, and nobody of the other tenant', async () => {
    const seen: string[] = []
    let path = '/teams/core/members?limit=1'
    for (let pages = 0; pages < 10; pages++) {
      const { status, body } = await room.call('GET', path, { token: as('acme owner') })
      expect(status).toBe(200)
      seen.push(...(body['members'] as { user_id: string }[]).map(({ user_id }) => user_id))
      if (body['next_cursor'] === null) break
      path = `/teams/core/members?limit=1&cursor=${body['next_cursor'] as string}`
    }
    const rows = await room.database.owner('SELECT user_id FROM tenancy.team_members WHERE team_id = $1', [
      tenants.acme.teamId,
    ])
    expect(rows.length).toBeGreaterThan(1)
    expect(seen).toEqual(rows.map(({ user_id }) => String(user_id)).sort())
  })

  it('begin with a cursor of this team and tenant', async () => {
    const { body } = await room.call('GET', '/teams/core/members?limit=1', { token: as('globex owner') })
    const cursor = body['next_cursor'] as string
    const ask = (who: string): Promise<Answer> =>
      room.call('GET', `/teams/core/members?cursor=${cursor}`, { token: as(who) })
    expect((await ask('globex owner')).status).toBe(200)
    expect((await ask('acme owner')).body['code']).toBe('cursor_invalid')
    // who is not on the team hears that first
    expect((await ask('acme admin')).status).toBe(403)
  })
})

describe('DELETE /v1/teams/:slug/members/:user_id', () => {
  const take = (who: string, user: string, slug = 'core'): Promise<Answer> =>
    room.call('DELETE', `/teams/${slug}/members/${user}`, { token: as(who) })

  it('takes a member off; a member may only leave', async () => {
    const { owner, member, viewer } = tenants.acme.users
    expect((await take('acme viewer', viewer.id)).status).toBe(403)
    expect((await take('acme member', owner.id)).status).toBe(404)
    expect((await take('globex owner', member.id)).status).toBe(404)
    expect((await take('acme owner', tenants.globex.users.member.id)).status).toBe(404)
    expect((await take('acme owner', member.id, 'nope')).status).toBe(404)
    expect((await take('acme member', member.id)).status).toBe(204)
    expect((await take('acme member', member.id)).status).toBe(404)
    expect((await take('acme admin', owner.id)).status).toBe(204)
    const left = await room.database.owner('SELECT user_id FROM tenancy.team_members WHERE team_id = $1', [
      tenants.globex.teamId,
    ])
    expect(left).toHaveLength(2)
  })
})
