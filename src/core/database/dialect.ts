import type { TransactionOptions } from './transaction.ts'

/** Every database that is spoken to. */
const dialects = ['postgresql', 'cockroachdb'] as const
/** Which database is spoken to. All differences between the two are in this file; `test/sql-subset` holds that. */
export type Dialect = (typeof dialects)[number]

/** Is the text the name of a dialect? */
export function isDialect(text: string): text is Dialect {
  return (dialects as readonly string[]).includes(text)
}

/** The database's name as people write it. */
export const productNames: Readonly<Record<Dialect, string>> = {
  postgresql: 'PostgreSQL',
  cockroachdb: 'CockroachDB',
}

/** What the server says about itself. */
export type ServerVersion = {
  readonly dialect: Dialect
  readonly text: string
  readonly supported: boolean
  readonly floor: string
  /** Why an older one is refused. */
  readonly why: string
  /** What the operator should know of this version, a sentence each; it runs nevertheless. */
  readonly advice: readonly string[]
}

/** Oldest PostgreSQL: 15 is the oldest one every statement of ours was run on. */
const postgresqlFloor = 15
const postgresqlWhy = 'It is the oldest version that every statement of Holdfast was run on.'
/** Oldest CockroachDB. */
const cockroachdbFloor = [25, 2, 2] as const
/** CWE-488. Release notes of 25.2.2 and 25.3.0-alpha.1. */
const cockroachdbWhy =
  "Before 25.2.2 a prepared statement could read the settings of another execution, and so another tenant's rows (cockroachdb/cockroach#147187)."
/** CWE-209. Release notes of 25.3.0-alpha.2 and 25.4.0-alpha.1; there is no such note for 25.2. */
const cockroachdbGood = [25, 4, 0] as const
const cockroachdbGoodWhy =
  "Before 25.4 a condition may be judged ahead of a policy, so that an error can tell of another tenant's row (cockroachdb/cockroach#146952); 25.4 or later is recommended."
/**
 * Oldest patch of a release line without what advisory S-26052016 describes: any login could run statements as root
 * (CWE-269). Lines that are not here got no such patch, or never had the fault: {@link lastFaultyLine}.
 */
const cockroachdbPatches: Readonly<Record<string, number>> = { '25.2': 16, '25.4': 7, '26.1': 2 }
const lastFaultyLine = [26, 1] as const

/**
 * Reads `version()` of the server.
 *
 * @param version - answer of `SELECT version()`
 * @param versionNumber - `server_version_num` such as 180004; CockroachDB's is not meaningful
 */
export function readVersion(version: string, versionNumber: number): ServerVersion {
  if (!version.startsWith('CockroachDB')) {
    const supported = Math.floor(versionNumber / 10_000) >= postgresqlFloor
    const floor = String(postgresqlFloor)
    return { dialect: 'postgresql', text: version, supported, floor, why: postgresqlWhy, advice: [] }
  }
  const match = /\bv(\d+)\.(\d+)\.(\d+)/.exec(version)
  const parts = match === null ? [] : match.slice(1).map(Number)
  return {
    dialect: 'cockroachdb',
    text: version,
    supported: !isBelow(parts, cockroachdbFloor),
    floor: cockroachdbFloor.join('.'),
    why: cockroachdbWhy,
    advice: adviseOn(parts),
  }
}

function adviseOn(parts: readonly number[]): string[] {
  const advice: string[] = []
  if (isBelow(parts, cockroachdbGood)) advice.push(cockroachdbGoodWhy)
  const patch = cockroachdbPatches[parts.slice(0, 2).join('.')]
  const isPatched = patch === undefined ? isBelow(lastFaultyLine, parts.slice(0, 2)) : (parts[2] ?? 0) >= patch
  if (!isPatched) {
    const all = Object.entries(cockroachdbPatches).map(([line, number]) => `${line}.${number}`)
    advice.push(
      `Advisory S-26052016: any login can run statements as root. Mended in ${all.join(', ')} and in every later line.`,
    )
  }
  return advice
}

