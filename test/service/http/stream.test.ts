import fastify, { type FastifyInstance } from 'fastify'
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createHoldfast, type Holdfast } from '../../../src/core/holdfast.ts'
import { can, open } from '../../../src/core/guard/access.ts'
import { param, query, sql } from '../../../src/core/guard/sql.ts'
import { answerProblems } from '../../../src/service/http/answer-problems.ts'
import { guardPlugin } from '../../../src/service/http/guard-plugin.ts'
import { rowsOf } from '../../../src/service/http/rows-of.ts'
import type { RouteDeclaration } from '../../../src/service/http/route-declaration.ts'
import { defaultRoles, serviceManifest } from '../../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { seedTwoTenants, type TwoTenants } from '../../two-tenants.ts'

const TEAMS = 5_000

let database: TestDatabase
let tenants: TwoTenants
let holdfast: Holdfast
let app: FastifyInstance
let headers: Record<string, string>
const log: string[] = []

beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  tenants = await seedTwoTenants(database)
  const { acme } = tenants
  await database.owner(
    `INSERT INTO tenancy.teams (tenant_id, slug, name, created_by)
     SELECT $1, 't' || n, repeat('x', 150), $2 FROM generate_series(1, ${TEAMS - 1}) AS s(n)`,
    [acme.id, acme.users.owner.id],
  )
})
afterAll(() => database.drop())
beforeEach(async () => {
  log.length = 0
  holdfast = await createHoldfast({
    manifest: { ...serviceManifest, roles: defaultRoles },
    database: database.target('app'),
    streams: { poolSize: 1, timeoutMs: 3_000 },
  })
  app = fastify({ logger: { level: 'error', stream: { write: (line: string) => void log.push(line) } } })
  answerProblems(app)
  await app.register(guardPlugin, { guard: holdfast, origin: 'http://localhost' })
  headers = { authorization: `Bearer ${await tenants.session(tenants.acme.users.owner.id, tenants.acme.id)}` }
})
afterEach(async () => {
  await app.close()
  await holdfast.close()
})

const access = can('team:read')
const stream = sql`SELECT slug, name FROM teams ORDER BY slug`
/** An endless one: nobody reads it to its end. */
const wide = sql`SELECT a.name FROM teams a, teams b`
const get = (url: string, declaration: RouteDeclaration, handler: (request: never) => unknown): void => {
  app.get(url, { config: declaration }, async (request) => handler(request as never))
}
const itsRows = ({ rows }: { rows: unknown }): unknown => rows

/** Connections for streams that the server has open, and what they do. */
const sessions = async (): Promise<string[]> =>
  (
    await database.owner(
      `SELECT state FROM pg_stat_activity WHERE application_name = 'holdfast streams' AND datname = current_database()`,
    )
  ).map(({ state }) => String(state))

/** Sends a request and hands over the socket, nothing of whose answer is read. */
async function raw(url: string): Promise<{ socket: Socket; port: number }> {
  const address = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect({ port: Number(address.port), host: '127.0.0.1' })
  socket.on('error', () => undefined)
  socket.pause()
  socket.write(`GET ${url} HTTP/1.1\r\nhost: x\r\nauthorization: ${headers['authorization']}\r\n\r\n`)
  return { socket, port: Number(address.port) }
}

