import { randomUUID } from 'node:crypto'
import type { Connection } from './connection.ts'
import type { ConnectionTarget } from './connection-target.ts'
import { hasTransactionalDdl, isOptionalSet, type OptionalSet } from './dialect.ts'
import { DatabaseError } from './errors.ts'
import { Hosts } from './hosts.ts'
import { type HeldLease, holdLease } from './lease.ts'
import { type Migration, type MigrationSource, ownMigrations, readSets } from './migration-file.ts'
import {
  bootstrapStatements,
  type AppliedMigration,
  existsAlready,
  labelOf,
  lookUpApplied,
  pendingOf,
  readApplied,
  readSteps,
} from './migration-ledger.ts'
import { runStepAtomically, runStepInDoubt } from './migration-step.ts'
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
  readonly log?: (line: string) => void
}

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

/** A holder that died is waited for this long; a statement may take longer, the lease is renewed meanwhile. */
const leaseSeconds = 30
/** How long another process's migrations are waited for. */
const waitMs = 300_000
/** Pause between two looks at another process's lease, in milliseconds. */
const waitStepMs = 50
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
 * @throws DatabaseError `migration_file_invalid`, `migration_changed`, `migration_unknown`, `migration_failed`,
 * `migration_in_doubt`, `lease_held`, `lease_lost`, and those of `createPool`
 */
export async function migrate(o: MigrateOptions): Promise<MigrationReport> {
  const log = o.log ?? (() => undefined)
  const connection = await openMigrator(o.target)
  let pool: Pool | undefined
  let lease: HeldLease | undefined
  try {
    await bootstrap(connection)
    pool = await createPool({
      connection: o.target,
      size: 1,
      applicationName: 'holdfast migrate',
      role: 'holdfast_owner',
    })
    lease = await waitForLease(pool, log)
    const known = await readApplied(connection)
    const sets = await readSets({
      own: o.directory ?? ownMigrations,
      application: o.application,
      dialect: connection.dialect,
      optional: new Set([...(o.optional ?? []), ...optionalOf(known)]),
    })
    // all of it is judged before any of it is run
    const pending = sets.flatMap(({ source, files }) => pendingOf(files, ofSource(known, source)))
    for (const migration of pending) {
      log(`applying ${labelOf(migration)}`)
      await apply(connection, migration, lease)
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
  const sets = await readSets({ own: directory, application, dialect: source.dialect, optional: optionalOf(applied) })
  const pending = sets.flatMap((set) =>
    pendingOf(
      set.files,
      ofSource(applied, set.source).filter(({ version }) => version <= set.files.length),
    ),
  )
  return {
    current: pending.length === 0,
    applied: applied.map(labelOf),
    pending: pending.map(labelOf),
  }
}

/** The optional sets that a database has chosen. */
function optionalOf(applied: readonly AppliedMigration[]): Set<string> {
  return new Set(applied.map(({ source }) => source).filter((source) => isOptionalSet(source)))
}

function ofSource(applied: readonly AppliedMigration[], source: MigrationSource): AppliedMigration[] {
  return applied.filter((each) => each.source === source)
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

async function bootstrap(connection: Connection): Promise<void> {
  for (const statement of bootstrapStatements) {
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

async function waitForLease(pool: Pool, log: (line: string) => void): Promise<HeldLease> {
  const holder = `${process.pid}-${randomUUID()}`
  const start = performance.now()
  for (let isFirst = true; ; isFirst = false) {
    const lease = await holdLease(pool, 'migrate', holder, leaseSeconds)
    if (lease !== undefined) return lease
    if (isFirst) log('another process is migrating; waiting')
    if (performance.now() - start > waitMs) throw new DatabaseError('lease_held', 'Another process is still migrating.')
    await new Promise((resolve) => setTimeout(resolve, waitStepMs))
  }
}

async function apply(connection: Connection, migration: Migration, lease: HeldLease): Promise<void> {
  const recorded = await readSteps(connection, migration)
  const run = hasTransactionalDdl(connection.dialect) ? runStepAtomically : runStepInDoubt
  for (const [index, step] of migration.steps.entries()) {
    const earlier = recorded.get(index)
    if (earlier !== undefined && earlier.digest !== step.digest) {
      throw new DatabaseError(
        'migration_changed',
        `Statement ${index + 1} of "${labelOf(migration)}" was changed after it was run.`,
      )
    }
    if (earlier?.done === true) continue
    lease.lost.throwIfAborted()
    await run({ connection, migration, index, step, recorded: earlier, holder: lease.holder })
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
}
