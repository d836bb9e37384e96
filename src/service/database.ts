import { type Embedded, startEmbedded } from '../core/database/embedded.ts'
import { migrate, migrationStatus } from '../core/database/migrate.ts'
import { ownMigrations, readMigrations, type RequiredSource } from '../core/database/migration-file.ts'
import type { ConnectionTarget } from '../core/database/connection-target.ts'
import { type CheckoutLook, createPool, type Pool } from '../core/database/pool.ts'
import { createStreamPool, type StreamOptions, type StreamPool } from '../core/database/stream-pool.ts'
import { roleVersion } from '../core/database/role-seed.ts'
import type { Statement } from '../core/database/statement.ts'
import type { Finding } from '../tools/inspect/finding.ts'
import { count, startScreen } from '../tools/inspect/report.ts'
import { hostedManifest } from './application.ts'
import type { Config } from './config.ts'
import { inspectDatabase, isAboutLogin } from './inspection.ts'
import { StartError } from './start-error.ts'

const CURRENT_ROLES: Statement = { name: 'current_roles', text: 'SELECT version FROM holdfast.current_roles' }

/** The service's database: two pools, and the embedded server behind them if it is ours. */
export type ServiceDatabase = {
  readonly pools: { readonly app: Pool; readonly identity: Pool }
  /** The application's streams, as holdfast_app. */
  readonly streams: StreamPool
  readonly embedded: Embedded | undefined
  /** number of the newest migration of each set; 0: none */
  readonly newestMigrations: Readonly<Record<RequiredSource, number>>
  /** Closes the pools, then stops the embedded server. */
  close(): Promise<void>
}

/** How pools are made. */
type PoolSettings = Pick<Config, 'pools' | 'answers'> & { readonly look: CheckoutLook | undefined }

/**
 * Opens the database: starts and migrates the embedded one, or connects to yours, which must be migrated already.
 * @param look - at each connection before it is used: for tests
 * @throws StartError when migrations are pending
 * @throws DatabaseError
 */
export async function openDatabase(
  config: Config,
  log: (line: string) => void,
  look?: CheckoutLook,
): Promise<ServiceDatabase> {
  const settings = { ...config, look }
  return config.database.kind === 'embedded'
    ? openEmbedded(settings, log)
    : openExternal(settings, config.database, log)
}

async function openEmbedded(config: Config & PoolSettings, log: (line: string) => void): Promise<ServiceDatabase> {
  const { database, tenancy, application } = config
  const embedded = await startEmbedded({ dataDirectory: database.dataDirectory, log })
  try {
    await migrate({
      target: embedded.target('migrator'),
      application: application?.migrations,
      roleGrants: tenancy.roles,
      log,
    })
    const targets = { app: embedded.target('app'), identity: embedded.target('identity') }
    refuseUnfit(await inspectDatabase(targets, hostedManifest(application, tenancy.roles)), log)
    const pools = await openPools(targets.app, targets.identity, config)
    return await assemble(pools, createStreamPool(embedded.target('app'), streamsOf(config)), embedded, application)
  } catch (error) {
    await embedded.stop()
    throw error
  }
}

async function openExternal(
  config: Config & PoolSettings,
  { appUrl, identityUrl }: { appUrl: string; identityUrl: string },
  log: (line: string) => void,
): Promise<ServiceDatabase> {
  const { tenancy, application } = config
  const targets = { app: { url: appUrl }, identity: { url: identityUrl } }
  const pools = await openPools(targets.app, targets.identity, config)
  try {
    const findings = await inspectDatabase(targets, hostedManifest(application, tenancy.roles))
    // whoever leads in as another sees neither rightly
    refuseUnfit(findings.filter(isAboutLogin), () => undefined)
    const { pending } = await migrationStatus(pools.identity, ownMigrations, application?.migrations)
    if (pending.length > 0) {
      throw new StartError(
        `The database lacks ${pending.length} migrations (${pending.join(', ')}). Set HOLDFAST_MIGRATOR_URL to the URL of holdfast_migrator and run: holdfast migrate`,
      )
    }
    refuseUnfit(findings, log)
    const current = await pools.identity.transaction((transaction) => transaction.query(CURRENT_ROLES))
    if (current.rows[0]?.['version'] !== roleVersion(tenancy.roles).version) {
      log('The configured roles are not the ones that the database has now. To make them current: holdfast migrate')
    }
    return await assemble(pools, createStreamPool({ url: appUrl }, streamsOf(config)), undefined, application)
  } catch (error) {
    await Promise.all([pools.app.close(), pools.identity.close()])
    throw error
  }
}

/**
 * Refuses a database that is not as it must be: row-level security holds nobody who is a superuser or owns the tables, and
 * a wall with a hole is none (CWE-250, ASVS 13.2.2). The rules are those of `holdfast doctor`.
 * @throws StartError with what mends it, on one screen
 */
function refuseUnfit(findings: readonly Finding[], log: (line: string) => void): void {
  const errors = findings.filter(({ level }) => level === 'error')
  if (errors.length > 0) throw new StartError(startScreen(errors))
  if (findings.length > 0)
    log(`Not all is well with the database (${count(findings.length, 'warning')}): holdfast doctor`)
}

async function openPools(
  app: ConnectionTarget,
  identity: ConnectionTarget,
  { pools: { size, minimum, lifetimeSeconds }, answers, look }: PoolSettings,
): Promise<ServiceDatabase['pools']> {
  const settings = { size, minimum, lifetimeSeconds, ...answers, onCheckout: look }
  const open = (connection: ConnectionTarget, applicationName: string) =>
    createPool({ connection, applicationName, ...settings })
  const [first, second] = await Promise.allSettled([open(app, 'holdfast app'), open(identity, 'holdfast identity')])
  if (first.status === 'fulfilled' && second.status === 'fulfilled') return { app: first.value, identity: second.value }
  for (const each of [first, second]) if (each.status === 'fulfilled') await each.value.close()
  throw first.status === 'rejected' ? first.reason : (second as PromiseRejectedResult).reason
}

function streamsOf({ pools: { streams, lifetimeSeconds } }: PoolSettings): StreamOptions {
  return { poolSize: streams, lifetimeSeconds }
}

async function assemble(
  pools: ServiceDatabase['pools'],
  streams: StreamPool,
  embedded: Embedded | undefined,
  application: Config['application'],
): Promise<ServiceDatabase> {
  const count = async (directory: URL): Promise<number> => (await readMigrations(directory, pools.app.dialect)).length
  return {
    pools,
    streams,
    embedded,
    newestMigrations: {
      holdfast: await count(ownMigrations),
      application: application?.migrations === undefined ? 0 : await count(application.migrations),
    },
    async close() {
      await Promise.all([pools.app.close(), pools.identity.close(), streams.close()])
      await embedded?.stop()
    },
  }
}
