import { randomUUID } from 'node:crypto'
import { request as send } from 'node:http'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { can, signedIn } from '../../../src/core/guard/access.ts'
import { sql } from '../../../src/core/guard/sql.ts'
import { sweep } from '../../../src/service/identity/sweep.ts'
import { type House, openHouse } from '../../proofs/house.ts'

/** Small, so that it can be used up. */
const KEYS = 40
const access = can('team:create', 'team:read')
const any = Type.Object({}, { additionalProperties: true })

const TEAM = (slug: string, by: string) =>
  sql`INSERT INTO teams (slug, name, created_by) VALUES (${slug}, ${'T'}, ${by}) RETURNING id`
const fresh = (): string => `t-${randomUUID().slice(0, 13)}`

/** Each founds a team of a new name, and then does something of its own: whatever runs twice leaves two. */
function routes(app: FastifyInstance): void {
  const found = async ({ db, caller }: { db: FastifyInstanceDb; caller: { userId: string } }): Promise<string> =>
    String((await db.query(TEAM(fresh(), caller.userId))).rows[0]?.['id'])
  app.post('/x/make/:kind', { config: { access, idempotent: 'accepted' }, schema: { body: any } }, async (r, reply) => {
    const id = await found(r)
    reply.code(201).header('etag', '"7"').header('location', `/x/${id}`).header('x-other', 'not kept')
    return { id, got: r.body }
  })
  app.post('/x/required', { config: { access, idempotent: 'required' } }, async (r) => ({ id: await found(r) }))
  app.post('/x/no', { config: { access } }, async (r) => ({ id: await found(r) }))
  app.post('/x/account', { config: { access: signedIn() } }, async () => ({}))
  app.get('/x/read', { config: { access } }, async () => ({ read: true }))
  app.post('/x/secret', { config: { access, idempotent: 'accepted', shownOnce: true } }, async (r, reply) => {
    reply.header('location', '/x/secret-place').header('etag', '"secret-tag"')
    return { token: `secret-${await found(r)}` }
  })
  app.post('/x/cookie', { config: { access, idempotent: 'accepted' } }, async (r, reply) => {
    reply.header('set-cookie', 'secret-cookie=1; Secure')
    return { id: await found(r) }
  })
  app.post('/x/large', { config: { access, idempotent: 'accepted' }, schema: { body: any } }, async (r) =>
    ((await found(r)) + 'x'.repeat((r.body as { size: number }).size)).slice(36),
  )
  app.post('/x/far', { config: { access, idempotent: 'accepted' }, schema: { body: any } }, async (r, reply) => {
    reply.header('location', 'x'.repeat((r.body as { size: number }).size))
    return { id: await found(r) }
  })
  app.post('/x/fail', { config: { access, idempotent: 'accepted' }, schema: { body: any } }, async (r) => {
    const id = await found(r)
    if (failing) throw Object.assign(new Error('no'), { statusCode: (r.body as { status: number }).status })
    return { id }
  })
  app.post('/x/refuse', { config: { access, idempotent: 'accepted' } }, async (r, reply) => {
    reply.code(409)
    return { id: await found(r) }
  })
  app.post('/x/nothing', { config: { access, idempotent: 'accepted' } }, async (r, reply) => {
    await found(r)
    reply.code(204)
  })
  app.post('/x/text', { config: { access, idempotent: 'accepted' } }, async (r) => `text ${await found(r)}`)
  app.post('/x/bytes', { config: { access, idempotent: 'accepted' } }, async (r, reply) => {
    reply.type('application/octet-stream')
    return Buffer.from([0, 255, ...Buffer.from(await found(r))])
  })
  app.post('/x/last', { config: { access, idempotent: 'accepted' } }, async ({ db, caller }) => {
    const { rows } = await db.last(TEAM(fresh(), caller.userId))
    return rows[0]
  })
  app.post('/x/slow', { config: { access, idempotent: 'accepted' } }, async (r) => {
    const id = await found(r)
    await new Promise((resolve) => setTimeout(resolve, slowMs))
    return { id }
  })
}
type FastifyInstanceDb = { query: (statement: ReturnType<typeof TEAM>) => Promise<{ rows: Record<string, unknown>[] }> }
let failing = true
let slowMs = 0

