import { type ConnectionTarget, isLocal, readTarget } from '../core/database/connection-target.ts'
import { readLogin } from '../core/database/login.ts'
import { createPool, type Pool } from '../core/database/pool.ts'
import type { Manifest } from '../core/scope/manifest.ts'
import { expectedOf } from '../tools/inspect/expected.ts'
import type { Finding } from '../tools/inspect/finding.ts'
import { inspect, readerOf } from '../tools/inspect/inspect.ts'
import type { LoginFacts } from '../tools/inspect/rule.ts'

/** The database of a service, as it is reached. */
export type ServiceTargets = { readonly app: ConnectionTarget; readonly identity: ConnectionTarget }

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
  const open = (connection: ConnectionTarget) =>
    createPool({ connection, size: 1, applicationName: 'holdfast doctor', maxRows: MOST_ROWS })
  const pools: Pool[] = []
  try {
    const app = await open(targets.app)
    pools.push(app)
    const identity = await open(targets.identity)
    pools.push(identity)
    const logins = [
      await loginOf('DATABASE_URL', 'holdfast_app', targets.app, app),
      await loginOf('HOLDFAST_IDENTITY_URL', 'holdfast_identity', targets.identity, identity),
    ]
    return await inspect({ reader: readerOf(app), expected: await expectedOf(manifest, app.dialect), logins, now })
  } finally {
    await Promise.all(pools.map((pool) => pool.close()))
  }
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
