import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { hasProcesses, readVersion } from './dialect.ts'
import { DatabaseError } from './errors.ts'
import type { RoleName } from './roles.ts'
import { judgeStartup, pinText, type SessionTimes, startupCheck } from './startup.ts'
import type { Statement } from './statement.ts'

/**
 * A pooler that stands between: each transaction may run on another session of the server, with settings that nobody here
 * made, and without the prepared statements of the one before.
 */
export type Pooler = {
  /** Sent with each BEGIN, before anything else: makes in the transaction what a session of our own is started with. */
  readonly pin: Statement
  /** Does it keep track of prepared statements, as PgBouncer does from 1.21 on? */
  readonly keepsNames: boolean
}

/**
 * Does another process answer than the one that took us in? The key to cancel a statement holds the process's number; a
 * pooler, which gives out keys of its own, has no such process. CockroachDB's numbers are no processes'.
 *
 * @param row - answer to `startupCheck`
 */
export function isPooled(client: pg.Client, row: Readonly<Record<string, unknown>>): boolean {
  const { dialect } = readVersion(String(row['version']), Number(row['version_number']))
  return hasProcesses(dialect) && Number(row['pid']) !== (client as unknown as { processID: number }).processID
}

/** Does the start fail because of the settings in the start-up packet? PgBouncer refuses those it does not keep track of. */
export function refusesSettings(error: unknown): boolean {
  const { code, message = '' } = (error ?? {}) as { code?: string; message?: string }
  return code === '08P01' && message.includes('startup parameter')
}

/**
 * Finds out what a pooler does, and whether a transaction that is begun as ours are has every setting.
 *
 * @throws DatabaseError as `judgeStartup`; `startup_invariant` where the session is to take on another role
 */
export async function inspectPooler(
  client: pg.Client,
  o: SessionTimes & { readonly role?: RoleName },
  isEncrypted: boolean,
): Promise<Pooler> {
  if (o.role !== undefined) {
    throw new DatabaseError(
      'startup_invariant',
      // CWE-250: whoever got that session next would have the role
      `A pooler stands before the database, and sessions that take on ${o.role} must not be shared. Give this command the address of the database itself.`,
    )
  }
  const pin = { name: 'hf_pin', text: pinText(o) }
  await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE')
  await client.query(pin.text)
  const { rows } = await client.query<Record<string, unknown>>(startupCheck)
  judgeStartup(rows[0] ?? {}, isEncrypted)
  const keepsNames = await findOutNames(client)
  await client.query('ROLLBACK')
  if (!keepsNames) sayUnnamed()
  return { pin, keepsNames }
}

/** A pooler that keeps track of names gives them others on the server: two clients may have chosen the same. */
async function findOutNames(client: pg.Client): Promise<boolean> {
  const name = `hf_${randomBytes(8).toString('hex')}`
  const { rows } = await client.query<{ name: string }>({
    name,
    text: 'SELECT name FROM pg_catalog.pg_prepared_statements',
  })
  if (!rows.some((row) => row.name === name)) return true
  await client.query(`DEALLOCATE ${name}`)
  return false
}

let isSaid = false

/** Says once a process that statements go without names, which is slower. */
function sayUnnamed(): void {
  if (isSaid) return
  isSaid = true
  process.emitWarning(
    'A pooler that keeps no prepared statements stands before the database: each statement is parsed and planned afresh. ' +
      'PgBouncer keeps them from 1.21 on, where max_prepared_statements is not 0.',
    { type: 'HoldfastWarning', code: 'HOLDFAST_POOLER_UNNAMED' },
  )
}
