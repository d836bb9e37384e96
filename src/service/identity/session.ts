import { randomUUID } from 'node:crypto'
import { newSessionToken } from '../../core/guard/credential.ts'
import type { Unit } from '../../core/guard/guard.ts'
import { transactionOf } from '../../core/guard/identity-unit.ts'
import type { Row } from '../../core/database/statement.ts'
import { IdentityError } from './errors.ts'
import type { TenantOfUser } from './identity.ts'
import { journalQuery } from './journal.ts'
import { statements } from './statements.ts'

/** A session that has just begun: the only time its token is seen. */
export type SignedIn = {
  /** for the cookie or the bearer header; stored nowhere */
  readonly token: string
  /** absolute end */
  readonly expiresAt: Date
  readonly sessionId: string
  readonly userId: string
  /** the tenant that the session works in, or null until one is chosen */
  readonly tenant: TenantOfUser | null
  /** all active tenants of the user, by slug */
  readonly tenants: readonly TenantOfUser[]
}

/** A session as its user sees it: never the token, not even its hash. */
export type SessionView = {
  readonly id: string
  /** the one that asks */
  readonly current: boolean
  readonly tenantId: string | null
  readonly assurance: 'aal1' | 'aal2'
  readonly authenticatedAt: Date
  readonly createdAt: Date
  /** to the minute */
  readonly lastSeenAt: Date
  readonly expiresAt: Date
  readonly userAgent: string
}

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i

/** Ends the caller's session, at once and on the server (ASVS 7.4.1). @param unit identity pool, `signedIn()`, read-write */
export async function signOut(unit: Unit): Promise<void> {
  const { userId, sessionId } = unit.caller
  await transactionOf(unit).send(
    [
      { statement: statements.sessionEnd, values: [sessionId, userId] },
      journalQuery({ event: 'signed_out', userId, sessionId }),
    ],
    { commit: true },
  )
}

/** The caller's live sessions, newest first (ASVS 7.5.2). @param unit identity pool, `signedIn()` */
export async function listSessions(unit: Unit): Promise<SessionView[]> {
  const { userId, sessionId } = unit.caller
  const { rows } = await transactionOf(unit).query(statements.sessionsOfUser, [userId])
  return rows.map((row) => ({
    id: String(row.id),
    current: row.id === sessionId,
    tenantId: typeof row.tenant_id === 'string' ? row.tenant_id : null,
    assurance: row.assurance === 'aal2' ? 'aal2' : 'aal1',
    authenticatedAt: row.authenticated_at as Date,
    createdAt: row.created_at as Date,
    lastSeenAt: row.last_seen_at as Date,
    expiresAt: row.expires_at as Date,
    userAgent: String(row.user_agent),
  }))
}

/**
 * Ends one of the caller's own sessions.
 * @param id as {@link listSessions} gives it; another user's is as unknown as any (CWE-639)
 * @throws IdentityError `session_not_found`
 */
export async function revokeSession(unit: Unit, id: string): Promise<void> {
  const { userId, sessionId } = unit.caller
  if (!UUID.test(id)) throw new IdentityError('session_not_found')
  const { rowCount } = await transactionOf(unit).query(statements.sessionEnd, [id, userId])
  if (rowCount === 0) throw new IdentityError('session_not_found')
  const entry = journalQuery({ event: 'session_revoked', userId, sessionId, details: { ended: id } })
  await transactionOf(unit).send([entry], { commit: true })
}

/** Ends all of the caller's sessions, this one too. @returns how many */
export async function revokeAll(unit: Unit): Promise<number> {
  const { userId, sessionId } = unit.caller
  const { rowCount } = await transactionOf(unit).query(statements.sessionEndAll, [userId])
  const entry = journalQuery({ event: 'sessions_revoked', userId, sessionId, details: { count: rowCount } })
  await transactionOf(unit).send([entry], { commit: true })
  return rowCount
}

/**
 * Moves the caller into one of their tenants: a new token, and the old one ends in the same transaction (CWE-384).
 * Authentication and absolute end stay those of the old session.
 *
 * @param unit identity pool, `signedIn()`, read-write
 * @param tenant slug or id
 * @throws IdentityError `tenant_not_found`: also for a tenant that is there, but not the caller's
 */
export async function chooseTenant(unit: Unit, tenant: string): Promise<SignedIn> {
  const { userId, sessionId: oldId } = unit.caller
  const { rows } = await transactionOf(unit).query(statements.tenantsOfUser, [userId])
  const tenants = rows.map(readTenant)
  const chosen = tenants.find(({ id, slug }) => slug === tenant || id === tenant.toLowerCase())
  if (chosen === undefined) throw new IdentityError('tenant_not_found')
  const { token, hash } = newSessionToken()
  const sessionId = randomUUID()
  const rotated = { event: 'tenant_chosen', userId, tenantId: chosen.id, sessionId, details: { ended: oldId } } as const
  const [added] = await transactionOf(unit).send(
    [
      { statement: statements.sessionRotate, values: [sessionId, hash, oldId, userId, chosen.id] },
      { statement: statements.sessionEnd, values: [oldId, userId] },
      journalQuery(rotated),
    ],
    { commit: true },
  )
  return { token, expiresAt: expiryOf(added?.rows[0]), sessionId, userId, tenant: chosen, tenants }
}

/** Reads a row of `tenants_of_user`. */
export function readTenant(row: Row): TenantOfUser {
  return { id: String(row.id), slug: String(row.slug), name: String(row.name), role: String(row.role) }
}

/** Reads the absolute end of a session that was added. */
export function expiryOf(row: Row | undefined): Date {
  if (!(row?.expires_at instanceof Date)) throw new TypeError('a session was added without an end')
  return row.expires_at
}
