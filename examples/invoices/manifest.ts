import {
  can as canOf,
  defineManifest,
  type GuardedAccess,
  type PermissionOf,
  type RowOf,
  type TableName,
} from 'holdfast'

const uuid = { type: 'uuid', notNull: true } as const
const text = { type: 'text', notNull: true } as const
const int8 = { type: 'int8', notNull: true } as const
const date = { type: 'date', notNull: true } as const

/** In every table: whose tenant, which row, whose own. */
const keys = { tenant_id: uuid, id: uuid, created_by: uuid } as const
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
  'payment:read',
  'payment:create',
  'payment:update',
  'payment:delete',
] as const

/** The application's tables, and what each role may do with them. */
export const manifest = defineManifest({
  tables: [
    {
      schema: 'app',
      name: 'customers',
      resource: 'customer',
      columns: { ...keys, name: text, email: text },
      ...whose,
    },
    {
      schema: 'app',
      name: 'invoices',
      resource: 'invoice',
      columns: { ...keys, customer_id: uuid, number: text, status: text, revision: int8 },
      ...whose,
    },
    {
      schema: 'app',
      name: 'lines',
      resource: 'line',
      columns: { ...keys, invoice_id: uuid, title: text, cents: int8 },
      ...whose,
    },
    {
      schema: 'app',
      name: 'payments',
      resource: 'payment',
      columns: { ...keys, invoice_id: uuid, cents: int8, paid_on: date },
      ...whose,
    },
  ],
  roles: {
    owner: everything,
    admin: everything,
    accountant: ['customer:read', 'invoice:read', 'invoice:update', 'line:read', 'payment:read', 'payment:create'],
    clerk: [
      'customer:read',
      'customer:create',
      'invoice:read@own',
      'invoice:create',
      'invoice:update@own',
      'line:read@own',
      'line:create',
      'payment:read@own',
    ],
    viewer: ['customer:read', 'invoice:read', 'line:read', 'payment:read'],
  },
})

/** Some columns of a table, with the types that statements return. */
export type Row<Table extends TableName<typeof manifest>, Column extends keyof RowOf<typeof manifest, Table>> = Pick<
  RowOf<typeof manifest, Table>,
  Column
>

/** Holdfast's own; a permission that no role here has does not compile. */
export const can: (...permissions: readonly PermissionOf<typeof manifest>[]) => GuardedAccess = canOf