function isBelow(parts: readonly number[], floor: readonly number[]): boolean {
  for (const [index, least] of floor.entries()) {
    const part = parts[index] ?? -1
    if (part !== least) return part < least
  }
  return false
}

/** A setting that a role brings, since the other database does not know it and would refuse the start-up packet. */
export type RoleSetting = {
  readonly name: string
  readonly value: string
  /** What goes wrong without it. */
  readonly why: string
}

/**
 * What the login roles bring on CockroachDB, checked on each connection: a session without one is refused. Documented
 * under "Session variables"; each is off, or on, by default the other way round or settable by anybody for a role.
 */
const cockroachdbSettings: readonly RoleSetting[] = [
  {
    name: 'autocommit_before_ddl',
    value: 'off',
    // CWE-662: the rest of the work would run outside its transaction, without its caller
    why: 'A DDL statement would commit the transaction it finds itself in, and end what binds it to its caller.',
  },
  {
    name: 'default_transaction_use_follower_reads',
    value: 'off',
    // CWE-613: now() is then historical too, so that an ended session looks alive
    why: 'Sessions, memberships and roles would be read as they were seconds ago, revoked ones among them.',
  },
  {
    name: 'enable_durable_locking_for_serializable',
    value: 'on',
    // CWE-362
    why: 'The locks that a strict route takes on what it has judged would be lost when a range moves.',
  },
]

/** Settings that the login roles bring and that each connection is checked for, besides those of the start-up packet. */
export function roleSettings(dialect: Dialect): readonly RoleSetting[] {
  return dialect === 'cockroachdb' ? cockroachdbSettings : []
}

/** Columns for the start-up check that ask for what only CockroachDB has; NULL elsewhere, at the price of no round trip. */
export const dialectCheck = [...cockroachdbSettings.map(({ name }) => name), 'ssl']
  .map((name) => `pg_catalog.current_setting('${name}', true) AS "${name}"`)
  .join(', ')

/**
 * What is wrong with a new session as to the dialect's own settings, a sentence that says how it is mended; nothing
 * when all is well.
 *
 * @param row - answer to {@link dialectCheck} @param isEncrypted - does our end of the connection speak TLS?
 */
export function judgeDialectSettings(
  dialect: Dialect,
  row: Readonly<Record<string, unknown>>,
  isEncrypted: boolean,
): string | undefined {
  for (const { name, value, why } of roleSettings(dialect)) {
    if (row[name] === value) continue
    return `The session's ${name} is "${String(row[name])}" and not "${value}". ${why} As an administrator: ALTER ROLE ${String(row['login'])} SET ${name} = ${value}`
  }
  // There `ssl` is the connection's own state (cockroachdb/cockroach#100355), on PostgreSQL the server's (CWE-319).
  if (dialect === 'cockroachdb' && isEncrypted && row['ssl'] === 'off')
    return 'This end of the connection speaks TLS and the node does not: something in between reads everything.'
  return undefined
}

/**
 * What the operator should know of a connection without TLS, which is only ever one to this very machine. A node that
 * was started with --insecure asks nobody for a password (CWE-306), and cannot be told from one that merely takes
 * connections without TLS.
 */
export function adviseOnTls(dialect: Dialect, isEncrypted: boolean): readonly string[] {
  if (dialect !== 'cockroachdb' || isEncrypted) return []
  return [
    'The connection has no TLS: if the node was started with --insecure, everybody who reaches it is root without a password.',
  ]
}

/**
 * Is the session told more by `set_config` after it was made? PostgreSQL knows settings for the planner and for lost
 * clients that CockroachDB lacks.
 */
export function hasLateSettings(dialect: Dialect): boolean {
  return dialect === 'postgresql'
}

/** Is a session a process, whose number the key to cancel a statement holds? */
export function hasProcesses(dialect: Dialect): boolean {
  return dialect === 'postgresql'
}

/** Does a server name the C function that raised an error? CockroachDB's routines have other names. */
export function namesRoutines(dialect: Dialect): boolean {
  return dialect === 'postgresql'
}

