import { randomUUID } from 'node:crypto'
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

/** A team that a user of acme founds; its slug is new. */
async function found(role: 'owner' | 'member', name = 'A team'): Promise<string> {
  const slug = `t-${randomUUID().slice(0, 8)}`
  expect((await room.call('POST', '/teams', { token: as(`acme ${role}`), body: { slug, name } })).status).toBe(201)
  // revisions begin anywhere
  await room.database.owner('UPDATE tenancy.teams SET revision = 1 WHERE slug = $1', [slug])
  return slug
}

function patch(who: string, slug: string, body: unknown, tag?: string): Promise<Answer> {
  return room.call('PATCH', `/teams/${slug}`, {
    token: as(who),
    body,
    headers: tag === undefined ? {} : { 'if-match': tag },
  })
}

function remove(who: string, slug: string, tag?: string): Promise<Answer> {
  return room.call('DELETE', `/teams/${slug}`, {
    token: as(who),
    headers: tag === undefined ? {} : { 'if-match': tag },
  })
}

const get = (who: string, path: string): Promise<Answer> => room.call('GET', path, { token: as(who) })
const slugsOf = ({ body }: Answer): string[] => (body['teams'] as { slug: string }[]).map(({ slug }) => slug)

describe('GET /v1/teams', () => {
  beforeAll(async () => {
    for (const name of ['50% off', 'snake_case', 'snakeXcase', 'back\\slash', 'Ärger', '%']) await found('owner', name)
    await room.call('POST', '/teams', { token: as('globex owner'), body: { slug: 'theirs', name: 'snake_case' } })
  })

  it('is walked page by page: each team once, in order, none of the other tenant', async () => {
    const all = await room.database.owner('SELECT slug FROM tenancy.teams WHERE tenant_id = $1', [tenants.acme.id])
    for (const limit of [1, 2, 200]) {
      const seen: string[] = []
      let path = `/teams?limit=${limit}`
      for (let pages = 0; ; pages++) {
        expect(pages).toBeLessThan(20)
        const answer = await get('acme viewer', path)
        expect(answer.status).toBe(200)
        expect(JSON.stringify(answer.body)).not.toContain(tenants.globex.canary)
        expect(slugsOf(answer).length).toBeLessThanOrEqual(limit)
        seen.push(...slugsOf(answer))
        if (answer.body['next_cursor'] === null) break
        path = `/teams?limit=${limit}&cursor=${answer.body['next_cursor'] as string}`
      }
      expect(new Set(seen).size).toBe(seen.length)
      expect([...seen].sort()).toEqual(all.map(({ slug }) => String(slug)).sort())
      expect(seen).not.toContain('theirs')
    }
  })

  it.each<[string, string[]]>([
    ['snake_', ['snake_case']],
    ['SNAKE', ['snakeXcase', 'snake_case']],
    ['%', ['%', '50% off']],
    ['0%', ['50% off']],
    ['k\\s', ['back\\slash']],
    ['\\', ['back\\slash']],
    ["' OR ''='", []],
    ['nothing like it', []],
  ])('whose name contains %j: a wildcard is a letter', async (name, expected) => {
    const { body } = await get('acme viewer', `/teams?name=${encodeURIComponent(name)}`)
    expect((body['teams'] as { name: string }[]).map((team) => team.name).sort()).toEqual(expected)
  })

  it('takes a cursor back in its own tenant, list and filter only', async () => {
    const { body } = await get('acme owner', '/teams?limit=1')
    const cursor = body['next_cursor'] as string
    expect((await get('acme viewer', `/teams?cursor=${cursor}`)).status).toBe(200)
    const foreign = (await get('globex owner', '/teams?limit=1')).body['next_cursor'] as string
    const flipped = `${cursor.slice(0, -2)}${cursor.at(-2) === 'A' ? 'B' : 'A'}${cursor.at(-1)}`
    for (const [who, path] of [
      ['globex owner', `/teams?cursor=${cursor}`],
      ['acme owner', `/teams?cursor=${foreign}`],
      ['acme owner', `/teams?name=a&cursor=${cursor}`],
      ['acme owner', `/teams/core/members?cursor=${cursor}`],
      ['acme owner', `/teams?cursor=${flipped}`],
      ['acme owner', `/teams?cursor=x`],
    ] as const)
      expect([path, (await get(who, path)).body['code']]).toEqual([path, 'cursor_invalid'])
  })

  it.each(['limit=0', 'limit=201', 'limit=1.5', 'limit=-1', 'limit=01', 'limit=', 'cursor=', 'limit=1&limit=2'])(
    'is 400 for %s',
    async (text) => {
      expect((await get('acme owner', `/teams?${text}`)).status).toBe(400)
    },
  )

  it('takes no word for what its statement is given', async () => {
    const honest = await get('acme owner', '/teams?limit=1')
    for (const text of ['after=zzz', 'take=200', 'pattern=x', 'revisions=1']) {
      const answer = await get('acme owner', `/teams?limit=1&${text}`)
      if (answer.status === 200) expect(answer.body).toEqual(honest.body)
      else expect(answer.status).toBe(400)
    }
  })
})

