import type { Row } from '../../core/database/statement.ts'
import type { Unit } from '../../core/guard/guard.ts'
import { transactionOf } from '../../core/guard/identity-unit.ts'
import { IdentityError } from '../identity/errors.ts'
import { journalQuery } from '../identity/journal.ts'
import { statements } from '../identity/statements.ts'
import { reachesTenant } from './role-grants.ts'
import { enterTenant } from './tenant.ts'

/** An invitation that nobody has accepted: never its token, not even the hash. */
export type PendingInvitation = {
  readonly id: string
  readonly email: string
  readonly role: string
  readonly status: 'pending' | 'expired'
  readonly invitedBy: string
  readonly createdAt: Date
  readonly expiresAt: Date
}

/**
 * A page of the tenant's invitations that are not accepted, by id.
 * @param unit identity pool, `can('invitation:read')`
 * @param page status: that alone, `''` for both; after: the last id that was given out; size: rows at most
 */
export async function listInvitations(
  unit: Unit,
  page: { status: '' | 'pending' | 'expired'; after: string; size: number },
): Promise<PendingInvitation[]> {
  const { caller } = unit
  const whole = reachesTenant(caller, 'invitation:read')
  const [, list] = await transactionOf(unit).send([
    enterTenant(caller.tenantId),
    {
      statement: statements.invitationList,
      values: [caller.tenantId, page.status, whole, caller.userId, page.after, page.size],
    },
  ])
  return (list?.rows ?? []).map(invitationOf)
}

/**
 * Takes an invitation back: its token is worth nothing from then on.
 * @param unit identity pool, `can('invitation:delete')`, read-write
 * @throws IdentityError `invitation_not_found`: accepted already, another tenant's, unknown
 */
export async function withdrawInvitation(unit: Unit, id: string): Promise<void> {
  const { tenantId, userId } = unit.caller
  const transaction = transactionOf(unit)
  const whole = reachesTenant(unit.caller, 'invitation:delete')
  const [, withdrawn] = await transaction.send([
    enterTenant(tenantId),
    { statement: statements.invitationWithdraw, values: [tenantId, id, whole, userId] },
  ])
  const [row] = withdrawn?.rows ?? []
  if (row === undefined) throw new IdentityError('invitation_not_found')
  const details = { invitation: id, role: String(row.role) }
  await transaction.send([journalQuery({ event: 'invitation_withdrawn', userId, tenantId, details })], { commit: true })
}

function invitationOf(row: Row): PendingInvitation {
  return {
    id: String(row.id),
    email: String(row.email),
    role: String(row.role),
    status: row.expired === true ? 'expired' : 'pending',
    invitedBy: String(row.invited_by),
    createdAt: row.created_at as Date,
    expiresAt: row.expires_at as Date,
  }
}