/**
 * May the messages up to Sync stand for a transaction, with no BEGIN and COMMIT? CockroachDB ignores
 * transaction-local settings there, so it always gets an explicit transaction.
 */
export function hasImplicitTransaction(dialect: Dialect): boolean {
  return dialect === 'postgresql'
}

/**
 * The text that opens a transaction. Isolation is said in full, whatever the session's default is. READ WRITE is not: it
 * would overrule an administrator who has made the server read-only.
 */
export function beginText(o: TransactionOptions): string {
  return `BEGIN ISOLATION LEVEL ${(o.isolation ?? 'serializable').toUpperCase()}${o.readOnly === true ? ', READ ONLY' : ''}`
}

/** Does DDL run inside a transaction, and roll back with it? */
export function hasTransactionalDdl(dialect: Dialect): boolean {
  return dialect === 'postgresql'
}

/**
 * What `{{pinned_search_path}}` of a migration becomes. CockroachDB takes no SET clause on a function; there every name
 * in its body is qualified and resolved when it is made.
 */
export function pinnedSearchPath(dialect: Dialect): string {
  return dialect === 'postgresql' ? "SET search_path = ''" : ''
}

/** What CREATE ROLE says of a role that may do nothing by itself. CockroachDB's roles begin with nothing, and always inherit. */
export function roleAttributes(dialect: Dialect, o: { readonly login: boolean; readonly inherit: boolean }): string {
  const login = o.login ? 'LOGIN' : 'NOLOGIN'
  if (dialect === 'cockroachdb') return login
  return `${login} ${o.inherit ? 'INHERIT' : 'NOINHERIT'} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS`
}

/** Has everybody USAGE on new types, and can it be taken away for the future? */
export function hasTypePrivileges(dialect: Dialect): boolean {
  return dialect === 'postgresql'
}

/**
 * Migrations that only CockroachDB has, each a folder `migrations/cockroachdb/NAME/` with numbers of its own; chosen
 * with `holdfast migrate --with`, and kept current from then on.
 */
export const optionalSets = ['ttl', 'hash-sharded', 'regional'] as const
/** A set of optional migrations. */
export type OptionalSet = (typeof optionalSets)[number]

/** Is the text the name of an optional set? */
export function isOptionalSet(text: string): text is OptionalSet {
  return (optionalSets as readonly string[]).includes(text)
}

/** Which optional migrations a database can have. */
export function optionalSetsOf(dialect: Dialect): readonly OptionalSet[] {
  return dialect === 'cockroachdb' ? optionalSets : []
}

/**
 * What `{{drop_unique TABLE NAME}}` of a migration becomes. CockroachDB drops a UNIQUE constraint with its index alone
 * (documented under "Constraints"), PostgreSQL never that index without its constraint.
 */
export function dropUnique(dialect: Dialect, table: string, name: string): string {
  return dialect === 'cockroachdb'
    ? `DROP INDEX ${table}@${name} CASCADE`
    : `ALTER TABLE ${table} DROP CONSTRAINT ${name}`
}

/** Do the catalogs tell triggers and rules? CockroachDB documents SHOW TRIGGERS alone for that. */
export function hasTriggerCatalog(dialect: Dialect): boolean {
  return dialect === 'postgresql'
}

/**
 * Was a row that breaks a constraint let through by the policies before? PostgreSQL asks a policy ahead of every
 * constraint (ExecInsert, ExecUpdate); of CockroachDB that is said of foreign keys alone.
 *
 * @param sqlstate - of the failure
 */
export function isPastPolicies(dialect: Dialect, sqlstate: string): boolean {
  return dialect === 'postgresql' ? sqlstate.startsWith('23') : sqlstate === '23503'
}

/** The isolation in which others' work is held up least: CockroachDB's weaker one may not be licensed, or be off. */
export function gentleIsolation(dialect: Dialect): 'read committed' | 'serializable' {
  return dialect === 'postgresql' ? 'read committed' : 'serializable'
}
