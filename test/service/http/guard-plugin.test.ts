import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Access, can, minutes, open, signedIn } from '../../../src/core/guard/access.ts'
import { body, caller as fromCaller, param, query, sql } from '../../../src/core/guard/sql.ts'
import { answerProblems } from '../../../src/service/http/answer-problems.ts'
import { guardPlugin, serviceGuardPlugin } from '../../../src/service/http/guard-plugin.ts'
import type { DeclaredRoute } from '../../../src/service/http/route-declaration.ts'
import { bearer, caller, type FakeGuard, fakeGuard, token } from './fake-guard.ts'

const origin = 'https://app.example.com'
const cookie = { cookie: `__Host-holdfast=${token}` }

let app: FastifyInstance
let guard: FakeGuard
let routes: readonly DeclaredRoute[]

async function guardedApp(plugin = guardPlugin): Promise<FastifyInstance> {
  const made = fastify()
  answerProblems(made, { routes: () => routes })
  await made.register(plugin, {
    guard,
    origin,
    onRoutes: (found: readonly DeclaredRoute[]) => {
      routes = found
    },
  })
  return made
}

beforeEach(async () => {
  routes = []
  guard = fakeGuard()
  app = await guardedApp()
})
afterEach(() => app.close())

const handler = async () => ({ ok: true })

