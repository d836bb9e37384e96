import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { type Embedded, startEmbedded } from '../src/core/database/embedded.ts'
import { migrate } from '../src/core/database/migrate.ts'
import { newSessionToken } from '../src/core/guard/credential.ts'
import { defaultRoles } from '../src/service/tenancy/manifest.ts'

const TENANTS = 50
/** Teams of each tenant, `team-1` … */
export const TEAMS_A_TENANT = 400

/** A migrated embedded PostgreSQL with fifty tenants, and a session of a member of one of them. */
export type BenchDatabase = {
  readonly embedded: Embedded
  readonly token: string
  readonly tenantId: string
  /** process id of the PostgreSQL server */
  readonly pid: number
  close(): Promise<void>
}

export async function openBenchDatabase(): Promise<BenchDatabase> {
  const { embedded, directory, close } = await openEmbedded()
  try {
    // compiled, this file lies two folders below the project's
    const migrations = import.meta.url.includes('/.bench/') ? '../../migrations/' : '../migrations/'
    await migrate({
      target: embedded.target('migrator'),
      roleGrants: defaultRoles,
      directory: new URL(migrations, import.meta.url),
    })
    const [pid] = readFileSync(join(directory, 'postgres', 'postmaster.pid'), 'utf8').split('\n')
    return { embedded, ...(await seed(embedded)), pid: Number(pid), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** An embedded PostgreSQL in a directory of its own, which goes with it. */
export async function openEmbedded(): Promise<{ embedded: Embedded; directory: string; close: () => Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  // As root, PostgreSQL runs under another account, which must pass through.
  chmodSync(directory, 0o711)
  const embedded = await startEmbedded({ dataDirectory: directory, log: () => undefined })
  const close = async (): Promise<void> => {
    await embedded.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return { embedded, directory, close }
}

async function seed(embedded: Embedded): Promise<{ token: string; tenantId: string }> {
  const client = new pg.Client(embedded.target('superuser'))
  await client.connect()
  const { token, hash } = newSessionToken()
  await client.query(
    `INSERT INTO holdfast.tenants (slug, name) SELECT 't' || n, 'T' || n FROM generate_series(1, ${TENANTS}) n`,
  )
  await client.query(
    `INSERT INTO holdfast.users (email, display_name) SELECT 'u' || n || '@example.com', 'U' || n FROM generate_series(1, ${TENANTS}) n`,
  )
  await client.query(
    `INSERT INTO holdfast.memberships (tenant_id, user_id, role)
     SELECT t.id, u.id, 'admin' FROM holdfast.tenants t JOIN holdfast.users u ON u.email = 'u' || substr(t.slug, 2) || '@example.com'`,
  )
  await client.query(
    `INSERT INTO tenancy.teams (tenant_id, slug, name, created_by)
     SELECT m.tenant_id, 'team-' || n, 'Team ' || n, m.user_id FROM holdfast.memberships m, generate_series(1, ${TEAMS_A_TENANT}) n`,
  )
  await client.query(
    `INSERT INTO holdfast.sessions (token_hash, user_id, tenant_id, idle_seconds, expires_at)
     SELECT $1, m.user_id, m.tenant_id, 86400, now() + INTERVAL '1 day' FROM holdfast.memberships m JOIN holdfast.tenants t ON t.id = m.tenant_id WHERE t.slug = 't7'`,
    [hash],
  )
  const { rows } = await client.query<{ id: string }>(`SELECT id FROM holdfast.tenants WHERE slug = 't7'`)
  await client.query('VACUUM ANALYZE')
  await client.end()
  return { token, tenantId: rows[0]?.id ?? '' }
}
