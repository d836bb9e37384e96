import { randomUUID } from 'node:crypto'
import { StatementError } from '../../core/database/errors.ts'
import type { Query, Row } from '../../core/database/statement.ts'
import type { Transaction } from '../../core/database/transaction.ts'
import type { Unit } from '../../core/guard/guard.ts'
import { transactionOf } from '../../core/guard/identity-unit.ts'
import { IdentityError } from '../identity/errors.ts'
import type { Identity, NewMember, TenantOfUser } from '../identity/identity.ts'
import { journalQuery } from '../identity/journal.ts'
import { parseName } from '../identity/name.ts'
import { readTenant } from '../identity/session.ts'
import { statements } from '../identity/statements.ts'
import { countIn, THROTTLE_RULES } from '../identity/throttle.ts'
import { FOUNDER_ROLE } from './manifest.ts'
import { type Expected, revisionValues } from './revision.ts'

/** A slug is a DNS label, for it may be a subdomain, of 1 to 32 characters: shorter than a UUID, so never mistaken for one. */
const SLUG = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/

/** The caller's active tenants, by slug. @param unit identity pool, `signedIn()` */
export async function listTenants(unit: Unit): Promise<TenantOfUser[]> {
  const { rows } = await transactionOf(unit).query(statements.tenantsOfUser, [unit.caller.userId])
  return rows.map(readTenant)
}

/** The selected tenant, with the revision that a change is based on. */
export type RevisedTenant = TenantOfUser & { readonly createdAt: Date; readonly revision: string }

/** The tenant that the caller works in. @param unit identity pool, `can('tenant:read')` */
export async function readOwnTenant(unit: Unit): Promise<RevisedTenant> {
  const { rows } = await transactionOf(unit).query(statements.tenantRead, [unit.caller.tenantId])
  const [row] = rows
  if (row === undefined) throw new IdentityError('tenant_not_found')
  return revised(row, unit.caller.role)
}

/**
 * Names the caller's tenant anew.
 * @param unit identity pool, `can('tenant:read', 'tenant:update')`, read-write
 * @returns the tenant, or nothing when another revision is there
 * @throws IdentityError `tenant_name_invalid`
 */
export async function renameTenant(
  unit: Unit,
  change: { name: string; expected: Expected },
): Promise<RevisedTenant | undefined> {
  const { tenantId, userId, role } = unit.caller
  const name = parseName(change.name, 'tenant_name_invalid')
  const { rows } = await transactionOf(unit).query(statements.tenantRename, [
    tenantId,
    name,
    ...revisionValues(change.expected),
  ])
  const [row] = rows
  if (row === undefined) return undefined
  await transactionOf(unit).send([journalQuery({ event: 'tenant_renamed', userId, tenantId })], { commit: true })
  return revised(row, role)
}

function revised(row: Row, role: string): RevisedTenant {
  return { ...readTenant({ ...row, role }), createdAt: row.created_at as Date, revision: String(row.revision) }
}

/**
 * Founds a tenant; the caller becomes its owner. Only where sign-up is open.
 * @param unit identity pool, `signedIn()`, read-write
 * @throws IdentityError `sign_up_closed`, `slug_invalid`, `tenant_name_invalid`, `slug_taken`, `throttled`
 */
export async function createTenant(
  unit: Unit,
  identity: Pick<Identity, 'settings' | 'keys'>,
  tenant: { slug: string; name: string },
): Promise<TenantOfUser> {
  if (!identity.settings.signUpOpen) throw new IdentityError('sign_up_closed')
  const founder = await callerAsMember(unit)
  const { userId } = founder
  await countIn(transactionOf(unit), identity.keys.throttle, [{ rule: THROTTLE_RULES.tenantFounder, subject: userId }])
  return foundTenant(transactionOf(unit), tenant, founder)
}

/**
 * Makes a tenant, its owner's membership and profile, as part of a transaction.
 * @throws IdentityError `slug_invalid`, `tenant_name_invalid`, `slug_taken`
 */
export async function foundTenant(
  transaction: Transaction,
  tenant: { slug: string; name: string },
  owner: NewMember,
): Promise<TenantOfUser> {
  const name = checkedName(tenant)
  const id = randomUUID()
  const entry = { event: 'tenant_created', userId: owner.userId, tenantId: id } as const
  try {
    await transaction.send([
      enterTenant(id),
      { statement: statements.tenantAdd, values: [id, tenant.slug, name] },
      ...memberQueries(id, FOUNDER_ROLE, owner),
      journalQuery(entry),
    ])
  } catch (error) {
    if (error instanceof StatementError && error.isConstraint('tenants_slug_key')) {
      throw new IdentityError('slug_taken', { cause: error })
    }
    throw error
  }
  return { id, slug: tenant.slug, name, role: FOUNDER_ROLE }
}

/**
 * Whether a tenant could be founded so; the unique slug has the last word.
 * @throws IdentityError `slug_invalid`, `tenant_name_invalid`, `slug_taken`
 */
export async function checkTenant(transaction: Transaction, tenant: { slug: string; name: string }): Promise<void> {
  checkedName(tenant)
  const { rowCount } = await transaction.query(statements.tenantBySlug, [tenant.slug])
  if (rowCount !== 0) throw new IdentityError('slug_taken')
}

function checkedName(tenant: { slug: string; name: string }): string {
  if (!SLUG.test(tenant.slug)) throw new IdentityError('slug_invalid')
  return parseName(tenant.name, 'tenant_name_invalid')
}

/** The first statement of every transaction on a tenant's rows: row-level security judges by it. */
export function enterTenant(tenantId: string): Query {
  return { statement: statements.tenantEnter, values: [tenantId] }
}

/** Membership and profile, always together. */
export function memberQueries(tenantId: string, role: string, member: NewMember): Query[] {
  const { userId, email, displayName } = member
  return [
    { statement: statements.membershipAdd, values: [tenantId, userId, role] },
    { statement: statements.profileAdd, values: [tenantId, userId, email, displayName] },
  ]
}

/** The caller's account, as a member to be. */
export async function callerAsMember(unit: Unit): Promise<NewMember> {
  const { userId } = unit.caller
  const { rows } = await transactionOf(unit).query(statements.userById, [userId])
  const [row] = rows
  // a service account has no address and joins nothing by itself
  if (row === undefined || typeof row.email !== 'string') throw new IdentityError('person_required')
  return { userId, email: row.email, displayName: String(row.display_name) }
}