describe('GET /v1/teams/:slug', () => {
  it.each([
    ['acme viewer', 'core', 200],
    ['acme owner', 'nope', 404],
    ['acme owner', 'theirs', 404],
    ['globex owner', 'theirs', 200],
  ])('%s, %s: %i', async (who, slug, status) => {
    const answer = await get(who, `/teams/${slug}`)
    expect(answer.status).toBe(status)
    if (status === 200) {
      expect(answer.body['slug']).toBe(slug)
      expect(answer.headers['etag']).toMatch(/^"\d{1,13}"$/)
    } else expect(answer.headers['etag']).toBeUndefined()
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

describe('PATCH /v1/teams/:slug', () => {
  it('changes name or slug, and the ETag each time', async () => {
    const slug = await found('owner')
    expect(await patch('acme admin', slug, { name: ' Named ' }, '"1"')).toMatchObject({
      status: 200,
      body: { slug, name: 'Named' },
      headers: { etag: '"2"' },
    })
    const moved = `${slug}-b`
    expect(await patch('acme admin', slug, { slug: moved }, 'W/"2", "7", "2"')).toMatchObject({
      status: 200,
      body: { slug: moved, name: 'Named' },
      headers: { etag: '"3"' },
    })
    expect((await get('acme viewer', `/teams/${moved}`)).headers['etag']).toBe('"3"')
    // the old address is nobody's, and free
    expect((await get('acme viewer', `/teams/${slug}`)).status).toBe(404)
    expect((await room.call('POST', '/teams', { token: as('acme owner'), body: { slug, name: 'x' } })).status).toBe(201)
  })

  it.each<[string, string | undefined, number, string]>([
    ['no If-Match', undefined, 428, 'precondition_required'],
    ['an older one', '"7"', 412, 'precondition_failed'],
    ['a weak one', 'W/"1"', 412, 'precondition_failed'],
    ['an empty list', ',', 412, 'precondition_failed'],
    ['a number beyond INT8', '"9223372036854775808"', 412, 'precondition_failed'],
    ['garbage', '1', 400, 'malformed_request'],
  ])('with %s is refused, and leaves nothing', async (_, tag, status, code) => {
    const slug = await found('owner')
    const answer = await patch('acme owner', slug, { name: 'Other' }, tag)
    expect([answer.status, answer.body['code']]).toEqual([status, code])
    expect(await get('acme owner', `/teams/${slug}`)).toMatchObject({
      body: { name: 'A team' },
      headers: { etag: '"1"' },
    })
  })

  it('takes * for what is there', async () => {
    expect((await patch('acme owner', await found('owner'), { name: 'x' }, '*')).status).toBe(200)
    expect((await patch('acme owner', 'nope', { name: 'x' }, '*')).status).toBe(404)
    expect((await patch('acme owner', 'nope', { name: 'x' }, '"1"')).status).toBe(404)
  })

  it('lets a member name those that they founded; others are there to see and 404 to change', async () => {
    const [own, other] = [await found('member'), await found('owner')]
    expect((await patch('acme member', own, { name: 'Mine' }, '"1"')).status).toBe(200)
    expect((await get('acme member', `/teams/${other}`)).status).toBe(200)
    // whatever the tag says: 412 would tell that a revision is another
    for (const tag of ['"1"', '"7"', '*'])
      expect((await patch('acme member', other, { name: 'Mine' }, tag)).status).toBe(404)
    expect((await get('acme member', `/teams/${other}`)).body['name']).toBe('A team')
    expect((await patch('acme viewer', other, { name: 'x' }, '*')).status).toBe(403)
  })

  it('is 409 for a slug that is taken, also in a founding', async () => {
    const slug = await found('owner')
    const taken = await patch('acme owner', slug, { slug: 'core' }, '*')
    expect([taken.status, taken.body['code']]).toEqual([409, 'slug_taken'])
    const again = await room.call('POST', '/teams', { token: as('acme owner'), body: { slug: 'core', name: 'x' } })
    expect([again.status, again.body['code']]).toEqual([409, 'slug_taken'])
    // another tenant's slug is not taken
    expect((await patch('acme owner', slug, { slug: 'theirs' }, '*')).status).toBe(200)
    await remove('acme owner', 'theirs')
  })

  it.each<[unknown, number]>([
    [{}, 400],
    [{ slug: 'A' }, 400],
    [{ name: null }, 400],
    [{ name: 'x', revision: 9 }, 400],
    [{ name: 'x', revisions: null }, 400],
    [{ name: 'x', created_by: 'me' }, 400],
    [{ name: '\u200b' }, 422],
  ])('refuses %j', async (body, status) => {
    expect((await patch('acme owner', 'core', body, '*')).status).toBe(status)
  })
})

describe('DELETE /v1/teams/:slug', () => {
  it('an entity tag of a team that is gone fits none that is founded under its slug (RFC 9110 8.8.1)', async () => {
    const slug = `t-${randomUUID().slice(0, 8)}`
    const foundIt = () => room.call('POST', '/teams', { token: as('acme owner'), body: { slug, name: 'A team' } })
    await foundIt()
    const tag = String((await get('acme owner', `/teams/${slug}`)).headers['etag'])
    await remove('acme owner', slug)
    await foundIt()
    expect((await patch('acme owner', slug, { name: 'Mine' }, tag)).status).toBe(412)
    expect((await remove('acme owner', slug, tag)).status).toBe(412)
  })

  it('dissolves a team and its list of members, and no more', async () => {
    const slug = await found('member')
    expect((await remove('acme member', slug)).status).toBe(403)
    expect((await remove('globex owner', slug)).status).toBe(404)
    expect((await remove('acme admin', slug, '"7"')).status).toBe(412)
    expect((await get('acme viewer', `/teams/${slug}`)).status).toBe(200)
    expect(await remove('acme admin', slug, '"1"')).toMatchObject({ status: 204, body: {} })
    expect((await remove('acme admin', slug)).status).toBe(404)
    expect((await remove('acme admin', slug, '"1"')).status).toBe(404)
    const orphans = `SELECT 1 FROM tenancy.team_members m WHERE NOT EXISTS (SELECT 1 FROM tenancy.teams t WHERE t.id = m.team_id)`
    expect(await room.database.owner(orphans)).toEqual([])
    expect((await get('acme member', '/me')).status).toBe(200)
  })
})
