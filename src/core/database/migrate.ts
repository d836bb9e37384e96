import type { Connection } from './connection.ts'
import type { ConnectionTarget } from './connection-target.ts'
import type { OptionalSet } from './dialect.ts'
import { Hosts } from './hosts.ts'
import type { HeldLease } from './lease.ts'
import { takeMigrateLease } from './migrate-lease.ts'
import { type Migration, ownMigrations, readSets } from './migration-file.ts'
import {
  appliedOptional,
  changedStep,
  existsAlready,
  labelOf,
  lookUpApplied,
  pendingOf,
  readApplied,
  readSteps,
} from './migration-ledger.ts'
import { judgeSets, missingRunner } from './migration-plan.ts'
import { runStep } from './migration-step.ts'
import { createPool, type Pool } from './pool.ts'
import { type RoleGrants, seedRoles } from './role-seed.ts'

/** What `migrate` is to do. */
export type MigrateOptions = {
  /** The database, as holdfast_migrator. */
  readonly target: ConnectionTarget
  /** Folder of the files; the package's own if left out. */
  readonly directory?: URL
  /** Folder of an application's own files, which are applied after those; without it nothing is said of any. */
  readonly application?: URL | undefined
  /** Optional sets of migrations to have from now on; those that the database has already are kept current anyway. */
  readonly optional?: readonly OptionalSet[]
  /** Role definitions to make current; none: roles are left alone. */
  readonly roleGrants: RoleGrants
  /** How long another process's migrations are waited for, in milliseconds; 0: not at all. Five minutes if left out. */
  readonly waitMs?: number
  /** A line for each file, and for who is waited for. */
  readonly log?: (line: string) => void
  /** The same, statement by statement. */
  readonly progress?: (progress: MigrationProgress) => void
}

/** How far a migration has come. */
export type MigrationProgress =
  | { readonly kind: 'waiting'; readonly for: string; readonly secondsLeft: number }
  | {
      readonly kind: 'statement'
      readonly migration: string
      /** Which file of how many that are pending, from 1. */
      readonly file: number
      readonly files: number
      /** Which statement of how many in the file, from 1. */
      readonly statement: number
      readonly statements: number
    }
  | { readonly kind: 'applied'; readonly migration: string; readonly file: number; readonly files: number }

/** What `migrate` has done. */
export type MigrationReport = {
  /** Names of the files applied by this run. */
  readonly applied: readonly string[]
  /** How many files the database has now. */
  readonly total: number
  /** Version of the role definitions that is current now, if roles were given. */
  readonly roles: { readonly version: string; readonly changed: boolean } | undefined
}

/** Whether a database is up to date. */
export type MigrationStatus = {
  readonly current: boolean
  readonly applied: readonly string[]
  readonly pending: readonly string[]
}

/** How long another process's migrations are waited for, in milliseconds, unless somebody said otherwise. */
const defaultWaitMs = 300_000
/** Processes that make the ledger at once collide; so many tries let each of them pass. */
const bootstrapTries = 10
/** The migrator's own connection may take this long to be made, in milliseconds. */
const migratorConnectTimeoutMs = 5_000
/** Prepared names on the migrator's own connection: it runs few statements twice. */
const migratorStatementLimit = 64

/**
 * Brings a database up to date: numbered files in order, each statement recorded, under the lease `migrate`. May be run
 * by several processes at once, and again after a crash at any point.
 *
 * @throws MigrationError `migration_changed`, `migration_unknown`, `migration_failed`, `migration_in_doubt`, `lease_held`,
 * `lease_lost`, `connection_lost`: each says which file and statement, and what to do
 * @throws DatabaseError `migration_file_invalid`, and those of `createPool`
 */
export async function migrate(o: MigrateOptions): Promise<MigrationReport> {
  const tell = teller(o)
  const connection = await openMigrator(o.target)
  let pool: Pool | undefined
  let lease: HeldLease | undefined
  try {
    pool = await createPool({
      connection: o.target,
      size: 1,
      applicationName: 'holdfast migrate',
      role: 'holdfast_owner',
    })
    await bootstrap(connection, await missingRunner(pool))
    lease = await takeMigrateLease(pool, o.waitMs ?? defaultWaitMs, ({ holder, secondsLeft }) =>
      tell({ kind: 'waiting', for: holder, secondsLeft }),
    )
    // all of it is judged before any of it is run
    const { sets, pending } = await judgeSets(
      { ...o, directory: o.directory ?? ownMigrations, dialect: connection.dialect },
      await readApplied(connection),
    )
    for (const [index, migration] of pending.entries()) {
      await apply(connection, migration, lease, (progress) =>
        tell({ ...progress, migration: labelOf(migration), file: index + 1, files: pending.length }),
      )
    }
    const roles = Object.keys(o.roleGrants).length === 0 ? undefined : await seedRoles(pool, o.roleGrants)
    return { applied: pending.map(labelOf), total: sets.flatMap(({ files }) => files).length, roles }
  } finally {
    await lease?.release().catch(() => undefined)
    await pool?.close()
    await connection.close()
  }
}