describe('a route without a proper declaration stops the start, by name', () => {
  const cases: [string, RegExp, (app: FastifyInstance) => unknown][] = [
    ['no config', /GET \/x: the route does not say/, (a) => a.get('/x', handler)],
    ['no access', /POST \/x: the route does not say/, (a) => a.post('/x', { config: { pool: 'app' } }, handler)],
    ['HEAD', /HEAD \/x: the route does not say/, (a) => a.head('/x', handler)],
    ['OPTIONS', /OPTIONS \/x: the route does not say/, (a) => a.options('/x', handler)],
    ['wildcard', /GET \/\*: the route does not say/, (a) => a.get('/*', handler)],
    ['several methods', /GET, POST \/x: the route/, (a) => a.route({ method: ['GET', 'POST'], url: '/x', handler })],
    [
      "a plugin's route",
      /GET \/in\/x: the route/,
      (a) => a.register(async (b) => b.get('/x', handler), { prefix: '/in' }),
    ],
    ['a plugin’s root', /GET \/in: the route/, (a) => a.register(async (b) => b.get('/', handler), { prefix: '/in' })],
    [
      'a look-alike of an access',
      /access must be made by/,
      (a) => a.get('/x', { config: { access: { kind: 'open', because: 'because I say so' } as Access } }, handler),
    ],
    ['strict on GET', /GET \/x: strict/, (a) => a.get('/x', { config: { access: signedIn(), strict: true } }, handler)],
    [
      'strict on GET among others',
      /POST, GET \/x: strict/,
      (a) => a.route({ method: ['POST', 'GET'], url: '/x', handler, config: { access: signedIn(), strict: true } }),
    ],
    [
      'first on an open route',
      /an open route has no caller/,
      (a) => a.get('/x', { config: { access: open('nothing to hide'), first: sql`SELECT 1` } }, handler),
    ],
    [
      'a pool on an open route',
      /an open route has no caller/,
      (a) => a.get('/x', { config: { access: open('nothing to hide'), pool: 'app' } }, handler),
    ],
    [
      'a key without a tenant',
      /POST \/x: idempotent is for/,
      (a) => a.post('/x', { config: { access: signedIn(), idempotent: 'accepted' } }, handler),
    ],
    [
      'a key for reading',
      /GET \/x: idempotent is for/,
      (a) => a.get('/x', { config: { access: can('team:read'), idempotent: 'accepted' } }, handler),
    ],
    [
      'a key for nobody',
      /POST \/x: idempotent is for/,
      (a) => a.post('/x', { config: { access: open('nothing to hide'), idempotent: 'required' } }, handler),
    ],
    [
      'a key that is neither',
      /idempotent must be/,
      (a) => a.post('/x', { config: { access: can('team:read'), idempotent: 'yes' as 'no' } }, handler),
    ],
    [
      'shownOnce without a key',
      /shownOnce says/,
      (a) => a.post('/x', { config: { access: can('team:read'), shownOnce: true } }, handler),
    ],
    ['more without first', /more says/, (a) => a.get('/x', { config: { access: signedIn(), more: true } }, handler)],
    [
      'first that is text',
      /first must be made by/,
      (a) => a.get('/x', { config: { access: signedIn(), first: 'SELECT 1' as never } }, handler),
    ],
    [
      'first with a parameter that the path lacks',
      /GET \/x\/:ident: first takes param\('id'\), which the path lacks/,
      (a) => a.get('/x/:ident', { config: { access: signedIn(), first: sql`SELECT ${param('id')}` } }, handler),
    ],
    [
      'the identity role',
      /GET \/x: pool must be 'app'/,
      (a) => a.get('/x', { config: { access: signedIn(), pool: 'identity' } }, handler),
    ],
    [
      'an unknown pool',
      /pool must be/,
      (a) => a.get('/x', { config: { access: signedIn(), pool: 'superuser' as never } }, handler),
    ],
  ]
  it.each(cases)('%s', async (_, message, add) => {
    add(app)
    await expect(app.ready()).rejects.toThrow(message)
  })

  it('one that was added before the guard', async () => {
    const late = fastify()
    late.get('/early', { config: { access: open('it even declares itself') } }, handler)
    await late.register(guardPlugin, { guard, origin })
    await expect(late.ready()).rejects.toThrow(/GET \/early: the route was added before the guard/)
  })

  it('one that was added while the guard was not awaited', async () => {
    const hasty = fastify()
    void hasty.register(guardPlugin, { guard, origin })
    hasty.get('/hasty', handler)
    await expect(hasty.ready()).rejects.toThrow(/\/hasty/)
  })

  it('one beside a guard that was registered too deep', async () => {
    const deep = fastify()
    await deep.register(async (inner) => {
      await inner.register(guardPlugin, { guard, origin })
      inner.get('/in', { config: { access: open('this one is seen') } }, handler)
    })
    deep.get('/out', handler)
    await expect(deep.ready()).rejects.toThrow(/GET \/out/)
  })

  it('not one whose parameters are all in its path, however they are written', async () => {
    const first = sql`SELECT ${param('id')}`
    for (const url of ['/a/:id', '/b/:id.json', '/c/:id(^\\d+$)', '/d/x-:other-:id']) {
      app.get(url, { config: { access: signedIn(), first } }, handler)
    }
    app.get('/f/*', { config: { access: signedIn(), first: sql`SELECT ${param('*')}` } }, handler)
    await app.ready()
    for (const url of ['/a/7', '/b/7.json', '/c/7', '/d/x-a-7', '/f/7']) {
      expect((await app.inject({ url, headers: bearer })).statusCode).toBe(200)
      expect(guard.requests.at(-1)?.first?.(caller).values).toEqual(['7'])
    }
  })

  it('not one for which whoever registers the plugin declares', async () => {
    await app.register(async (scope) => {
      scope.addHook('onRoute', (route) => {
        route.config = { ...route.config, access: signedIn() }
      })
      await scope.register(async (plugin) => void plugin.get('/theirs', handler))
    })
    await app.ready()
    expect((await app.inject('/theirs')).statusCode).toBe(401)
    expect((await app.inject({ url: '/theirs', method: 'HEAD' })).statusCode).toBe(401)
    expect((await app.inject({ url: '/theirs', headers: bearer })).statusCode).toBe(200)
  })
})

