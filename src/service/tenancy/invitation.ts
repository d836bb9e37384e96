import { randomUUID } from 'node:crypto'
import { StatementError } from '../../core/database/errors.ts'
import type { Transaction } from '../../core/database/transaction.ts'
import type { Unit } from '../../core/guard/guard.ts'
import { transactionOf } from '../../core/guard/identity-unit.ts'
import { parseEmail } from '../identity/email.ts'
import { IdentityError } from '../identity/errors.ts'
import type { Identity, NewMember, TenantOfUser } from '../identity/identity.ts'
import { journalQuery } from '../identity/journal.ts'
import { newSecret, readSecret } from '../identity/secret.ts'
import { statements } from '../identity/statements.ts'
import { countIn, THROTTLE_RULES } from '../identity/throttle.ts'
import { invitationMessage } from '../mail/messages.ts'
import { enqueue } from '../mail/outbox.ts'
import { covers, readGrants } from './role-grants.ts'
import { callerAsMember, enterTenant, memberQueries } from './tenant.ts'

/** An invitation as its sender sees it: the token goes to the invited address alone. */
export type Invited = { readonly id: string; readonly email: string; readonly role: string; readonly expiresAt: Date }

/** What a role's name can be at all. */
const ROLE = /^[\x21-\x7e]{1,63}$/

const DAY_SECONDS = 86_400

/**
 * Invites an address into the caller's tenant; an older invitation of that address ends. The mail is written in the same
 * transaction.
 *
 * @param unit identity pool, `can('invitation:create')`, read-write
 * @throws IdentityError `email_invalid`, `role_unknown`, `role_exceeds_own`, `already_member`, `throttled`
 */
export async function createInvitation(
  unit: Unit,
  identity: Pick<Identity, 'keys' | 'settings' | 'onMail'>,
  input: { email: string; role: string },
): Promise<Invited> {
  const { caller } = unit
  const transaction = transactionOf(unit)
  const { keys, settings } = identity
  const email = parseEmail(input.email)
  if (!ROLE.test(input.role)) throw new IdentityError('role_unknown')
  const [, role, member, tenant] = await transaction.send([
    enterTenant(caller.tenantId),
    { statement: statements.grantsOfRole, values: [input.role] },
    { statement: statements.memberByEmail, values: [caller.tenantId, email] },
    { statement: statements.tenantById, values: [caller.tenantId] },
  ])
  const granted = readGrants(role?.rows)
  if (granted.size === 0) throw new IdentityError('role_unknown')
  if (!covers(caller.grants, granted)) throw new IdentityError('role_exceeds_own')
  if (member?.rowCount !== 0) throw new IdentityError('already_member')
  await countIn(transaction, keys.throttle, [
    { rule: THROTTLE_RULES.invitationSender, subject: caller.userId },
    // by tenant: a count across tenants would tell one of them what others do (CWE-203)
    { rule: THROTTLE_RULES.invitationAddress, subject: `${caller.tenantId}\0${email}` },
  ])

  const { token, hash } = newSecret('invitation')
  const id = randomUUID()
  const seconds = settings.invitationSeconds
  const message = invitationMessage(settings.publicOrigin, token, {
    tenantSlug: String(tenant?.rows[0]?.slug),
    role: input.role,
    days: Math.ceil(seconds / DAY_SECONDS),
  })
  const details = { invitation: id, role: input.role }
  const values = [caller.tenantId, id, email, input.role, hash, caller.userId, seconds]
  const [, added] = await transaction.send(
    [
      { statement: statements.invitationsReplace, values: [caller.tenantId, email] },
      { statement: statements.invitationAdd, values },
      enqueue(keys.outbox, { recipient: email, message }),
      journalQuery({ event: 'invitation_created', userId: caller.userId, tenantId: caller.tenantId, details }),
    ],
    { commit: true },
  )
  unit.afterCommit(() => identity.onMail?.())
  return { id, email, role: input.role, expiresAt: added?.rows[0]?.expires_at as Date }
}

/**
 * Accepts an invitation with the caller's account: its address must be the invited one (CWE-639).
 * @param unit identity pool, `signedIn()`, read-write
 * @throws IdentityError `token_invalid`: also for another's invitation; `already_member`
 */
export async function acceptInvitation(unit: Unit, input: { token: string }): Promise<TenantOfUser> {
  const secret = readSecret(input.token)
  if (secret?.purpose !== 'invitation') throw new IdentityError('token_invalid')
  const member = await callerAsMember(unit)
  const joined = await joinByInvitation(transactionOf(unit), secret.hash, member)
  if (joined === undefined) throw new IdentityError('token_invalid')
  return joined
}

/** The address that a live invitation into an active tenant was sent to, or nothing. Consumes nothing. */
export async function invitedAddress(transaction: Transaction, tokenHash: Buffer): Promise<string | undefined> {
  const tenantId = await tenantOf(transaction, tokenHash)
  if (tenantId === undefined) return undefined
  const [, invitation, tenant] = await transaction.send([
    enterTenant(tenantId),
    { statement: statements.invitationPeek, values: [tenantId, tokenHash] },
    { statement: statements.tenantById, values: [tenantId] },
  ])
  const [row] = invitation?.rows ?? []
  return row === undefined || tenant?.rowCount !== 1 ? undefined : String(row.email)
}

/**
 * Consumes a live invitation for exactly this address, and makes membership and profile in the same transaction. It is
 * only as good as its sender: whoever invited must still be allowed to invite to that role (CWE-613).
 *
 * @returns the tenant, or nothing when the invitation is not live
 * @throws IdentityError `already_member`
 */
export async function joinByInvitation(
  transaction: Transaction,
  tokenHash: Buffer,
  member: NewMember,
): Promise<TenantOfUser | undefined> {
  const tenantId = await tenantOf(transaction, tokenHash)
  if (tenantId === undefined) return undefined
  const [, consumed, tenant] = await transaction.send([
    enterTenant(tenantId),
    { statement: statements.invitationConsume, values: [tenantId, tokenHash, member.email] },
    { statement: statements.tenantById, values: [tenantId] },
  ])
  const [invitation] = consumed?.rows ?? []
  const [row] = tenant?.rows ?? []
  if (invitation === undefined || row === undefined) return undefined
  const role = String(invitation.role)
  const [given, held] = await transaction.send([
    { statement: statements.grantsOfRole, values: [role] },
    { statement: statements.grantsOfMember, values: [tenantId, invitation.invited_by] },
  ])
  const granted = readGrants(given?.rows)
  const sender = readGrants(held?.rows)
  if (granted.size === 0 || !sender.has('invitation:create') || !covers(sender, granted)) return undefined
  await addMember(transaction, tenantId, role, member, String(invitation.id))
  return { id: tenantId, slug: String(row.slug), name: String(row.name), role }
}

async function addMember(
  transaction: Transaction,
  tenantId: string,
  role: string,
  member: NewMember,
  invitation: string,
): Promise<void> {
  const { userId } = member
  try {
    await transaction.send([
      ...memberQueries(tenantId, role, member),
      journalQuery({ event: 'invitation_accepted', userId, tenantId, details: { invitation, role } }),
    ])
  } catch (error) {
    if (error instanceof StatementError && error.isConstraint('memberships_pkey')) {
      throw new IdentityError('already_member', { cause: error })
    }
    throw error
  }
}

async function tenantOf(transaction: Transaction, tokenHash: Buffer): Promise<string | undefined> {
  const { rows } = await transaction.query(statements.tenantOfInvitation, [tokenHash])
  const id = rows[0]?.tenant_id
  return typeof id === 'string' ? id : undefined
}
