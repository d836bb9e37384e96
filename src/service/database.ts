import { type Embedded, startEmbedded } from '../core/database/embedded.ts'
import { migrate, migrationStatus } from '../core/database/migrate.ts'
import type { ConnectionTarget } from '../core/database/connection-target.ts'
import { createPool, type Pool } from '../core/database/pool.ts'
import { roleVersion } from '../core/database/role-seed.ts'
import type { Statement } from '../core/database/statement.ts'
import type { Config } from './config.ts'
import { StartError } from './start-error.ts'

/**
 * Connections of each login role: a flight takes some milliseconds, so ten serve thousands of requests a second, and
 * three processes stay far below PostgreSQL's default of 100.
 */
const POOL_SIZE = 10

const CURRENT_ROLES: Statement = { name: 'current_roles', text: 'SELECT version FROM holdfast.current_roles' }

/** The service's database: two pools, and the embedded server behind them if it is ours. */
export type ServiceDatabase = {
  readonly pools: { readonly app: Pool; readonly identity: Pool }
  readonly embedded: Embedded | undefined
  /** number of the newest migration */
  readonly newestMigration: number
  /** Closes the pools, then stops the embedded server. */
  close(): Promise<void>
}

/**
 * Opens the database: starts and migrates the embedded one, or connects to yours, which must be migrated already.
 * @throws StartError when migrations are pending
 * @throws DatabaseError
 */
export async function openDatabase(config: Config, log: (line: string) => void): Promise<ServiceDatabase> {
  return config.database.kind === 'embedded' ? openEmbedded(config, log) : openExternal(config, config.database, log)
}

async function openEmbedded({ database, tenancy }: Config, log: (line: string) => void): Promise<ServiceDatabase> {
  const embedded = await startEmbedded({ dataDirectory: database.dataDirectory, log })
  try {
    const { total } = await migrate({ target: embedded.target('migrator'), roleGrants: tenancy.roles, log })
    const pools = await openPools(embedded.target('app'), embedded.target('identity'))
    return assemble(pools, embedded, total)
  } catch (error) {
    await embedded.stop()
    throw error
  }
}

async function openExternal(
  { tenancy }: Config,
  { appUrl, identityUrl }: { appUrl: string; identityUrl: string },
  log: (line: string) => void,
): Promise<ServiceDatabase> {
  const pools = await openPools({ url: appUrl }, { url: identityUrl })
  try {
    const { applied, pending } = await migrationStatus(pools.identity)
    if (pending.length > 0) {
      throw new StartError(
        `The database lacks ${pending.length} migrations (${pending.join(', ')}). Run: holdfast migrate --url <URL of holdfast_migrator>`,
      )
    }
    const current = await pools.identity.transaction((transaction) => transaction.query(CURRENT_ROLES))
    if (current.rows[0]?.['version'] !== roleVersion(tenancy.roles).version) {
      log('The configured roles are not the ones that the database has now. To make them current: holdfast migrate')
    }
    return assemble(pools, undefined, applied.length)
  } catch (error) {
    await Promise.all([pools.app.close(), pools.identity.close()])
    throw error
  }
}

async function openPools(app: ConnectionTarget, identity: ConnectionTarget): Promise<ServiceDatabase['pools']> {
  const open = (connection: ConnectionTarget, applicationName: string) =>
    createPool({ connection, size: POOL_SIZE, applicationName })
  const [first, second] = await Promise.allSettled([open(app, 'holdfast app'), open(identity, 'holdfast identity')])
  if (first.status === 'fulfilled' && second.status === 'fulfilled') return { app: first.value, identity: second.value }
  for (const each of [first, second]) if (each.status === 'fulfilled') await each.value.close()
  throw first.status === 'rejected' ? first.reason : (second as PromiseRejectedResult).reason
}

function assemble(
  pools: ServiceDatabase['pools'],
  embedded: Embedded | undefined,
  newestMigration: number,
): ServiceDatabase {
  return {
    pools,
    embedded,
    newestMigration,
    async close() {
      await Promise.all([pools.app.close(), pools.identity.close()])
      await embedded?.stop()
    },
  }
}
