import { type ConnectionTarget, isLocal, readHosts } from '../core/database/connection-target.ts'
import { readLogin } from '../core/database/login.ts'
import { createPool, type Pool } from '../core/database/pool.ts'
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
  const opening = openingOf(targets)
  try {
    const [app, identity] = (await Promise.all(opening)) as [Pool, Pool | undefined]
    const logins = 'app' in targets && identity !== undefined ? await loginsOf(targets, app, identity) : []
    return await inspect({ reader: readerOf(app), expected: await expectedOf(manifest, app.dialect), logins, now })
  } finally {
    for (const opened of await Promise.allSettled(opening))
      if (opened.status === 'fulfilled') await opened.value.close()
  }
}

/** The app role's connection first. */
function openingOf(targets: ServiceTargets): Promise<Pool>[] {
  const options = { size: 1, applicationName: 'holdfast doctor', maxRows: MOST_ROWS }
  if ('migrator' in targets) return [createPool({ ...options, connection: targets.migrator, role: 'holdfast_app' })]
  return [targets.app, targets.identity].map((connection) => createPool({ ...options, connection }))
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
  const { addresses } = readHosts(target)
  const isSafe = addresses.every(({ host, ssl }) => isLocal(host) || ssl !== undefined)
  return { url, wanted, role, database, isSafe }
}