describe('a route that streams', () => {
  it('sends each row as a line, and a last line that says how many', async () => {
    get('/teams', { access, stream }, itsRows)
    const answer = await app.inject({ url: '/teams', headers })
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([200, 'application/x-ndjson; charset=utf-8'])
    const lines = answer.body.trimEnd().split('\n')
    expect(lines).toHaveLength(TEAMS + 1)
    expect(lines.at(-1)).toBe(`["end",${TEAMS}]`)
    expect(JSON.parse(String(lines[0]))).toEqual({ slug: 'core', name: `core ${tenants.acme.canary}` })
    expect(answer.body).not.toContain(tenants.globex.canary)
    expect(await sessions()).toEqual(['idle'])
  })

  it('takes values of the request, and lines of the handler’s making', async () => {
    app.get<{ Querystring: { like: string } }>(
      '/teams/:first',
      {
        config: {
          access,
          stream: sql`SELECT slug FROM teams WHERE slug = ${param('first')} OR slug = ${query('other')}`,
        },
      },
      async (request) => {
        const { role } = request.caller
        return (async function* () {
          for await (const row of request.rows) yield { team: row['slug'], role }
        })()
      },
    )
    const answer = await app.inject({ url: '/teams/core?other=t7', headers })
    expect(answer.body).toBe('{"team":"core","role":"owner"}\n{"team":"t7","role":"owner"}\n["end",2]\n')
  })

  it('of no rows is the last line alone', async () => {
    get('/none', { access, stream: sql`SELECT slug FROM teams WHERE slug = 'no'` }, itsRows)
    expect((await app.inject({ url: '/none', headers })).body).toBe('["end",0]\n')
  })

  it('answers HEAD without rows, and gives its connection back', async () => {
    get('/teams', { access, stream }, itsRows)
    const answer = await app.inject({ method: 'HEAD', url: '/teams', headers })
    expect([answer.statusCode, answer.body]).toEqual([200, ''])
    expect(await sessions()).toEqual(['idle'])
  })

  it.each<[string, string, () => Record<string, string>, number]>([
    ['nobody', '/teams', () => ({}), 401],
    ['a stranger’s token', '/teams', () => ({ authorization: `Bearer hfs_${'A'.repeat(43)}` }), 401],
    ['a statement that fails at once', '/fails', () => headers, 422],
    ['a handler that throws', '/throws', () => headers, 500],
    ['a handler that gives no rows', '/list', () => headers, 500],
  ])('%s gets a problem, and no stream', async (_, url, given, status) => {
    get('/teams', { access, stream }, itsRows)
    get('/fails', { access, stream: sql`SELECT 1 / (length(slug) - length(slug)) AS x FROM teams` }, itsRows)
    get('/throws', { access, stream }, () => {
      throw new Error('mine')
    })
    get('/list', { access, stream }, () => [{ slug: 'a' }])
    const answer = await app.inject({ url, headers: given() })
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([
      status,
      expect.stringContaining('problem+json'),
    ])
    expect((await sessions()).every((state) => state === 'idle')).toBe(true)
  })
})

