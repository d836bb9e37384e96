import type { Connection } from './connection.ts'
import { DatabaseError, StatementError } from './errors.ts'
import { existsAlready, labelOf, type RecordedStep } from './migration-ledger.ts'
import type { Migration, MigrationStep } from './migration-file.ts'
import type { Query } from './statement.ts'

/** One statement of a file, with what is needed to run it. */
export type StepWork = {
  readonly connection: Connection
  readonly migration: Migration
  /** 0-based. */
  readonly index: number
  readonly step: MigrationStep
  readonly recorded: RecordedStep | undefined
  /** Holder of the lease `migrate`. */
  readonly holder: string
}

const query = (text: string, ...values: unknown[]): Query => ({ statement: { name: '', text }, values })

/**
 * Runs a statement and its record in one transaction, which DDL on PostgreSQL allows: after a crash both are there, or
 * neither. The lease is checked in the same transaction: who has lost it cannot go on.
 *
 * @throws DatabaseError `migration_failed`, `lease_lost`, `connection_lost`
 */
export async function runStepAtomically(work: StepWork): Promise<void> {
  const { connection, migration, index, step, holder } = work
  const queries = [
    query('BEGIN ISOLATION LEVEL READ COMMITTED'),
    // A step that a crash takes back is simply run again; the file's own record is flushed.
    query('SET LOCAL synchronous_commit = off'),
    query(
      `SELECT 1 / count(*) FROM holdfast.leases WHERE name = 'migrate' AND holder = $1::TEXT AND expires_at > now()`,
      holder,
    ),
    query(`SET LOCAL ROLE ${step.role}`),
    query(step.text),
    query('SET LOCAL ROLE holdfast_owner'),
    query(
      'INSERT INTO holdfast.migration_steps (source, version, step, digest, done) VALUES ($1::TEXT, $2::INT8, $3::INT8, $4::TEXT, true)',
      migration.source,
      migration.version,
      index,
      step.digest,
    ),
    query('COMMIT'),
  ]
  const end = await connection.fly(queries)
  if ('cause' in end) throw new DatabaseError('connection_lost', undefined, end.cause)
  if (end.failure === undefined) return
  const { report } = end.failure
  await connection.client.query('ROLLBACK')
  if (end.failure.index === 2) throw new DatabaseError('lease_lost', 'The lease "migrate" was lost.')
  throw failed(work, new StatementError('statement_failed', end.failure.index, report), report.message)
}

/**
 * Runs a statement where DDL commits by itself (CockroachDB): the record is written before and after. A statement that
 * was begun and not recorded as done may have been applied; it is run again, and "exists already" then means it was.
 * Not run against a real CockroachDB yet.
 *
 * @throws DatabaseError `migration_failed`, `migration_in_doubt`
 */
export async function runStepInDoubt(work: StepWork): Promise<void> {
  const { connection, migration, index, step, recorded } = work
  const { client } = connection
  if (recorded === undefined) {
    await client.query(
      'INSERT INTO holdfast.migration_steps (source, version, step, digest, done) VALUES ($1::TEXT, $2::INT8, $3::INT8, $4::TEXT, false)',
      [migration.source, migration.version, index, step.digest],
    )
  }
  try {
    if (step.role !== 'holdfast_owner') await client.query(`SET ROLE ${step.role}`)
    await client.query(step.text)
  } catch (error) {
    const { code = '', message } = error as { code?: string; message: string }
    if (recorded === undefined) throw failed(work, error, message)
    if (!existsAlready.has(code)) {
      throw new DatabaseError(
        'migration_in_doubt',
        `Statement ${index + 1} of "${labelOf(migration)}" was interrupted, and failed when run again: ${message}`,
        error,
      )
    }
  } finally {
    if (step.role !== 'holdfast_owner') await client.query('SET ROLE holdfast_owner')
  }
  await client.query(
    'UPDATE holdfast.migration_steps SET done = true WHERE source = $1::TEXT AND version = $2::INT8 AND step = $3::INT8',
    [migration.source, migration.version, index],
  )
}

function failed({ migration, index }: StepWork, cause: unknown, message: string): DatabaseError {
  return new DatabaseError(
    'migration_failed',
    `Statement ${index + 1} of "${labelOf(migration)}" failed: ${message}`,
    cause,
  )
}
