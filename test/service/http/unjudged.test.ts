import { Readable } from 'node:stream'
import fastify, { type FastifyInstance, type FastifyReply, type RouteShorthandOptions } from 'fastify'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Denial } from '../../../src/core/guard/denial.ts'
import { open, signedIn } from '../../../src/core/guard/access.ts'
import { answerProblems } from '../../../src/service/http/answer-problems.ts'
import { guardPlugin } from '../../../src/service/http/guard-plugin.ts'
import { bearer, type FakeGuard, fakeGuard } from './fake-guard.ts'

/** Answers that no finished unit made: those of hooks, error handlers and 404 handlers (CWE-306). */
let app: FastifyInstance
let guard: FakeGuard
let log: string

beforeEach(async () => {
  log = ''
  guard = fakeGuard()
  app = fastify({ logger: { level: 'error', stream: { write: (line: string) => void (log += line) } } })
  answerProblems(app, { routes: () => [] })
  await app.register(guardPlugin, { guard, origin: 'https://app.example.com' })
})
afterEach(() => app.close())

const forge = (): void => {
  guard.run = () => Promise.reject(new Denial('session_unknown'))
}
const config = { access: signedIn() }
type Send = (reply: FastifyReply) => unknown
const bodies: [string, Send][] = [
  ['an object', (reply) => reply.send({ secret: 1 })],
  ['a text', (reply) => reply.send('secret')],
  ['nothing', (reply) => reply.code(204).send()],
  ['a stream', (reply) => reply.send(Readable.from(['secret']))],
  ['a web stream', (reply) => reply.send(new Blob(['secret']).stream())],
  ['a Response', (reply) => reply.send(new Response('secret'))],
  ['a Response under an error’s status', (reply) => reply.code(401).send(new Response('secret'))],
  ['a redirect', (reply) => reply.redirect('/secret')],
]

describe('a hook of a guarded route cannot answer in place of the handler', () => {
  const hooks = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const
  it.each(hooks.flatMap((hook) => bodies.map(([what, send]) => [hook, what, send] as const)))(
    '%s with %s',
    async (hook, _, send) => {
      forge()
      const options = {
        config,
        [hook]: async (_request: unknown, reply: FastifyReply) => {
          reply.header('set-cookie', 'a=secret')
          return send(reply)
        },
      } as RouteShorthandOptions
      app.get('/x/:id', options, async () => ({}))
      for (const method of ['GET', 'HEAD'] as const) {
        const answer = await app.inject({ url: '/x/7', method, headers: bearer })
        expect(answer.statusCode).toBe(500)
        expect(answer.body + JSON.stringify(answer.headers)).not.toContain('secret')
        if (method === 'GET') expect(answer.json()).toMatchObject({ code: 'internal_error' })
      }
      expect(log).toContain('GET /x/:id')
      expect(log).toMatch(/no finished unit/)
    },
  )

  it('but may refuse', async () => {
    app.get('/x', { config, preHandler: async (_, reply) => reply.code(429).send({ slow: 'down' }) }, async () => ({}))
    expect((await app.inject({ url: '/x', headers: bearer })).statusCode).toBe(429)
  })

  it('and is free on an open route', async () => {
    const options = {
      config: { access: open('nothing to hide') },
      preHandler: async (_: unknown, reply: FastifyReply) => reply.send('mine'),
    }
    app.get('/x', options as RouteShorthandOptions, async () => ({}))
    expect((await app.inject('/x')).body).toBe('mine')
  })

  it('closes the stream that is not sent', async () => {
    const stream = Readable.from(['secret'])
    app.get('/x', { config, preHandler: async (_, reply) => reply.send(stream) }, async () => ({}))
    expect((await app.inject({ url: '/x', headers: bearer })).statusCode).toBe(500)
    expect(stream.destroyed).toBe(true)
  })
})

describe('an error handler cannot turn a denial into an answer', () => {
  it.each(bodies)('%s', async (_, send) => {
    forge()
    app.get('/x', { config, errorHandler: (_error, _request, reply) => void send(reply.code(200)) }, async () => ({}))
    const answer = await app.inject({ url: '/x', headers: bearer })
    expect([answer.statusCode, answer.body.includes('secret')]).toEqual([500, false])
    expect((await app.inject('/x')).statusCode).toBe(500)
  })

  it('nor the failure of a commit', async () => {
    guard.commitError = new Error('no')
    app.get(
      '/x',
      { config, errorHandler: (_error, _request, reply) => void reply.code(200).send('saved') },
      async () => ({}),
    )
    expect((await app.inject({ url: '/x', headers: bearer })).statusCode).toBe(500)
  })
})

