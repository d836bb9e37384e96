import type { Statement } from '../database/statement.ts'
import type { Transaction } from '../database/transaction.ts'
import { type Grants, parseGrants } from '../scope/grants.ts'

/** Versions of the role definitions kept in memory: two during a rolling deployment, a few more to spare. */
const MAX_VERSIONS = 8

const GRANTS_OF_VERSION: Statement = {
  name: 'grants_of_version',
  text: 'SELECT role, permission, reach FROM holdfast.grants_of_version($1::TEXT)',
}

const NO_GRANTS: Grants = new Map()

/**
 * What each version of the roles grants. A version is the digest of its definition, so what is known of it cannot
 * grow stale; which version holds now is *enter*'s to say, at every request.
 */
export type RoleBook = {
  /** The grants of a role, or nothing when this process does not know the version yet. */
  known(version: string, role: string): Grants | undefined
  /** The grants of a role; an unknown version is read from the database in this transaction, one flight. */
  load(version: string, role: string, transaction: Transaction): Promise<Grants>
}

export function createRoleBook(): RoleBook {
  const versions = new Map<string, ReadonlyMap<string, Grants>>()
  const grantsOf = (roles: ReadonlyMap<string, Grants>, role: string): Grants => roles.get(role) ?? NO_GRANTS
  return {
    known(version, role) {
      const roles = versions.get(version)
      return roles === undefined ? undefined : grantsOf(roles, role)
    },
    async load(version, role, transaction) {
      const known = versions.get(version)
      if (known !== undefined) return grantsOf(known, role)
      const { rows } = await transaction.query(GRANTS_OF_VERSION, [version])
      const texts = new Map<string, string[]>()
      for (const row of rows) {
        const list = texts.get(String(row.role)) ?? []
        list.push(String(row.permission) + (row.reach === 'own' ? '@own' : ''))
        texts.set(String(row.role), list)
      }
      const roles = new Map([...texts].map(([name, list]) => [name, parseGrants(list)]))
      versions.set(version, roles)
      if (versions.size > MAX_VERSIONS) versions.delete(versions.keys().next().value ?? version)
      return grantsOf(roles, role)
    },
  }
}
