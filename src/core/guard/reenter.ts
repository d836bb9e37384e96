import { createHash } from 'node:crypto'
import { type Dialect, hasImplicitTransaction } from '../database/dialect.ts'
import type { Query, Statement } from '../database/statement.ts'
import type { GuardedAccess } from './access.ts'
import type { SessionId, TenantId, UserId } from './caller.ts'
import type { EnterRequest, Entered } from './enter.ts'
import type { Hint } from './hint.ts'

/**
 * The first statement of a flight whose caller was here before: `holdfast.reenter` lets in, in one look, who still is
 * what the hint says, and hands everybody else to *enter*. What the route requires stands in the text – it is the
 * route's own constant –, so that a request binds the token's hash and the hint. Nothing for requests that only *enter*
 * can judge.
 */
export function reenterQuery(request: EnterRequest, hint: Hint, dialect: Dialect): Query | undefined {
  const { access, credential, selectors, strict } = request
  if (access.kind !== 'can' || credential.kind !== 'session' || selectors.length > 0 || strict) return undefined
  // of no tenant: the function takes ids
  if (hint.tenantId === '') return undefined
  return {
    statement: statementOf(access, request.readOnly, dialect),
    values: [credential.hash, hint.userId, hint.tenantId, hint.role, hint.version],
  }
}

/** Reads the answer of `holdfast.reenter`. */
export function readReentered(answer: string): Entered {
  const [userId, tenantId, role, version, sessionId, assurance, seconds, touchDue, ...rest] = answer.split('|')
  if (!userId || !tenantId || !role || !version || !sessionId || touchDue === undefined || rest.length > 0) {
    throw new TypeError('reenter returned no caller')
  }
  return {
    userId: userId as UserId,
    tenantId: tenantId as TenantId,
    role,
    sessionId: sessionId as SessionId,
    assurance: assurance === 'aal2' ? 'aal2' : 'aal1',
    authenticatedAt: new Date(Number(seconds) * 1000),
    version,
    touchDue: touchDue === 'true',
  }
}

type Statements = { [Kind in `${Dialect} ${'read' | 'write'}`]?: Statement }

/** One text for each access; as many as the application has routes. */
const known = new WeakMap<GuardedAccess, Statements>()

function statementOf(access: Extract<GuardedAccess, { kind: 'can' }>, readOnly: boolean, dialect: Dialect): Statement {
  let statements = known.get(access)
  if (statements === undefined) {
    statements = {}
    known.set(access, statements)
  }
  const kind = `${dialect} ${readOnly ? 'read' : 'write'}` as const
  statements[kind] ??= makeStatement(access, readOnly && hasImplicitTransaction(dialect))
  return statements[kind]
}

/** On PostgreSQL a flight may have no BEGIN, so that this makes it read-only; elsewhere BEGIN READ ONLY has. */
function makeStatement(access: Extract<GuardedAccess, { kind: 'can' }>, setsReadOnly: boolean): Statement {
  // made by can(), which admits lower-case words alone; said again where text is built (CWE-89)
  const required = access.permissions.map((permission) => {
    if (!/^[a-z0-9_]+:[a-z0-9_]+$/.test(permission)) throw new TypeError(`not a permission: ${permission}`)
    return `'${permission}'`
  })
  const readOnly = setsReadOnly ? ` || pg_catalog.set_config('transaction_read_only', 'on', true)` : ''
  const text = `SELECT e.answer,
  pg_catalog.set_config('holdfast.user_id', pg_catalog.split_part(e.answer, '|', 1), true)
  || pg_catalog.set_config('holdfast.tenant_id', pg_catalog.split_part(e.answer, '|', 2), true)
  || pg_catalog.set_config('holdfast.role', pg_catalog.split_part(e.answer, '|', 3), true)${readOnly} AS bound
FROM holdfast.reenter($1::BYTEA, ARRAY[${required.join(', ')}]::TEXT[], '${access.assurance}', ${access.maxAgeSeconds}::INT8, $2::UUID, $3::UUID, $4::TEXT, $5::TEXT) AS e(answer)`
  return { name: `hf_reenter_${createHash('sha256').update(text).digest('base64url').slice(0, 32)}`, text }
}
