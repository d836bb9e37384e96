import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { open, signedIn } from '../../../src/core/guard/access.ts'
import { createMetrics } from '../../../src/service/telemetry/metrics.ts'
import { listenForMetrics } from '../../../src/service/telemetry/metrics-server.ts'
import { createReadiness } from '../../../src/service/http/readiness.ts'
import type { Pool } from '../../../src/core/database/pool.ts'
import * as limits from '../../../src/service/http/limits.ts'
import { bearer } from './fake-guard.ts'
import { type FakeServer, fakeServer } from './fake-server.ts'

let server: FakeServer | undefined
afterEach(async () => {
  await server?.app.close()
  server = undefined
})

describe('headers', () => {
  it('are those of an API', async () => {
    server = await fakeServer()
    const { headers } = await server.app.inject('/health')
    expect(headers).toMatchObject({
      'content-security-policy': "default-src 'none';frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'strict-transport-security': expect.stringContaining('max-age='),
    })
    expect(headers['x-powered-by']).toBeUndefined()
    expect(headers['access-control-allow-origin']).toBeUndefined()
  })

  it('forbid to store what is one caller’s', async () => {
    server = await fakeServer()
    for (const url of ['/v1/me', '/v1/nope', '/nope']) {
      expect((await server.app.inject(url)).headers['cache-control']).toBe('no-store')
    }
  })
})

describe('a request id', () => {
  it('is our own; a client’s is only logged, and only if it is a name', async () => {
    server = await fakeServer()
    const ids: unknown[] = []
    for (const given of ['client-7', 'two words', `x${'y'.repeat(64)}`, '']) {
      const answer = await server.app.inject({ url: '/nope', headers: { 'x-request-id': given } })
      ids.push(answer.json<{ request_id: string }>().request_id)
    }
    expect(new Set(ids).size).toBe(4)
    expect(ids).not.toContain('client-7')
    const answered = server.lines().filter(({ msg }) => msg === 'answered')
    expect(answered.map(({ client_request_id }) => client_request_id)).toEqual([
      'client-7',
      undefined,
      undefined,
      undefined,
    ])
    expect(answered.map(({ request_id }) => request_id)).toEqual(ids)
  })
})

describe('the log', () => {
  it('has no secret, wherever it stands', async () => {
    server = await fakeServer()
    const secret = 'canary-4711'
    server.app.log.info({ token: secret, authorization: secret, 'set-cookie': secret, body: { password: secret } }, 'x')
    server.app.log.info({ req: { headers: { authorization: secret, cookie: secret, 'set-cookie': secret } } }, 'y')
    server.app.log.info({ config: { database: { url: secret }, mail: { smtp_url: secret } }, key: secret }, 'z')
    expect(JSON.stringify(server.lines())).not.toContain(secret)
    expect(server.lines()).toHaveLength(3)
  })

  it('tells a denial’s true reason, and the route instead of the path', async () => {
    server = await fakeServer()
    await server.app.inject('/v1/teams/secret-team/members?token=canary')
    const text = JSON.stringify(server.lines())
    expect(text).toContain('credential_missing')
    expect(text).not.toMatch(/secret-team|canary/)
  })
})

describe('the client’s address', () => {
  const forwarded = { 'x-forwarded-for': '203.0.113.9' }
  const address = async (trustedProxies: string[]): Promise<unknown> => {
    server = await fakeServer({ trustedProxies })
    await server.app.inject({ url: '/health', headers: forwarded, remoteAddress: '10.0.0.7' })
    return server.lines().find(({ msg }) => msg === 'answered')?.['address']
  }
  it.each([
    [[], '10.0.0.7'],
    [['10.0.0.8'], '10.0.0.7'],
    [['10.0.0.0/8'], '203.0.113.9'],
  ])('with the proxies %j', async (proxies, expected) => {
    expect(await address(proxies)).toBe(expected)
  })
})

