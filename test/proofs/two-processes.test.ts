import { randomBytes } from 'node:crypto'
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
