import { beforeAll, describe, expect, it } from 'vitest'
import { parseGrants } from '../../../src/core/scope/grants.ts'
import { createScope, loadKernel, type Scope } from '../../../src/core/scope/scope.ts'
import { outcomeOf, ownOnly, refusalOf, shop, whole } from './shop.ts'

let scope: Scope

beforeAll(async () => {
  await loadKernel()
  scope = createScope({ manifest: shop, dialect: 'postgresql' })
})

describe('a child through its parent', () => {
  const own = `"orders"."id" OPERATOR(pg_catalog.=)`

  it('is read through a leaf that its parent confines', () => {
    expect(outcomeOf(scope, 'SELECT amount FROM lines')).toBe(
      `SELECT amount FROM (SELECT "lines"."id", "lines"."order_id", "lines"."amount" FROM "app"."lines" WHERE EXISTS (SELECT 1 FROM "app"."orders" WHERE ${own} "lines"."order_id" AND "orders"."tenant_id" OPERATOR(pg_catalog.=) $1::uuid)) AS "lines"`,
    )
    expect(outcomeOf(scope, 'SELECT amount FROM lines', ownOnly)).toContain(
      ' AND "orders"."tenant_id" OPERATOR(pg_catalog.=) $1::uuid AND "orders"."owner_id" OPERATOR(pg_catalog.=) $2::uuid)) AS "lines"',
    )
  })

  it('is changed where its parent is the tenant’s', () => {
    expect(outcomeOf(scope, 'UPDATE lines AS l SET amount = 2 WHERE id = $1 OR true')).toBe(
      `UPDATE "app"."lines" AS l SET amount = 2 WHERE EXISTS (SELECT 1 FROM "app"."orders" WHERE ${own} "l"."order_id" AND "orders"."tenant_id" OPERATOR(pg_catalog.=) $2::uuid) AND ( id = $1 OR true)`,
    )
    expect(outcomeOf(scope, 'DELETE FROM lines')).toMatch(/^DELETE FROM "app"\."lines" AS "lines" WHERE EXISTS \(/)
  })

  it.each([
    'INSERT INTO lines (order_id, amount) SELECT p.id, $2 FROM orders p WHERE p.id = $1',
    'INSERT INTO lines (order_id, amount) SELECT id, 1 FROM orders WHERE id = $1',
    'INSERT INTO lines (amount, order_id) SELECT 1, id FROM app.orders AS "o" GROUP BY id',
    'INSERT INTO lines (amount, order_id) SELECT v.n, orders.id FROM app.orders, (VALUES (1), (2)) v(n) WHERE orders.id = $1',
    'INSERT INTO lines (order_id, amount) SELECT p.id, 1 FROM orders p UNION ALL SELECT q.id, 2 FROM units u RIGHT JOIN orders q ON true RETURNING *',
  ])('is inserted under a parent that is read: %s', (text) => {
    for (const grants of [whole, ownOnly]) expect(outcomeOf(scope, text, grants)).toMatch(/^INSERT INTO "app"\."lines"/)
  })

  it.each([
    'INSERT INTO lines (order_id, amount) VALUES ($1, $2)',
    'INSERT INTO lines (amount) SELECT 1 FROM orders p',
    'INSERT INTO lines DEFAULT VALUES',
    'INSERT INTO lines (order_id) SELECT $1 FROM orders p',
    'INSERT INTO lines (order_id) SELECT p.owner_id FROM orders p',
    'INSERT INTO lines (order_id) SELECT id FROM orders p, units u',
    'INSERT INTO lines (order_id) SELECT id FROM units',
    'INSERT INTO lines (order_id) SELECT id FROM (SELECT $1::uuid AS id) p',
    'INSERT INTO lines (order_id) SELECT owner_id FROM orders',
    'INSERT INTO lines (order_id) SELECT p.id FROM orders AS p(tenant_id, id)',
    'INSERT INTO lines (order_id) SELECT u.id FROM units u',
    'INSERT INTO lines (order_id) SELECT p.id FROM (SELECT $1::uuid AS id) p, orders o',
    'INSERT INTO lines (order_id) SELECT p.id FROM orders p UNION SELECT u.id FROM units u',
    'INSERT INTO lines (order_id) SELECT p.id FROM units u LEFT JOIN orders p ON false',
    'INSERT INTO lines (order_id) SELECT p.id FROM (orders p CROSS JOIN units u) FULL JOIN units v ON false',
    'INSERT INTO lines (order_id) SELECT p.id FROM orders p GROUP BY ROLLUP (p.id)',
    'INSERT INTO lines (order_id) SELECT p.id FROM (orders p CROSS JOIN units u) AS j, (SELECT $1::uuid AS id) AS p',
    'INSERT INTO lines (amount, order_id) SELECT u.*, p.id FROM orders p, (SELECT 1) u',
    'WITH p AS (SELECT $1::uuid AS id) INSERT INTO lines (order_id) SELECT p.id FROM p',
    'UPDATE lines SET order_id = $1',
    'INSERT INTO lines (order_id) SELECT p.id FROM orders p ON CONFLICT (id) DO UPDATE SET order_id = excluded.order_id',
  ])('never hangs on what the caller says: %s', (text) => {
    expect(refusalOf(scope, text).code).toBe('link_not_assignable')
  })

  it('of one’s own hangs on a parent of one’s own', () => {
    const grants = parseGrants(['line:create@own', 'order:read'])
    expect(refusalOf(scope, 'INSERT INTO lines (order_id) SELECT p.id FROM orders p', grants).code).toBe(
      'grant_missing',
    )
  })

  it('has no alias that is its parent’s name', () => {
    expect(outcomeOf(scope, 'DELETE FROM lines AS orders')).toMatch(/^relation_not_accepted/)
  })

  it('is locked with its own grants', () => {
    expect(outcomeOf(scope, 'SELECT * FROM lines FOR UPDATE', parseGrants(['line:read']))).toMatch(/^grant_missing/)
    expect(outcomeOf(scope, 'SELECT * FROM lines FOR UPDATE')).toMatch(/FOR UPDATE$/)
  })
})

describe('WITH queries that write', () => {
  it.each([
    [
      'WITH gone AS (DELETE FROM orders WHERE id = $1 RETURNING *) SELECT count(*) FROM gone',
      /^WITH gone AS \(DELETE FROM "app"\."orders" AS "orders" WHERE "orders"\."tenant_id" OPERATOR\(pg_catalog\.=\) \$2::uuid AND \( id = \$1\) RETURNING .*"createdAt"\) SELECT count/,
    ],
    [
      "WITH new AS (INSERT INTO orders (title) VALUES ('a'), ('b') RETURNING id) INSERT INTO orders (title) SELECT 'c' FROM new",
      /VALUES \(\$1::uuid, 'a'\), \(\$1::uuid, 'b'\) RETURNING id\) INSERT INTO "app"\."orders" \("tenant_id", title\) SELECT \$1::uuid, 'c'/,
    ],
    [
      "WITH a AS (UPDATE orders SET title = 'x' RETURNING id), b AS (DELETE FROM lines) UPDATE orders SET title = 'y' FROM a WHERE a.id <> orders.id",
      /DELETE FROM "app"\."lines" AS "lines" WHERE EXISTS \(.*\)\) UPDATE "app"\."orders" AS "orders" SET/,
    ],
    [
      'WITH d AS (INSERT INTO orders DEFAULT VALUES RETURNING id) SELECT id FROM d',
      /^WITH d AS \(INSERT INTO "app"\."orders" \("tenant_id"\) VALUES \(\$1::uuid\) RETURNING id\) SELECT/,
    ],
  ])('are each scoped: %s', (text, final) => {
    expect(outcomeOf(scope, text)).toMatch(final)
  })

  it('need the grants of each', () => {
    const text = 'WITH gone AS (DELETE FROM orders) SELECT label FROM units'
    expect(outcomeOf(scope, text, parseGrants(['unit:read']))).toMatch(/^grant_missing/)
    expect(outcomeOf(scope, text, parseGrants(['unit:read', 'order:delete']))).toMatch(/^WITH/)
    const told = 'WITH gone AS (DELETE FROM orders RETURNING 1) SELECT label FROM units'
    expect(outcomeOf(scope, told, parseGrants(['unit:read', 'order:delete']))).toMatch(/^grant_missing/)
  })

  it('are no read-only statement', () => {
    const scoped = scope.scope('WITH gone AS (DELETE FROM orders) SELECT label FROM units', whole, 'admin')
    expect(scoped).toMatchObject({ verb: 'select', writes: true, readOnly: false })
  })

  it.each([
    'SELECT * FROM (WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x) y',
    'WITH y AS (WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x) SELECT * FROM y',
    'INSERT INTO orders (title) WITH x AS (DELETE FROM orders RETURNING title) SELECT title FROM x',
    '(WITH x AS (DELETE FROM orders RETURNING id) SELECT id FROM x) UNION SELECT id FROM units',
    'WITH x AS (MERGE INTO orders o USING units u ON true WHEN MATCHED THEN DELETE RETURNING o.id) SELECT 1',
  ])('stand at the front of the statement alone: %s', (text) => {
    expect(outcomeOf(scope, text)).toMatch(/^construct_not_accepted/)
  })
})