describe('probes', () => {
  it('say no more than yes or no', async () => {
    server = await fakeServer({ ready: async () => false })
    expect((await server.app.inject('/health')).json()).toEqual({ status: 'ok' })
    const answer = await server.app.inject('/ready')
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([503, 'unavailable'])
  })

  const pool = (work: () => Promise<unknown>): Pool =>
    ({ transaction: work, stats: { flights: 0, size: 1 } }) as unknown as Pool
  const rows = (holdfast: string) => pool(async () => ({ rows: [{ holdfast }] }))
  it.each<[string, Pool, Pool, boolean]>([
    ['current', rows('3'), rows('3'), true],
    ['ahead', rows('3'), rows('4'), true],
    ['behind', rows('3'), rows('2'), false],
    ['empty', rows('3'), pool(async () => ({ rows: [] })), false],
    ['app down', pool(() => Promise.reject(new Error('no'))), rows('3'), false],
    ['identity down', rows('3'), pool(() => Promise.reject(new Error('no'))), false],
    ['hanging', rows('3'), pool(() => new Promise(() => undefined)), false],
  ])('judge a database that is %s', async (_, app, identity, expected) => {
    expect(await createReadiness({ app, identity }, { holdfast: 3, application: 0 })()).toBe(expected)
  })

  it('share one look', async () => {
    let looks = 0
    const counted = pool(async () => {
      looks++
      return { rows: [{ holdfast: '3' }] }
    })
    const ready = createReadiness({ app: counted, identity: counted }, { holdfast: 3, application: 0 })
    await Promise.all(Array.from({ length: 50 }, ready))
    expect(looks).toBe(2)
  })
})

describe('the description', () => {
  it('is OpenAPI 3.1 of every route, with access, credentials and problems', async () => {
    server = await fakeServer()
    const document = (await server.app.inject('/openapi.json')).json<{
      openapi: string
      servers: unknown
      paths: Record<string, Record<string, Record<string, unknown>>>
    }>()
    expect(document.openapi).toBe('3.1.0')
    // whatever address the page was opened under
    expect(document.servers).toEqual([{ url: '/' }])
    const described = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
    )
    const declared = server
      .routes()
      .flatMap(({ methods, url }) => methods.map((method) => `${method} ${url}`))
      .filter((route) => /^(?!HEAD|OPTIONS)\w+ \/(v1|health|ready)/.test(route))
    expect(described.sort()).toEqual(declared.sort())
    expect(described.length).toBeGreaterThan(15)
    for (const operation of Object.values(document.paths).flatMap((operations) => Object.values(operations))) {
      expect(operation['x-holdfast-access']).toEqual(expect.any(String))
      expect(operation['security']).toEqual(
        String(operation['x-holdfast-access']).startsWith('open:') ? [] : [{ bearer: [] }, { cookie: [] }],
      )
      expect(operation['description']).toContain(operation['x-holdfast-access'])
      const responses = operation['responses'] as Record<string, Record<string, unknown>>
      for (const response of Object.values(responses)) {
        expect(response['description']).not.toBe('Default Response')
      }
      expect(responses['default']).toMatchObject({
        content: {
          'application/problem+json': {
            example: { type: 'urn:holdfast:problem:not_found', status: 404, code: 'not_found' },
          },
        },
      })
    }
    expect(JSON.stringify(document)).not.toMatch(/x-response-description|localhost/)
    expect(document.paths['/v1/teams/{slug}/members']?.['get']?.['x-holdfast-access']).toBe(
      'can(team:read, team_member:read, profile:read)',
    )
  })

  it('is browsable, with nothing from elsewhere', async () => {
    server = await fakeServer()
    const page = await server.app.inject('/docs/')
    expect(page.statusCode).toBe(200)
    expect(page.headers['content-security-policy']).toContain("default-src 'none'; script-src 'self'")
    expect(page.body).not.toMatch(/(src|href)="(https?:)?\/\//)
    const script = await server.app.inject('/docs/static/swagger-initializer.js')
    // the page reads the description beside it
    expect(script.body).toContain("resolveUrl('./json')")
    const [beside, own] = [await server.app.inject('/docs/json'), await server.app.inject('/openapi.json')]
    expect(beside.json()).toEqual(own.json())
    expect((await server.app.inject('/docs/static/swagger-ui-bundle.js')).statusCode).toBe(200)
  })

  it.each([
    '/docs/static/../../package.json',
    '/docs/static/%2e%2e/%2e%2e/package.json',
    '/docs/static/..%2f..%2fpackage.json',
  ])('serves no file of ours: %s', async (url) => {
    server = await fakeServer()
    const answer = await server.app.inject(url)
    expect([400, 403, 404]).toContain(answer.statusCode)
    expect(answer.body).not.toContain('"dependencies"')
  })
})

