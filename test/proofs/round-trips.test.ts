import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { can } from '../../src/core/guard/access.ts'
import { newSessionToken } from '../../src/core/guard/credential.ts'
import { startWireProxy, type WireProxy } from '../wire-proxy.ts'
import { type House, openHouse } from './house.ts'

let house: House
let wire: WireProxy

beforeAll(async () => {
  // only the app role's pool goes through the proxy: the routes counted here run on it
  const probe = await openHouse()
  wire = await startWireProxy(probe.database.target('app'))
  await probe.close()
  house = await openHouse({
    connect: (target) => (target.user === 'holdfast_app' ? { ...wire.address, database: target.database } : target),
    extend(app) {
      app.get(
        '/undeclared/last',
        { config: { access: can('team:read') } },
        async ({ db }) => (await db.last('SELECT slug FROM teams')).rows,
      )
      app.get(
        '/undeclared/query',
        { config: { access: can('team:read') } },
        async ({ db }) => (await db.query('SELECT slug FROM teams')).rows,
      )
      app.post('/undeclared/three', { config: { access: can('team:read') } }, async ({ db }) => {
        await db.query('SELECT slug FROM teams')
        await db.query('SELECT name FROM teams')
        return (await db.last('SELECT id FROM teams')).rows
      })
    },
  })
})
afterAll(async () => {
  await house.close()
  await wire.close()
})
beforeEach(() => wire.reset())

type Ask = { method?: string; path: string; token: string; body?: unknown }
async function ask({
  method = 'GET',
  path,
  token,
  body,
}: Ask): Promise<{ status: number; trips: number; messages: string }> {
  wire.reset()
  const response = await fetch(house.origin + path, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  await response.text()
  return { status: response.status, trips: wire.counts.roundTrips, messages: wire.counts.messages }
}
const session = (role: 'owner' | 'viewer') =>
  house.tenants.session(house.tenants.acme.users[role].id, house.tenants.acme.id)

describe('round trips to the database, counted on the wire', () => {
  const declared: Ask[] = [
    { path: '/v1/me', token: '' },
    { path: '/v1/teams/core/members', token: '' },
    { method: 'PATCH', path: '/v1/me', token: '', body: { display_name: 'Ann' } },
  ]

  it.each(declared)(
    '$path: one when the caller and the statement are known, at most two on first use',
    async (request) => {
      const token = await session('owner')
      const first = await ask({ ...request, token })
      expect(first.status).toBe(200)
      // names are prepared on each connection; the pool hands out the one used last
      expect(first.trips).toBeLessThanOrEqual(3)
      const another = await session('owner')
      const firstOfCaller = await ask({ ...request, token: another })
      expect(firstOfCaller).toMatchObject({ status: 200, trips: 2 })
      // who comes again is entered by another statement, which this connection prepares now
      expect(await ask({ ...request, token: another })).toMatchObject({ status: 200, trips: 1 })
      for (let again = 0; again < 5; again++) {
        const known = await ask({ ...request, token: another })
        expect(known).toMatchObject({ status: 200, trips: 1 })
        // two statements bound and executed under one Sync: no Parse, no Describe, no BEGIN, no COMMIT
        expect(known.messages).toBe('BEBES')
      }
    },
  )

  it('at most two when a hint is stale', async () => {
    const token = await session('viewer')
    await ask({ path: '/v1/me', token })
    await ask({ path: '/v1/me', token })
    await house.tenants.setRole(house.tenants.acme, house.tenants.acme.users.viewer.id, 'member')
    expect(await ask({ path: '/v1/me', token })).toMatchObject({ status: 200, trips: 2 })
    expect(await ask({ path: '/v1/me', token })).toMatchObject({ status: 200, trips: 1 })
    await house.tenants.setRole(house.tenants.acme, house.tenants.acme.users.viewer.id, 'viewer')
  })

  it('at most two for a denial', async () => {
    const viewer = await session('viewer')
    const denied: (Ask & { status: number })[] = [
      { path: '/v1/me', token: newSessionToken().token, status: 401 },
      { method: 'POST', path: '/v1/teams', token: viewer, body: { slug: 'x', name: 'X' }, status: 403 },
      {
        path: '/v1/me',
        token: await house.tenants.session(house.tenants.globex.users.owner.id, house.tenants.acme.id),
        status: 404,
      },
    ]
    for (const { status, ...request } of denied) {
      const answer = await ask(request)
      expect(answer.status).toBe(status)
      expect(answer.trips).toBeLessThanOrEqual(2)
    }
    // and none at all without a credential
    wire.reset()
    expect((await fetch(`${house.origin}/v1/me`)).status).toBe(401)
    expect(wire.counts.roundTrips).toBe(0)
  })

  it('two for a handler with one undeclared statement that says it is the last; one more where it does not', async () => {
    const token = await session('owner')
    for (const [method, path, trips] of [
      ['GET', '/undeclared/last', 2],
      ['GET', '/undeclared/query', 3],
      ['POST', '/undeclared/three', 4],
    ] as const) {
      await ask({ method, path, token })
      expect(await ask({ method, path, token })).toMatchObject({ status: 200, trips })
    }
  })
})
