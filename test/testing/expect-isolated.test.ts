import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { Row } from '../../src/index.ts'
import { answerProblems, can, guardPlugin, HttpProblem, open, param, sql } from '../../src/fastify.ts'
import { expectIsolated, IsolationError, openTestHoldfast, type TestHoldfast } from '../../src/testing.ts'
import { invoices } from './invoices.ts'

let test: TestHoldfast
beforeAll(async () => {
  test = await openTestHoldfast(invoices)
})
afterEach(() => test.rollback())
afterAll(() => test.close())

const invoice = {
  type: 'object',
  required: ['title', 'total'],
  properties: { title: { type: 'string' }, total: { type: 'integer' } },
}

async function build(extend: (app: FastifyInstance) => void = () => undefined): Promise<FastifyInstance> {
  const app = fastify()
  answerProblems(app)
  await app.register(guardPlugin, { guard: test.holdfast, origin: 'http://localhost' })
  const first = sql`SELECT id, title, total FROM invoices WHERE id = ${param('id')}`
  app.get('/health', { config: { access: open('health probe') } }, async () => ({ ok: true }))
  app.get('/invoices', { config: { access: can('invoice:read') } }, async (request) => {
    return (await request.db.last('SELECT id, title FROM invoices ORDER BY id')).rows
  })
  app.get('/invoices/:id', { config: { access: can('invoice:read'), first } }, async (request) => {
    if (request.first.rows[0] === undefined) throw new HttpProblem('not_found')
    return request.first.rows[0]
  })
  app.get('/totals', { config: { access: can('invoice:read') } }, async (request) => {
    return (await request.db.last('SELECT count(*) AS count, sum(total) AS total FROM invoices')).rows
  })
  app.post(
    '/invoices',
    { config: { access: can('invoice:create') }, schema: { body: invoice } },
    async (request, reply) => {
      const { title, total } = request.body as { title: string; total: number }
      await request.db.last(
        sql`INSERT INTO invoices (title, total, created_by) VALUES (${title}, ${total}, ${request.caller.userId})`,
      )
      reply.code(201)
      return null
    },
  )
  app.patch(
    '/invoices/:id',
    { config: { access: can('invoice:read', 'invoice:update') }, schema: { body: invoice } },
    async (request) => {
      const { title } = request.body as { title: string }
      const { id } = request.params as { id: string }
      const { rowCount } = await request.db.last(sql`UPDATE invoices SET title = ${title} WHERE id = ${id}`)
      if (rowCount === 0) throw new HttpProblem('not_found')
      return null
    },
  )
  app.get('/invoices/:id/lines/:line_id', { config: { access: can('line:read') } }, async (request) => {
    const { id, line_id: line } = request.params as Record<string, string>
    const { rows } = await request.db.last(sql`SELECT note FROM lines WHERE invoice_id = ${id} AND id = ${line}`)
    if (rows[0] === undefined) throw new HttpProblem('not_found')
    return rows[0]
  })
  app.delete('/lines/:id', { config: { access: can('line:read', 'line:delete') } }, async (request) => {
    const { id } = request.params as { id: string }
    const { rowCount } = await request.db.last(sql`DELETE FROM lines WHERE id = ${id}`)
    if (rowCount === 0) throw new HttpProblem('not_found')
    return null
  })
  app.get('/remarks', { config: { access: can('remark:read') } }, async (request) => {
    return (await request.db.last('SELECT "itsText" FROM "Remarks" ORDER BY id')).rows
  })
  extend(app)
  return app
}

