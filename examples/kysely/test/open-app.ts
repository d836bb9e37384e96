import fastify from 'fastify'
import { answerProblems, guardPlugin } from 'holdfast/fastify'
import { openTestHoldfast } from 'holdfast/testing'
import { afterAll, afterEach } from 'vitest'
import { manifest } from '../manifest.ts'
import { routes } from '../src/routes.ts'

/** The application under its guard, on a database of the test file's own; each test is undone. */
export async function openApp() {
  const test = await openTestHoldfast({ manifest, migrations: new URL('../migrations/', import.meta.url) })
  const app = fastify()
  answerProblems(app)
  await app.register(guardPlugin, { guard: test.holdfast, origin: 'https://kysely.example.com' })
  await app.register(routes)

  afterEach(() => test.rollback())
  afterAll(async () => {
    await app.close()
    await test.close()
  })

  /** A new user of a tenant, who sends `GET /…`, or `POST /…` with a body. */
  async function as(tenant: string, role: keyof typeof manifest.roles) {
    const { headers } = await test.asCaller({ tenant, role })
    return async <Body = Record<string, string>>(request: string, payload?: object) => {
      const [method, url] = request.split(' ') as ['GET', string]
      const answer = await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) })
      return { status: answer.statusCode, body: (answer.body === '' ? {} : answer.json()) as Body }
    }
  }
  return { app, test, as }
}
