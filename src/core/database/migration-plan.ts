import type { Dialect } from './dialect.ts'
import { DatabaseError } from './errors.ts'
import { type Migration, type MigrationSet, type MigrationSource, readSets } from './migration-file.ts'
import {
  type AppliedMigration,
  appliedOptional,
  bootstrapStatements,
  changedStep,
  labelOf,
  lookUp,
  lookUpApplied,
  lookUpSteps,
  pendingOf,
  type RecordedStep,
} from './migration-ledger.ts'
import type { Pool } from './pool.ts'
import { type RoleGrants, roleVersion } from './role-seed.ts'
import type { Statement } from './statement.ts'

/** A statement that `apply` would run. */
export type PlannedStatement = {
  /** From 1, within its file. */
  readonly number: number
  readonly role: 'holdfast_owner' | 'holdfast_enter'
  /** SHA-256 of the statement as it stands in the file, in hex. */
  readonly digest: string
  readonly text: string
  /** Was it begun by a run that did not come to record its end? Only where DDL commits by itself. */
  readonly begun: boolean
}

/** A file that `apply` would apply, or go on with. */
export type PlannedFile = {
  readonly source: MigrationSource
  readonly name: string
  /** SHA-256 of the file with line feeds as line ends, in hex. */
  readonly digest: string
  /** How many statements it has in all. */
  readonly total: number
  /** Those that are left, in order. */
  readonly statements: readonly PlannedStatement[]
}

/** All that `apply` would do. */
export type MigrationPlan = {
  readonly dialect: Dialect
  /** The runner's own schemas and tables that are not there yet. */
  readonly runner: readonly string[]
  readonly files: readonly PlannedFile[]
  /** Version of the role definitions, and whether `apply` would make it current; nothing where none are given. */
  readonly roles: { readonly version: string; readonly changes: boolean } | undefined
}

/** What a plan is made of. */
export type PlanOptions = {
  /** As holdfast_owner. */
  readonly pool: Pool
  readonly directory: URL
  readonly application?: URL | undefined
  readonly optional?: readonly string[]
  readonly roleGrants: RoleGrants
}

/**
 * What `migrate` would do now, statement by statement; changes nothing.
 *
 * @throws DatabaseError those of `migrate` that are seen before the first statement
 */
export async function planMigration(o: PlanOptions): Promise<MigrationPlan> {
  const { pool } = o
  const applied = await lookUpApplied(pool)
  const { pending } = await judgeSets({ ...o, dialect: pool.dialect }, applied)
  const files: PlannedFile[] = []
  for (const migration of pending) files.push(planFile(migration, await lookUpSteps(pool, migration)))
  return {
    dialect: pool.dialect,
    runner: await missingRunner(pool),
    files,
    roles: Object.keys(o.roleGrants).length === 0 ? undefined : await planRoles(pool, o.roleGrants),
  }
}

/** Reads all files, and judges them against what the database has, before anything is run. */
export async function judgeSets(
  o: Pick<PlanOptions, 'directory' | 'application' | 'optional'> & { readonly dialect: Dialect },
  applied: readonly AppliedMigration[],
): Promise<{ sets: readonly MigrationSet[]; pending: readonly Migration[] }> {
  const sets = await readSets({
    own: o.directory,
    application: o.application,
    dialect: o.dialect,
    optional: new Set([...(o.optional ?? []), ...appliedOptional(applied)]),
  })
  const pending = sets.flatMap(({ source, files }) =>
    pendingOf(
      files,
      applied.filter((each) => each.source === source),
    ),
  )
  return { sets, pending }
}

function planFile(migration: Migration, recorded: ReadonlyMap<number, RecordedStep>): PlannedFile {
  const statements = migration.steps.flatMap(({ role, digest, text }, index) => {
    const earlier = recorded.get(index)
    if (earlier !== undefined && earlier.digest !== digest) throw changedStep(migration, index)
    if (earlier?.done === true) return []
    return [{ number: index + 1, role, digest, text, begun: earlier !== undefined }]
  })
  const { source, name, digest, steps } = migration
  return { source, name: labelOf({ source, name }), digest, total: steps.length, statements }
}

const currentRoles: Statement = { name: 'hf_current_roles', text: 'SELECT version FROM holdfast.current_roles' }
const runnersOwn: Statement = {
  name: 'hf_runner',
  text: `SELECT n.nspname::TEXT AS schema_name, c.relname::TEXT AS table_name FROM pg_catalog.pg_namespace n
LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname IN ('migrations', 'migration_steps', 'leases')
WHERE n.nspname IN ('holdfast', 'tenancy')`,
}

async function planRoles(pool: Pool, roleGrants: RoleGrants): Promise<NonNullable<MigrationPlan['roles']>> {
  const { version } = roleVersion(roleGrants)
  const [current] = await lookUp(pool, currentRoles)
  return { version, changes: current?.['version'] !== version }
}

/** Which of the runner's own statements have work left. */
export async function missingRunner(pool: Pool): Promise<string[]> {
  const { rows } = await pool.transaction((transaction) => transaction.query(runnersOwn))
  const there = new Set(
    rows.flatMap((row) => [
      `${row['schema_name'] as string}`,
      `${row['schema_name'] as string}.${row['table_name'] as string}`,
    ]),
  )
  return bootstrapStatements.filter((text) => {
    const name = /(?:SCHEMA|TABLE) IF NOT EXISTS ([a-z_.]+)/.exec(text)?.[1]
    if (name === undefined) throw new DatabaseError('migration_file_invalid')
    return !there.has(name)
  })
}
