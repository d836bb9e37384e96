import { relations } from 'drizzle-orm'
import { bigint, date, integer, jsonb, numeric, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import type { Generated } from 'kysely'
import { defineManifest } from '../../src/index.ts'

const keys = {
  tenant_id: { type: 'uuid', notNull: true },
  id: { type: 'uuid', notNull: true },
  created_by: { type: 'uuid', notNull: true },
} as const
const whose = { tenant: 'tenant_id', owner: 'created_by' } as const
const everything = [
  'customer:read',
  'customer:create',
  'customer:update',
  'customer:delete',
  'invoice:read',
  'invoice:create',
  'invoice:update',
  'invoice:delete',
  'line:read',
  'line:create',
  'line:update',
  'line:delete',
] as const

/** A small shop, said three times: to Holdfast, to Kysely, to Drizzle. The last two know of no tenant. */
export const manifest = defineManifest({
  tables: [
    {
      schema: 'app',
      name: 'customers',
      resource: 'customer',
      columns: {
        ...keys,
        name: { type: 'text', notNull: true },
        email: { type: 'text' },
        tags: { type: '_text', notNull: true },
        settings: { type: 'jsonb', notNull: true },
        created_at: { type: 'timestamptz', notNull: true },
      },
      ...whose,
    },
    {
      schema: 'app',
      name: 'invoices',
      resource: 'invoice',
      columns: {
        ...keys,
        customer_id: { type: 'uuid', notNull: true },
        number: { type: 'text', notNull: true },
        status: { type: 'text', notNull: true },
        due: { type: 'date' },
        total: { type: 'numeric', notNull: true },
      },
      ...whose,
    },
    {
      schema: 'app',
      name: 'lines',
      resource: 'line',
      columns: {
        ...keys,
        invoice_id: { type: 'uuid', notNull: true },
        title: { type: 'text', notNull: true },
        cents: { type: 'int8', notNull: true },
        place: { type: 'int4', notNull: true },
      },
      ...whose,
    },
  ],
  roles: { owner: everything, clerk: ['customer:read', 'invoice:read@own', 'invoice:create', 'line:read@own'] },
})

export const migrations = new URL('./migrations/', import.meta.url)

/** As Kysely wants it. */
export type Shop = {
  customers: {
    id: Generated<string>
    created_by: string
    name: string
    email: string | null
    tags: Generated<string[]>
    settings: Generated<{ net?: number; lang?: string }>
    created_at: Generated<Date>
  }
  invoices: {
    id: Generated<string>
    created_by: string
    customer_id: string
    number: string
    status: Generated<'draft' | 'sent' | 'paid'>
    due: Date | string | null
    total: Generated<string>
  }
  lines: {
    id: Generated<string>
    created_by: string
    invoice_id: string
    title: string
    cents: string | number
    place: Generated<number>
  }
}

export const customers = pgTable('customers', {
  id: uuid('id').defaultRandom().notNull(),
  createdBy: uuid('created_by').notNull(),
  name: text('name').notNull(),
  email: text('email'),
  tags: text('tags').array().notNull().default([]),
  settings: jsonb('settings').$type<{ net?: number; lang?: string }>().notNull().default({}),
  createdAt: timestamp('created_at', { withTimezone: true }).defaultNow().notNull(),
})
export const invoices = pgTable('invoices', {
  id: uuid('id').defaultRandom().notNull(),
  createdBy: uuid('created_by').notNull(),
  customerId: uuid('customer_id').notNull(),
  number: text('number').notNull(),
  status: text('status', { enum: ['draft', 'sent', 'paid'] })
    .notNull()
    .default('draft'),
  due: date('due'),
  total: numeric('total').notNull().default('0'),
})
export const lines = pgTable('lines', {
  id: uuid('id').defaultRandom().notNull(),
  createdBy: uuid('created_by').notNull(),
  invoiceId: uuid('invoice_id').notNull(),
  title: text('title').notNull(),
  cents: bigint('cents', { mode: 'number' }).notNull(),
  place: integer('place').notNull().default(1),
})
/** As Drizzle wants it. */
export const schema = {
  customers,
  invoices,
  lines,
  customerRelations: relations(customers, ({ many }) => ({ invoices: many(invoices) })),
  invoiceRelations: relations(invoices, ({ one, many }) => ({
    customer: one(customers, { fields: [invoices.customerId], references: [customers.id] }),
    lines: many(lines),
  })),
  lineRelations: relations(lines, ({ one }) => ({
    invoice: one(invoices, { fields: [lines.invoiceId], references: [invoices.id] }),
  })),
}
