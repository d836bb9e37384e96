import { createHash } from 'node:crypto'
import type { Pool } from './pool.ts'
import type { Query } from './statement.ts'

/** Roles by name, each with permissions such as `team:read` or, for one's own rows only, `profile:update@own`. */
export type RoleGrants = Readonly<Record<string, readonly string[]>>

type Grant = { readonly role: string; readonly permission: string; readonly reach: 'tenant' | 'own' }

/**
 * The canonical form of a role definition, and its name: the same grants in any order, with doubles, have one version.
 *
 * @returns `version`: SHA-256 in hex of the JSON `[[role, [[permission, reach], …]], …]`, everything sorted
 */
export function roleVersion(roleGrants: RoleGrants): { readonly version: string; readonly grants: readonly Grant[] } {
  const canonical = Object.keys(roleGrants)
    .sort()
    .map((role): [string, [string, 'tenant' | 'own'][]] => {
      const reaches = new Map<string, 'tenant' | 'own'>()
      for (const text of roleGrants[role] ?? []) {
        const own = text.endsWith('@own')
        const permission = own ? text.slice(0, -4) : text
        // The wider reach wins.
        if (!own || !reaches.has(permission)) reaches.set(permission, own ? 'own' : 'tenant')
      }
      return [role, [...reaches].sort(([a], [b]) => (a < b ? -1 : 1))]
    })
  return {
    version: createHash('sha256').update(JSON.stringify(canonical)).digest('hex'),
    grants: canonical.flatMap(([role, list]) => list.map(([permission, reach]) => ({ role, permission, reach }))),
  }
}

/**
 * Stores a role definition as a version, if it is new, and makes it the current one, in one transaction.
 *
 * @returns the version, and whether it became current by this call
 */
export async function seedRoles(pool: Pool, roleGrants: RoleGrants): Promise<{ version: string; changed: boolean }> {
  const { version, grants } = roleVersion(roleGrants)
  const query = (text: string, ...values: unknown[]): Query => ({ statement: { name: '', text }, values })
  const queries = [
    query('INSERT INTO holdfast.role_versions (version) VALUES ($1::TEXT) ON CONFLICT (version) DO NOTHING', version),
    ...grants.map(({ role, permission, reach }) =>
      query(
        `INSERT INTO holdfast.role_grants (version, role, permission, reach)
VALUES ($1::TEXT, $2::TEXT, $3::TEXT, $4::TEXT) ON CONFLICT (version, role, permission) DO NOTHING`,
        version,
        role,
        permission,
        reach,
      ),
    ),
    ...[...new Set(grants.map(({ role }) => role))].map((role) =>
      query(
        `INSERT INTO holdfast.role_permissions (version, role, permissions)
VALUES ($1::TEXT, $2::TEXT, $3::TEXT[]) ON CONFLICT (version, role) DO NOTHING`,
        version,
        role,
        grants.filter((grant) => grant.role === role).map(({ permission }) => permission),
      ),
    ),
    query(
      `INSERT INTO holdfast.current_roles (singleton, version) VALUES (true, $1::TEXT) ON CONFLICT (singleton) DO NOTHING`,
      version,
    ),
    query('UPDATE holdfast.current_roles SET version = $1::TEXT WHERE version <> $1::TEXT', version),
  ]
  const results = await pool.transaction((transaction) => transaction.send(queries, { commit: true }))
  return { version, changed: results.slice(-2).some((result) => result.rowCount === 1) }
}
