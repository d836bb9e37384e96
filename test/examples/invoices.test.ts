import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
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
  service = await createService(config, { print: () => undefined, logTo: { write: () => undefined } })
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