async function findingsOf(extend: (app: FastifyInstance) => void): Promise<string> {
  const error = await expectIsolated(await build(extend), { test }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(IsolationError)
  return (error as IsolationError).findings.map(({ route, actor, came }) => `${route} | ${actor} | ${came}`).join('\n')
}

it('passes an application that is isolated, quickly, and leaves nothing', async () => {
  const start = performance.now()
  const { requests } = await expectIsolated(await build(), { test })
  expect(requests).toBeGreaterThan(8 * 2 * 4)
  expect(performance.now() - start).toBeLessThan(8_000)
  expect(await test.asOwner('SELECT 1 FROM holdfast.tenants')).toEqual([])
})

it('catches a route that reads past the guard: rows, sums, and whether a row is there', async () => {
  const found = await findingsOf((app) => {
    // as with a pool of the owner's: no wall is in the way
    const past = (text: string) => async (request: FastifyRequest) => {
      const { id = null } = request.params as { id?: string }
      read.set(request, await test.asOwner(text, [id]))
    }
    const config = { access: can('invoice:read') }
    app.get(
      '/leak',
      { config, preHandler: past('SELECT title FROM app.invoices WHERE $1::UUID IS NULL') },
      async (request) => read.get(request),
    )
    app.get(
      '/sum',
      { config, preHandler: past('SELECT sum(total) FROM app.invoices WHERE $1::UUID IS NULL') },
      async (request) => read.get(request),
    )
    app.get(
      '/oracle/invoices/:id',
      { config, preHandler: past('SELECT tenant_id FROM app.invoices WHERE id = $1') },
      async (request) => {
        const [row] = read.get(request) ?? []
        if (row === undefined) throw new HttpProblem('not_found')
        if (row['tenant_id'] !== request.caller.tenantId) throw new HttpProblem('forbidden')
        return null
      },
    )
  })
  expect(found).toMatch(/GET \/leak \| owner, own ids \| 200 with "hf/)
  expect(found).toMatch(/GET \/sum \| owner, own ids \| 200 with another body/)
  expect(found).toMatch(/GET \/oracle\/invoices\/:id \| owner, ids of the other \| 403, and 404 without them/)
  expect(found).not.toMatch(/GET \/invoices/)
})

it('catches a route that writes into the other tenant, one that is open by mistake, and a fault', async () => {
  const found = await findingsOf((app) => {
    app.get('/open', { config: { access: open('a public price list') } }, async () =>
      test.asOwner('SELECT title FROM app.invoices'),
    )
    app.delete('/invoices/:id', { config: { access: open('wrongly open route') } }, async (request) => {
      await test.asOwner('DELETE FROM app.invoices WHERE id = $1', [(request.params as { id: string }).id])
      return null
    })
    app.get('/fault', { config: { access: open('answers anybody') } }, async () => {
      throw new Error('planted')
    })
  })
  expect(found).toMatch(/GET \/open \| nobody, own ids \| 200 with "hf/)
  expect(found).toMatch(/DELETE \/invoices\/:id \| clerk, ids of the other \| 200, and - app.invoices/)
  expect(found).toMatch(/GET \/fault \| nobody, own ids \| 500/)
})

it('catches what answers a role that may not, and a route that nothing fits', async () => {
  const found = await findingsOf((app) => {
    app.get(
      '/early',
      {
        config: { access: can('line:read') },
        preHandler: async (_request, reply) => {
          reply.hijack()
          reply.raw.end('early')
        },
      },
      async () => null,
    )
    app.post(
      '/hasty',
      {
        config: { access: can('line:create') },
        preHandler: async () => {
          await test.asOwner("INSERT INTO holdfast.tenants (slug, name) VALUES ('hasty', 'x')")
        },
      },
      async () => null,
    )
    app.get('/nothing', { config: { access: can('invoice:read') } }, async () => [])
    app.get('/codes/:code', { config: { access: can('invoice:read') } }, async () => null)
  })
  expect(found).toMatch(/GET \/early \| clerk, own ids \| 200/)
  expect(found).not.toMatch(/GET \/early \| nobody/)
  expect(found).toMatch(/GET \/nothing \| whoever may \| inconclusive: its answers are the same/)
  expect(found).toMatch(/POST \/hasty \| clerk, own ids \| 403, and \+ holdfast.tenants/)
  expect(found).toMatch(/GET \/codes\/:code \| whoever may \| inconclusive: no value is known for ":code"/)
})

const read = new WeakMap<FastifyRequest, Row[]>()
