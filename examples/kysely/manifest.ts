import { can as canOf, defineManifest, type GuardedAccess, type PermissionOf } from 'holdfast'

const uuid = { type: 'uuid', notNull: true } as const
const text = { type: 'text', notNull: true } as const
const timestamptz = { type: 'timestamptz', notNull: true } as const

const everything = [
  'room:read',
  'room:create',
  'room:update',
  'room:delete',
  'booking:read',
  'booking:create',
  'booking:update',
  'booking:delete',
] as const

/** The application's tables, and what each role may do with them. */
export const manifest = defineManifest({
  tables: [
    {
      schema: 'app',
      name: 'rooms',
      resource: 'room',
      columns: { tenant_id: uuid, id: uuid, name: text },
      tenant: 'tenant_id',
    },
    {
      schema: 'app',
      name: 'bookings',
      resource: 'booking',
      columns: {
        tenant_id: uuid,
        id: uuid,
        booked_by: uuid,
        room_id: uuid,
        title: text,
        starts_at: timestamptz,
        ends_at: timestamptz,
      },
      tenant: 'tenant_id',
      owner: 'booked_by',
    },
  ],
  roles: {
    owner: everything,
    admin: everything,
    member: ['room:read', 'booking:read', 'booking:create', 'booking:delete@own'],
    viewer: ['room:read', 'booking:read'],
  },
})

/** Holdfast's own; a permission that no role here has does not compile. */
export const can: (...permissions: readonly PermissionOf<typeof manifest>[]) => GuardedAccess = canOf
