import { request } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { hashSessionToken, newSessionToken } from '../../src/core/guard/credential.ts'
import { createPool } from '../../src/core/database/pool.ts'
import { seedRoles } from '../../src/core/database/role-seed.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import { type OpenService, openService, urlOf } from '../service/http/open-service.ts'
import { seedTwoTenants, type SeededTenant, type TwoTenants } from '../two-tenants.ts'
import { type Cut, startWireProxy, type WireProxy } from '../wire-proxy.ts'
import { startUvicorn, type Uvicorn, whyNoFastapi } from './uvicorn-process.ts'

const why = whyNoFastapi()

/** With a role that reads its own profile and nothing else, and one whose reach ends at the teams that it founded. */
const roles = {
  ...defaultRoles,
  guest: ['profile:read@own'],
  founder: ['profile:read', 'team:read@own', 'team_member:read'],
}

type Reply = { readonly status: number; readonly body: Record<string, unknown>; readonly headers: Headers }

let room: OpenService
let tenants: TwoTenants
let proxy: WireProxy
let python: Uvicorn

const session = (tenant: SeededTenant, role: 'owner' | 'member' | 'viewer'): Promise<string> =>
  tenants.session(tenant.users[role].id, tenant.id)

async function call(method: string, path: string, token?: string, body?: unknown): Promise<Reply> {
  const answer = await fetch(`${python.origin}/v1${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.status, body: (await answer.json()) as Reply['body'], headers: answer.headers }
}

/** What a denied caller gets: its status and code, and nothing else that could tell. */
function expectProblem({ status, body, headers }: Reply, expected: number, code: string): void {
  expect([status, body['code'], headers.get('content-type')]).toEqual([expected, code, 'application/problem+json'])
  expect(Object.keys(body).sort()).toEqual(
    [
      'code',
      'detail',
      'request_id',
      'status',
      'title',
      'type',
      ...(code === 'validation_failed' ? ['errors'] : []),
    ].sort(),
  )
  expect(body['request_id']).toBe(headers.get('x-request-id'))
  expect(headers.get('cache-control')).toBe('no-store')
}

describe.skipIf(why !== '')(`examples/fastapi${why === '' ? '' : ` – ${why}`}`, () => {
  beforeAll(async () => {
    room = await openService()
    tenants = await seedTwoTenants(room.database)
    const migrator = await createPool({
      connection: room.database.target('migrator'),
      size: 1,
      applicationName: 'roles',
      role: 'holdfast_owner',
    })
    await seedRoles(migrator, roles)
    await migrator.close()
    proxy = await startWireProxy(room.database.target('app'))
    python = await startUvicorn(
      urlOf(
        { ...room.database, target: (role) => ({ ...room.database.target(role), host: proxy.address.host }) },
        'app',
      ),
    )
  })
  afterAll(async () => {
    await python?.stop()
    await proxy?.close()
    await room?.close()
  })
  beforeEach(() => python.watch(true))

  it('takes a session that the service began, of a user whom the service invited', async () => {
    const owner = await session(tenants.acme, 'owner')
    await room.call('POST', '/invitations', { token: owner, body: { email: 'zoe@acme.example', role: 'member' } })
    await room.service.outbox.runOnce()
    const token = /^hfi_\S+$/m.exec(room.printed())?.[0]
    const password = 'a long enough passphrase'
    await room.call('POST', '/sign-up/complete', { body: { token, password, display_name: 'Zoe' } })
    const signedIn = await room.call('POST', '/sign-in', { body: { email: 'zoe@acme.example', password } })
    const me = await call('GET', '/me', String(signedIn.body['token']))
    expect([me.status, me.body['display_name'], me.body['email']]).toEqual([200, 'Zoe', 'zoe@acme.example'])
    expect((await room.call('POST', '/sign-out', { token: String(signedIn.body['token']) })).status).toBe(204)
    expectProblem(await call('GET', '/me', String(signedIn.body['token'])), 401, 'unauthenticated')
  })

  it('reads and changes the caller’s own row, and no other', async () => {
    const rows = () => room.database.owner('SELECT user_id, display_name FROM tenancy.profiles ORDER BY user_id')
    const before = await rows()
    const { id, email } = tenants.acme.users.viewer
    const token = await session(tenants.acme, 'viewer')
    expect((await call('GET', '/me', token)).body).toMatchObject({ id, email })
    const changed = await call('PATCH', '/me', token, { display_name: '  Vi Ewer ' })
    expect([changed.status, changed.body]).toEqual([200, { id, email, display_name: 'Vi Ewer' }])
    expect(await rows()).toEqual(
      before.map((row) => (row['user_id'] === id ? { ...row, display_name: 'Vi Ewer' } : row)),
    )
  })

  it('an update that touches no row is 404, never a silent success', async () => {
    const token = await tenants.session(tenants.acme.users.service.id, tenants.acme.id)
    expectProblem(await call('PATCH', '/me', token, { display_name: 'x' }), 404, 'not_found')
  })

  it('shows a team to those on it: 403 beside it, 404 where the tenant has none of that name', async () => {
    const seen = await call('GET', '/teams/core/members', await session(tenants.acme, 'member'))
    const ids = (seen.body['members'] as { user_id: string }[]).map((member) => member.user_id)
    expect(ids.sort()).toEqual([tenants.acme.users.owner.id, tenants.acme.users.member.id].sort())
    expect(JSON.stringify(seen.body)).not.toContain(tenants.globex.canary)
    expectProblem(await call('GET', '/teams/core/members', await session(tenants.acme, 'viewer')), 403, 'not_on_team')
    const founded = await room.call('POST', '/teams', {
      token: await session(tenants.globex, 'owner'),
      body: { slug: 'theirs', name: 'Theirs' },
    })
    expect(founded.status).toBe(201)
    const token = await session(tenants.acme, 'owner')
    const [theirs, none] = [
      await call('GET', '/teams/theirs/members', token),
      await call('GET', '/teams/none/members', token),
    ]
    expectProblem(theirs, 404, 'not_found')
    // a team of another tenant's and one that is nowhere are the same answer
    expect({ ...theirs.body, request_id: '' }).toEqual({ ...none.body, request_id: '' })
  })

  it('sees a demotion at once, and a promotion', async () => {
    const { acme } = tenants
    const token = await session(acme, 'member')
    expect((await call('GET', '/teams/core/members', token)).status).toBe(200)
    await tenants.setRole(acme, acme.users.member.id, 'guest')
    expectProblem(await call('GET', '/teams/core/members', token), 403, 'forbidden')
    expectProblem(await call('PATCH', '/me', token, { display_name: 'x' }), 403, 'forbidden')
    expect((await call('GET', '/me', token)).status).toBe(200)
    // the permission is there, and reaches less far than the statement does
    await tenants.setRole(acme, acme.users.member.id, 'founder')
    expectProblem(await call('GET', '/teams/core/members', token), 403, 'forbidden')
    await tenants.setRole(acme, acme.users.member.id, 'member')
    expect((await call('GET', '/teams/core/members', token)).status).toBe(200)
  })

  it('sees a removal at once', async () => {
    const { globex } = tenants
    const token = await session(globex, 'viewer')
    expect((await call('GET', '/me', token)).status).toBe(200)
    await tenants.remove(globex, globex.users.viewer.id)
    expectProblem(await call('GET', '/me', token), 404, 'not_found')
  })

  it.each([
    ['expired', `expires_at = now()`],
    ['idle', `last_seen_at = now() - INTERVAL '2 hours'`],
    ['revoked', `revoked_at = now()`],
  ])('refuses a session that is %s', async (_, change) => {
    const token = await session(tenants.acme, 'owner')
    expect((await call('GET', '/me', token)).status).toBe(200)
    await room.database.owner(`UPDATE holdfast.sessions SET ${change} WHERE token_hash = $1`, [hashSessionToken(token)])
    const answer = await call('GET', '/me', token)
    expectProblem(answer, 401, 'unauthenticated')
    expect(answer.headers.get('www-authenticate')).toBe('Bearer')
  })

  it('says that a session was used, once it is a minute', async () => {
    const token = await session(tenants.acme, 'owner')
    const seen = async () => {
      const rows = await room.database.owner(
        `SELECT last_seen_at > now() - INTERVAL '10 seconds' AS now FROM holdfast.sessions WHERE token_hash = $1`,
        [hashSessionToken(token)],
      )
      return rows[0]?.['now']
    }
    await room.database.owner(
      `UPDATE holdfast.sessions SET last_seen_at = now() - INTERVAL '2 minutes' WHERE token_hash = $1`,
      [hashSessionToken(token)],
    )
    expect((await call('GET', '/me', token)).status).toBe(200)
    await expect.poll(seen).toBe(true)
  })

  it.each<[string, Record<string, string>]>([
    ['none', {}],
    ['one that nobody has', { authorization: `Bearer ${newSessionToken().token}` }],
    ['one that is none', { authorization: 'Bearer hfs_x' }],
    ['one with spare bits', { authorization: `Bearer hfs_${'A'.repeat(42)}B` }],
    ['another scheme', { authorization: `Basic ${newSessionToken().token}` }],
    ['a cookie', { cookie: `__Host-holdfast=${newSessionToken().token}` }],
  ])('refuses a request with a wrong token: %s', async (_, headers) => {
    const answer = await fetch(`${python.origin}/v1/me`, { headers })
    expectProblem(
      { status: answer.status, body: (await answer.json()) as Reply['body'], headers: answer.headers },
      401,
      'unauthenticated',
    )
  })

  it('refuses two Authorization headers, of which the second is good', async () => {
    const token = await session(tenants.acme, 'owner')
    const status = await new Promise((resolve, reject) => {
      const asked = request(`${python.origin}/v1/me`, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      })
      asked.setHeader('authorization', ['Bearer x', `Bearer ${token}`])
      asked.on('error', reject)
      asked.end()
    })
    expect(status).toBe(401)
  })

  it('serves two tenants at once on one pool, and leaves no setting on a connection', async () => {
    python.found()
    const people = [tenants.acme, tenants.globex].map(async (tenant) => ({
      tenant,
      token: await session(tenant, 'owner'),
    }))
    const answers = await Promise.all(
      (await Promise.all(people)).flatMap(({ tenant, token }) =>
        Array.from({ length: 36 }, async (_, index) => {
          const path = index % 3 === 0 ? '/teams/core/members' : '/me'
          const { status, body } =
            index % 6 === 1
              ? await call('PATCH', '/me', token, { display_name: `${tenant.canary} ${index}` })
              : await call('GET', path, token)
          const other = tenant === tenants.acme ? tenants.globex : tenants.acme
          const text = JSON.stringify(body)
          return { status, foreign: text.includes(other.canary), own: text.includes(tenant.canary) }
        }),
      ),
    )
    // writes of one row collide, and a busy machine may take too long: who has no time left to try again is told so
    const isTold = ({ status }: { status: number }): boolean => status === 409 || status === 503
    expect(answers.filter((answer) => answer.status !== 200 && !isTold(answer))).toEqual([])
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThan(24)
    expect(answers.filter(({ foreign }) => foreign)).toEqual([])
    expect(answers.every((answer) => answer.own || isTold(answer))).toBe(true)
    const looks = python.found()
    expect(looks.length).toBeGreaterThan(96)
    expect(looks.filter((look) => look !== 'clean')).toEqual([])
  })

  it('runs no statement for a caller whom enter denies', async () => {
    const token = await session(tenants.acme, 'owner')
    // what it prepares it prepares now
    for (let round = 0; round < 12; round++) await call('PATCH', '/me', token, { display_name: 'before' })
    python.watch(false)
    const executes = async (asked: string, status: number): Promise<number> => {
      proxy.reset()
      expect((await call('PATCH', '/me', asked, { display_name: 'after' })).status).toBe(status)
      return proxy.counts.messages.split('E').length - 1
    }
    const stranger = newSessionToken().token
    expect(await executes(stranger, 401)).toBe(1)
    expect(await executes(token, 200)).toBe(2)
  })

  it('bounds and checks a body, and says where it is wrong, never with what', async () => {
    const token = await session(tenants.acme, 'owner')
    const bodies: [unknown, number, string][] = [
      [{ display_name: 'x', user_id: 'planted' }, 400, 'validation_failed'],
      [{ display_name: 7 }, 400, 'validation_failed'],
      [{}, 400, 'validation_failed'],
      [{ display_name: 'planted'.repeat(4_000) }, 413, 'body_too_large'],
    ]
    for (const [body, status, code] of bodies) {
      const answer = await call('PATCH', '/me', token, body)
      expectProblem(answer, status, code)
      expect(JSON.stringify(answer.body)).not.toContain('planted')
    }
    for (const name of ['   ', 'a\u202eb', 'a\u0000b', 'x'.repeat(201)]) {
      expect((await call('PATCH', '/me', token, { display_name: name })).status).toBe(400)
    }
    expectProblem(await call('GET', '/nowhere', token), 404, 'not_found')
    expectProblem(await call('DELETE', '/me', token), 405, 'method_not_allowed')
  })

  it('what fails in the database is told to nobody: neither its text nor the row', async () => {
    const token = await session(tenants.acme, 'owner')
    await room.database.owner(
      `ALTER TABLE tenancy.profiles ADD CONSTRAINT planted_check CHECK (display_name <> 'trips the constraint')`,
    )
    try {
      const answer = await call('PATCH', '/me', token, { display_name: 'trips the constraint' })
      expectProblem(answer, 500, 'internal_error')
      expect(JSON.stringify(answer.body) + python.output()).not.toMatch(
        /planted_check|trips the constraint|23514\b.*DETAIL/,
      )
      expect(python.output()).toContain('sqlstate=23514')
    } finally {
      await room.database.owner('ALTER TABLE tenancy.profiles DROP CONSTRAINT planted_check')
    }
  })

  it('a connection that is cut: what was saved unheard is said to be uncertain, the rest is tried again', async () => {
    const token = await session(tenants.acme, 'owner')
    const name = async () =>
      (
        await room.database.owner('SELECT display_name FROM tenancy.profiles WHERE user_id = $1', [
          tenants.acme.users.owner.id,
        ])
      )[0]?.['display_name']
    await call('PATCH', '/me', token, { display_name: 'before' })
    python.watch(false)
    const cutNext = async (cut: Cut): Promise<void> => {
      // on a connection that is there, whose first messages are those of the request
      await call('GET', '/me', token)
      proxy.cutNext(cut)
    }
    await cutNext('after commit')
    expectProblem(await call('PATCH', '/me', token, { display_name: 'committed' }), 503, 'outcome_unknown')
    expect(await name()).toBe('committed')
    await cutNext('before commit')
    expectProblem(await call('PATCH', '/me', token, { display_name: 'lost' }), 503, 'outcome_unknown')
    expect(await name()).toBe('committed')
    // a read is not uncertain
    await cutNext('after commit')
    expect((await call('GET', '/me', token)).body['display_name']).toBe('committed')
    proxy.cutAll()
    expect((await call('GET', '/me', token)).status).toBe(200)
    expect(proxy.isArmed).toBe(false)
  })

  it('ends cleanly', async () => {
    expect(await python.stop()).toBe(0)
    expect(python.output()).not.toMatch(/Traceback|hfs_/)
  })
})

describe.skipIf(why !== '')('the example does not start', () => {
  const start = async (environment: Partial<{ url: string }>): Promise<string> => {
    const started = startUvicorn(environment.url ?? '')
    return started.then(
      async (it) => {
        await it.stop()
        return 'started'
      },
      (error: Error) => error.message,
    )
  }

  it.each([
    [
      'without TLS to another host',
      'postgresql://holdfast_app:planted@192.0.2.1/holdfast?sslmode=require',
      'sslmode must be verify-full',
    ],
    ['with TLS left open', 'postgresql://holdfast_app:planted@db.example/holdfast', 'sslmode must be verify-full'],
  ])('%s, and shows no password', async (_, url, message) => {
    const output = await start({ url })
    expect(output).toContain(message)
    expect(output).not.toContain('planted')
  })

  it('as another role', async () => {
    const { createTestDatabase } = await import('../postgres.ts')
    const database = await createTestDatabase()
    try {
      expect(await start({ url: urlOf(database, 'migrator') })).toContain('must be the URL of the role holdfast_app')
    } finally {
      await database.drop()
    }
  })
})
