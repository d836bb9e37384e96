import { randomBytes, randomUUID } from 'node:crypto'
import { createServer, request as send, type Server } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hashSessionToken } from '../../src/core/guard/credential.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { type ServeProcess, startServe } from '../serve-process.ts'
import { seedTwoTenants, type TwoTenants } from '../two-tenants.ts'

let database: TestDatabase
let tenants: TwoTenants
let servers: ServeProcess[] = []

beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  tenants = await seedTwoTenants(database)
  const environment = {
    DATABASE_URL: urlOf('app'),
    HOLDFAST_IDENTITY_URL: urlOf('identity'),
    HOLDFAST_KEY: randomBytes(32).toString('base64url'),
    HOLDFAST_ORIGIN: 'http://localhost:7070',
  }
  servers = await Promise.all([startServe(environment), startServe(environment)])
})
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()))
  await database.drop()
})

function urlOf(role: 'app' | 'identity'): string {
  const { user, password, host, port, database: name } = database.target(role)
  return `postgresql://${user}:${encodeURIComponent(password)}@localhost:${port}/${name}?host=${encodeURIComponent(host)}`
}

/** Hands each request to the next process: nothing of a caller's stays at one. */
async function startBalancer(): Promise<{ origin: string; close(): void }> {
  let turn = 0
  const server: Server = createServer((incoming, outgoing) => {
    const target = new URL(incoming.url ?? '/', servers[turn++ % servers.length]?.origin)
    const passed = send(target, { method: incoming.method, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    passed.on('error', () => outgoing.destroy())
    incoming.pipe(passed)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return { origin: `http://127.0.0.1:${port}/v1`, close: () => void server.close() }
}

/** The status of one request at each process, several times, so that both have seen the caller before. */
async function statuses(method: string, path: string, token: string, body?: () => unknown): Promise<number[]> {
  const answers = servers.map(({ origin }) =>
    fetch(`${origin}/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body()) }),
    }),
  )
  return (await Promise.all(answers)).map(({ status }) => status)
}

type Change = { name: string; apply: (user: string, token: string) => Promise<unknown>; after: number }
const changes: Change[] = [
  { name: 'demoted', apply: (user) => tenants.setRole(tenants.acme, user, 'viewer'), after: 403 },
  { name: 'removed', apply: (user) => tenants.remove(tenants.acme, user), after: 404 },
  {
    name: 'signed out everywhere',
    apply: (user) => database.owner('UPDATE holdfast.sessions SET revoked_at = now() WHERE user_id = $1', [user]),
    after: 401,
  },
  {
    name: 'disabled',
    apply: (user) => database.owner(`UPDATE holdfast.users SET status = 'disabled' WHERE id = $1`, [user]),
    after: 401,
  },
  {
    name: 'suspended with the tenant',
    apply: () => database.owner(`UPDATE holdfast.tenants SET status = 'suspended' WHERE slug = 'acme'`),
    after: 404,
  },
]

describe('two processes on one database', () => {
  it.each(changes)('both judge the next request of a user who was $name', async ({ apply, after }) => {
    const user = tenants.acme.users.member.id
    const token = await tenants.session(user, tenants.acme.id)
    const write = () =>
      statuses('POST', '/teams', token, () => ({ slug: `t-${randomBytes(6).toString('hex')}`, name: 'T' }))
    for (let warm = 0; warm < 3; warm++) expect(await write()).toEqual([201, 201])
    const before = await database.owner('SELECT count(*)::INT4 AS n FROM tenancy.teams')
    await apply(user, token)
    for (let again = 0; again < 3; again++) expect(await write()).toEqual([after, after])
    expect(await database.owner('SELECT count(*)::INT4 AS n FROM tenancy.teams')).toEqual(before)

    await database.owner(`UPDATE holdfast.users SET status = 'active'`)
    await database.owner(`UPDATE holdfast.tenants SET status = 'active'`)
    await database.owner(
      `INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1, $2, 'member')
       ON CONFLICT (tenant_id, user_id) DO UPDATE SET role = 'member'`,
      [tenants.acme.id, user],
    )
  })

  it('a session ended at one is ended at the other', async () => {
    const token = await tenants.session(tenants.acme.users.owner.id, tenants.acme.id)
    expect(await statuses('GET', '/me', token)).toEqual([200, 200])
    const [first] = servers
    const answer = await fetch(`${first?.origin}/v1/sign-out`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    })
    expect(answer.status).toBe(204)
    expect(await statuses('GET', '/me', token)).toEqual([401, 401])
    expect(
      await database.owner('SELECT revoked_at IS NOT NULL AS ended FROM holdfast.sessions WHERE token_hash = $1', [
        hashSessionToken(token),
      ]),
    ).toEqual([{ ended: true }])
  })
})

describe('behind a balancer that gives each request to the next process', () => {
  type Answer = { status: number; tag: string | null; body: Record<string, unknown> }
  let balancer: Awaited<ReturnType<typeof startBalancer>>
  beforeAll(async () => {
    balancer = await startBalancer()
  })
  afterAll(() => balancer.close())

  async function call(method: string, path: string, token: string, body?: unknown, tag?: string): Promise<Answer> {
    const response = await fetch(`${balancer.origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(tag === undefined ? {} : { 'if-match': tag }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    const parsed = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
    return { status: response.status, tag: response.headers.get('etag'), body: parsed }
  }
  const owner = () => tenants.session(tenants.acme.users.owner.id, tenants.acme.id)
  const found = async (token: string): Promise<string> => {
    const slug = `t-${randomBytes(6).toString('hex')}`
    expect((await call('POST', '/teams', token, { slug, name: slug })).status).toBe(201)
    return slug
  }

  it('one session is good at each, and a token that was replaced at none', async () => {
    const user = tenants.acme.users.owner.id
    await database.owner(
      `INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1, $2, 'member') ON CONFLICT DO NOTHING`,
      [tenants.globex.id, user],
    )
    const before = await tenants.session(user, tenants.acme.id)
    for (let time = 0; time < 4; time++) expect((await call('GET', '/tenant', before)).body['slug']).toBe('acme')
    const chosen = await call('POST', '/session/tenant', before, { tenant: 'globex' })
    expect(chosen.status).toBe(200)
    const after = String(chosen.body['token'])
    for (let time = 0; time < 4; time++) {
      expect((await call('GET', '/tenant', after)).body['slug']).toBe('globex')
      expect((await call('GET', '/tenant', before)).status).toBe(401)
    }
  })

  it('a cursor that one has sealed is opened by the other', async () => {
    const token = await owner()
    for (let time = 0; time < 3; time++) await found(token)
    const expected = await database.owner('SELECT slug FROM tenancy.teams WHERE tenant_id = $1', [tenants.acme.id])
    const seen: string[] = []
    let cursor: unknown
    for (let pages = 0; cursor !== null && pages < 100; pages++) {
      const { status, body } = await call(
        'GET',
        `/teams?limit=1${pages === 0 ? '' : `&cursor=${cursor as string}`}`,
        token,
      )
      expect(status).toBe(200)
      seen.push(...(body['teams'] as { slug: string }[]).map(({ slug }) => slug))
      cursor = body['next_cursor']
    }
    expect(seen.toSorted()).toEqual(expected.map(({ slug }) => String(slug)).toSorted())
  })

  it('an entity tag of one is the other’s, and is stale at both once the row has changed', async () => {
    const token = await owner()
    const slug = await found(token)
    const { tag } = await call('GET', `/teams/${slug}`, token)
    expect((await call('PATCH', `/teams/${slug}`, token, { name: 'once' }, String(tag))).status).toBe(200)
    for (let time = 0; time < 2; time++) {
      expect((await call('PATCH', `/teams/${slug}`, token, { name: 'twice' }, String(tag))).status).toBe(412)
    }
  })

  it('mails of both are delivered once, by whoever has the lease; an invitation of one is taken at the other', async () => {
    const token = await owner()
    const addresses = Array.from(
      { length: 6 },
      (_, index) => `guest${index}.${randomBytes(4).toString('hex')}@x.example`,
    )
    const invited = await Promise.all(
      addresses.map((email) => call('POST', '/invitations', token, { email, role: 'viewer' })),
    )
    expect(invited.map(({ status }) => status)).toEqual(addresses.map(() => 201))
    const mails = (address: string): number =>
      servers.reduce((sum, server) => sum + server.output().split(`mail to ${address}:`).length - 1, 0)
    const outbox = () => database.owner('SELECT count(*)::INT4 AS n FROM holdfast.outbox')
    await expect.poll(outbox, { timeout: 20_000 }).toEqual([{ n: 0 }])
    expect(addresses.map(mails)).toEqual(addresses.map(() => 1))
    expect(
      await database.owner(`SELECT name FROM holdfast.leases WHERE expires_at > now() AND name = 'outbox'`),
    ).toEqual([])

    const [address = ''] = addresses
    const text = servers.map((server) => server.output()).join('\n')
    const secret = /#token=([\w-]+)|^([\w-]{43})$/m.exec(text.slice(text.indexOf(`mail to ${address}:`)))
    const guest = randomUUID()
    await database.owner(
      `INSERT INTO holdfast.users (id, kind, email, display_name) VALUES ($1, 'person', $2, 'Guest')`,
      [guest, address],
    )
    const theirs = await tenants.session(guest, null)
    const accepted = await call('POST', '/invitations/accept', theirs, { token: secret?.[1] ?? secret?.[2] })
    expect(accepted).toMatchObject({ status: 200, body: { slug: 'acme' } })
    expect((await call('POST', '/invitations/accept', theirs, { token: secret?.[1] ?? secret?.[2] })).status).not.toBe(
      200,
    )
  })
})