describe('a guarded route', () => {
  it('asks for what it declares', async () => {
    await app.close()
    app = await guardedApp(serviceGuardPlugin)
    const access = can('invoice:read').within(minutes(5))
    app.get(
      '/i/:id',
      { config: { access, first: sql`SELECT ${param('id')}, ${query('q')}, ${fromCaller('userId')}` } },
      handler,
    )
    app.post('/w', { config: { access: signedIn(), pool: 'identity', strict: true } }, handler)
    app.put('/b', { config: { access, first: sql`SELECT ${body('name')}`, more: true } }, handler)
    await app.inject({ url: '/i/7?q=x', headers: bearer })
    await app.inject({ url: '/w', method: 'POST', headers: bearer })
    await app.inject({
      url: '/b',
      method: 'PUT',
      headers: bearer,
      payload: { name: { from: 'caller', name: 'userId' } },
    })
    const [read, write, put] = guard.requests
    expect(read).toMatchObject({ readOnly: true, strict: false, pool: 'app', more: false, selectors: [] })
    expect(read?.access).toBe(access)
    expect(read?.first?.(caller)).toEqual({ text: 'SELECT $1, $2, $3', values: ['7', 'x', 'u1'] })
    expect(write).toMatchObject({ readOnly: false, strict: true, pool: 'identity' })
    expect(write?.first).toBeUndefined()
    expect(put).toMatchObject({ readOnly: false, more: true })
    // a body that looks like a source is a value
    expect(put?.first?.(caller).values).toEqual([{ from: 'caller', name: 'userId' }])
  })

  it('gives its handler caller, db, first and unit, and nobody else', async () => {
    const seen: unknown[] = []
    const look = (request: FastifyRequest) => {
      for (const name of ['caller', 'db', 'first', 'unit'] as const) {
        try {
          seen.push(request[name] !== undefined)
        } catch (error) {
          seen.push((error as Error).name)
        }
      }
    }
    const config = { access: signedIn(), first: sql`SELECT 1` }
    let late: FastifyRequest | undefined
    app.get('/x', { config, preHandler: async (request) => look(request) }, async (request) => {
      late = request
      look(request)
      return null
    })
    await app.inject({ url: '/x', headers: bearer })
    expect(seen).toEqual([...Array<string>(4).fill('GuardMisuse'), true, true, true, true])
    expect(() => late?.db).toThrow(/until it has returned/)
  })

  it('refuses first where none is declared', async () => {
    app.get('/x', { config: { access: signedIn() } }, async (request) => request.first.rows)
    expect((await app.inject({ url: '/x', headers: bearer })).statusCode).toBe(500)
  })

  it('is as closed under HEAD, which reads only', async () => {
    app.get('/x', { config: { access: can('x:read') } }, handler)
    expect((await app.inject({ url: '/x', method: 'HEAD' })).statusCode).toBe(401)
    const answer = await app.inject({ url: '/x', method: 'HEAD', headers: bearer })
    expect([answer.statusCode, answer.body, guard.requests.length]).toEqual([200, '', 1])
    expect(guard.requests[0]?.readOnly).toBe(true)
    expect(routes.flatMap(({ methods }) => methods)).toEqual(['GET', 'HEAD'])
  })

  it.each(['/v1/X', '/v1/x/', '//v1/x', '/v1//x', '/v1/./x', '/v1/%78', '/V1/x', '/v1/x;a=b', '/v1/x%2f', '/v1/x%00'])(
    'is no less closed as %s',
    async (path) => {
      app.get('/v1/x', { config: { access: can('x:read') } }, handler)
      expect([400, 401, 404]).toContain((await app.inject(path)).statusCode)
      expect(guard.requests).toHaveLength(0)
    },
  )

  it.each([
    ['none', {}],
    ['another scheme', { authorization: 'Basic Zm9vOmJhcg==' }],
    ['a malformed token', { authorization: 'Bearer hfs_short' }],
    ['both transports', { ...bearer, ...cookie }],
    ['a broken header beside a cookie', { authorization: 'Bearer', ...cookie }],
  ])('refuses a credential that is %s before the body is read', async (_, headers) => {
    app.post('/x', { config: { access: signedIn() } }, handler)
    const payload = '{"broken'
    const answer = await app.inject({
      url: '/x',
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      payload,
    })
    expect(answer.statusCode).toBe(401)
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="holdfast"/)
    expect(guard.requests).toHaveLength(0)
  })

  it('is not reached through a path that is not there', async () => {
    app.post('/x', { config: { access: signedIn() } }, handler)
    expect((await app.inject('/nowhere')).statusCode).toBe(404)
    const wrong = await app.inject({ url: '/x', method: 'DELETE', headers: bearer })
    expect([wrong.statusCode, wrong.headers['allow']]).toEqual([405, 'POST'])
    expect(guard.requests).toHaveLength(0)
  })
})