let house: House
const tokens: Record<string, string> = {}
beforeAll(async () => {
  house = await openHouse({
    keysPerCaller: KEYS,
    extend: routes,
    roles: { founder: ['team:create', 'team:read', 'profile:read'], reader: ['team:read'] },
  })
  for (const tenant of [house.tenants.acme, house.tenants.globex]) {
    for (const role of ['owner', 'admin', 'member'] as const) {
      tokens[`${tenant.slug} ${role}`] = await house.tenants.session(tenant.users[role].id, tenant.id)
    }
  }
})
afterAll(() => house.close())
beforeEach(() => house.database.owner('DELETE FROM holdfast.idempotency_keys'))

type Ask = { who?: string; method?: string; path?: string; key?: string | undefined; body?: unknown; headers?: object }
type Answer = { status: number; text: string; body: Record<string, unknown>; headers: Headers }
async function ask({ who = 'acme owner', method = 'POST', path = '/x/make/a', ...rest }: Ask): Promise<Answer> {
  const { key, body = path.startsWith('/x/make') ? { a: 1 } : undefined, headers } = rest
  const answer = await fetch(house.origin + path, {
    method,
    headers: {
      authorization: `Bearer ${tokens[who] ?? who}`,
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await answer.text()
  const isJson = /json/.test(answer.headers.get('content-type') ?? '')
  return { status: answer.status, text, body: isJson ? JSON.parse(text) : {}, headers: answer.headers }
}
const teams = async (): Promise<number> =>
  Number((await house.database.owner('SELECT count(*) AS n FROM tenancy.teams'))[0]?.['n'])
const isReplay = ({ headers }: Answer): boolean => headers.get('idempotent-replayed') === 'true'

/** Asks, and tells how many teams were made by it. */
async function made(...asked: Ask[]): Promise<{ answers: Answer[]; teams: number }> {
  const before = await teams()
  const answers: Answer[] = []
  for (const each of asked) answers.push(await ask(each))
  return { answers, teams: (await teams()) - before }
}

describe('a key', () => {
  it('makes a write happen once, and its answer come again: status, body, ETag, Location and type, no other header', async () => {
    const { answers, teams: count } = await made({ key: 'k1' }, { key: 'k1' }, { key: '"k1"' })
    const [first, ...again] = answers
    expect(count).toBe(1)
    expect(first).toMatchObject({ status: 201, body: { got: { a: 1 } } })
    expect(first && isReplay(first)).toBe(false)
    expect(first?.headers.get('x-other')).toBe('not kept')
    for (const answer of again) {
      expect(answer.status).toBe(201)
      expect(answer.text).toBe(first?.text)
      expect(isReplay(answer)).toBe(true)
      for (const name of ['etag', 'location', 'content-type', 'cache-control']) {
        expect(answer.headers.get(name)).toBe(first?.headers.get(name))
      }
      expect(answer.headers.get('x-other')).toBeNull()
    }
  })

  it('is nothing to a request without one', async () => {
    expect((await made({}, {})).teams).toBe(2)
    expect(await house.database.owner('SELECT 1 AS one FROM holdfast.idempotency_keys')).toEqual([])
  })

  it.each(['/x/nothing', '/x/text', '/x/bytes', '/x/last', '/x/refuse'])('keeps what %s answers', async (path) => {
    const { answers, teams: count } = await made({ path, key: 'k' }, { path, key: 'k' })
    const [first, second] = answers
    expect(count).toBe(1)
    expect(second).toMatchObject({ status: first?.status, text: first?.text })
    expect(second?.headers.get('content-type')).toBe(first?.headers.get('content-type'))
    expect([first?.status, second && isReplay(second)]).toEqual([expect.any(Number), true])
    // and without a key it would have been the same, but for the id
    const plain = await ask({ path })
    expect([plain.status, plain.headers.get('content-type')]).toEqual([
      first?.status,
      first?.headers.get('content-type'),
    ])
  })

  const theirs: [string, Ask][] = [
    ['of another user of the tenant', { who: 'acme admin' }],
    ['of a user of another tenant', { who: 'globex owner' }],
    ['on another route', { path: '/x/required' }],
  ]
  it.each(theirs)('%s is another key', async (_, other) => {
    const { answers, teams: count } = await made({ key: 'same' }, { key: 'same', ...other })
    expect(count).toBe(2)
    expect(answers.map(isReplay)).toEqual([false, false])
    expect(answers[1]?.text).not.toBe(answers[0]?.text)
  })

  const changed: [string, Ask][] = [
    ['another body', { body: { a: 2 } }],
    ['a field more', { body: { a: 1, b: undefined, c: null } }],
    ['a number as a text', { body: { a: '1' } }],
    ['another path parameter', { path: '/x/make/b' }],
    ['a query', { path: '/x/make/a?x=1' }],
    ['another version to change', { headers: { 'if-match': '"1"' } }],
  ]
  it.each(changed)('with %s is refused: 422, and nothing is done', async (_, other) => {
    const { answers, teams: count } = await made({ key: 'k' }, { key: 'k', ...other }, { key: 'k' })
    expect(count).toBe(1)
    expect(answers[1]).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } })
    expect(answers[1]?.text).not.toContain(String(answers[0]?.body['id']))
    expect(answers[2] && isReplay(answers[2])).toBe(true)
  })

  it('takes a body that means the same for the same', async () => {
    const one = '{"b":[1,{"y":1,"x":2}],"a":"\\u0061"}'
    const other = ' {"a" : "a", "b":[1.0, {"x":2,"y":1}] }'
    const { answers, teams: count } = await made({ key: 'k', body: one }, { key: 'k', body: other })
    expect([count, answers.map(isReplay)]).toEqual([1, [false, true]])
  })

  it('is remembered for a day by the database’s clock, and free again after it', async () => {
    await ask({ key: 'k' })
    const [row] = await house.database.owner(
      'SELECT extract(epoch FROM expires_at - created_at)::INT4 AS seconds FROM holdfast.idempotency_keys',
    )
    expect(row).toEqual({ seconds: 86_400 })
    await house.database.owner(`UPDATE holdfast.idempotency_keys SET expires_at = now() - INTERVAL '1 second'`)
    // used for something else: what is past its time stands for nothing
    const { answers, teams: count } = await made({ key: 'k', body: { other: 1 } }, { key: 'k', body: { other: 1 } })
    expect([count, answers.map(isReplay)]).toEqual([1, [false, true]])
  })

  const malformed: [string, string][] = [
    ['empty', ''],
    ['too long', 'k'.repeat(256)],
    ['two in one header', 'a, b'],
    ['with a parameter', '"a";x=1'],
    ['half quoted', '"a'],
    ['with a space', 'a b'],
    ['not ASCII', 'é'],
  ]
  it.each(malformed)('that is none is refused: %s', async (_, key) => {
    const { answers, teams: count } = await made({ key })
    expect([count, answers[0]?.status, answers[0]?.body['code']]).toEqual([0, 400, 'idempotency_key_invalid'])
  })

  it('comes once: two headers are refused', async () => {
    const answer = await new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
      const headers = [
        'host',
        'localhost',
        'authorization',
        `Bearer ${tokens['acme owner']}`,
        'content-type',
        'application/json',
      ]
      const twice = [...headers, 'Idempotency-Key', 'k', 'idempotency-key', 'k', 'content-length', '2']
      const request = send(`${house.origin}/x/make/a`, { method: 'POST', headers: twice }, (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => void (text += chunk.toString()))
        response.on('end', () => resolve({ status: response.statusCode, text }))
      })
      request.on('error', reject)
      request.end('{}')
    })
    expect(answer.status).toBe(400)
    expect(answer.text).toContain('idempotency_key_invalid')
  })

  it('of 255 characters is one', async () => {
    expect((await ask({ key: 'k'.repeat(255) })).status).toBe(201)
  })
})

