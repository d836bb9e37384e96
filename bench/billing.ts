import { parseGrants } from '../src/core/scope/grants.ts'
import { type Manifest, parseManifest } from '../src/core/scope/manifest.ts'

/** An application as many are: customers, their invoices, and the lines of these, each led by its tenant. */
export const billing: Manifest = parseManifest({
  tables: [
    {
      schema: 'billing',
      name: 'customers',
      resource: 'customer',
      tenant: 'tenant_id',
      columns: { tenant_id: { type: 'uuid' }, id: { type: 'uuid' }, name: { type: 'text' } },
    },
    {
      schema: 'billing',
      name: 'invoices',
      resource: 'invoice',
      tenant: 'tenant_id',
      owner: 'owner_id',
      columns: {
        tenant_id: { type: 'uuid' },
        id: { type: 'uuid' },
        owner_id: { type: 'uuid' },
        customer_id: { type: 'uuid' },
        number: { type: 'int8' },
        total: { type: 'int8' },
        created_at: { type: 'timestamptz' },
      },
    },
    {
      schema: 'billing',
      name: 'lines',
      resource: 'line',
      tenant: 'tenant_id',
      columns: {
        tenant_id: { type: 'uuid' },
        id: { type: 'uuid' },
        invoice_id: { type: 'uuid' },
        amount: { type: 'int8' },
      },
    },
  ],
  roles: {},
})

const permissions = ['customer', 'invoice', 'line'].flatMap((resource) =>
  ['read', 'create', 'update', 'delete'].map((verb) => `${resource}:${verb}`),
)

/** Every verb on every table. */
export const everyGrant = parseGrants(permissions)
/** The same, on one's own invoices alone. */
export const ownInvoices = parseGrants(
  permissions.map((permission) => (permission.startsWith('invoice:') ? `${permission}@own` : permission)),
)

/** Tenants; each has so many customers, invoices and lines. */
const TENANTS = 20
const CUSTOMERS = 50
const INVOICES = 1_000
const LINES = 4_000
const OWNERS = 10

/** The id of the nth tenant, customer, invoice, line or owner, from 1. */
export function idOf(kind: 't' | 'c' | 'i' | 'l' | 'o', number: number): string {
  return `00000000-0000-4000-80${kind.charCodeAt(0).toString(16)}-${String(number).padStart(12, '0')}`
}

const id = (kind: 't' | 'c' | 'i' | 'l' | 'o', number: string): string =>
  `('${idOf(kind, 0).slice(0, 24)}' || pg_catalog.lpad((${number})::TEXT, 12, '0'))::UUID`

/** Tables, indexes and 101,000 rows, for a role that may create a schema. One statement each. */
export const billingSchema: readonly string[] = [
  'CREATE SCHEMA billing',
  'CREATE TABLE billing.customers (tenant_id UUID NOT NULL, id UUID NOT NULL, name TEXT NOT NULL, PRIMARY KEY (tenant_id, id))',
  `CREATE TABLE billing.invoices (
  tenant_id UUID NOT NULL, id UUID NOT NULL, owner_id UUID NOT NULL, customer_id UUID NOT NULL, number INT8 NOT NULL,
  total INT8 NOT NULL, created_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, number)
)`,
  'CREATE INDEX invoices_by_time ON billing.invoices (tenant_id, created_at, id)',
  'CREATE INDEX invoices_by_customer ON billing.invoices (tenant_id, customer_id)',
  `CREATE TABLE billing.lines (
  tenant_id UUID NOT NULL, id UUID NOT NULL, invoice_id UUID NOT NULL, amount INT8 NOT NULL, PRIMARY KEY (tenant_id, id)
)`,
  'CREATE INDEX lines_by_invoice ON billing.lines (tenant_id, invoice_id)',
  `INSERT INTO billing.customers
SELECT ${id('t', 't')}, ${id('c', `t * ${CUSTOMERS} + c`)}, 'Customer ' || c
FROM generate_series(1, ${TENANTS}) t, generate_series(1, ${CUSTOMERS}) c`,
  `INSERT INTO billing.invoices
SELECT ${id('t', 't')}, ${id('i', `t * ${INVOICES} + i`)}, ${id('o', `i % ${OWNERS}`)}, ${id('c', `t * ${CUSTOMERS} + 1 + i % ${CUSTOMERS}`)},
  i, i * 7 % 1000, '2026-01-01'::TIMESTAMPTZ + i * INTERVAL '1 hour'
FROM generate_series(1, ${TENANTS}) t, generate_series(1, ${INVOICES}) i`,
  `INSERT INTO billing.lines
SELECT ${id('t', 't')}, ${id('l', `t * ${LINES} + l`)}, ${id('i', `t * ${INVOICES} + 1 + l % ${INVOICES}`)}, l % 100
FROM generate_series(1, ${TENANTS}) t, generate_series(1, ${LINES}) l`,
  'ANALYZE billing.customers, billing.invoices, billing.lines',
]
