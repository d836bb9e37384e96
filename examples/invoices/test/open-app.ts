import fastify, { type FastifyInstance } from 'fastify'
import { answerProblems, guardPlugin } from 'holdfast/fastify'
import { openTestHoldfast } from 'holdfast/testing'
import { afterAll, afterEach } from 'vitest'
import { manifest } from '../manifest.ts'
import { routes } from '../src/routes.ts'

/** What a request to the application answered. */
export type Answer = { readonly status: number; readonly body: Record<string, string>; readonly etag: string }

/** The application under its guard, on a database of the test file's own; each test is undone. */
export async function openApp(more: (app: FastifyInstance) => void = () => undefined) {
  const test = await openTestHoldfast({
    manifest,
    migrations: new URL('../migrations/', import.meta.url),
  })
  const app = fastify()
  answerProblems(app)
  await app.register(guardPlugin, { guard: test.holdfast, origin: 'https://invoices.example.com' })
  await app.register(routes)
  more(app)

  afterEach(() => test.rollback())
  afterAll(async () => {
    await app.close()
    await test.close()
  })

  /** A new user of a tenant, who sends `GET /invoices`, or `POST /customers` with a body. */
  async function as(tenant: string, role: keyof typeof manifest.roles) {
    const { headers } = await test.asCaller({ tenant, role })
    return async (request: string, payload?: object, more: Record<string, string> = {}): Promise<Answer> => {
      const [method, url] = request.split(' ') as ['GET', string]
      const answer = await app.inject({
        method,
        url,
        headers: { ...headers, ...more },
        ...(payload === undefined ? {} : { payload }),
      })
      return {
        status: answer.statusCode,
        body: answer.body === '' ? {} : answer.json<Record<string, string>>(),
        etag: String(answer.headers['etag']),
      }
    }
  }
  return { app, test, as }
}