describe('a route', () => {
  const refusing: [string, string, string, number][] = [
    ['that does not say so', 'POST', '/x/no', 400],
    ['of the account, without a tenant', 'POST', '/x/account', 400],
    ['of the service that founds a tenant', 'POST', '/v1/tenants', 400],
    ['that changes the session', 'POST', '/v1/session/tenant', 400],
    ['open to all: sign-in', 'POST', '/v1/sign-in', 400],
  ]
  it.each(refusing)('%s refuses a key rather than drop it', async (_, method, path, status) => {
    const { answers, teams: count } = await made({ method, path, key: 'k', body: {} })
    expect([count, answers[0]?.status, answers[0]?.body['code']]).toEqual([0, status, 'idempotency_key_unsupported'])
  })

  it('that reads has no use for one', async () => {
    expect(await ask({ method: 'GET', path: '/x/read', key: 'k, not a key' })).toMatchObject({ status: 200 })
  })

  it('may ask for one', async () => {
    const { answers, teams: count } = await made({ path: '/x/required' }, { path: '/x/required', key: 'k' })
    expect(count).toBe(1)
    expect(answers[0]).toMatchObject({ status: 400, body: { code: 'idempotency_key_missing' } })
    expect(answers[1]?.status).toBe(200)
  })

  it('denies first: without a session the key is not looked at', async () => {
    await ask({ key: 'k' })
    for (const who of ['hfs_' + 'A'.repeat(43), 'nonsense']) {
      expect((await ask({ key: 'k', who })).status).toBe(401)
      expect((await ask({ key: 'a, b', who: 'nonsense' })).status).toBe(401)
    }
  })
})

