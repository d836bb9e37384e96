/** How far a grant reaches: all rows of the tenant, or those that the caller owns. */
export type Reach = 'tenant' | 'own'

/** Permissions such as `team:read`, each with its reach. */
export type Grants = ReadonlyMap<string, Reach>

const GRANT = /^([a-z][a-z0-9_]{0,62}:[a-z][a-z0-9_]{0,62})(@own)?$/

/** A grant that is not written as `resource:verb` or `resource:verb@own`. */
export class GrantError extends Error {
  override readonly name = 'GrantError'
  readonly code = 'grant_invalid'
}

/**
 * Reads grants as they are written in a manifest: `team:read`, or `profile:update@own`. Of two for one permission the
 * wider reach wins.
 * @throws GrantError `grant_invalid`
 */
export function parseGrants(texts: readonly string[]): Grants {
  const grants = new Map<string, Reach>()
  for (const text of texts) {
    const [, permission, own] = GRANT.exec(text) ?? []
    if (permission === undefined)
      throw new GrantError(`${JSON.stringify(text)} is not resource:verb or resource:verb@own`)
    const reach: Reach = own === undefined ? 'tenant' : 'own'
    if (grants.get(permission) !== 'tenant') grants.set(permission, reach)
  }
  return grants
}

/**
 * Every permission that some role grants, whatever its reach.
 * @param roles grants by role, as a manifest has them
 * @throws GrantError `grant_invalid`
 */
export function grantedPermissions(roles: Readonly<Record<string, readonly string[]>>): ReadonlySet<string> {
  return new Set(Object.values(roles).flatMap((grants) => [...parseGrants(grants).keys()]))
}

/** Grants as one canonical text: sorted, separated by blanks. */
export function formatGrants(grants: Grants): string {
  return [...grants]
    .map(([permission, reach]) => (reach === 'own' ? `${permission}@own` : permission))
    .sort()
    .join(' ')
}

/** The grants for the named permissions, and no others. */
export function intersectGrants(grants: Grants, permissions: readonly string[]): Grants {
  const kept = new Map<string, Reach>()
  for (const permission of permissions) {
    const reach = grants.get(permission)
    if (reach !== undefined) kept.set(permission, reach)
  }
  return kept
}
