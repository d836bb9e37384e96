import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bearer } from './fake-guard.ts'
import { type FakeServer, fakeServer } from './fake-server.ts'

let server: FakeServer
let port: number

beforeAll(async () => {
  server = await fakeServer()
  await server.app.listen({ host: '127.0.0.1', port: 0 })
  port = (server.app.server.address() as { port: number }).port
})
afterAll(() => server.app.close())

type Answer = { status: number; type: string; body: Record<string, unknown>; text: string }

/** Sends raw bytes, and reads until the server closes or a whole answer is there. */
function raw(bytes: string | Buffer, patienceMs = 3_000): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let text = ''
    const end = (): void => {
      clearTimeout(timer)
      socket.destroy()
      const [head = '', body = ''] = text.split('\r\n\r\n')
      const status = Number(head.split(' ')[1])
      const type = /content-type: ([^\r;]+)/i.exec(head)?.[1] ?? ''
      resolve({ status, type, body: body.startsWith('{') ? (JSON.parse(body) as Record<string, unknown>) : {}, text })
    }
    const timer = setTimeout(end, patienceMs)
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const length = /content-length: (\d+)/i.exec(text)?.[1]
      if (length !== undefined && (text.split('\r\n\r\n')[1]?.length ?? 0) >= Number(length)) end()
    })
    socket.on('close', end)
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? end() : reject(error),
    )
  })
}