describe('a 404 handler cannot answer as if there were a route', () => {
  it.each(bodies)('%s', async (_, send) => {
    await app.register(
      async (child) => void child.setNotFoundHandler((_request, reply) => void send(reply.code(200))),
      {
        prefix: '/c',
      },
    )
    for (const method of ['GET', 'HEAD', 'POST'] as const) {
      const answer = await app.inject({ url: '/c/zzz', method })
      expect([answer.statusCode, answer.body.includes('secret')]).toEqual([500, false])
    }
    expect(log).toMatch(/no finished unit/)
  })

  it('but may say 404 in its own words', async () => {
    await app.register(async (child) => child.setNotFoundHandler(async (_, reply) => reply.code(404).send('gone')), {
      prefix: '/c',
    })
    const answer = await app.inject('/c/zzz')
    expect([answer.statusCode, answer.body]).toEqual([404, 'gone'])
  })
})

describe('an answer past Fastify is beyond recall, and told to the developer', () => {
  const hijack = (reply: FastifyReply): void => {
    reply.hijack()
    reply.raw.end('raw')
  }
  const end = (reply: FastifyReply): void => void reply.raw.end('raw')
  it.each<[string, Send]>([
    ['hijack', hijack],
    ['raw.end', end],
    [
      'raw.end, then throws',
      (reply) => {
        end(reply)
        throw new Error('later')
      },
    ],
  ])('in a handler: %s', async (_, answer) => {
    app.get('/x/:id', { config }, async (_request, reply) => answer(reply))
    await app.inject({ url: '/x/7', headers: bearer })
    await expect.poll(() => guard.endings).toEqual(['rolled back'])
    expect(log).toMatch(/GET \/x\/:id: a guarded handler must return its payload/)
    expect(log).not.toMatch(/\/x\/7|nobody had judged/)
  })

  it.each<[string, Send]>([
    ['hijack', hijack],
    ['raw.end', end],
  ])('in a hook: %s', async (_, answer) => {
    forge()
    app.get('/x/:id', { config, preHandler: async (_request, reply) => answer(reply) }, async () => ({}))
    await app.inject({ url: '/x/7', headers: bearer })
    await expect.poll(() => log).toMatch(/GET \/x\/:id: an answer that no finished unit made/)
  })

  it('unless it is an open route’s', async () => {
    app.get('/x', { config: { access: open('nothing to hide') } }, async (_, reply) => hijack(reply))
    expect((await app.inject('/x')).body).toBe('raw')
    expect(log).toBe('')
  })
})

describe('a finished unit’s answer leaves as it is', () => {
  it.each<[string, (reply: FastifyReply) => unknown, number, string]>([
    ['an object', () => ({ ok: 1 }), 200, '{"ok":1}'],
    ['nothing', (reply) => void reply.code(204), 204, ''],
    ['a stream', () => Readable.from(['rows']), 200, 'rows'],
    ['a Response', () => new Response('rows', { status: 201 }), 201, 'rows'],
    ['not modified', (reply) => void reply.code(304), 304, ''],
  ])('%s', async (_, answerOf, status, body) => {
    app.get('/x', { config }, async (_request, reply) => answerOf(reply))
    const answer = await app.inject({ url: '/x', headers: bearer })
    expect([answer.statusCode, answer.body]).toEqual([status, body])
    // Fastify itself has no HEAD for a Response
    if (_ !== 'a Response')
      expect((await app.inject({ url: '/x', method: 'HEAD', headers: bearer })).statusCode).toBe(status)
    expect(log).toBe('')
  })

  it('unless a later hook fails', async () => {
    app.addHook('onSend', async () => {
      throw new Error('later')
    })
    app.get('/x', { config }, async () => ({ ok: 1 }))
    expect((await app.inject({ url: '/x', headers: bearer })).statusCode).toBe(500)
  })
})