describe('metrics', () => {
  it('count by route, and are told to this machine alone', async () => {
    const metrics = await createMetrics(() => undefined)
    server = await fakeServer({ telemetry: metrics })
    await server.app.inject('/v1/teams/secret-team/members')
    const listening = await listenForMetrics(metrics, 0)
    const { port, address } = listening.address() as { port: number; address: string }
    expect(address).toBe('127.0.0.1')
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    expect(text).toContain('route="/v1/teams/:slug/members",status="401"')
    expect(text).toContain('holdfast_denials_total{because="credential_missing"} 1')
    expect(text).not.toContain('secret-team')
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404)
    expect((await fetch(`http://127.0.0.1:${port}/metrics`, { method: 'POST' })).status).toBe(404)
    expect(await statusFor(port, '/metrics', 'evil.example')).toBe(421)
    await expect(listenForMetrics(metrics, port)).rejects.toThrow('EADDRINUSE')
    listening.close()
  })
})

describe('limits against slow clients', () => {
  it('are set on the server', async () => {
    server = await fakeServer()
    const { server: http } = server.app
    expect(http.headersTimeout).toBe(limits.HEADERS_TIMEOUT_MS)
    expect(http.requestTimeout).toBe(limits.REQUEST_TIMEOUT_MS)
    expect(http.keepAliveTimeout).toBe(limits.KEEP_ALIVE_MS)
  })

  it('end a request whose headers do not come', { timeout: 30_000 }, async () => {
    server = await fakeServer()
    await server.app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = server.app.server.address() as { port: number }
    const started = performance.now()
    const text = await new Promise<string>((resolve) => {
      let got = ''
      const socket = connect(port, '127.0.0.1', () => socket.write('GET /health HTTP/1.1\r\nhost: x\r\n'))
      const drip = setInterval(() => socket.write('x-a: 1\r\n'), 500)
      socket.on('data', (chunk: Buffer) => void (got += chunk.toString()))
      socket.on('error', () => undefined)
      socket.on('close', () => {
        clearInterval(drip)
        resolve(got)
      })
    })
    expect(text).toContain('408')
    expect(text).toContain('"code":"request_timeout"')
    expect(performance.now() - started).toBeLessThan(limits.HEADERS_TIMEOUT_MS + limits.CONNECTION_CHECK_MS + 3_000)
  })
})

describe('an end in grace', () => {
  it('lets requests under way finish, and refuses new ones', async () => {
    server = await fakeServer()
    let finish = (): void => undefined
    const held = new Promise<void>((resolve) => {
      finish = resolve
    })
    const run = server.guard.run.bind(server.guard)
    server.guard.run = async (request, work) => {
      await held
      return run(request, work)
    }
    server.guard.rows = [{ user_id: 'u', display_name: 'd', email: 'e' }]
    await server.app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = server.app.server.address() as { port: number }
    const slow = fetch(`http://127.0.0.1:${port}/v1/me`, { headers: bearer })
    await new Promise((resolve) => setTimeout(resolve, 100))
    const drained = server.drain()
    const late = await fetch(`http://127.0.0.1:${port}/health`)
    expect([late.status, late.headers.get('connection'), ((await late.json()) as { code: string }).code]).toEqual([
      503,
      'close',
      'shutting_down',
    ])
    finish()
    expect((await slow).status).toBe(200)
    expect(await drained).toBe(true)
    await expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow()
    server = undefined
  })
})

describe('declarations', () => {
  it('are frozen and made by the guard', async () => {
    server = await fakeServer()
    await server.app.ready()
    expect(server.routes().every((route) => Object.isFrozen(route))).toBe(true)
    expect([open('a reason of ten'), signedIn()].every((access) => Object.isFrozen(access))).toBe(true)
  })
})

function statusFor(port: number, path: string, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`),
    )
    let text = ''
    socket.on('data', (chunk: Buffer) => void (text += chunk.toString()))
    socket.on('close', () => resolve(Number(text.split(' ')[1])))
    socket.on('error', reject)
  })
}