describe('the description', () => {
  it('has the header where it is taken, as it is asked for, and nowhere else', async () => {
    const { paths } = (await ask({ method: 'GET', path: '/openapi.json' })).body as { paths: Paths }
    const taking = Object.entries(paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { parameters = [] }]) =>
        parameters.filter(({ name }) => name === 'idempotency-key').map(({ required }) => [method, path, required]),
      ),
    )
    const declared = house.server
      .routes()
      .filter(({ idempotent }) => idempotent !== 'no')
      .flatMap(({ methods, url, idempotent }) =>
        methods.map((method) => [
          method.toLowerCase(),
          url.replaceAll(/:(\w+)/g, '{$1}'),
          idempotent === 'required' ? true : undefined,
        ]),
      )
    expect(declared.length).toBeGreaterThan(15)
    const sorted = (rows: unknown[][]): string[] =>
      rows.map((row) => JSON.stringify([row[0], row[1], row[2] === true])).sort()
    expect(sorted(taking)).toEqual(sorted(declared))
    expect(paths['/v1/teams/{slug}']?.['patch']?.parameters?.map(({ name }) => name)).toContain('if-match')
  })
})
type Paths = Record<string, Record<string, { parameters?: { name: string; required?: boolean }[] }>>

describe('a replay is judged afresh', () => {
  const { acme } = { acme: () => house.tenants.acme }
  const member = () => acme().users.member.id
  const setRole = (role: string) => house.tenants.setRole(acme(), member(), role)
  beforeEach(async () => {
    await house.database.owner(
      `INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1, $2, 'founder')
       ON CONFLICT (tenant_id, user_id) DO UPDATE SET role = 'founder'`,
      [acme().id, member()],
    )
    tokens['acme member'] = await house.tenants.session(member(), acme().id)
  })
  const changes: [string, () => Promise<unknown>, number, string][] = [
    ['who lost the right', () => setRole('reader'), 403, 'forbidden'],
    ['who has the right by another role', () => setRole('owner'), 409, 'idempotency_rights_changed'],
    ['who was removed', () => house.tenants.remove(acme(), member()), 404, 'not_found'],
    [
      'whose session ended',
      () => house.database.owner('UPDATE holdfast.sessions SET revoked_at = now() WHERE user_id = $1', [member()]),
      401,
      'unauthenticated',
    ],
  ]
  it.each(changes)('for a caller %s', async (_, change, status, code) => {
    const first = await ask({ who: 'acme member', key: 'k' })
    expect(first.status).toBe(201)
    await change()
    const { answers, teams: count } = await made({ who: 'acme member', key: 'k' })
    expect(count).toBe(0)
    expect(answers[0]).toMatchObject({ status, body: { code } })
    expect(answers[0]?.text).not.toContain(String(first.body['id']))
  })

  it('and given to the same user in a new session', async () => {
    const first = await ask({ who: 'acme member', key: 'k' })
    tokens['acme member'] = await house.tenants.session(member(), acme().id)
    const second = await ask({ who: 'acme member', key: 'k' })
    expect([second.text, isReplay(second)]).toEqual([first.text, true])
  })
})

