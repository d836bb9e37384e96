import type { RowOf } from 'holdfast'
import type { Generated } from 'kysely'
import type { manifest } from '../manifest.ts'

/** A table of the manifest as Kysely wants it: no tenant in sight, and the key is the database's to make. */
type Table<Name extends 'rooms' | 'bookings'> = Omit<RowOf<typeof manifest, Name>, 'tenant_id' | 'id'> & {
  id: Generated<string>
}

export type Tables = { rooms: Table<'rooms'>; bookings: Table<'bookings'> }
