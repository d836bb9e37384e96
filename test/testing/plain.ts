import assert from 'node:assert/strict'
import { after, it } from 'node:test'
import { openTestHoldfast } from '../../src/testing.ts'
import { invoices } from './invoices.ts'

// Run by node-test.test.ts under node:test. It closes nothing on purpose: no process may stay for that.
const test = await openTestHoldfast(invoices)
after(() => console.log(`pid ${process.pid}`))

void it('has a caller whose units work', async () => {
  const clerk = await test.asCaller({ tenant: 'acme', role: 'clerk' })
  const { rows } = await clerk.unit((db) => db.query('SELECT id FROM invoices'))
  assert.deepEqual(rows, [])
})
