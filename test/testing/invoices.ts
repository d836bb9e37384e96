/** A small application's tables and roles. */
export const invoices = {
  migrations: new URL('./migrations/', import.meta.url),
  manifest: {
    tables: [
      {
        schema: 'app',
        name: 'invoices',
        resource: 'invoice',
        columns: {
          tenant_id: { type: 'uuid' },
          id: { type: 'uuid' },
          created_by: { type: 'uuid' },
          title: { type: 'text' },
          total: { type: 'int8' },
        },
        tenant: 'tenant_id',
        owner: 'created_by',
      },
      {
        schema: 'app',
        name: 'lines',
        resource: 'line',
        columns: {
          tenant_id: { type: 'uuid' },
          id: { type: 'uuid' },
          invoice_id: { type: 'uuid' },
          note: { type: 'text' },
        },
        tenant: 'tenant_id',
      },
      {
        schema: 'app',
        name: 'Remarks',
        resource: 'remark',
        columns: { id: { type: 'uuid' }, lineId: { type: 'uuid' }, itsText: { type: 'text' } },
        through: { table: 'lines', column: 'lineId', references: 'id' },
      },
    ],
    roles: {
      owner: [
        'invoice:read',
        'invoice:create',
        'invoice:update',
        'invoice:delete',
        'line:read',
        'line:create',
        'line:delete',
        'remark:read',
      ],
      clerk: ['invoice:read@own', 'invoice:create'],
    },
  },
} as const
