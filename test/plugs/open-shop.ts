import { inspect } from 'node:util'
import { afterAll, beforeAll } from 'vitest'
import type { ScopedDatabase } from '../../src/index.ts'
import { openTestHoldfast, type TestCaller } from '../../src/testing.ts'
import { manifest, migrations } from './shop.ts'

/** An id that no row has. */
export const ID = '00000000-0000-0000-0000-000000000001'

/** The shop with a customer, an invoice and a line in each of two tenants; their texts name their tenant. */
export async function openShop() {
  const test = await openTestHoldfast({ manifest, migrations })
  afterAll(() => test.close())
  let owner: TestCaller
  beforeAll(async () => {
    for (const tenant of ['acme', 'globex']) {
      const { tenantId, userId } = await test.asCaller({ tenant, role: 'owner' })
      const [customer] = await test.asOwner(
        'INSERT INTO app.customers (tenant_id, created_by, name) VALUES ($1, $2, $3) RETURNING id',
        [tenantId, userId, `${tenant} Inc`],
      )
      const [invoice] = await test.asOwner(
        'INSERT INTO app.invoices (tenant_id, created_by, customer_id, number) VALUES ($1, $2, $3, $4) RETURNING id',
        [tenantId, userId, customer?.['id'], `${tenant}-1`],
      )
      await test.asOwner(
        'INSERT INTO app.lines (tenant_id, created_by, invoice_id, title, cents) VALUES ($1, $2, $3, $4, 5)',
        [tenantId, userId, invoice?.['id'], `work for ${tenant}`],
      )
    }
    owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
  })

  /** Runs a query in a unit that is undone. */
  async function answerOf(query: (db: ScopedDatabase) => PromiseLike<unknown>): Promise<string> {
    const back = await test.checkpoint()
    try {
      return inspect(await owner.unit(async (db) => query(db)), { depth: 10, breakLength: Infinity, compact: true })
    } finally {
      await back()
    }
  }
  return { test, answerOf, caller: () => owner }
}
