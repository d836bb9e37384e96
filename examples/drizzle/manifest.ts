import { can as canOf, defineManifest, type GuardedAccess, type PermissionOf } from 'holdfast'

const uuid = { type: 'uuid', notNull: true } as const
const text = { type: 'text', notNull: true } as const
const timestamptz = { type: 'timestamptz', notNull: true } as const

const everything = [
  'ticket:read',
  'ticket:create',
  'ticket:update',
  'ticket:delete',
  'comment:read',
  'comment:create',
  'comment:update',
  'comment:delete',
] as const

/** The application's tables, and what each role may do with them. */
export const manifest = defineManifest({
  tables: [
    {
      schema: 'app',
      name: 'tickets',
      resource: 'ticket',
      columns: { tenant_id: uuid, id: uuid, reported_by: uuid, title: text, status: text, created_at: timestamptz },
      tenant: 'tenant_id',
      owner: 'reported_by',
    },
    {
      schema: 'app',
      name: 'comments',
      resource: 'comment',
      columns: { tenant_id: uuid, id: uuid, written_by: uuid, ticket_id: uuid, body: text, created_at: timestamptz },
      tenant: 'tenant_id',
      owner: 'written_by',
    },
  ],
  roles: {
    owner: everything,
    admin: everything,
    member: ['ticket:read', 'ticket:create', 'ticket:update@own', 'comment:read', 'comment:create'],
    // sees what they reported, and nothing of what is written about it
    viewer: ['ticket:read@own'],
  },
})

/** Holdfast's own; a permission that no role here has does not compile. */
export const can: (...permissions: readonly PermissionOf<typeof manifest>[]) => GuardedAccess = canOf
