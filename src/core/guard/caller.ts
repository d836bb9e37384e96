import type { Grants } from '../scope/grants.ts'

declare const brand: unique symbol

/** A user's id as the database gave it. Text: the service's are UUIDs, an application's may be anything. */
export type UserId = string & { readonly [brand]: 'UserId' }
/** A tenant's id as the database gave it. */
export type TenantId = string & { readonly [brand]: 'TenantId' }
/** A session's id: a handle that may be shown, unlike its token. */
export type SessionId = string & { readonly [brand]: 'SessionId' }

/** Whoever sent the request, as *enter* judged it in this transaction. */
export type Caller = {
  readonly userId: UserId
  /** `''` on routes that need no tenant */
  readonly tenantId: TenantId
  readonly role: string
  readonly sessionId: SessionId
  readonly assurance: 'aal1' | 'aal2'
  readonly authenticatedAt: Date
  /** The role's grants, of which the route's database holds only those that the route declared. */
  readonly grants: Grants
}
