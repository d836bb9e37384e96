import { beforeAll, expect, it } from 'vitest'
import { parseManifest } from '../../../src/core/scope/manifest.ts'
import { createScope, loadKernel, type Scope } from '../../../src/core/scope/scope.ts'
import { outcomeOf, shop } from './shop.ts'

let scope: Scope

beforeAll(async () => {
  await loadKernel()
  scope = createScope({ manifest: shop, dialect: 'postgresql' })
})

it.each([
  ['SELECT margin FROM orders'],
  ['SELECT o.margin FROM orders o'],
  ['SELECT title FROM orders WHERE margin > 1'],
  ['SELECT title FROM orders ORDER BY margin'],
  ['UPDATE orders SET margin = 1'],
  ["UPDATE orders SET title = 'x' RETURNING margin"],
  ["UPDATE orders SET title = 'x' WHERE margin > 1"],
  ['UPDATE orders SET title = (SELECT orders.margin::text)'],
  ['DELETE FROM orders WHERE margin IS NULL'],
  ["INSERT INTO orders (title, margin) VALUES ('x', 1)"],
  ["INSERT INTO orders (title) VALUES ('x') ON CONFLICT (margin) DO NOTHING"],
  ["INSERT INTO orders (title) VALUES ('x') ON CONFLICT (id) DO UPDATE SET title = excluded.margin::text"],
])('a hidden column is out of reach of its role: %s', (text) => {
  expect(outcomeOf(scope, text, undefined, 'clerk')).toMatch(/^column_unknown/)
  expect(outcomeOf(scope, text)).toMatch(/^(?:SELECT|UPDATE|DELETE|INSERT)/)
})

it('a star shows what the role sees', () => {
  for (const text of ['SELECT * FROM orders', 'DELETE FROM orders RETURNING *', 'SELECT o FROM orders o']) {
    expect(outcomeOf(scope, text)).toContain('"margin"')
    expect(outcomeOf(scope, text, undefined, 'clerk')).not.toContain('margin')
  }
})

it.each([
  ["UPDATE orders SET state = 'paid'", 'column_read_only at state'],
  ["UPDATE orders SET (title, state) = ('x', 'paid')", 'column_read_only at state'],
  ["INSERT INTO orders (state) VALUES ('paid')", 'column_read_only at state'],
  ["INSERT INTO orders (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET state = 'paid'", 'column_read_only at state'],
  ["WITH w AS (UPDATE orders SET state = 'paid' RETURNING id) SELECT * FROM w", 'column_read_only at state'],
])('a read-only column is not assigned by its role: %s', (text, refusal) => {
  expect(outcomeOf(scope, text, undefined, 'clerk').startsWith(refusal)).toBe(true)
  expect(outcomeOf(scope, text)).not.toContain('column_read_only')
})

it('a column that is read-only to all is read by all', () => {
  for (const role of ['admin', 'clerk']) {
    expect(outcomeOf(scope, 'SELECT "createdAt" FROM orders', undefined, role)).toMatch(/^SELECT "createdAt"/)
    expect(outcomeOf(scope, 'UPDATE orders SET "createdAt" = NULL', undefined, role)).toMatch(/^column_read_only/)
  }
})

it.each(['auditor', 'toString', '__proto__', ''])('a role that is unknown sees what no role is denied: %j', (role) => {
  expect(outcomeOf(scope, 'SELECT * FROM orders', undefined, role)).not.toContain('margin')
  expect(outcomeOf(scope, "UPDATE orders SET state = 'paid'", undefined, role)).toMatch(/^column_read_only/)
})

it('one text has its own final text for each role, however often it comes', () => {
  const seen = ['admin', 'clerk', 'admin', 'clerk'].map((role) =>
    outcomeOf(scope, 'SELECT * FROM orders', undefined, role),
  )
  expect(seen[0]).toBe(seen[2])
  expect(seen[1]).toBe(seen[3])
  expect(seen[0]).not.toBe(seen[1])
})

it('without columns by role all roles share what is remembered', () => {
  const plain = createScope({
    manifest: parseManifest({
      tables: [
        {
          schema: 'app',
          name: 'orders',
          resource: 'order',
          tenant: 'id',
          columns: { id: { type: 'uuid' }, made: { type: 'text', readOnly: true } },
        },
      ],
      roles: { admin: [], clerk: [] },
    }),
    dialect: 'postgresql',
  })
  const grants = new Map([['order:read', 'tenant' as const]])
  expect(plain.scope('SELECT * FROM orders', grants, 'admin')).toBe(
    plain.scope('SELECT * FROM orders', grants, 'other'),
  )
})