describe('DEFAULT, as object-relational mappers write it for each column', () => {
  it('is the tenant and the owner that Holdfast sets', () => {
    const text =
      'INSERT INTO orders (id, tenant_id, owner_id, title) VALUES (default, DEFAULT, default, $1), (DEFAULT, $2, $3, $4)'
    expect(outcomeOf(scope, text, ownOnly)).toMatch(
      /VALUES \(default, \$5::uuid, \$6::uuid, \$1\), \(DEFAULT, \$2::uuid, \$3::uuid, \$4\)$/,
    )
    expect(outcomeOf(scope, text)).toMatch(/VALUES \(default, \$5::uuid, default, \$1\)/)
  })

  it('assigns nothing to a read-only column, if each row says so', () => {
    const insert = 'INSERT INTO orders (title, "createdAt") VALUES'
    expect(outcomeOf(scope, `${insert} ($1, default), ($2, DEFAULT)`)).toMatch(/^INSERT/)
    expect(outcomeOf(scope, `${insert} ($1, default), ($2, now())`)).toMatch(/^column_read_only/)
    expect(outcomeOf(scope, 'UPDATE orders SET "createdAt" = DEFAULT')).toMatch(/^column_read_only/)
    expect(outcomeOf(scope, 'INSERT INTO orders (title, state) SELECT u.*, $1 FROM (SELECT $2) u')).toMatch(/^INSERT/)
    expect(outcomeOf(scope, 'INSERT INTO lines (order_id) VALUES (DEFAULT)')).toMatch(/^link_not_assignable/)
  })
})

