import type { Connection } from './connection.ts'
import { hasTransactionalDdl } from './dialect.ts'
import { DatabaseError, readReport, StatementError, type WireError } from './errors.ts'
import { effectOf, type Effect } from './migration-effect.ts'
import { MigrationError } from './migration-error.ts'
import type { Migration, MigrationStep } from './migration-file.ts'
import { existsAlready, labelOf, type RecordedStep } from './migration-ledger.ts'
import { lookForTraces } from './migration-trace.ts'
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

const held = `SELECT 1 / count(*) AS held FROM holdfast.leases
WHERE name = 'migrate' AND holder = $1::TEXT AND expires_at > now()`
/**
 * Asked again when all is done, and held on to until the commit: a statement may outlive the process that sent it, and a
 * server that goes on without it must not commit what another process has taken over (CWE-367).
 */
const stillHeld = `SELECT 1 / count(*) AS held FROM (
  SELECT 1 AS held FROM holdfast.leases
  WHERE name = 'migrate' AND holder = $1::TEXT AND expires_at > clock_timestamp() FOR SHARE
) l`

/**
 * Runs a statement once: in one transaction with its record where the database can, else as {@link runStepInDoubt} does.
 * Rows can always be written in a transaction.
 *
 * @throws MigrationError `migration_failed`, `migration_in_doubt`
 * @throws DatabaseError `lease_lost`, `connection_lost`
 */
export async function runStep(work: StepWork): Promise<void> {
  if (hasTransactionalDdl(work.connection.dialect)) return runStepAtomically(work)
  const effect = await effectOf(work.step.text)
  return effect.kind === 'data' ? runStepAtomically(work) : runStepInDoubt(work, effect)
}

/**
 * Runs a statement and its record in one transaction: after a crash both are there, or neither. The lease is checked in
 * the same transaction, before and after: who has lost it cannot go on.
 *
 * @throws MigrationError `migration_failed`
 * @throws DatabaseError `lease_lost`, `connection_lost`
 */
async function runStepAtomically(work: StepWork): Promise<void> {
  const { connection, migration, index, step, holder } = work
  const queries = [
    query('BEGIN ISOLATION LEVEL READ COMMITTED'),
    query(held, holder),
    query(`SET LOCAL ROLE ${step.role}`),
    query(step.text),
    query('SET LOCAL ROLE holdfast_owner'),
    query(
      `INSERT INTO holdfast.migration_steps (source, version, step, digest, done)
VALUES ($1::TEXT, $2::INT8, $3::INT8, $4::TEXT, true)`,
      migration.source,
      migration.version,
      index,
      step.digest,
    ),
    query(stillHeld, holder),
    query('COMMIT'),
  ]
  // A step that a crash takes back is simply run again; the file's own record is flushed.
  if (hasTransactionalDdl(connection.dialect)) queries.splice(1, 0, query('SET LOCAL synchronous_commit = off'))
  const end = await connection.fly(queries)
  if ('cause' in end) throw connectionLost(work, end.cause)
  if (end.failure === undefined) return
  const { report } = end.failure
  await connection.client.query('ROLLBACK')
  const failed = queries[end.failure.index]?.statement.text
  if (failed === held || failed === stillHeld) throw leaseLost(work)
  throw refused(
    work,
    report.message,
    report.sqlstate,
    new StatementError('statement_failed', end.failure.index, report),
  )
}

/** Answers after which a statement may have been applied all the same, in full or by half (CockroachDB's XXA00, 40003). */
const OPEN_END = /^(?:08|40003|57P0|57014|XX)/
/** What "is not there any more" looks like. */
const goneAlready = new Set(['42P01', '42703', '42704', '42883', '3F000'])

/**
 * Runs a statement where DDL commits by itself (CockroachDB): the record is written before and after. One that was begun
 * and not recorded as done is recognised by what it leaves in the catalog, or run again where that does no harm; what can
 * be told neither way is for a person. Written to CockroachDB's documentation, and not run against a real one yet.
 *
 * @throws MigrationError `migration_failed`, `migration_in_doubt`
 * @throws DatabaseError `lease_lost`, `connection_lost`
 */
export async function runStepInDoubt(work: StepWork, effect: Effect): Promise<void> {
  const { connection, recorded } = work
  const { traces } = effect.kind === 'traced' ? effect : { traces: undefined }
  const applied = traces === undefined ? 'not' : await lookForTraces(connection, traces)
  if (recorded !== undefined && (applied === 'partly' || effect.kind === 'opaque')) throw inDoubt(work)
  // somebody else's, who had that name first
  if (recorded === undefined && applied === 'wholly') throw refused(work, 'its work is there already', '42710')
  await recordBegun(work)
  if (applied !== 'wholly') await execute(work, effect)
  await connection.client.query(
    `UPDATE holdfast.migration_steps SET done = true
WHERE source = $1::TEXT AND version = $2::INT8 AND step = $3::INT8`,
    keyOf(work),
  )
}

const keyOf = ({ migration: { source, version }, index }: StepWork): unknown[] => [source, version, index]

