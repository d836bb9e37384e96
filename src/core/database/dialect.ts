import type { TransactionOptions } from './transaction.ts'

/** Which database is spoken to. All differences between the two that concern this room are in this file. */
export type Dialect = 'postgresql' | 'cockroachdb'

/** What the server says about itself. */
export type ServerVersion = {
  readonly dialect: Dialect
  readonly text: string
  readonly supported: boolean
  readonly floor: string
}

/** Oldest PostgreSQL: 15 is the oldest one every statement of ours was run on. */
const postgresqlFloor = 15
/** Oldest CockroachDB: before 25.2.2 a prepared statement could read another execution's settings (#147187). */
const cockroachdbFloor = [25, 2, 2] as const

/**
 * Reads `version()` of the server.
 *
 * @param version - answer of `SELECT version()`
 * @param versionNumber - `server_version_num` such as 180004; CockroachDB's is not meaningful
 */
export function readVersion(version: string, versionNumber: number): ServerVersion {
  const floor = cockroachdbFloor.join('.')
  if (!version.startsWith('CockroachDB')) {
    const supported = Math.floor(versionNumber / 10_000) >= postgresqlFloor
    return { dialect: 'postgresql', text: version, supported, floor: String(postgresqlFloor) }
  }
  const match = /\bv(\d+)\.(\d+)\.(\d+)/.exec(version)
  const parts = match === null ? [] : match.slice(1).map(Number)
  return { dialect: 'cockroachdb', text: version, supported: !isBelow(parts, cockroachdbFloor), floor }
}

function isBelow(parts: readonly number[], floor: readonly number[]): boolean {
  for (const [index, least] of floor.entries()) {
    const part = parts[index] ?? -1
    if (part !== least) return part < least
  }
  return false
}

/**
 * May the messages up to Sync stand for a transaction, with no BEGIN and COMMIT? CockroachDB ignores
 * transaction-local settings there, so it always gets an explicit transaction.
 */
export function hasImplicitTransaction(dialect: Dialect): boolean {
  return dialect === 'postgresql'
}

/** The text that opens a transaction. Isolation and access are said in full, whatever the session's defaults are. */
export function beginText(o: TransactionOptions): string {
  return `BEGIN ISOLATION LEVEL ${(o.isolation ?? 'serializable').toUpperCase()}, READ ${o.readOnly === true ? 'ONLY' : 'WRITE'}`
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
