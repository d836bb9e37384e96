import fastify from 'fastify'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { manifest } from '../../examples/invoices/manifest.ts'
import { routes } from '../../examples/invoices/src/routes.ts'
import { answerProblems, guardPlugin } from '../../src/fastify.ts'
import { expectIsolated, openTestHoldfast, type TestHoldfast } from '../../src/testing.ts'

let test: TestHoldfast
beforeAll(async () => {
  test = await openTestHoldfast({
    manifest,
    migrations: new URL('../../examples/invoices/migrations/', import.meta.url),
  })
})
afterAll(() => test.close())

it('the example is isolated: two tenants, all roles, all routes', async () => {
  const app = fastify()
  answerProblems(app)
  await app.register(guardPlugin, { guard: test.holdfast, origin: 'https://app.example.com' })
  await app.register(routes)
  await app.ready()
  expect(
    await expectIsolated(app, {
      test,
      samples: { 'POST /invoices/:id/payments': { body: { cents: 100, paid_on: '2026-01-31' } } },
    }).then(() => 'isolated'),
  ).toBe('isolated')
  await app.close()
})