const AUTH = `authorization: ${bearer.authorization}\r\n`
function post(body: string | Buffer, { path = '/v1/teams', headers = '', type = 'application/json' } = {}): Buffer {
  const bytes = Buffer.from(body)
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\n${AUTH}content-type: ${type}\r\ncontent-length: ${bytes.length}\r\n${headers}\r\n`
  return Buffer.concat([Buffer.from(head), bytes])
}
const get = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n${AUTH}${headers}\r\n`

const team = { slug: 'core', name: 'Core' }
const json = (value: unknown): string => JSON.stringify(value)

describe('bad input is answered with a problem, and reaches no handler', () => {
  const cases: [string, string | Buffer, number, string][] = [
    ['malformed JSON', post('{"slug":'), 400, 'malformed_json'],
    ['an empty body', post(''), 400, 'malformed_json'],
    ['trailing text', post(`${json(team)}x`), 400, 'malformed_json'],
    ['NaN', post('{"slug":NaN}'), 400, 'malformed_json'],
    ['deep nesting', post('['.repeat(30_000)), 400, 'malformed_json'],
    ['deep but well-formed nesting', post('['.repeat(20_000) + ']'.repeat(20_000)), 400, 'validation_failed'],
    ['an array', post('[]'), 400, 'validation_failed'],
    ['null', post('null'), 400, 'validation_failed'],
    ['a text', post('"x"'), 400, 'validation_failed'],
    ['a wrong type', post(json({ ...team, name: 7 })), 400, 'validation_failed'],
    ['a list for a text', post(json({ ...team, slug: ['core'] })), 400, 'validation_failed'],
    ['an object for a text', post(json({ ...team, slug: { toString: 'x' } })), 400, 'validation_failed'],
    ['a missing field', post(json({ slug: 'core' })), 400, 'validation_failed'],
    ['an unknown field', post(json({ ...team, tenant_id: '7' })), 400, 'validation_failed'],
    ['__proto__', post('{"slug":"core","name":"x","__proto__":{"admin":true}}'), 400, 'malformed_json'],
    ['__proto__ in disguise', post('{"slug":"core","name":"x","\\u005f_proto__":{"a":1}}'), 400, 'malformed_json'],
    [
      'constructor.prototype',
      post('{"slug":"core","name":"x","constructor":{"prototype":{"a":1}}}'),
      400,
      'malformed_json',
    ],
    ['a text that is too long', post(json({ ...team, name: 'x'.repeat(201) })), 400, 'validation_failed'],
    ['a slug with a line break', post(json({ ...team, slug: 'core\n' })), 400, 'validation_failed'],
    ['broken UTF-8', post(Buffer.from('7b22736c7567223a22ff227d', 'hex')), 400, 'malformed_utf8'],
    ['overlong UTF-8', post(Buffer.from('7b2278223a22c080227d', 'hex')), 400, 'malformed_utf8'],
    ['UTF-16', post(Buffer.from(json(team), 'utf16le')), 400, 'malformed_json'],
    ['NUL in a text', post('{"slug":"core","name":"a\\u0000b"}'), 422, 'unstorable_text'],
    ['NUL in a key', post('{"slug":"core","name":"x","\\u0000":1}'), 422, 'unstorable_text'],
    ['half a surrogate', post('{"slug":"core","name":"\\ud800"}'), 422, 'unstorable_text'],
    ['NUL in the path', get('/v1/teams/a%00b/members'), 422, 'unstorable_text'],
    ['a broken escape in the path', get('/v1/teams/%zz/members'), 400, 'malformed_path'],
    ['broken UTF-8 in the path', get('/v1/teams/%ff/members'), 400, 'malformed_path'],
    ['a long path parameter', get(`/v1/teams/${'x'.repeat(200)}/members`), 414, 'path_too_long'],
    ['a slug that cannot be', get(`/v1/teams/${'x'.repeat(65)}/members`), 400, 'validation_failed'],
    ['no uuid', `DELETE /v1/sessions/7 HTTP/1.1\r\nhost: x\r\n${AUTH}\r\n`, 400, 'validation_failed'],
    ['a body of 64 KiB and a byte', post(json({ ...team, name: 'x'.repeat(65_536) })), 413, 'body_too_large'],
    ['text/plain', post(json(team), { type: 'text/plain' }), 415, 'unsupported_media_type'],
    ['a form', post('slug=core&name=x', { type: 'application/x-www-form-urlencoded' }), 415, 'unsupported_media_type'],
    ['multipart', post('--x--', { type: 'multipart/form-data; boundary=x' }), 415, 'unsupported_media_type'],
    [
      'JSON in another charset',
      post(json(team), { type: 'application/json; charset=utf-16' }),
      415,
      'unsupported_media_type',
    ],
    ['JSON called something like it', post(json(team), { type: 'application/jsonx' }), 415, 'unsupported_media_type'],
    ['a body where none belongs', post('{}', { path: '/v1/sign-out' }), 400, 'body_unexpected'],
    ['a long header', get('/v1/me', `x-long: ${'x'.repeat(20_000)}\r\n`), 431, 'headers_too_large'],
    [
      'many headers',
      get('/v1/me', Array.from({ length: 3_000 }, (_, i) => `x-${i}: 1\r\n`).join('')),
      431,
      'headers_too_large',
    ],
    ['101 headers', get('/v1/me', 'a:\r\n'.repeat(99)), 431, 'headers_too_large'],
    // Node by default drops what follows the 2,000th in silence
    ['a second credential behind 2,000', get('/v1/me', `${'a:\r\n'.repeat(1_998)}${AUTH}`), 431, 'headers_too_large'],
    ['101 headers to nowhere', get('/nope', 'a:\r\n'.repeat(99)), 431, 'headers_too_large'],
    ['101 headers on an open route', get('/health', 'a:\r\n'.repeat(99)), 431, 'headers_too_large'],
    ['a long path', get(`/v1/${'x'.repeat(20_000)}`), 431, 'headers_too_large'],
    ['a header with NUL', get('/v1/me', 'x-nul: a\0b\r\n'), 400, 'malformed_request'],
    ['a header without a name', get('/v1/me', ': x\r\n'), 400, 'malformed_request'],
    ['a folded header', get('/v1/me', 'x-a: 1\r\n  2\r\n'), 400, 'malformed_request'],
    ['two lengths', post(json(team), { headers: 'content-length: 3\r\n' }), 400, 'malformed_request'],
    ['a length and chunks', post(json(team), { headers: 'transfer-encoding: chunked\r\n' }), 400, 'malformed_request'],
    [
      'a length that is no number',
      `POST /v1/teams HTTP/1.1\r\nhost: x\r\n${AUTH}content-length: x\r\n\r\n`,
      400,
      'malformed_request',
    ],
    [
      'a chunk that is none',
      `POST /v1/teams HTTP/1.1\r\nhost: x\r\n${AUTH}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`,
      400,
      'malformed_request',
    ],
    ['no host', `GET /v1/me HTTP/1.1\r\n${AUTH}\r\n`, 400, 'malformed_request'],
    ['two hosts', `GET /v1/me HTTP/1.1\r\nhost: a\r\nhost: b\r\n${AUTH}\r\n`, 400, 'malformed_request'],
    ['no HTTP', 'hello\r\n\r\n', 400, 'malformed_request'],
    ['TLS on a plain port', Buffer.from('160301020001000001fc0303', 'hex'), 400, 'malformed_request'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'malformed_request'],
    ['an unknown method', `FROBNICATE /v1/me HTTP/1.1\r\nhost: x\r\n\r\n`, 400, 'malformed_request'],
    ['TRACE', `TRACE /v1/me HTTP/1.1\r\nhost: x\r\n\r\n`, 405, 'method_not_allowed'],
    ['OPTIONS', `OPTIONS /v1/me HTTP/1.1\r\nhost: x\r\n\r\n`, 405, 'method_not_allowed'],
    [
      'an absolute URL of another host',
      `GET http://evil.example/v1/nope HTTP/1.1\r\nhost: x\r\n\r\n`,
      404,
      'not_found',
    ],
  ]
  it.each(cases)('%s', async (name, bytes, status, code) => {
    const before = server.guard.requests.length
    const answer = await raw(bytes)
    expect([answer.status, answer.body['code']], `${name}: ${answer.text.slice(0, 300)}`).toEqual([status, code])
    expect(answer.type).toBe('application/problem+json')
    expect(answer.body['request_id']).toMatch(/^[\w-]{16}$/)
    expect(server.guard.requests).toHaveLength(before)
    expect((await raw(get('/health'))).status).toBe(200)
  })

  it('names the fields, and does not repeat their values', async () => {
    const { body, text } = await raw(post(json({ slug: 'UPPER-secret', 'a/b~c': 1 })))
    expect(body['errors']).toEqual(
      expect.arrayContaining([
        { in: 'body', path: '/name', message: 'is missing' },
        { in: 'body', path: '/a~1b~0c', message: 'is not known' },
        { in: 'body', path: '/slug', message: expect.stringContaining('pattern') },
      ]),
    )
    expect(text).not.toContain('UPPER')
  })

  it('does not read 10 MB', async () => {
    const head = `POST /v1/teams HTTP/1.1\r\nhost: x\r\n${AUTH}content-type: application/json\r\n`
    const told = await raw(`${head}content-length: ${10 * 1024 * 1024}\r\n\r\n`)
    expect([told.status, told.body['code']]).toEqual([413, 'body_too_large'])
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`
    const untold = await raw(`${head}transfer-encoding: chunked\r\n\r\n${chunk.repeat(640)}`)
    expect([untold.status, untold.body['code']]).toEqual([413, 'body_too_large'])
  })

  it('takes 100 headers, and drops none that a proxy has added at the end', async () => {
    expect((await raw(get('/nope', 'a:\r\n'.repeat(98)))).status).toBe(404)
    const behind = await fakeServer({ trustedProxies: ['127.0.0.1'] })
    await behind.app.listen({ host: '127.0.0.1', port: 0 })
    const own = port
    port = (behind.app.server.address() as { port: number }).port
    await raw(get('/v1/me', `${'a:\r\n'.repeat(2_100)}x-forwarded-for: 203.0.113.9\r\n`))
    port = own
    await behind.app.close()
    expect(behind.lines().find(({ msg }) => msg === 'answered')).toMatchObject({ status: 431, address: '203.0.113.9' })
  })

  it('does not say of a request under way that it was malformed, because of what follows it', async () => {
    const { guard } = server
    const endings = guard.endings.length
    const run = guard.run.bind(guard)
    guard.rows = [{ user_id: 'u', display_name: 'd', email: 'e' }]
    let started = 0
    guard.run = async (request, work) => {
      started++
      await new Promise((resolve) => setTimeout(resolve, 50))
      return run(request, work)
    }
    const body = json({ display_name: 'Ada' })
    const write = `PATCH /v1/me HTTP/1.1\r\nhost: x\r\n${AUTH}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    try {
      expect((await raw(`${write}GARBAGE\r\n\r\n`)).text).toBe('')
      await expect.poll(() => guard.endings.length - endings).toBe(started)
      expect((await raw(write)).status).toBe(200)
    } finally {
      guard.run = run
      guard.rows = []
    }
  })

  it('does not take a request that was smuggled behind a broken one', async () => {
    const before = server.guard.requests.length
    const { text } = await raw(`${get('/v1/me', 'x-a: 1\r\n  2\r\n')}${get('/v1/me')}`)
    expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1)
    expect(server.guard.requests).toHaveLength(before)
  })

  it('never pollutes a prototype', () => {
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
  })
})
