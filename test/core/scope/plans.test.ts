import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { billing, billingSchema, everyGrant, idOf, ownInvoices } from '../../../bench/billing.ts'
import type { Grants } from '../../../src/core/scope/grants.ts'
import { bind, createScope, loadKernel, type Scope } from '../../../src/core/scope/scope.ts'
import { connect } from '../../backends.ts'
import { backendState, chosenBackend, createTestDatabase, type TestDatabase } from '../../postgres.ts'

// CockroachDB explains in words of its own: there nothing is compared.
const name = chosenBackend()
const state = backendState(name)
const isExplained = state.isThere && name !== 'cockroachdb'
if (state.isThere && !isExplained) console.warn('SKIPPED: plans are compared on PostgreSQL alone')

type Twin = {
  readonly what: string
  /** the caller's text, and its values */
  readonly text: string
  readonly values: readonly unknown[]
  readonly grants?: Grants
  /** The same by hand: the values, then the tenant, then the owner. */
  readonly byHand: string
}

const invoice = idOf('i', 7_007)
const customer = idOf('c', 355)
const tenantId = idOf('t', 7)
const userId = idOf('o', 7)

const twins: readonly Twin[] = [
  {
    what: 'a point query',
    text: 'SELECT id, total FROM invoices WHERE id = $1',
    values: [invoice],
    byHand: 'SELECT id, total FROM billing.invoices WHERE tenant_id = $2 AND id = $1',
  },
  {
    what: 'a point query of one’s own',
    text: 'SELECT id, total FROM invoices WHERE id = $1',
    values: [invoice],
    grants: ownInvoices,
    byHand: 'SELECT id, total FROM billing.invoices WHERE tenant_id = $2 AND owner_id = $3 AND id = $1',
  },
  {
    what: 'a list, page by page',
    text: 'SELECT id, total FROM invoices WHERE created_at < $1 ORDER BY created_at DESC, id DESC LIMIT 20',
    values: ['2026-02-01T00:00:00Z'],
    byHand:
      'SELECT id, total FROM billing.invoices WHERE tenant_id = $2 AND created_at < $1 ORDER BY created_at DESC, id DESC LIMIT 20',
  },
  {
    what: 'a join of three tables',
    text: `SELECT c.name, i.number, l.amount FROM invoices i JOIN customers c ON c.id = i.customer_id
      JOIN lines l ON l.invoice_id = i.id WHERE i.id = $1`,
    values: [invoice],
    byHand: `SELECT c.name, i.number, l.amount FROM billing.invoices i
      JOIN billing.customers c ON c.tenant_id = $2 AND c.id = i.customer_id
      JOIN billing.lines l ON l.tenant_id = $2 AND l.invoice_id = i.id WHERE i.tenant_id = $2 AND i.id = $1`,
  },
  {
    what: 'a join of whole tables',
    text: 'SELECT c.name, sum(i.total) FROM customers c JOIN invoices i ON i.customer_id = c.id GROUP BY c.id, c.name',
    values: [],
    byHand: `SELECT c.name, sum(i.total) FROM billing.customers c
      JOIN billing.invoices i ON i.tenant_id = $1 AND i.customer_id = c.id WHERE c.tenant_id = $1 GROUP BY c.id, c.name`,
  },
  {
    what: 'a LEFT JOIN',
    text: `SELECT i.id, sum(l.amount) FROM invoices i LEFT JOIN lines l ON l.invoice_id = i.id
      WHERE i.customer_id = $1 GROUP BY i.id`,
    values: [customer],
    byHand: `SELECT i.id, sum(l.amount) FROM billing.invoices i
      LEFT JOIN billing.lines l ON l.tenant_id = $2 AND l.invoice_id = i.id
      WHERE i.tenant_id = $2 AND i.customer_id = $1 GROUP BY i.id`,
  },
  {
    what: 'what has no counterpart',
    text: 'SELECT id FROM customers c WHERE NOT EXISTS (SELECT FROM invoices i WHERE i.customer_id = c.id AND i.total > $1)',
    values: [900],
    byHand: `SELECT id FROM billing.customers c WHERE tenant_id = $2 AND NOT EXISTS
      (SELECT FROM billing.invoices i WHERE i.tenant_id = $2 AND i.customer_id = c.id AND i.total > $1)`,
  },
  {
    what: 'the latest of each',
    text: `SELECT c.name, i.number FROM customers c CROSS JOIN LATERAL
      (SELECT number FROM invoices WHERE customer_id = c.id ORDER BY created_at DESC LIMIT 1) i WHERE c.id = $1`,
    values: [customer],
    byHand: `SELECT c.name, i.number FROM billing.customers c CROSS JOIN LATERAL
      (SELECT number FROM billing.invoices WHERE tenant_id = $2 AND customer_id = c.id ORDER BY created_at DESC LIMIT 1) i
      WHERE c.tenant_id = $2 AND c.id = $1`,
  },
  {
    what: 'UPDATE',
    text: 'UPDATE invoices SET total = $2 WHERE id = $1',
    values: [invoice, 5],
    byHand: 'UPDATE billing.invoices SET total = $2 WHERE tenant_id = $3 AND id = $1',
  },
  {
    what: 'UPDATE … FROM',
    text: 'UPDATE invoices SET total = 0 FROM lines l WHERE l.invoice_id = invoices.id AND l.id = $1 RETURNING invoices.id',
    values: [idOf('l', 28_028)],
    byHand: `UPDATE billing.invoices SET total = 0 FROM billing.lines l
      WHERE invoices.tenant_id = $2 AND l.tenant_id = $2 AND l.invoice_id = invoices.id AND l.id = $1 RETURNING invoices.id`,
  },
  {
    what: 'DELETE',
    text: 'DELETE FROM lines WHERE invoice_id = $1 OR id = $2',
    values: [invoice, idOf('l', 28_028)],
    byHand: 'DELETE FROM billing.lines WHERE tenant_id = $3 AND (invoice_id = $1 OR id = $2)',
  },
  {
    what: 'INSERT … ON CONFLICT',
    text: `INSERT INTO customers (id, name) VALUES ($1, $2)
      ON CONFLICT (tenant_id, id) DO UPDATE SET name = excluded.name`,
    values: [customer, 'Renamed'],
    byHand: `INSERT INTO billing.customers (tenant_id, id, name) VALUES ($3, $1, $2)
      ON CONFLICT (tenant_id, id) DO UPDATE SET name = excluded.name WHERE customers.tenant_id = $3`,
  },
]

