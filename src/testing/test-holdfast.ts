import { randomUUID } from 'node:crypto'
import type { Guard } from '../core/guard/guard.ts'
import { createHoldfast, type EnteredCaller, type Holdfast } from '../core/holdfast.ts'
import { type Manifest, parseManifest } from '../core/scope/manifest.ts'
import { newSessionToken } from '../core/guard/credential.ts'
import type { ConnectionAddress } from '../core/database/connection-target.ts'
import type { Pool } from '../core/database/pool.ts'
import type { Row } from '../core/database/statement.ts'
import { openCommitted } from './committed.ts'
import { openRehearsal } from './rehearsal.ts'
import { serverOfRun } from './run-server.ts'
import { makeTestDatabase } from './test-database.ts'

/** Whom a request of a test is sent as. */
export type TestCaller = {
  readonly userId: string
  readonly tenantId: string
  readonly role: string
  /** the session's token, as a client holds it */
  readonly token: string
  /** what a request needs to be this caller's: `app.inject({ url, headers: clerk.headers })` */
  readonly headers: Readonly<Record<'authorization', string>>
  /** A unit of work as this caller without HTTP: `clerk.unit((db) => db`SELECT id FROM invoices`)`. */
  readonly unit: EnteredCaller['unit']
  /** A stream as this caller: read it to its end, for it holds the connection that the test's units share. */
  readonly stream: EnteredCaller['stream']
}

/** A Holdfast for tests: a real PostgreSQL, both walls, and nothing left after `rollback`. */
export type TestHoldfast = {
  readonly manifest: Manifest
  /** The app role's connection without the first wall, for tests of one's own policies. */
  readonly pool: Pool
  /** Give it to the plugin: `app.register(guardPlugin, { guard: test.holdfast, origin })`. */
  readonly holdfast: Guard
  /** Where the database is, as its superuser. What a test has not committed is not seen from there. */
  readonly address: ConnectionAddress
  /** Undoes everything since the last time, seeds included. Call it after each test. */
  readonly rollback: () => Promise<void>
  /** Runs SQL past both walls, for seeding and looking. */
  readonly asOwner: (text: string, values?: readonly unknown[]) => Promise<Row[]>
  /**
   * A new user with a role in a tenant, signed in. The tenant is made if it is not there.
   *
   * @param o.tenant slug
   * @throws TypeError for a role that the manifest lacks
   */
  asCaller(o: { readonly tenant: string; readonly role: string }): Promise<TestCaller>
  /** Remembers this moment; the function returned goes back to it. */
  readonly checkpoint: () => Promise<() => Promise<void>>
  /** Drops the database. Call it after the last test. */
  readonly close: () => Promise<void>
}

/** A {@link TestHoldfast} that knows the names in its manifest: roles, and what `test.holdfast.can` takes. */
export type TestHoldfastOf<M extends Manifest> = Omit<TestHoldfast, 'manifest' | 'holdfast' | 'asCaller'> & {
  readonly manifest: M
  readonly holdfast: Holdfast<M>
  asCaller(o: { readonly tenant: string; readonly role: keyof M['roles'] & string }): Promise<TestCaller>
}

/**
 * Opens a database of its own, migrated, on a PostgreSQL that the whole run shares: an embedded one, or that of
 * HOLDFAST_TEST_DATABASE_URL (a superuser's URL of a throw-away server).
 *
 * @param o.migrations folder of the application's numbered .sql files, with a slash at its end; run as holdfast_owner
 * @param o.isolation `transaction`: what a test does is one transaction, undone in a millisecond. `database`: real
 * connections and commits, undone by making the database again – for races, retries and connections of your own
 * @example const test = await openTestHoldfast({ manifest, migrations: new URL('../migrations/', import.meta.url) })
 */
export async function openTestHoldfast<const M extends Manifest>(o: {
  readonly manifest: M
  readonly migrations?: URL
  readonly isolation?: 'transaction' | 'database'
}): Promise<TestHoldfastOf<M>> {
  const manifest: Manifest = parseManifest(o.manifest)
  const database = await makeTestDatabase(await serverOfRun(), manifest, o.migrations)
  const { pool, asOwner, rollback, checkpoint, close } =
    o.isolation === 'database' ? await openCommitted(database) : await openRehearsal(database.address)
  const holdfast = await createHoldfast({ manifest: o.manifest, pool })
  return {
    manifest: o.manifest,
    pool,
    holdfast,
    address: database.address,
    rollback,
    asOwner,
    checkpoint,
    async asCaller({ tenant, role }) {
      if (!Object.hasOwn(manifest.roles, role)) {
        throw new TypeError(`the manifest has no role "${role}"; it has ${Object.keys(manifest.roles).join(', ')}`)
      }
      const userId = randomUUID()
      const { token, hash } = newSessionToken()
      await asOwner(
        'INSERT INTO holdfast.tenants (slug, name) VALUES ($1::TEXT, $1::TEXT) ON CONFLICT (slug) DO NOTHING',
        [tenant],
      )
      const [row] = await asOwner('SELECT id::TEXT AS id FROM holdfast.tenants WHERE slug = $1::TEXT', [tenant])
      const tenantId = String(row?.['id'])
      await asOwner('INSERT INTO holdfast.users (id, email, display_name) VALUES ($1::UUID, $2::TEXT, $3::TEXT)', [
        userId,
        `${userId}@example.com`,
        role,
      ])
      await asOwner(
        'INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1::UUID, $2::UUID, $3::TEXT)',
        [tenantId, userId, role],
      )
      await asOwner(
        `INSERT INTO holdfast.sessions (token_hash, user_id, tenant_id, assurance, idle_seconds, expires_at)
         VALUES ($1::BYTEA, $2::UUID, $3::UUID, 'aal2', 3600, now() + INTERVAL '1 day')`,
        [hash, userId, tenantId],
      )
      const { unit, stream } = await holdfast.enter(token)
      return {
        userId,
        tenantId,
        role,
        token,
        headers: { authorization: `Bearer ${token}` },
        unit,
        stream,
      }
    },
    async close() {
      await close()
      await database.drop()
    },
  }
}
