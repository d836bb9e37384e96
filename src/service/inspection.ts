import { type ConnectionTarget, isLocal, readTarget } from '../core/database/connection-target.ts'
import { readLogin } from '../core/database/login.ts'
import { createPool, type Pool } from '../core/database/pool.ts'
import type { RoleName } from '../core/database/roles.ts'
import type { Manifest } from '../core/scope/manifest.ts'
import { expectedOf } from '../tools/inspect/expected.ts'
import type { Finding } from '../tools/inspect/finding.ts'
import { inspect, readerOf } from '../tools/inspect/inspect.ts'
import type { LoginFacts } from '../tools/inspect/rule.ts'

/** The database of a service, as its roles reach it; or as the migrator does, who becomes the app role. */
export type ServiceTargets =
  | { readonly app: ConnectionTarget; readonly identity: ConnectionTarget }
  | { readonly migrator: ConnectionTarget }

/** Catalogs of large databases have many rows; those that are asked for are of what is expected, or granted. */
const MOST_ROWS = 100_000

/**
 * Judges the service's database by the rules of `tools/inspect`, over connections of its own: whatever limits the service
 * has, and whatever its sessions have seen.
 *
 * @param manifest the service's and its application's
 * @throws DatabaseError those of connecting and reading
 */
export async function inspectDatabase(
  targets: ServiceTargets,
  manifest: Manifest,
  now: () => number = Date.now,
): Promise<Finding[]> {
  const pools: Pool[] = []
  const open = async (connection: ConnectionTarget, role?: RoleName): Promise<Pool> => {
    const options = { connection, size: 1, applicationName: 'holdfast doctor', maxRows: MOST_ROWS }
    const pool = await createPool({ ...options, ...(role === undefined ? {} : { role }) })
    pools.push(pool)
    return pool
  }
  try {
    const app = 'app' in targets ? await open(targets.app) : await open(targets.migrator, 'holdfast_app')
    const logins = 'app' in targets ? await loginsOf(targets, app, await open(targets.identity)) : []
    return await inspect({ reader: readerOf(app), expected: await expectedOf(manifest, app.dialect), logins, now })
  } finally {
    await Promise.all(pools.map((pool) => pool.close()))
  }
}

async function loginsOf(
  targets: Extract<ServiceTargets, { app: unknown }>,
  app: Pool,
  identity: Pool,
): Promise<LoginFacts[]> {
  return Promise.all([
    loginOf('DATABASE_URL', 'holdfast_app', targets.app, app),
    loginOf('HOLDFAST_IDENTITY_URL', 'holdfast_identity', targets.identity, identity),
  ])
}

/** Is it about whom a URL leads in as? */
export function isAboutLogin({ rule }: Finding): boolean {
  return rule.startsWith('login-')
}

async function loginOf(url: string, wanted: string, target: ConnectionTarget, pool: Pool): Promise<LoginFacts> {
  const { role, database } = await readLogin(pool)
  const { host, ssl } = readTarget(target)
  return { url, wanted, role, database, isSafe: isLocal(host) || ssl !== undefined }
}
