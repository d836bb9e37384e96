import { dialectCheck, judgeDialectSettings, productNames, type ServerVersion, readVersion } from './dialect.ts'
import { DatabaseError } from './errors.ts'

/** Times a session is started with, in milliseconds; 0: none. */
export type SessionTimes = { readonly statementTimeoutMs: number; readonly idleInTransactionTimeoutMs: number }

/**
 * Settings every session starts with. What the kernel proved must be what the server executes, so what changes the
 * meaning of a text is pinned – quoting, encoding, name look-up – and so is the isolation that stands for BEGIN
 * ISOLATION LEVEL SERIALIZABLE. The output formats are the ones the type parsers read.
 */
const pinned: Readonly<Record<string, { readonly start: string; readonly shown: readonly string[] }>> = {
  default_transaction_isolation: { start: 'serializable', shown: ['serializable'] },
  standard_conforming_strings: { start: 'on', shown: ['on'] },
  search_path: { start: '', shown: ['', '""'] },
  client_encoding: { start: 'UTF8', shown: ['UTF8', 'utf8'] },
  TimeZone: { start: 'UTC', shown: ['UTC'] },
  DateStyle: { start: 'ISO', shown: ['ISO', 'ISO, MDY', 'ISO, DMY', 'ISO, YMD'] },
  IntervalStyle: { start: 'postgres', shown: ['postgres'] },
  bytea_output: { start: 'hex', shown: ['hex'] },
}

/**
 * Whether the server takes writes. It is not talked out of it at the start: an administrator, or a hosted database that
 * runs out of disk, makes a server read-only by this very setting.
 */
const readOnlyServer = 'default_transaction_read_only'

/**
 * What PostgreSQL's planner is told besides. It runs a condition ahead of a policy's when it takes it for leakproof and
 * costs less than ten operators; and it takes for leakproof what passes no column to a function, such as a division by
 * zero in the branch of a CASE. So an error could tell, past row-level security, whether another tenant's row fulfils a
 * condition (CWE-209). Where an operator costs nothing, nothing is cheaper, and the policy is always first.
 */
export const policyFirst = { name: 'cpu_operator_cost', value: '0' } as const

/** Sets {@link policyFirst} for a session whose role does not bring it. Not in the start-up packet: CockroachDB lacks it. */
export const policyFirstText = `SELECT pg_catalog.set_config('${policyFirst.name}', '${policyFirst.value}', false)`

/**
 * Lets PostgreSQL look once a second whether the client is still there: else a statement whose connection was given up runs
 * to its time limit, and who opens streams and leaves them holds a server's connections (CWE-772).
 */
export const watchClientText = `SELECT pg_catalog.set_config('client_connection_check_interval', '1000', false)`

function startupSettings(times: SessionTimes): (readonly [name: string, value: string])[] {
  return [
    ...Object.entries(pinned).map(([name, { start }]) => [name, start] as const),
    ['statement_timeout', String(times.statementTimeoutMs)],
    ['idle_in_transaction_session_timeout', String(times.idleInTransactionTimeoutMs)],
  ]
}

/** The `options` field of the start-up packet. */
export function startupOptions(times: SessionTimes): string {
  return startupSettings(times)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ')
}

/**
 * The same settings for one transaction, {@link policyFirst} with them: behind a pooler no session is ours, and what others
 * left in it must not reach us. One statement without a literal that quoting could change; fails as a whole.
 */
export function pinText(times: SessionTimes): string {
  const all = [...startupSettings(times), [policyFirst.name, policyFirst.value] as const]
  const calls = all.map(([name, value]) => `pg_catalog.set_config('${name}', '${value}', true)`)
  return `SELECT pg_catalog.num_nonnulls(${calls.join(', ')}) AS pinned`
}

/** Asks a new session what it is and whether the settings arrived: a proxy in between may drop them. */
export const startupCheck = `SELECT pg_catalog.version() AS version, pg_catalog.pg_backend_pid() AS pid, pg_catalog.current_setting('server_version_num') AS version_number, session_user AS login, pg_catalog.current_setting('${readOnlyServer}') AS "${readOnlyServer}", ${Object.keys(
  pinned,
)
  .map((name) => `pg_catalog.current_setting('${name}') AS "${name}"`)
  .join(', ')}, pg_catalog.current_setting('${policyFirst.name}', true) AS "${policyFirst.name}", ${dialectCheck}`

/**
 * Judges the answer to `startupCheck`.
 *
 * @param isEncrypted - does our end of the connection speak TLS?
 * @throws DatabaseError `startup_invariant` naming the setting, `database_unsupported` naming version, floor and why,
 * `database_read_only`
 */
export function judgeStartup(row: Readonly<Record<string, unknown>>, isEncrypted: boolean): ServerVersion {
  const version = readVersion(String(row['version']), Number(row['version_number']))
  if (!version.supported) {
    throw new DatabaseError(
      'database_unsupported',
      `The database is ${version.text}; Holdfast needs ${productNames[version.dialect]} ${version.floor} or later. ${version.why}`,
    )
  }
  for (const [name, { start, shown }] of Object.entries(pinned)) {
    const value = String(row[name])
    if (shown.includes(value)) continue
    throw new DatabaseError(
      'startup_invariant',
      `The session's ${name} is "${value}" and not "${start}". A proxy may have dropped the start-up options.`,
    )
  }
  const problem = judgeDialectSettings(version.dialect, row, isEncrypted)
  if (problem !== undefined) throw new DatabaseError('startup_invariant', problem)
  if (row[readOnlyServer] !== 'off') throw new DatabaseError('database_read_only')
  return version
}