describe('an answer that is not kept', () => {
  it.each(['/x/secret', '/x/cookie'])('because it is shown once: %s', async (path) => {
    const { answers, teams: count } = await made({ path, key: 'k' }, { path, key: 'k' })
    expect([count, answers[0]?.status]).toEqual([1, 200])
    expect(answers[1]).toMatchObject({ status: 409, body: { code: 'idempotency_answer_shown_once' } })
    const [row] = await house.database.owner('SELECT k.*, k::TEXT AS whole FROM holdfast.idempotency_keys k')
    expect(row).toMatchObject({ body: null, location: null, etag: null, withheld: 'shown_once' })
    expect(String(row?.['whole'])).not.toContain('secret-')
  })

  it('because it is too long: 32 KiB are kept, and not a byte more', async () => {
    const path = '/x/large'
    for (const [size, again] of [
      [32_768, 200],
      [32_769, 409],
      [1_000_000, 409],
    ] as const) {
      const key = `k${size}`
      const { answers, teams: count } = await made({ path, key, body: { size } }, { path, key, body: { size } })
      expect([count, answers[0]?.status, answers[0]?.text.length]).toEqual([1, 200, size])
      expect(answers[1]?.status).toBe(again)
      if (again === 409) expect(answers[1]?.body['code']).toBe('idempotency_answer_not_kept')
      else expect(answers[1]?.text).toBe(answers[0]?.text)
    }
  })

  it('because a header is too long', async () => {
    const path = '/x/far'
    for (const [size, again] of [
      [1_024, 200],
      [1_025, 409],
    ] as const) {
      const asked = { path, key: `k${size}`, body: { size } }
      const { answers, teams: count } = await made(asked, asked)
      expect([count, answers.map(({ status }) => status)]).toEqual([1, [200, again]])
      expect(answers[0]?.headers.get('location')).toHaveLength(size)
    }
  })

  it('because nothing was done', async () => {
    const path = '/x/fail'
    for (const status of [404, 409, 500]) {
      failing = true
      const body = { status }
      const failed = await made({ path, key: `k${status}`, body }, { path, key: `k${status}`, body })
      expect([failed.teams, ...failed.answers.map((each) => each.status)]).toEqual([0, status, status])
      // the same key does it once the reason has gone
      failing = false
      const done = await made({ path, key: `k${status}`, body }, { path, key: `k${status}`, body })
      expect([done.teams, done.answers.map(isReplay)]).toEqual([1, [false, true]])
    }
  })
})

describe('many requests', () => {
  it('with one key at once are one write', async () => {
    slowMs = 50
    const before = await teams()
    const asked = Array.from({ length: 6 }, () => ask({ path: '/x/slow', key: 'k' }))
    const answers = await Promise.all(asked)
    expect((await teams()) - before).toBe(1)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
    expect(answers.filter((each) => !isReplay(each))).toHaveLength(1)
  })

  it('wait for the first a second at most', async () => {
    slowMs = 1_600
    const before = await teams()
    const first = ask({ path: '/x/slow', key: 'k' })
    await new Promise((resolve) => setTimeout(resolve, 300))
    const second = await ask({ path: '/x/slow', key: 'k' })
    expect(second).toMatchObject({ status: 409, body: { code: 'idempotency_key_in_use' } })
    expect(second.headers.get('retry-after')).toBe('1')
    const { text } = await first
    const third = await ask({ path: '/x/slow', key: 'k' })
    expect([third.text, isReplay(third), (await teams()) - before]).toEqual([text, true, 1])
  })

  it('with many keys are refused past the quota, each caller by itself, and again allowed when it is swept', async () => {
    const path = '/x/required'
    const before = await teams()
    const statuses: number[] = []
    for (let index = 0; index < KEYS + 8; index++) statuses.push((await ask({ path, key: `k${index}` })).status)
    const taken = statuses.filter((status) => status === 200).length
    // 64 draws miss the last of 40 free places one time in five
    expect(taken).toBeGreaterThan(KEYS - 4)
    expect(taken).toBeLessThanOrEqual(KEYS)
    expect((await teams()) - before).toBe(taken)
    const [rows] = await house.database.owner('SELECT count(*)::INT4 AS n FROM holdfast.idempotency_keys')
    expect(rows).toEqual({ n: taken })
    const refused = await ask({ path, key: 'more' })
    if (taken === KEYS) {
      expect(refused).toMatchObject({ status: 429, body: { code: 'idempotency_quota_exceeded' } })
      expect(refused.headers.get('retry-after')).toBe('3600')
    }
    // known ones are still told, without one it is still done, others have their own
    expect(isReplay(await ask({ path, key: 'k0' }))).toBe(true)
    expect((await ask({})).status).toBe(201)
    expect((await ask({ path, key: 'k0', who: 'acme admin' })).status).toBe(200)
    await house.database.owner(`UPDATE holdfast.idempotency_keys SET expires_at = now() WHERE user_id = $1`, [
      house.tenants.acme.users.owner.id,
    ])
    await sweep(house.pools.identity)
    expect(await house.database.owner('SELECT count(*)::INT4 AS n FROM holdfast.idempotency_keys')).toEqual([{ n: 1 }])
    expect((await ask({ path, key: 'more' })).status).toBe(200)
  })
})