/**
 * Compares a database with the files, without changing anything.
 *
 * @param source - a pool, or an address; any role that may read `holdfast.migrations` will do
 * @throws DatabaseError `migration_changed`; a database that is ahead – a newer version is being rolled out – is current
 */
export async function migrationStatus(
  source: Pool | ConnectionTarget,
  directory: URL = ownMigrations,
  application?: URL,
): Promise<MigrationStatus> {
  if (!('begin' in source)) {
    const pool = await createPool({ connection: source, size: 1, applicationName: 'holdfast status' })
    return migrationStatus(pool, directory, application).finally(() => pool.close())
  }
  const applied = await lookUpApplied(source)
  const sets = await readSets({
    own: directory,
    application,
    dialect: source.dialect,
    optional: appliedOptional(applied),
  })
  const pending = sets.flatMap((set) =>
    pendingOf(
      set.files,
      applied.filter((each) => each.source === set.source && each.version <= set.files.length),
    ),
  )
  return {
    current: pending.length === 0,
    applied: applied.map(labelOf),
    pending: pending.map(labelOf),
  }
}

function teller({ progress: listener, log }: MigrateOptions): (progress: MigrationProgress) => void {
  let last = ''
  return (progress) => {
    listener?.(progress)
    if (progress.kind === 'waiting') log?.(`another process is migrating; waiting for ${progress.for}`)
    else if (progress.migration !== last) log?.(`applying ${progress.migration}`)
    if (progress.kind !== 'waiting') last = progress.migration
  }
}

async function openMigrator(target: ConnectionTarget): Promise<Connection> {
  return new Hosts(target).open(
    {
      applicationName: 'holdfast migrate',
      connectTimeoutMs: migratorConnectTimeoutMs,
      statementLimit: migratorStatementLimit,
      // An index on a large table takes as long as it takes.
      statementTimeoutMs: 0,
      idleInTransactionTimeoutMs: 0,
      role: 'holdfast_owner',
    },
    () => undefined,
  )
}

async function bootstrap(connection: Connection, missing: readonly string[]): Promise<void> {
  for (const statement of missing) {
    for (let attempt = 1; ; attempt++) {
      try {
        await connection.client.query(statement)
        break
      } catch (error) {
        if (attempt >= bootstrapTries || !existsAlready.has((error as { code?: string }).code ?? '')) throw error
      }
    }
  }
}

/** What `apply` tells of itself; its caller knows which file it is. */
type FileProgress =
  | { readonly kind: 'statement'; readonly statement: number; readonly statements: number }
  | { readonly kind: 'applied' }

async function apply(
  connection: Connection,
  migration: Migration,
  lease: HeldLease,
  tell: (progress: FileProgress) => void,
): Promise<void> {
  const recorded = await readSteps(connection, migration)
  for (const [index, step] of migration.steps.entries()) {
    const earlier = recorded.get(index)
    if (earlier !== undefined && earlier.digest !== step.digest) throw changedStep(migration, index)
    if (earlier?.done === true) continue
    lease.lost.throwIfAborted()
    tell({ kind: 'statement', statement: index + 1, statements: migration.steps.length })
    await runStep({ connection, migration, index, step, recorded: earlier, holder: lease.holder })
  }
  const { client } = connection
  await client.query('BEGIN')
  await client.query(
    'INSERT INTO holdfast.migrations (source, version, name, digest) VALUES ($1::TEXT, $2::INT8, $3::TEXT, $4::TEXT)',
    [migration.source, migration.version, migration.name, migration.digest],
  )
  await client.query('DELETE FROM holdfast.migration_steps WHERE source = $1::TEXT AND version = $2::INT8', [
    migration.source,
    migration.version,
  ])
  await client.query('COMMIT')
  tell({ kind: 'applied' })
}
