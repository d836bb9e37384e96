/** Highest age, in seconds, that a route may ask for: one day. */
const MAX_STEP_UP_SECONDS = 86_400

/** Shape of a permission: `resource:verb` in lower case. */
const PERMISSION = /^[a-z][a-z0-9_]{0,62}:[a-z][a-z0-9_]{0,62}$/

/** What a route asks of its caller. Made by {@link can}, {@link signedIn} and {@link open} only. */
export type Access =
  | { readonly kind: 'open'; readonly because: string }
  | (Requirements & { readonly kind: 'signed-in' })
  | (Requirements & { readonly kind: 'can'; readonly permissions: readonly string[] })

type Requirements = {
  /** Highest age of the authentication, in seconds; 0 for any (NIST 800-63B-4 reauthentication, ASVS 7.5.3). */
  readonly maxAgeSeconds: number
  /** Authenticator assurance that must have been reached. */
  readonly assurance: 'aal1' | 'aal2'
}

/** An access with its step-up modifiers. */
export type GuardedAccess = Exclude<Access, { kind: 'open' }> & {
  /** Asks for an authentication no older than this; else 401 with RFC 9470's parameters. */
  within(duration: Seconds): GuardedAccess
  /** Asks for a second factor; else 401 with RFC 9470's parameters. */
  withSecondFactor(): GuardedAccess
}

/** A duration in seconds. */
export type Seconds = { readonly seconds: number }

/** A duration of whole minutes. @param count minutes, 1 to 1,440 */
export function minutes(count: number): Seconds {
  return { seconds: count * 60 }
}

/** Thrown when a route's declaration makes no sense; it stops the start (CWE-1188). */
export class AccessError extends Error {
  override readonly name = 'AccessError'
  readonly code = 'access_invalid'
}

/**
 * Only members of the selected tenant whose role grants all of these permissions.
 * The route's database holds the role's grants for exactly these and no others (ASVS 8.2.1).
 *
 * @param permissions one or more `resource:verb`
 * @throws AccessError `access_invalid` when there is none, or one is malformed
 * @example config: { access: can('invoice:read') }
 */
export function can(...permissions: readonly string[]): GuardedAccess {
  if (permissions.length === 0)
    throw new AccessError('can() needs at least one permission, such as can("invoice:read")')
  for (const permission of permissions) {
    if (!PERMISSION.test(permission)) throw new AccessError(`can(): ${JSON.stringify(permission)} is not resource:verb`)
  }
  return guarded({ kind: 'can', permissions: [...new Set(permissions)], maxAgeSeconds: 0, assurance: 'aal1' })
}

/** Any signed-in user, whatever the tenant: for the user's own account. */
export function signedIn(): GuardedAccess {
  return guarded({ kind: 'signed-in', maxAgeSeconds: 0, assurance: 'aal1' })
}

/**
 * Anyone, without a credential.
 * @param because why this is safe: printed by the route list, at least ten characters
 * @throws AccessError `access_invalid` when no reason is given
 */
export function open(because: string): Access {
  if (because.trim().length < 10) throw new AccessError('open() needs a reason, such as open("health probe")')
  const access: Access = Object.freeze({ kind: 'open', because })
  made.add(access)
  return access
}

const made = new WeakSet<object>()

/** Whether a value was made by this module: a look-alike object is not an access (CWE-306). */
export function isAccess(value: unknown): value is Access {
  return typeof value === 'object' && value !== null && made.has(value)
}

function guarded(access: Exclude<Access, { kind: 'open' }>): GuardedAccess {
  const full = Object.freeze({
    ...access,
    within({ seconds }: Seconds): GuardedAccess {
      if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_STEP_UP_SECONDS) {
        throw new AccessError(`within() takes 1 to ${MAX_STEP_UP_SECONDS} seconds`)
      }
      return guarded({ ...access, maxAgeSeconds: seconds })
    },
    withSecondFactor(): GuardedAccess {
      return guarded({ ...access, assurance: 'aal2' })
    },
  })
  made.add(full)
  return full
}

/**
 * Any member of the selected tenant, with whatever their role grants: for units of work that state no access of their
 * own. No entry point exports it, so that a route always says what it needs.
 */
export const anyMember: GuardedAccess = guarded({ kind: 'can', permissions: [], maxAgeSeconds: 0, assurance: 'aal1' })