function valuesByHand(values: readonly unknown[], grants: Grants): unknown[] {
  return [...values, tenantId, ...(grants === ownInvoices ? [userId] : [])]
}

/** A node of a plan: what it is, on what, by which index, by conditions on which columns. */
type Shape = { readonly [key: string]: unknown }

/** Keys of a node of EXPLAIN (FORMAT JSON) that are kept as they are, and those that are conditions. */
const SHAPE_KEYS = [
  'Node Type',
  'Operation',
  'Join Type',
  'Strategy',
  'Partial Mode',
  'Parent Relationship',
  'Relation Name',
  'Index Name',
  'Scan Direction',
  'Conflict Resolution',
  'Conflict Arbiter Indexes',
]
const CONDITION_KEYS = [
  'Index Cond',
  'Recheck Cond',
  'Filter',
  'Join Filter',
  'Hash Cond',
  'Merge Cond',
  'Conflict Filter',
  'Sort Key',
  'Presorted Key',
  'Group Key',
  'Cache Key',
]
const columns = new Set(billing.tables.flatMap((table) => Object.keys(table.columns)))

function shapeOf(plan: Shape): Shape {
  const kept = SHAPE_KEYS.flatMap((key) => (key in plan ? [[key, plan[key]]] : []))
  const conditions = CONDITION_KEYS.flatMap((key) => (key in plan ? [[key, columnsIn(plan[key])]] : []))
  const plans = ((plan['Plans'] ?? []) as Shape[]).map(shapeOf)
  return { ...Object.fromEntries([...kept, ...conditions]), ...(plans.length > 0 && { plans }) }
}