describe('views', () => {
  it('are read like tables', () => {
    expect(outcomeOf(scope, 'SELECT title FROM open_orders')).toContain(
      'FROM "app"."open_orders" WHERE "open_orders"."tenant_id"',
    )
  })

  it.each([
    'DELETE FROM open_orders',
    "UPDATE open_orders SET title = 'x'",
    "INSERT INTO open_orders (title) VALUES ('x')",
    'SELECT * FROM open_orders FOR SHARE',
    'WITH x AS (DELETE FROM open_orders RETURNING 1) SELECT 1',
  ])('are neither written nor locked: %s', (text) => {
    expect(outcomeOf(scope, text)).toMatch(/^relation_view/)
  })
})

describe('functions and types of the application', () => {
  it('are named with their schema', () => {
    const text = "SELECT app.twice(1), 'x'::app.state, ARRAY['x']::app.state[]"
    expect(outcomeOf(scope, text)).toBe(text)
    for (const other of [
      'SELECT twice(1)',
      'SELECT app.other(1)',
      'SELECT pg_catalog.twice(1)',
      'SELECT x.app.twice(1)',
    ]) {
      expect(outcomeOf(scope, other)).toMatch(/^function_not_accepted/)
    }
    for (const other of ["SELECT 'x'::state", "SELECT 'x'::app.orders", "SELECT 'x'::other.state"]) {
      expect(outcomeOf(scope, other)).toMatch(/^type_not_accepted/)
    }
  })

  it('need read of the whole tenant for what they read', () => {
    expect(outcomeOf(scope, 'SELECT app.turnover()')).toBe('SELECT app.turnover()')
    expect(outcomeOf(scope, 'SELECT app.turnover()', ownOnly)).toMatch(/^grant_missing/)
    expect(outcomeOf(scope, 'SELECT app.turnover()', parseGrants([]))).toMatch(/^grant_missing/)
  })
})

describe('names with a schema', () => {
  it('keep their meaning', () => {
    expect(
      outcomeOf(scope, 'SELECT app.orders.title, app . orders . * FROM app.orders WHERE app.orders.id = $1'),
    ).toMatch(/^SELECT orders\.title, orders \. \* FROM \(.*\) AS "orders" WHERE orders\.id = \$1$/)
    expect(outcomeOf(scope, 'DELETE FROM app.orders RETURNING app.orders.*, app.orders.id')).toMatch(
      /RETURNING "orders"\."id", .*"orders"\."createdAt", orders\.id$/,
    )
  })

  it.each([
    'SELECT other.orders.id FROM orders',
    'SELECT app.orders.id FROM app.orders o, units orders',
    'SELECT db.app.orders.id FROM app.orders',
    'SELECT pg_catalog.orders.id',
  ])('or are refused: %s', (text) => {
    expect(outcomeOf(scope, text)).toMatch(/^column_not_accepted/)
  })

  it('in capitals are the manifest’s own', () => {
    expect(outcomeOf(scope, 'SELECT "createdAt" FROM orders')).toContain('"orders"."createdAt"')
  })
})
