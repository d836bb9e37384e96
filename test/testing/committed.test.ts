import { afterAll, beforeAll, expect, it } from 'vitest'
import { sql } from '../../src/fastify.ts'
import { createPool } from '../../src/index.ts'
import { openTestHoldfast, type TestHoldfast } from '../../src/testing.ts'
import { invoices } from './invoices.ts'

let test: TestHoldfast
beforeAll(async () => {
  test = await openTestHoldfast({ ...invoices, isolation: 'database' })
})
afterAll(() => test.close())

it('has real connections: units overlap, collide and are run again; a rollback leaves nothing', async () => {
  const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
  const [who] = (await test.pool.transaction((each) => each.query({ name: '', text: 'SELECT current_user AS name' })))
    .rows
  expect(who).toEqual({ name: 'holdfast_app' })
  let runs = 0
  let arrived = 0
  let open = (): void => undefined
  const both = new Promise<void>((resolve) => {
    open = resolve
  })
  const race = () =>
    owner.unit(async (db) => {
      runs++
      await db.query('SELECT count(*) FROM invoices')
      if (++arrived === 2) open()
      await both
      await db.query(sql`INSERT INTO invoices (title, total, created_by) VALUES ('x', 1, ${owner.userId})`)
    })
  await Promise.all([race(), race()])
  expect(runs).toBe(3)
  const other = await createPool({ connection: test.address, size: 1, applicationName: 'other' })
  const seen = await other.transaction((each) => each.query({ name: '', text: 'SELECT title FROM app.invoices' }))
  expect(seen.rows).toHaveLength(2)
  await other.close()
  await test.rollback()
  expect(await test.asOwner('SELECT 1 FROM app.invoices')).toEqual([])
  expect(await test.asOwner('SELECT 1 FROM holdfast.users')).toEqual([])
  const again = await test.asCaller({ tenant: 'acme', role: 'owner' })
  expect(await again.unit(async () => 1)).toBe(1)
})