describe('the table', () => {
  it.each(['app', 'identity'] as const)(
    'is closed to %s; the functions look in the tenant that was entered, alone',
    async (role) => {
      await ask({ key: 'k' })
      const [{ key_hash: key } = {}] = await house.database.owner('SELECT key_hash FROM holdfast.idempotency_keys')
      const { acme, globex } = house.tenants
      const pool = house.pools[role]
      const tables = pool.transaction((t) => t.query({ name: '', text: 'SELECT body FROM holdfast.idempotency_keys' }))
      await expect(tables).rejects.toMatchObject({ sqlstate: '42501' })
      const look = (setting: string, tenant: string, user: string): Promise<number> =>
        pool.transaction(async (t) => {
          await t.query({ name: '', text: `SELECT set_config('holdfast.tenant_id', $1::TEXT, true)` }, [setting])
          const text = 'SELECT body FROM holdfast.kept_answer($1::UUID, $2::UUID, $3::BYTEA)'
          return (await t.query({ name: '', text }, [tenant, user, key])).rows.length
        })
      const owner = acme.users.owner.id
      expect(await look(acme.id, acme.id, owner)).toBe(1)
      expect(await look(globex.id, acme.id, owner)).toBe(0)
      expect(await look('', acme.id, owner)).toBe(0)
      expect(await look(acme.id, acme.id, acme.users.admin.id)).toBe(0)
    },
  )

  it('gives the sweep what is past its time and nothing else', async () => {
    await ask({ key: 'old' })
    await house.database.owner(`UPDATE holdfast.idempotency_keys SET expires_at = now() - INTERVAL '1 second'`)
    await ask({ key: 'new' })
    await ask({ key: 'new', who: 'globex owner' })
    await sweep(house.pools.identity)
    expect(await house.database.owner('SELECT tenant_id FROM holdfast.idempotency_keys')).toHaveLength(2)
  })

  it('holds no key that a client has sent', async () => {
    await ask({ key: 'a-key-of-the-client' })
    const [row] = await house.database.owner(`SELECT k::TEXT AS whole FROM holdfast.idempotency_keys k`)
    expect(String(row?.['whole'])).not.toContain('a-key-of-the-client')
    expect(String(row?.['whole'])).not.toContain(Buffer.from('a-key-of-the-client').toString('hex'))
  })
})

describe('the service’s own routes', () => {
  it('found a team, put somebody on it, name it, dissolve it: each once', async () => {
    const slug = fresh()
    const user = house.tenants.acme.users.viewer.id
    const steps: Ask[] = [
      { path: '/v1/teams', body: { slug, name: 'T' } },
      { method: 'PUT', path: `/v1/teams/${slug}/members/${user}`, body: { role: 'lead' } },
      { method: 'PATCH', path: `/v1/teams/${slug}`, body: { name: 'U' }, headers: { 'if-match': '*' } },
      { method: 'DELETE', path: `/v1/teams/${slug}/members/${user}` },
      { method: 'DELETE', path: `/v1/teams/${slug}` },
      { method: 'PATCH', path: '/v1/me', body: { display_name: 'Ann' } },
      { path: '/v1/invitations', body: { email: `${slug}@example.com`, role: 'viewer' } },
      { method: 'PATCH', path: '/v1/tenant', body: { name: 'Acme' }, headers: { 'if-match': '*' } },
    ]
    for (const [index, step] of steps.entries()) {
      const [first, second] = (await made({ ...step, key: `s${index}` }, { ...step, key: `s${index}` })).answers
      expect([step.path, first?.status]).toEqual([step.path, expect.toSatisfy((status: number) => status < 300)])
      expect([step.path, second?.status, second?.text]).toEqual([step.path, first?.status, first?.text])
      expect([step.path, second && isReplay(second)]).toEqual([step.path, true])
    }
    const invitations = await house.database.owner('SELECT id FROM holdfast.invitations WHERE email = $1', [
      `${slug}@example.com`,
    ])
    expect(invitations).toHaveLength(1)
    expect(await house.database.owner('SELECT id FROM holdfast.outbox')).toHaveLength(1)
  })

  it('let members leave, whose repeat is a stranger’s', async () => {
    const { acme } = house.tenants
    const admin = acme.users.admin.id
    const leave: Ask = { method: 'DELETE', path: `/v1/members/${admin}`, who: 'acme admin', key: 'k' }
    const { answers } = await made(leave, leave)
    expect(answers.map(({ status }) => status)).toEqual([204, 404])
  })
})
