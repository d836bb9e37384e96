import { expect, it } from 'vitest'
import { openApp } from './open-app.ts'

const { as, app, test } = await openApp()

/** A customer and an invoice of theirs. @returns the invoice's path */
async function write(ask: Awaited<ReturnType<typeof as>>, number: string): Promise<string> {
  const customer = await ask('POST /customers', { name: 'Initech', email: 'pay@initech.example' })
  const invoice = await ask('POST /invoices', { customer_id: customer.body['id'], number })
  expect(invoice).toMatchObject({ status: 201, body: { number, status: 'draft' } })
  return `/invoices/${invoice.body['id']}`
}

it('an invoice is written, itemized, paid', async () => {
  const owner = await as('acme', 'owner')
  const path = await write(owner, '2026-1')
  expect(await owner(`POST ${path}/lines`, { title: 'Work', cents: 5000 })).toMatchObject({ status: 201 })
  expect(await owner(`GET ${path}/lines`)).toMatchObject({ body: { lines: [{ title: 'Work', cents: '5000' }] } })
  expect(await owner(`POST ${path}/payments`, { cents: 5000, paid_on: '2026-01-31' })).toMatchObject({ status: 201 })
  const paid = await owner(`PATCH ${path}`, { status: 'paid' }, { 'if-match': '*' })
  expect(paid).toMatchObject({ status: 200, body: { status: 'paid' } })
  expect((await owner('GET /invoices?status=paid')).body).toMatchObject({ invoices: [{ number: '2026-1' }] })
  expect((await owner('GET /invoices?status=draft')).body).toEqual({ invoices: [] })
  expect((await owner(`DELETE ${path}`)).status).toBe(204)
})

it('of two changes of one revision, one is made', async () => {
  const owner = await as('acme', 'owner')
  const path = await write(owner, '2026-1')
  const { etag } = await owner(`GET ${path}`)
  const change = async (headers: Record<string, string>) =>
    (await owner(`PATCH ${path}`, { status: 'sent' }, headers)).status
  expect(await change({})).toBe(428)
  expect(await change({ 'if-match': etag })).toBe(200)
  expect(await change({ 'if-match': etag })).toBe(412)
  expect((await owner(`GET ${path}`)).etag).not.toBe(etag)
})

it('another tenant finds nothing of it, even with its id', async () => {
  const path = await write(await as('acme', 'owner'), '2026-1')
  const stranger = await as('globex', 'owner')
  expect((await stranger('GET /customers')).body).toEqual({ customers: [] })
  expect((await stranger(`GET ${path}/lines`)).body).toEqual({ lines: [] })
  expect((await stranger(`GET ${path}`)).status).toBe(404)
  expect((await stranger(`PATCH ${path}`, { status: 'paid' }, { 'if-match': '*' })).status).toBe(404)
  expect((await stranger(`DELETE ${path}`)).status).toBe(404)
  expect((await stranger(`POST ${path}/lines`, { title: 'x', cents: 1 })).status).toBe(404)
  // past both walls: it is as it was
  expect(await test.asOwner('SELECT status FROM app.invoices')).toEqual([{ status: 'draft' }])
})

it('a clerk sees their own invoices, an accountant all, and nobody none', async () => {
  const [clerk, colleague, accountant] = [
    await as('acme', 'clerk'),
    await as('acme', 'clerk'),
    await as('acme', 'accountant'),
  ]
  const path = await write(clerk, '2026-1')
  expect((await clerk(`GET ${path}`)).status).toBe(200)
  expect((await colleague(`GET ${path}`)).status).toBe(404)
  expect((await accountant(`GET ${path}`)).status).toBe(200)
  expect((await accountant(`DELETE ${path}`)).status).toBe(403)
  expect((await app.inject(path)).statusCode).toBe(401)
})