describe('a cookie', () => {
  const cases: [string, Record<string, string | string[]>, number][] = [
    ['from the same origin', { 'sec-fetch-site': 'same-origin' }, 200],
    ['typed by the user', { 'sec-fetch-site': 'none' }, 200],
    ['of an older browser, with our origin', { origin }, 200],
    ['from the same origin, with our origin', { 'sec-fetch-site': 'same-origin', origin }, 200],
    [
      'from the same origin, with another origin',
      { 'sec-fetch-site': 'same-origin', origin: 'https://evil.example' },
      403,
    ],
    ['typed by the user, with another origin', { 'sec-fetch-site': 'none', origin: 'null' }, 403],
    ['from the same origin, with two origins', { 'sec-fetch-site': 'same-origin', origin: [origin, origin] }, 403],
    ['from another site', { 'sec-fetch-site': 'cross-site' }, 403],
    ['from another subdomain', { 'sec-fetch-site': 'same-site' }, 403],
    ['from another site that names our origin', { 'sec-fetch-site': 'cross-site', origin }, 403],
    ['with no word of where from', {}, 403],
    ['with another origin', { origin: 'https://evil.example' }, 403],
    ['with a longer origin', { origin: `${origin}.evil.example` }, 403],
    ['with the null origin', { origin: 'null' }, 403],
    ['with our origin on http', { origin: 'http://app.example.com' }, 403],
    ['with an empty Sec-Fetch-Site', { 'sec-fetch-site': '', origin }, 403],
  ]
  it.each(cases)('on an unsafe request %s', async (_, headers, status) => {
    app.post('/x', { config: { access: signedIn() } }, handler)
    const answer = await app.inject({ url: '/x', method: 'POST', headers: { ...cookie, ...headers } })
    expect(answer.statusCode).toBe(status)
    expect(guard.requests).toHaveLength(status === 200 ? 1 : 0)
    if (status === 403) expect(answer.json()).toMatchObject({ code: 'cross_site_request' })
  })

  it('needs no origin where nothing is changed, and a bearer token never', async () => {
    app.get('/x', { config: { access: signedIn() } }, handler)
    app.post('/x', { config: { access: signedIn() } }, handler)
    expect((await app.inject({ url: '/x', headers: cookie })).statusCode).toBe(200)
    expect((await app.inject({ url: '/x', method: 'POST', headers: bearer })).statusCode).toBe(200)
  })
})

describe('an answer', () => {
  it.each<[string, (request: FastifyRequest, reply: import('fastify').FastifyReply) => unknown]>([
    ['awaits reply.send', async (_, reply) => void (await reply.send({ leaked: true }))],
    ['returns reply.send', async (_, reply) => reply.send({ leaked: true })],
    ['is not async', (_, reply) => void reply.send('leaked')],
    [
      'sends, then goes on',
      async (_, reply) => {
        void reply.send('leaked')
        await new Promise((resolve) => setTimeout(resolve, 5))
        return 'leaked too'
      },
    ],
    [
      'hijacks',
      async (_, reply) => {
        reply.hijack()
        reply.raw.end('raw')
      },
    ],
  ])('does not leave before the commit when a handler %s', async (name, run) => {
    app.post('/x', { config: { access: signedIn() } }, run as never)
    const answer = await app.inject({ url: '/x', method: 'POST', headers: bearer })
    await expect.poll(() => guard.endings).toEqual(['rolled back'])
    // bytes written to the raw socket are beyond recall; that nothing is committed is not
    if (name === 'hijacks') return
    expect(answer.statusCode).toBe(500)
    expect(answer.body).not.toContain('leaked')
  })

  it('has nothing of a try that was repeated', async () => {
    guard.tries = 2
    let runs = 0
    app.get('/x', { config: { access: signedIn() } }, async (_, reply) => {
      if (runs++ === 0) reply.code(201).header('x-first', '1').header('set-cookie', 'a=1')
      reply.header('set-cookie', 'b=2')
      return { runs }
    })
    const answer = await app.inject({ url: '/x', headers: bearer })
    expect([answer.statusCode, answer.json()]).toEqual([200, { runs: 2 }])
    expect(answer.headers['x-first']).toBeUndefined()
    expect(answer.headers['set-cookie']).toBe('b=2')
  })

  it('has nothing of a handler whose commit failed', async () => {
    guard.commitError = new Error('the commit failed at 10.0.0.1')
    app.post('/x', { config: { access: signedIn() } }, async (_, reply) => {
      reply.code(201).header('set-cookie', `session=${token}`)
      return { token }
    })
    const answer = await app.inject({ url: '/x', method: 'POST', headers: bearer })
    expect(answer.statusCode).toBe(500)
    expect(answer.headers['set-cookie']).toBeUndefined()
    expect(answer.body).not.toMatch(/hfs_|10\.0\.0\.1/)
  })

  it('keeps a header that was there before the handler', async () => {
    app.addHook('onRequest', async (_, reply) => void reply.header('x-before', '1').header('set-cookie', 'c=3'))
    guard.tries = 2
    app.get('/x', { config: { access: signedIn() } }, handler)
    const { headers } = await app.inject({ url: '/x', headers: bearer })
    expect([headers['x-before'], headers['set-cookie']]).toEqual(['1', 'c=3'])
  })
})
