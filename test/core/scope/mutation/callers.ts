import { parseGrants } from '../../../../src/core/scope/grants.ts'
import { everything, office, owned } from '../prover/office.ts'
import { ownOnly, shop, whole } from '../shop.ts'
import type { Caller } from './fault-trials.ts'

/** Callers of the office: all, their own, and such as lack a part. */
export const officeCallers: readonly Caller[] = [
  { name: 'all', manifest: office, grants: everything },
  { name: 'own', manifest: office, grants: owned },
  {
    name: 'writer without read',
    manifest: office,
    grants: parseGrants(['doc:create', 'doc:update', 'doc:delete', 'line:create', 'line:update', 'note:read']),
  },
  {
    name: 'mixed reaches',
    manifest: office,
    grants: parseGrants(
      'doc:read doc:update@own doc:delete doc:reassign doc:create@own line:read line:create@own line:update folder:read@own note:read@own kind:read paper:read'.split(
        ' ',
      ),
    ),
  },
]

/** And of the shop, whose columns differ by role. */
export const shopCallers: readonly Caller[] = [
  { name: 'shop, admin', manifest: shop, grants: whole, role: 'admin' },
  { name: 'shop, clerk', manifest: shop, grants: whole, role: 'clerk' },
  { name: 'shop, own', manifest: shop, grants: ownOnly, role: 'clerk' },
]
