import { beforeAll, expect, it } from 'vitest'
import { createScope, loadKernel, type Scope } from '../../../src/core/scope/scope.ts'
import { outcomeOf, refusalOf, shop } from './shop.ts'

let scope: Scope

beforeAll(async () => {
  await loadKernel()
  scope = createScope({ manifest: shop, dialect: 'postgresql' })
})

it.each([
  ['SELECT o.id, o.title FROM orders o GROUP BY o.id', 'add o.title to GROUP BY'],
  ['SELECT id, title FROM orders GROUP BY id', 'add title to GROUP BY'],
  ['SELECT * FROM orders GROUP BY id', 'add tenant_id to GROUP BY'],
  ['SELECT o.* FROM orders o GROUP BY o.id', 'add o.tenant_id to GROUP BY'],
  ['SELECT count(*), to_json(o) FROM orders o GROUP BY o.id', 'add o.tenant_id to GROUP BY'],
  ['SELECT id FROM orders GROUP BY id ORDER BY title', 'add title to GROUP BY'],
  ['SELECT id FROM orders GROUP BY id HAVING upper(title) > $1', 'add title to GROUP BY'],
  ['SELECT count(*), upper(title) FROM orders GROUP BY id', 'add title to GROUP BY'],
  ['SELECT 1 WHERE EXISTS (SELECT o.title FROM orders o GROUP BY o.id)', 'add o.title to GROUP BY'],
  [
    'SELECT o.title, sum(l.amount) FROM orders o JOIN lines l ON l.order_id = o.id GROUP BY o.id',
    'add o.title to GROUP BY',
  ],
  ['SELECT rank() OVER (ORDER BY o.title) FROM orders o GROUP BY o.id', 'add o.title to GROUP BY'],
])('says before the database does that a column is not grouped: %s', (text, hint) => {
  const refusal = refusalOf(scope, text)
  expect(refusal.code).toBe('grouping_incomplete')
  expect(refusal.hint).toBe(hint)
  expect(text.slice(refusal.position)).toMatch(/^(?:o\.)?(?:title|\*|o\))/)
})

it.each([
  'SELECT o.id, o.title FROM orders o GROUP BY o.id, o.title',
  'SELECT o.id, title FROM orders o GROUP BY id, o.title',
  'SELECT title, count(*) FROM orders GROUP BY 1',
  'SELECT upper(title) AS t, count(*) FROM orders GROUP BY t',
  'SELECT upper(o.title) FROM orders o GROUP BY upper(title)',
  'SELECT lower(upper(title)) FROM orders GROUP BY pg_catalog.upper(title)',
  'SELECT date_trunc(\'day\', o."createdAt")::date FROM orders o GROUP BY date_trunc(\'day\', "createdAt")',
  'SELECT title, state, GROUPING(title, state), count(*) FROM orders GROUP BY GROUPING SETS ((title, state), (title), ())',
  'SELECT title, state FROM orders GROUP BY CUBE (title, state)',
  'SELECT title, max(state), count(*) FILTER (WHERE state > $1), string_agg(state, $2 ORDER BY id) FROM orders GROUP BY title',
  'SELECT title AS state FROM orders GROUP BY title ORDER BY state',
  'SELECT title, count(*) FROM orders GROUP BY title ORDER BY count(*) DESC, 1',
  'SELECT title, rank() OVER (ORDER BY count(*)) FROM orders GROUP BY title',
  'SELECT x.title, x.other FROM (SELECT title, state AS other FROM orders) x GROUP BY x.title, x.other',
  'SELECT title FROM orders o, (SELECT 1 AS title2) x GROUP BY title',
  'SELECT (SELECT o.title FROM units LIMIT 1) FROM orders o GROUP BY o.title',
  'WITH q AS (SELECT id, title FROM orders) SELECT id FROM q GROUP BY id',
  'SELECT j.title FROM (orders o CROSS JOIN units u) AS j GROUP BY j.id',
  'SELECT title, app.twice(count(*)::int) FROM orders GROUP BY title',
])('lets through what the database takes: %s', (text) => {
  expect(outcomeOf(scope, text)).toMatch(/^(?:SELECT|WITH)/)
})