/** Which columns a condition names, how often each: aliases may differ, and the order in which conditions stand. */
function columnsIn(condition: unknown): string[] {
  return [...JSON.stringify(condition).matchAll(/[a-z_]+/g)]
    .flatMap(([word]) => (columns.has(word) ? [word] : []))
    .sort()
}

describe.skipIf(!isExplained)('plans over 101,000 rows of 20 tenants', () => {
  let database: TestDatabase
  let client: pg.Client
  let scope: Scope

  beforeAll(async () => {
    await loadKernel()
    scope = createScope({ manifest: billing, dialect: 'postgresql' })
    database = await createTestDatabase()
    client = await connect(database.target('superuser'))
    for (const statement of billingSchema) await client.query(statement)
    const { rows } = await client.query<{ rows: string }>(
      'SELECT (SELECT count(*) FROM billing.customers) + (SELECT count(*) FROM billing.invoices) + (SELECT count(*) FROM billing.lines) AS rows',
    )
    expect(Number(rows[0]?.rows)).toBe(101_000)
  })
  afterAll(async () => {
    await client.end()
    await database.drop()
  })

  /** The plan of a prepared statement: for these values, or for whatever values will come. */
  async function planOf(text: string, values: readonly unknown[], mode: 'custom' | 'generic'): Promise<Shape> {
    await client.query(`SET plan_cache_mode = force_${mode}_plan`)
    await client.query(`PREPARE planned AS ${text}`)
    try {
      const literals = values.map((value) => client.escapeLiteral(String(value))).join(', ')
      const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Shape }] }>(
        `EXPLAIN (FORMAT JSON) EXECUTE planned${literals === '' ? '' : ` (${literals})`}`,
      )
      const [explained] = rows[0]?.['QUERY PLAN'] ?? []
      if (explained === undefined) throw new Error('nothing was explained')
      return shapeOf(explained.Plan)
    } finally {
      await client.query('DEALLOCATE planned')
    }
  }

  describe.each(['custom', 'generic'] as const)('%s', (mode) => {
    it.each(twins)('$what: as by hand', async ({ text, values, grants = everyGrant, byHand }) => {
      const scoped = scope.scope(text, grants)
      const planned = await planOf(scoped.text, bind(scoped, { tenantId, userId }, values), mode)
      const expected = await planOf(byHand, valuesByHand(values, grants), mode)
      expect(planned).toEqual(expected)
      // a shape that says nothing would equal any other
      expect(JSON.stringify(planned)).toMatch(/billing|customers|invoices|lines/)
      expect(JSON.stringify(planned)).toContain('"tenant_id"')
    })
  })

  it.each(twins.filter(({ text }) => text.startsWith('SELECT')))(
    '$what: another plan where leaves are not flattened',
    async ({ text, values, grants = everyGrant, byHand }) => {
      const scoped = scope.scope(text, grants)
      const fenced = scoped.text.replaceAll(/(\$\d+::uuid)\)/g, '$1 OFFSET 0)')
      expect(fenced).not.toBe(scoped.text)
      const expected = await planOf(byHand, valuesByHand(values, grants), 'custom')
      expect(await planOf(fenced, bind(scoped, { tenantId, userId }, values), 'custom')).not.toEqual(expected)
    },
  )

  it('tells a plan that is another', async () => {
    const plain = 'SELECT id, total FROM billing.invoices WHERE tenant_id = $2 AND id = $1'
    const shape = await planOf(plain, [invoice, tenantId], 'custom')
    for (const other of [
      // a comparison that no index serves
      'SELECT id, total FROM billing.invoices WHERE tenant_id::TEXT = $2 AND id = $1',
      // one condition less, one more
      'SELECT id, total FROM billing.invoices WHERE tenant_id = $2 AND $1::UUID IS NOT NULL',
      'SELECT id, total FROM billing.invoices WHERE tenant_id = $2 AND id = $1 AND total > 1',
    ]) {
      expect(await planOf(other, [invoice, tenantId], 'custom'), other).not.toEqual(shape)
    }
  })
})
