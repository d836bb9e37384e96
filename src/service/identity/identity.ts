import type { Pool } from '../../core/database/pool.ts'
import type { Transaction } from '../../core/database/transaction.ts'
import type { SealKeys } from '../mail/seal.ts'
import type { Passwords } from './password.ts'
import type { IdentitySettings } from './settings.ts'

/** What the room's functions need: made once by the composition, passed to each. */
export type Identity = {
  /** The identity role's pool. */
  readonly pool: Pool
  readonly passwords: Passwords
  readonly keys: IdentityKeys
  readonly settings: IdentitySettings
  /** How an account joins a tenant: `joining` of `tenancy/joining.ts`. */
  readonly joining: Joining
  /** Told after a commit that put mail into the outbox: wakes the worker. Must not throw. */
  readonly onMail?: () => void
}

/** Subkeys of the one configured key. */
export type IdentityKeys = {
  /** HMAC-SHA-256 key of the throttle's row keys. */
  readonly throttle: Buffer
  /** HMAC-SHA-256 key of the lists' cursors. */
  readonly cursor: Buffer
  /** AES-256-GCM keys of the outbox. */
  readonly outbox: SealKeys
}

/** Where a request came from, as the HTTP layer saw it. */
export type RequestTrace = {
  /** The peer's address – a trusted proxy's word for it, never a client's – or nothing when there is none. */
  readonly address: string | undefined
  /** The User-Agent header, any text; cut and cleaned here. */
  readonly userAgent?: string | undefined
}

/** A tenant as one of its members sees it. */
export type TenantOfUser = {
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly role: string
}

/** Who joins: an account of this transaction or an older one. */
export type NewMember = { readonly userId: string; readonly email: string; readonly displayName: string }

/** What this room asks of tenancy; tenancy implements it, so that identity need not know it. */
export type Joining = {
  /** The address that a live invitation was sent to, or nothing. Consumes nothing. */
  invitedAddress(transaction: Transaction, tokenHash: Buffer): Promise<string | undefined>
  /** Consumes a live invitation for exactly this address and makes the member; nothing when it is not live. */
  joinByInvitation(transaction: Transaction, tokenHash: Buffer, member: NewMember): Promise<TenantOfUser | undefined>
  /** Whether a tenant could be founded so. @throws IdentityError slug_invalid, tenant_name_invalid, slug_taken */
  checkTenant(transaction: Transaction, tenant: { slug: string; name: string }): Promise<void>
  /** Makes a tenant and its owner. @throws IdentityError slug_invalid, tenant_name_invalid, slug_taken */
  foundTenant(transaction: Transaction, tenant: { slug: string; name: string }, owner: NewMember): Promise<TenantOfUser>
}
