import type { Row } from '../../core/database/statement.ts'
import type { Caller } from '../../core/guard/caller.ts'
import { type Grants, parseGrants } from '../../core/scope/grants.ts'

/** Whether the caller holds a permission for the whole tenant, and not for what is their own alone. */
export function reachesTenant({ grants }: Caller, permission: string): boolean {
  return grants.get(permission) === 'tenant'
}

/** Whether one set of grants holds all of another: each permission, at the same reach or a wider one (CWE-269). */
export function covers(held: Grants, wanted: Grants): boolean {
  return [...wanted].every(([permission, reach]) => {
    const own = held.get(permission)
    return own === 'tenant' || (own !== undefined && own === reach)
  })
}

/** Reads rows of permission and reach. */
export function readGrants(rows: readonly Row[] = []): Grants {
  return parseGrants(rows.map((row) => String(row.permission) + (row.reach === 'own' ? '@own' : '')))
}
