import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { can } from '../../src/fastify.ts'
import { loadConfig } from '../../src/service/config.ts'
import { createService, type Service } from '../../src/service/service.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import { holdfast } from '../cli/fake-terminal.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { urlOf } from '../service/http/open-service.ts'

const directory = fileURLToPath(new URL('../../examples/invoices/', import.meta.url))
let database: TestDatabase
let service: Service
beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  expect(await holdfast(['migrate'], { HOLDFAST_MIGRATOR_URL: urlOf(database, 'migrator') }, directory)).toMatchObject({
    code: 0,
  })
  const config = await loadConfig({
    directory,
    environment: {
      DATABASE_URL: urlOf(database, 'app'),
      HOLDFAST_IDENTITY_URL: urlOf(database, 'identity'),
      HOLDFAST_KEY: randomBytes(32).toString('base64url'),
      METRICS_PORT: 'off',
      LOG_LEVEL: 'silent',
    },
  })
  const own = config.application
  if (own?.routes === undefined) throw new Error('the example has no application')
  const { routes } = own
  const careless = async (app: FastifyInstance): Promise<void> => {
    await routes(app)
    app.post<{ Body: { q: string } }>(
      '/careless',
      { config: { access: can('invoice:read') }, schema: { body: { type: 'object' } } },
      async ({ db, body }) => (await db.query(`SELECT number FROM invoices WHERE status = '${body.q}'`)).rows,
    )
  }
  service = await createService(
    { ...config, application: { ...own, routes: careless } },
    { print: () => undefined, logTo: { write: () => undefined } },
  )
})
afterAll(async () => {
  await service?.stop()
  await database.drop()
})

const password = 'a long enough passphrase'
const ask = async (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, token = '', payload?: object) => {
  const answer = await service.server.app.inject({
    method,
    url,
    ...(token === '' ? {} : { headers: { authorization: `Bearer ${token}` } }),
    ...(payload === undefined ? {} : { payload }),
  })
  return { status: answer.statusCode, body: answer.body === '' ? {} : answer.json<Record<string, string>>() }
}
/** Founds a tenant. @returns its owner's token */
async function found(slug: string): Promise<string> {
  const { out } = await holdfastToken()
  const owner = { email: `owner@${slug}.example`, password, display_name: slug }
  const made = await ask('POST', '/v1/setup', '', { token: out, tenant: { slug, name: slug }, owner })
  expect(made.status).toBe(201)
  return String((await ask('POST', '/v1/sign-in', '', { email: owner.email, password })).body['token'])
}
const holdfastToken = () =>
  holdfast(
    ['setup-token'],
    {
      DATABASE_URL: urlOf(database, 'app'),
      HOLDFAST_IDENTITY_URL: urlOf(database, 'identity'),
      HOLDFAST_KEY: randomBytes(32).toString('base64url'),
    },
    directory,
  )

it('serves ten routes to a tenant, and nothing of it to another', async () => {
  const acme = await found('acme')
  const globex = await found('globex')
  const customer = await ask('POST', '/customers', acme, { name: 'Initech', email: 'pay@initech.example' })
  expect(customer.status).toBe(201)
  const invoice = await ask('POST', '/invoices', acme, { customer_id: customer.body['id'], number: '2026-1' })
  expect(invoice).toMatchObject({ status: 201, body: { status: 'draft' } })
  const path = `/invoices/${invoice.body['id']}`
  expect((await ask('POST', `${path}/lines`, acme, { title: 'Work', cents: 5000 })).status).toBe(201)
  expect((await ask('POST', `${path}/payments`, acme, { cents: 5000, paid_on: '2026-01-31' })).status).toBe(201)
  const change = { status: 'paid', revision: 1 }
  // the other tenant, with the true ids
  expect((await ask('GET', '/customers', globex)).body).toEqual({ customers: [] })
  expect((await ask('GET', path, globex)).status).toBe(404)
  expect((await ask('GET', `${path}/lines`, globex)).body).toEqual({ lines: [] })
  expect((await ask('PATCH', path, globex, change)).status).toBe(404)
  expect((await ask('DELETE', path, globex)).status).toBe(404)
  expect((await ask('POST', `${path}/lines`, globex, { title: 'x', cents: 1 })).status).toBe(404)
  const stolen = await ask('POST', `${path}/payments`, globex, { cents: 1, paid_on: '2026-01-31' })
  expect(stolen.status).toBeGreaterThanOrEqual(400)
  expect(stolen.status).toBeLessThan(500)
  expect((await ask('GET', path)).status).toBe(401)
  // the owner
  expect(await ask('PATCH', path, acme, change)).toMatchObject({ status: 200, body: { status: 'paid' } })
  expect((await ask('PATCH', path, acme, change)).status).toBe(404)
  expect((await ask('GET', '/invoices?status=paid', acme)).body).toMatchObject({ invoices: [{ number: '2026-1' }] })
  expect((await ask('GET', '/invoices?status=draft', acme)).body).toEqual({ invoices: [] })
  expect((await ask('GET', `${path}/lines`, acme)).body).toMatchObject({ lines: [{ title: 'Work' }] })
  const other = await ask('POST', '/invoices', acme, { customer_id: customer.body['id'], number: '2026-2' })
  expect((await ask('DELETE', `/invoices/${other.body['id']}`, acme)).status).toBe(204)
})

