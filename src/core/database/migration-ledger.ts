import type { Connection } from './connection.ts'
import { isOptionalSet } from './dialect.ts'
import { StatementError } from './errors.ts'
import { MigrationError } from './migration-error.ts'
import type { Migration, MigrationSource } from './migration-file.ts'
import type { Pool } from './pool.ts'
import type { Row, Statement } from './statement.ts'

/**
 * What the runner itself needs before the first migration. Each may be run again at any time.
 * A file's statements are recorded one by one in `migration_steps`, and as a whole in `migrations` at its end.
 */
export const bootstrapStatements = [
  'CREATE SCHEMA IF NOT EXISTS holdfast',
  'CREATE SCHEMA IF NOT EXISTS tenancy',
  `CREATE TABLE IF NOT EXISTS holdfast.migrations (
  source TEXT NOT NULL,
  version INT8 NOT NULL,
  name TEXT NOT NULL,
  digest TEXT NOT NULL,
  applied_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (source, version)
)`,
  `CREATE TABLE IF NOT EXISTS holdfast.migration_steps (
  source TEXT NOT NULL,
  version INT8 NOT NULL,
  step INT8 NOT NULL,
  digest TEXT NOT NULL,
  done BOOL NOT NULL,
  PRIMARY KEY (source, version, step)
)`,
  `CREATE TABLE IF NOT EXISTS holdfast.leases (
  name TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL
)`,
] as const

/** What "exists already" looks like: two runners may bootstrap at once, and on PostgreSQL IF NOT EXISTS can still collide. */
export const existsAlready = new Set(['23505', '42P06', '42P07', '42710', '42701', '42723'])

/** A migration that the database has. */
export type AppliedMigration = {
  readonly source: MigrationSource
  readonly version: number
  readonly name: string
  readonly digest: string
}

/** A statement of an unfinished file that was begun, and perhaps done. */
export type RecordedStep = { readonly digest: string; readonly done: boolean }

/** Which migrations the database has. */
const appliedStatement: Statement = {
  name: 'hf_migrations',
  text: 'SELECT source, version, name, digest FROM holdfast.migrations ORDER BY source DESC, version',
}

/** Reads which migrations the database has; the runner's own table is there. */
export async function readApplied(connection: Connection): Promise<AppliedMigration[]> {
  return appliedOf((await connection.client.query<Row>(appliedStatement.text)).rows)
}

/** The same, for any role and pool; none if the runner was never there. */
export async function lookUpApplied(pool: Pool): Promise<AppliedMigration[]> {
  return appliedOf(await lookUp(pool, appliedStatement))
}

/** Rows of the runner's own tables; none if it was never there. */
export async function lookUp(pool: Pool, statement: Statement, values: readonly unknown[] = []): Promise<Row[]> {
  try {
    const [result] = await pool.transaction((transaction) =>
      transaction.send([{ statement, values }], { commit: true }),
    )
    return [...(result?.rows ?? [])]
  } catch (error) {
    // No such table, no such schema.
    if (error instanceof StatementError && ['42P01', '3F000'].includes(error.sqlstate)) return []
    throw error
  }
}

function appliedOf(rows: readonly Row[]): AppliedMigration[] {
  return rows.flatMap(({ source, version, name, digest }) => {
    // a set that only a newer version knows is that version's business
    if (!isSource(source)) return []
    return [{ source, version: Number(version), name: String(name), digest: String(digest) }]
  })
}

function isSource(source: unknown): source is MigrationSource {
  return source === 'holdfast' || source === 'application' || isOptionalSet(String(source))
}

/** How far an unfinished file has come. */
const stepsStatement: Statement = {
  name: 'hf_migration_steps',
  text: 'SELECT step, digest, done FROM holdfast.migration_steps WHERE source = $1::TEXT AND version = $2::INT8',
}

/** Reads how far an unfinished file has come. */
export async function readSteps(
  connection: Connection,
  { source, version }: Pick<Migration, 'source' | 'version'>,
): Promise<Map<number, RecordedStep>> {
  return stepsOf((await connection.client.query<Row>(stepsStatement.text, [source, version])).rows)
}

/** The same, for any role and pool; none if the runner was never there. */
export async function lookUpSteps(
  pool: Pool,
  { source, version }: Pick<Migration, 'source' | 'version'>,
): Promise<Map<number, RecordedStep>> {
  return stepsOf(await lookUp(pool, stepsStatement, [source, version]))
}

function stepsOf(rows: readonly Row[]): Map<number, RecordedStep> {
  return new Map(rows.map(({ step, digest, done }) => [Number(step), { digest: String(digest), done: done === true }]))
}

/** The optional sets that a database has chosen. */
export function appliedOptional(applied: readonly AppliedMigration[]): Set<string> {
  return new Set(applied.map(({ source }) => source).filter((source) => isOptionalSet(source)))
}

/** A statement that was run already does not read as it did. */
export function changedStep(migration: Migration, index: number): MigrationError {
  return new MigrationError('migration_changed', {
    what: `Statement ${index + 1} of "${labelOf(migration)}" was changed after it was run.`,
    migration: labelOf(migration),
    statement: index + 1,
    next: ['Undo the change: what was run stays as it was. Statements after it may still be changed.'],
  })
}

/** A migration as people read it: an application's names its set. */
export function labelOf({ source, name }: Pick<Migration, 'source' | 'name'>): string {
  return source === 'holdfast' ? name : `${source}/${name}`
}

/**
 * Which files of one set are still to be applied?
 *
 * @param files the set's @param applied the same set's
 *
 * @throws DatabaseError `migration_changed` when an applied file differs from its record, `migration_unknown` when the
 * database is ahead of the files
 */
export function pendingOf(files: readonly Migration[], applied: readonly AppliedMigration[]): Migration[] {
  for (const { source, version, name, digest } of applied) {
    const label = labelOf({ source, name })
    const file = files[version - 1]
    if (file === undefined) {
      throw new MigrationError('migration_unknown', {
        what: `The database has migration "${label}", which this version does not know.`,
        migration: label,
        next: [
          source === 'application'
            ? 'It was migrated from newer files of your application: migrate from those. Nothing was changed.'
            : 'It was migrated by a newer version of Holdfast: migrate with that one. Nothing was changed.',
        ],
      })
    }
    if (file.name !== name || file.digest !== digest) {
      throw new MigrationError('migration_changed', {
        what: `Migration "${label}" was changed after it was applied.`,
        migration: label,
        next: [
          file.name === name
            ? `Applied with SHA-256 ${digest}; ${name}.sql has ${file.digest} now.`
            : `Number ${version} is ${file.name}.sql now.`,
          'Undo the change, and write a new migration instead. Nothing was changed.',
        ],
      })
    }
  }
  const done = new Set(applied.map(({ version }) => version))
  return files.filter(({ version }) => !done.has(version))
}
