import type { Grants } from '../../core/scope/grants.ts'
import type { Row } from '../../core/database/statement.ts'
import type { Unit } from '../../core/guard/guard.ts'
import { transactionOf } from '../../core/guard/identity-unit.ts'
import { IdentityError } from '../identity/errors.ts'
import { journalQuery } from '../identity/journal.ts'
import { statements } from '../identity/statements.ts'
import { FOUNDER_ROLE } from './manifest.ts'
import { type Expected, revisionValues } from './revision.ts'
import { covers, reachesTenant, readGrants } from './role-grants.ts'
import { enterTenant } from './tenant.ts'

/** A member as those who may see members see them. */
export type Member = {
  readonly userId: string
  readonly kind: 'person' | 'service'
  readonly role: string
  readonly displayName: string
  /** null for a service account */
  readonly email: string | null
  readonly joinedAt: Date
}

/** A member with the revision that a change is based on. */
export type RevisedMember = Member & { readonly revision: string }

/**
 * A page of the tenant's members, by user id.
 * @param unit identity pool, `can('member:read')`
 * @param page role: that role alone, `''` for all; after: the last user id that was given out; size: rows at most
 */
export async function listMembers(unit: Unit, page: { role: string; after: string; size: number }): Promise<Member[]> {
  const { caller } = unit
  const whole = reachesTenant(caller, 'member:read')
  const [, list] = await transactionOf(unit).send([
    enterTenant(caller.tenantId),
    {
      statement: statements.memberList,
      values: [caller.tenantId, page.role, whole, caller.userId, page.after, page.size],
    },
  ])
  return (list?.rows ?? []).map(memberOf)
}

/**
 * One member. @param unit identity pool, `can('member:read')`
 * @throws IdentityError `member_not_found`: also for another tenant's
 */
export async function readMember(unit: Unit, userId: string): Promise<RevisedMember> {
  refuseBeyondReach(unit, userId, 'member:read')
  const [, found] = await transactionOf(unit).send([
    enterTenant(unit.caller.tenantId),
    { statement: statements.memberRead, values: [unit.caller.tenantId, userId] },
  ])
  return revised(found?.rows[0])
}

/**
 * Gives a member another role: neither one above the caller's own, nor to somebody who is above the caller (CWE-269).
 * Caller, roles and the other owners are read in the transaction that writes, under SERIALIZABLE: of two owners who demote
 * each other one is refused.
 *
 * @param unit identity pool, `can('member:read', 'member:update')`, read-write
 * @returns the member, or nothing when another revision is there
 * @throws IdentityError `member_not_found`, `role_unknown`, `role_exceeds_own`, `last_owner`
 */
export async function changeMember(
  unit: Unit,
  change: { userId: string; role: string; expected: Expected },
): Promise<RevisedMember | undefined> {
  const { userId, role, expected } = change
  const { tenantId } = unit.caller
  refuseBeyondReach(unit, userId, 'member:update')
  refuseBeyondReach(unit, userId, 'member:read')
  const transaction = transactionOf(unit)
  const { member, others, held } = await readPlace(unit, userId)
  const { rows } = await transaction.query(statements.grantsOfRole, [role])
  const granted = readGrants(rows)
  if (granted.size === 0) throw new IdentityError('role_unknown')
  if (!covers(unit.caller.grants, granted)) throw new IdentityError('role_exceeds_own')
  const { rows: changed } = await transaction.query(statements.membershipChange, [
    tenantId,
    userId,
    role,
    ...revisionValues(expected),
  ])
  if (changed[0] === undefined) return undefined
  if (member.role === FOUNDER_ROLE && role !== FOUNDER_ROLE && others === 0) throw new IdentityError('last_owner')
  const details = { member: userId, role, was: member.role }
  const entry = journalQuery({ event: 'member_role_changed', userId: unit.caller.userId, tenantId, details })
  // what they invite by rights that they no longer have ends now, and does not come back with the rights (CWE-613)
  const ended = covers(granted, held) ? [] : [{ statement: statements.invitationsOfSender, values: [tenantId, userId] }]
  await transaction.send([...ended, entry], { commit: true })
  return { ...member, role, revision: String(changed[0].revision) }
}

/**
 * Ends a membership; profile and places on teams go with it, and what invites the person's address ends.
 *
 * @param unit identity pool, `can('member:delete')`, read-write
 * @returns whether the revision was the expected one; otherwise nothing is done
 * @throws IdentityError `member_not_found`, `role_exceeds_own`, `last_owner`
 */
export async function removeMember(unit: Unit, removal: { userId: string; expected: Expected }): Promise<boolean> {
  const { userId, expected } = removal
  const { tenantId } = unit.caller
  refuseBeyondReach(unit, userId, 'member:delete')
  const transaction = transactionOf(unit)
  const { member, others, address } = await readPlace(unit, userId)
  const values = [tenantId, userId, ...revisionValues(expected)]
  const { rowCount } = await transaction.query(statements.membershipRemove, values)
  if (rowCount === 0) return false
  if (member.role === FOUNDER_ROLE && others === 0) throw new IdentityError('last_owner')
  const details = { member: userId, was: member.role }
  await transaction.send(
    [
      // else an older invitation would lead back in (CWE-613)
      { statement: statements.invitationsReplace, values: [tenantId, address] },
      { statement: statements.invitationsOfSender, values: [tenantId, userId] },
      journalQuery({ event: 'member_removed', userId: unit.caller.userId, tenantId, details }),
    ],
    { commit: true },
  )
  return true
}

/** A member about to be changed, what they may, how many other owners there are, and the account's address: a profile may be missing. */
type Place = {
  readonly member: RevisedMember
  readonly held: Grants
  readonly others: number
  readonly address: string
}

/** A member whom the caller is about to change: not above them. */
async function readPlace(unit: Unit, userId: string): Promise<Place> {
  const { tenantId, grants } = unit.caller
  const [, found, held, owners] = await transactionOf(unit).send([
    enterTenant(tenantId),
    { statement: statements.memberRead, values: [tenantId, userId] },
    { statement: statements.grantsOfPlace, values: [tenantId, userId] },
    { statement: statements.otherHolders, values: [tenantId, FOUNDER_ROLE, userId] },
  ])
  const [row] = found?.rows ?? []
  const member = revised(row)
  const may = readGrants(held?.rows)
  if (!covers(grants, may)) throw new IdentityError('role_exceeds_own')
  return {
    member,
    held: may,
    others: Number(owners?.rows[0]?.others),
    address: typeof row?.address === 'string' ? row.address : '',
  }
}

/** Under reach `own` a caller's own membership is all there is (CWE-639). */
function refuseBeyondReach({ caller }: Unit, userId: string, permission: string): void {
  if (reachesTenant(caller, permission) || userId.toLowerCase() === caller.userId) return
  throw new IdentityError('member_not_found')
}

function revised(row: Row | undefined): RevisedMember {
  if (row === undefined) throw new IdentityError('member_not_found')
  return { ...memberOf(row), revision: String(row.revision) }
}

function memberOf(row: Row): Member {
  return {
    userId: String(row.user_id),
    kind: row.kind === 'service' ? 'service' : 'person',
    role: String(row.role),
    displayName: String(row.display_name),
    email: typeof row.email === 'string' ? row.email : null,
    joinedAt: row.created_at as Date,
  }
}