/** Only who holds the lease may begin a statement. */
async function recordBegun(work: StepWork): Promise<void> {
  const { connection, recorded, step, holder } = work
  const sql =
    recorded === undefined
      ? `INSERT INTO holdfast.migration_steps (source, version, step, digest, done)
SELECT $1::TEXT, $2::INT8, $3::INT8, $4::TEXT, false FROM holdfast.leases
WHERE name = 'migrate' AND holder = $5::TEXT AND expires_at > now()`
      : `UPDATE holdfast.migration_steps SET digest = $4::TEXT
WHERE source = $1::TEXT AND version = $2::INT8 AND step = $3::INT8
  AND EXISTS (SELECT 1 AS held FROM holdfast.leases
    WHERE name = 'migrate' AND holder = $5::TEXT AND expires_at > now())`
  const { rowCount } = await connection.client.query(sql, [...keyOf(work), step.digest, holder])
  if (rowCount !== 1) throw leaseLost(work)
}

async function execute(work: StepWork, effect: Effect): Promise<void> {
  const { connection, step, recorded } = work
  const { client } = connection
  try {
    if (step.role !== 'holdfast_owner') await client.query(`SET ROLE ${step.role}`)
    await client.query(step.text)
  } catch (error) {
    const { code = '', message } = error as { code?: string; message: string }
    // the server said nothing: it may have done it, or not
    if (readReport(error as WireError) === undefined) throw connectionLost(work, error)
    if (OPEN_END.test(code)) throw inDoubt(work, message, error)
    const isDone = recorded !== undefined && (existsAlready.has(code) || goneAlready.has(code))
    if (isDone && (effect.kind === 'colliding' || (await isThereNow(work, effect)))) return
    // it was refused, and so was never begun
    if (recorded === undefined) {
      await client.query(
        'DELETE FROM holdfast.migration_steps WHERE source = $1::TEXT AND version = $2::INT8 AND step = $3::INT8',
        keyOf(work),
      )
    }
    throw refused(work, message, code, error)
  } finally {
    if (connection.isUsable && step.role !== 'holdfast_owner') await client.query('SET ROLE holdfast_owner')
  }
}

/** The job of a process that died may have ended between the look and the statement. */
async function isThereNow({ connection }: StepWork, effect: Effect): Promise<boolean> {
  return effect.kind === 'traced' && (await lookForTraces(connection, effect.traces)) === 'wholly'
}

const placeOf = ({ migration, index }: StepWork): string => `Statement ${index + 1} of "${labelOf(migration)}"`

function leaseLost(work: StepWork): DatabaseError {
  return new MigrationError('lease_lost', {
    what: `${placeOf(work)}: the lease "migrate" was lost, and another process may be migrating by now.`,
    migration: labelOf(work.migration),
    statement: work.index + 1,
    next: [
      'This process has stopped. Statements that are done are recorded; `holdfast migrate status` says who goes on.',
    ],
  })
}

function connectionLost(work: StepWork, cause: unknown): DatabaseError {
  return new MigrationError('connection_lost', {
    what: `${placeOf(work)}: the connection was lost while it ran.`,
    migration: labelOf(work.migration),
    statement: work.index + 1,
    next: ['Run `holdfast migrate` again: it finds out whether the statement was applied, and goes on.'],
    cause,
  })
}

/** What to do after a refusal, by what it was about. */
function adviceOn(sqlstate: string, file: string): string {
  if (sqlstate.startsWith('53') || sqlstate === '58030') {
    return 'The database has no room for it (disk, memory or connections). Make room, and run `holdfast migrate` again.'
  }
  if (sqlstate === '42501')
    return 'The role may not do that. `holdfast db roles` prints how the roles are made; nobody else may own the tables.'
  if (sqlstate === '40001' || sqlstate === '40P01' || sqlstate === '55P03')
    return 'Other work was in its way. Run `holdfast migrate` again.'
  return `Mend this statement in ${file}.sql – those before it may not be changed any more –, and run \`holdfast migrate\` again.`
}

function refused(work: StepWork, message: string, sqlstate: string, cause?: unknown): MigrationError {
  const { migration, index, step } = work
  const before = index === 0 ? '' : ` The ${index} before it ${index === 1 ? 'is' : 'are'} done and recorded.`
  return new MigrationError('migration_failed', {
    what: `${placeOf(work)} failed: ${message} (SQLSTATE ${sqlstate})`,
    migration: labelOf(migration),
    statement: index + 1,
    text: step.text,
    sqlstate,
    next: [`Nothing of it was applied.${before}`, adviceOn(sqlstate, migration.name)],
    cause,
  })
}

function inDoubt(work: StepWork, message = 'it was begun, and its end was never recorded', cause?: unknown) {
  const { migration, index, step } = work
  const where = `source = '${migration.source}' AND version = ${migration.version} AND step = ${index}`
  return new MigrationError('migration_in_doubt', {
    what: `${placeOf(work)} is in doubt: ${message}.`,
    migration: labelOf(migration),
    statement: index + 1,
    text: step.text,
    next: [
      'Look whether it was applied (on CockroachDB also in SHOW JOBS). As holdfast_owner, if it was:',
      `  UPDATE holdfast.migration_steps SET done = true WHERE ${where};`,
      'If it was not, or once what is there by half is undone:',
      `  DELETE FROM holdfast.migration_steps WHERE ${where};`,
      'Then run `holdfast migrate` again.',
    ],
    cause,
  })
}
