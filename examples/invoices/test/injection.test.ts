import { expect, it } from 'vitest'
import { can } from '../manifest.ts'
import { openApp } from './open-app.ts'

// A route with the classic mistake (CWE-89), planted here to see how far it gets.
const { as, test } = await openApp((app) =>
  app.post<{ Body: { q: string } }>(
    '/careless',
    { config: { access: can('invoice:read') }, schema: { body: { type: 'object' } } },
    async ({ db, body }) => (await db.query(`SELECT number FROM invoices WHERE status = '${body.q}'`)).rows,
  ),
)

/** A tenant with an invoice of a clerk's and one of the owner's. */
async function seed(tenant: string) {
  const [owner, clerk] = [await as(tenant, 'owner'), await as(tenant, 'clerk')]
  for (const [ask, number] of [
    [owner, `${tenant}-1`],
    [clerk, `${tenant}-2`],
  ] as const) {
    const customer = await ask('POST /customers', { name: number, email: `${number}@example.com` })
    expect((await ask('POST /invoices', { customer_id: customer.body['id'], number })).status).toBe(201)
  }
  return { owner, clerk }
}

const everything = "' OR '1' = '1"

it('an injection finds what its caller may see anyway', async () => {
  const { owner, clerk } = await seed('acme')
  await seed('globex')
  const found = (await owner('POST /careless', { q: everything })).body
  expect(found).toHaveLength(2)
  expect(found).toEqual(expect.arrayContaining([{ number: 'acme-1' }, { number: 'acme-2' }]))
  expect((await clerk('POST /careless', { q: everything })).body).toEqual([{ number: 'acme-2' }])
})

it.each([
  "' UNION SELECT number FROM app.invoices WHERE '1' = '1",
  "' OR tenant_id <> '00000000-0000-0000-0000-000000000000' OR '1' = '1",
  "' OR tenant_id IS NOT NULL OR '1' = '1",
])('%s stays within the tenant', async (q) => {
  const { owner } = await seed('acme')
  await seed('globex')
  const { status, body } = await owner('POST /careless', { q })
  expect([status, JSON.stringify(body)]).toEqual([200, expect.not.stringContaining('globex')])
})

it.each([
  // another table than the route declares, in the same tenant
  "' UNION SELECT email FROM customers --",
  "' OR EXISTS (SELECT 1 FROM customers) --",
  "' UNION SELECT email FROM holdfast.users --",
  // another deed
  "'; DELETE FROM invoices; --",
  "'; DELETE FROM invoices WHERE '1' = '1",
  // another tenant
  "' UNION SELECT set_config('holdfast.tenant_id', '00000000-0000-0000-0000-000000000000', true) --",
  "' OR pg_catalog.query_to_xml('SELECT 1', true, true, '') IS NOT NULL --",
])('%s is refused before it is sent', async (q) => {
  const { owner } = await seed('acme')
  const answer = await owner('POST /careless', { q })
  expect(answer).toMatchObject({ status: 500, body: { code: 'internal_error' } })
  expect(JSON.stringify(answer.body)).not.toMatch(/example\.com|holdfast\./)
  expect(await test.asOwner('SELECT number FROM app.invoices')).toHaveLength(2)
})