describe('a stream that is cut', () => {
  // division by zero at the last team, long after the first byte
  const late = sql`SELECT slug, 1 / CASE WHEN slug = 't999' THEN 0 ELSE 1 END AS x
    FROM (SELECT slug FROM teams ORDER BY slug LIMIT 100000) AS t`

  it.each<[string, RouteDeclaration, (request: { rows: AsyncIterable<{ slug: string }> }) => unknown]>([
    ['by an error of the database', { access, stream: late }, itsRows],
    [
      'by an error of the handler',
      { access, stream },
      async function* ({ rows }) {
        for await (const row of rows) {
          if (row.slug === 't999') throw new Error('mine')
          yield row
        }
      },
    ],
    [
      'by an error that the handler catches',
      { access, stream: late },
      async function* ({ rows }) {
        try {
          yield* rows
        } catch {
          yield { slug: 'caught' }
        }
      },
    ],
    [
      'by an error that the handler has caught before it gives its lines',
      { access, stream: late },
      async ({ rows }) => {
        const read: object[] = []
        try {
          for await (const row of rows) read.push(row)
        } catch {}
        return (async function* () {
          yield* read
        })()
      },
    ],
    [
      'by a line that is no object',
      { access, stream },
      async function* ({ rows }) {
        for await (const row of rows) yield row.slug === 't999' ? ['end', 1] : row
      },
    ],
  ])('%s: the client is told, and has no last line', async (_, declaration, handler) => {
    get('/teams', declaration, handler as never)
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const answer = await fetch(`${url}/teams`, { headers })
    expect(answer.status).toBe(200)
    let text = ''
    const read = async (): Promise<void> => {
      for await (const chunk of answer.body ?? []) text += new TextDecoder().decode(chunk as Uint8Array)
    }
    await expect(read()).rejects.toThrow(/terminated/)
    expect(text).toContain('"slug":"t1"')
    expect(text).not.toContain('["end"')
    await expect.poll(sessions).toEqual(['idle'])
  })

  it('by its time limit, for a client that reads slowly', async () => {
    get('/wide', { access, stream: wide }, itsRows)
    const { socket } = await raw('/wide')
    // nobody reads: the server waits, and asks the database for no more
    await expect.poll(sessions).toEqual(['idle in transaction'])
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(await sessions()).toEqual(['idle in transaction'])
    await expect.poll(sessions, { timeout: 5_000 }).toEqual(['idle'])
    // the client's connection is cut though it asks for nothing
    const connections = () => new Promise((resolve) => app.server.getConnections((_, count) => resolve(count)))
    await expect.poll(connections).toBe(0)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString()
    })
    await new Promise((resolve) => socket.on('close', resolve).resume())
    // chunked, and without its last chunk
    expect(text).toMatch(/^HTTP\/1\.1 200 OK/)
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/)
    expect(text).not.toContain('["end"')
    expect(log.join('')).toContain('transaction_timeout')
  })

  it('by a client that goes away: its connection is free again', async () => {
    get('/wide', { access, stream: wide }, itsRows)
    get('/teams', { access, stream }, itsRows)
    const { socket, port } = await raw('/wide')
    await expect.poll(sessions).toEqual(['idle in transaction'])
    socket.destroy()
    const busy = async () => (await sessions()).filter((state) => state !== 'idle')
    await expect.poll(busy, { timeout: 1_000 }).toEqual([])
    // the pool has one connection
    const answer = await fetch(`http://127.0.0.1:${port}/teams`, { headers })
    expect((await answer.text()).trimEnd().split('\n')).toHaveLength(TEAMS + 1)
  })

  // counts for longer than a stream may take
  const endless = 'SELECT count(*)::TEXT FROM teams a, teams b, teams c WHERE a.name < b.slug || c.slug'
  it.each([
    ['the first fetch', sql([endless] as never)],
    [
      'a later fetch',
      sql([
        `SELECT b.slug FROM teams a, teams b WHERE a.slug = 'core' AND b.slug < 't3' UNION ALL ${endless}`,
      ] as never),
    ],
  ])('by a client that goes away amid %s', async (_, slow) => {
    get('/slow', { access, stream: slow }, itsRows)
    get('/teams', { access, stream }, itsRows)
    const { socket, port } = await raw('/slow')
    socket.resume()
    await expect.poll(sessions).toEqual(['active'])
    await new Promise((resolve) => setTimeout(resolve, 200))
    socket.destroy()
    const start = performance.now()
    const answer = await fetch(`http://127.0.0.1:${port}/teams`, { headers })
    expect((await answer.text()).trimEnd().split('\n')).toHaveLength(TEAMS + 1)
    // not only when its time is over
    expect(performance.now() - start).toBeLessThan(2_000)
    expect(log).toEqual([])
  })
})

it('rowsOf gives them the type of the statement, and of no other', async () => {
  app.get('/teams', { config: { access, stream } }, async (request) => rowsOf(request, stream))
  app.get('/other', { config: { access, stream } }, async (request) => rowsOf(request, wide))
  expect((await app.inject({ url: '/teams', headers })).statusCode).toBe(200)
  expect((await app.inject({ url: '/other', headers })).statusCode).toBe(500)
})

describe('what a route may declare', () => {
  it.each<[string, string, RouteDeclaration, RegExp]>([
    ['POST', 'POST', { access, stream }, /stream stands alone, and needs GET/],
    ['with first', 'GET', { access, stream, first: stream }, /stream stands alone/],
    ['open', 'GET', { access: open('health probe'), stream }, /an open route has no caller/],
    ['no sql', 'GET', { access, stream: 'SELECT 1' as never }, /stream must be made by sql/],
    [
      'a parameter that is not there',
      'GET',
      { access, stream: sql`SELECT slug FROM teams WHERE slug = ${param('x')}` },
      /stream takes param\('x'\)/,
    ],
    ['what cannot be scoped', 'GET', { access, stream: sql`SELECT email FROM users` }, /its stream: The/],
    [
      'what writes',
      'GET',
      { access: can('team:read', 'team:delete'), stream: sql`DELETE FROM teams RETURNING slug` },
      /its stream: The/,
    ],
  ])('not %s', async (_, method, config, why) => {
    app.route({ method, url: '/teams', config, handler: async () => undefined })
    await expect(app.ready()).rejects.toThrow(why)
  })

  it('rows are there in a stream’s handler alone', async () => {
    get('/plain', { access }, itsRows)
    expect((await app.inject({ url: '/plain', headers })).statusCode).toBe(500)
    expect(log.join('')).toContain('request.rows is there where the route declares stream')
  })
})