it('a route that concatenates stays within tenant, rows, grants and what it declares', async () => {
  const [hooli, umbrella] = [await found('hooli'), await found('umbrella')]
  for (const [token, number] of [
    [hooli, 'H-1'],
    [hooli, 'H-2'],
    [umbrella, 'U-secret'],
  ] as const) {
    const customer = await ask('POST', '/customers', token, { name: number, email: `canary-${number}@x.example` })
    expect((await ask('POST', '/invoices', token, { customer_id: customer.body['id'], number })).status).toBe(201)
  }
  const [tenant] = await database.owner("SELECT id::TEXT AS id FROM holdfast.tenants WHERE slug = 'umbrella'")
  const everything = "' OR '1' = '1"
  const numbers = async (): Promise<unknown> => (await ask('POST', '/careless', hooli, { q: everything })).body
  // the injection works, and finds what its caller may see
  expect(await numbers()).toEqual(expect.arrayContaining([{ number: 'H-1' }, { number: 'H-2' }]))
  expect(await numbers()).toHaveLength(2)

  const refused = [
    "' UNION SELECT email FROM customers --",
    "' UNION SELECT email FROM app.customers --",
    "' UNION SELECT email FROM holdfast.users --",
    "' OR EXISTS (SELECT 1 FROM customers) --",
    "'; DELETE FROM invoices; --",
    "'; DELETE FROM invoices WHERE '1' = '1",
    `' UNION SELECT set_config('holdfast.tenant_id', '${String(tenant?.['id'])}', true) --`,
    `' OR pg_catalog.query_to_xml('SELECT 1', true, true, '') IS NOT NULL --`,
  ]
  for (const q of refused) {
    const { status, body } = await ask('POST', '/careless', hooli, { q })
    expect([q, status, JSON.stringify(body)]).toEqual([q, 500, expect.not.stringMatching(/canary|secret|holdfast\./)])
  }
  const confined = [
    "' UNION SELECT number FROM app.invoices WHERE '1' = '1",
    `' OR tenant_id = '${String(tenant?.['id'])}' OR '1' = '1`,
    "' OR tenant_id IS NOT NULL OR '1' = '1",
  ]
  for (const q of confined) {
    const { body } = await ask('POST', '/careless', hooli, { q })
    expect([q, JSON.stringify(body)]).toEqual([q, expect.not.stringMatching(/canary|secret/)])
  }
  expect(await numbers()).toHaveLength(2)

  // as a clerk: a colleague's row is out of reach
  await database.owner("UPDATE app.invoices SET created_by = gen_random_uuid() WHERE number = 'H-2'")
  await database.owner(
    "UPDATE holdfast.memberships SET role = 'clerk' WHERE tenant_id = (SELECT id FROM holdfast.tenants WHERE slug = 'hooli')",
  )
  expect(await numbers()).toEqual([{ number: 'H-1' }])
  expect(await database.owner("SELECT number FROM app.invoices WHERE number LIKE 'H-%' ORDER BY 1")).toHaveLength(2)
})
