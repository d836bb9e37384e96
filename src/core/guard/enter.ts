import { type Dialect, hasImplicitTransaction } from '../database/dialect.ts'
import { StatementError } from '../database/errors.ts'
import type { Query, Row, Statement } from '../database/statement.ts'
import type { GuardedAccess } from './access.ts'
import type { Caller, SessionId, TenantId, UserId } from './caller.ts'
import type { Credential } from './credential.ts'
import { Denial, isDenialReason } from './denial.ts'
import { formatHint, type Hint, parseHint } from './hint.ts'
import { readReentered, reenterQuery } from './reenter.ts'

/** What *enter* is asked: a credential, the tenants that the request names, and what the route requires. */
export type EnterRequest = {
  readonly credential: Credential
  readonly selectors: readonly string[]
  readonly access: GuardedAccess
  readonly readOnly: boolean
  /** Locks the rows that were judged, so that no change of them overlaps. Never with `readOnly`. */
  readonly strict: boolean
}

/** A caller without grants yet, and the version under which they are known. */
export type Entered = Omit<Caller, 'grants'> & { readonly version: string; readonly touchDue: boolean }

/**
 * The first statement of a guarded flight. The function stands in the outer FROM, which always runs; the outer SELECT
 * binds the transaction to the caller: every setting is set, to `''` where there is no value.
 */
export function enterQuery(request: EnterRequest, hint: Hint | undefined, dialect: Dialect): Query {
  const { access, credential } = request
  const again = hint === undefined ? undefined : reenterQuery(request, hint, dialect)
  if (again !== undefined) return again
  return {
    statement: STATEMENTS[dialect][request.strict ? 'strict' : request.readOnly ? 'read' : 'write'],
    values: [
      credential.kind,
      credential.hash,
      request.selectors,
      access.kind === 'can',
      access.kind === 'can' ? access.permissions : [],
      access.assurance,
      String(access.maxAgeSeconds),
      formatHint(hint),
    ],
  }
}

/** Reads *enter*'s row. */
export function readEntered(row: Row | undefined): Entered {
  if (typeof row?.answer === 'string') return readReentered(row.answer)
  if (row === undefined || typeof row.user_id !== 'string' || row.user_id === '') {
    throw new TypeError('enter returned no caller')
  }
  return {
    userId: row.user_id as UserId,
    tenantId: String(row.tenant_id) as TenantId,
    role: String(row.role),
    sessionId: String(row.credential_id) as SessionId,
    assurance: row.assurance === 'aal2' ? 'aal2' : 'aal1',
    authenticatedAt: row.authenticated_at as Date,
    version: String(row.grants_version),
    touchDue: row.touch_due === true,
  }
}

/** What *enter* meant by raising: a denial, or the truth that a stale hint missed. Anything else is a fault. */
export type Refusal =
  | { readonly kind: 'denied'; readonly denial: Denial }
  | { readonly kind: 'stale'; readonly truth: Hint }

/**
 * Recognises a denial by its place in the flight and its code: an SQLSTATE alone is no proof, for a handler's statement
 * may raise the same (CWE-345).
 */
export function readRefusal(error: unknown, access: GuardedAccess): Refusal | undefined {
  if (!(error instanceof StatementError) || error.index !== 0 || !error.sqlstate.startsWith('KH')) return undefined
  if (error.sqlstate === 'KH409') {
    const truth = parseHint(error.detail)
    return truth === undefined ? undefined : { kind: 'stale', truth }
  }
  if (!isDenialReason(error.detail)) return undefined
  return { kind: 'denied', denial: new Denial(error.detail, { stepUp: stepUpOf(error.detail, access), cause: error }) }
}

function stepUpOf(reason: string, access: GuardedAccess): { acrValues?: string; maxAgeSeconds?: number } {
  if (reason === 'assurance_too_low') return { acrValues: access.assurance }
  if (reason === 'authentication_too_old') return { maxAgeSeconds: access.maxAgeSeconds }
  return {}
}

type EnterKind = 'read' | 'write' | 'strict'

const STATEMENTS: Record<Dialect, Record<EnterKind, Statement>> = {
  postgresql: statements('postgresql'),
  cockroachdb: statements('cockroachdb'),
}

/** On PostgreSQL a flight may have no BEGIN, so that *enter* makes it read-only; elsewhere BEGIN READ ONLY has. */
function statements(dialect: Dialect): Record<EnterKind, Statement> {
  const setsReadOnly = hasImplicitTransaction(dialect)
  return { read: statement('read', setsReadOnly), write: statement('write', false), strict: statement('strict', false) }
}

function statement(kind: EnterKind, setsReadOnly: boolean): Statement {
  const readOnly = setsReadOnly ? `, pg_catalog.set_config('transaction_read_only', 'on', true) AS s4` : ''
  const text = `SELECT e.user_id, e.tenant_id, e.role, e.grants_version, e.credential_id, e.assurance, e.authenticated_at, e.touch_due,
  pg_catalog.set_config('holdfast.user_id', e.user_id, true) AS s1,
  pg_catalog.set_config('holdfast.tenant_id', e.tenant_id, true) AS s2,
  pg_catalog.set_config('holdfast.role', e.role, true) AS s3${readOnly}
FROM holdfast.${kind === 'strict' ? 'enter_strict' : 'enter'}($1::TEXT, $2::BYTEA, $3::TEXT[], $4::BOOL, $5::TEXT[], $6::TEXT, $7::INT8, $8::TEXT) AS e`
  return { name: `enter_${kind}${setsReadOnly ? '_implicit' : ''}`, text }
}
