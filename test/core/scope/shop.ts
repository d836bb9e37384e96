import { type Grants, parseGrants } from '../../../src/core/scope/grants.ts'
import { type Manifest, parseManifest } from '../../../src/core/scope/manifest.ts'
import { ScopeRefusal } from '../../../src/core/scope/refusals.ts'
import type { Scope, ScopedStatement } from '../../../src/core/scope/scope.ts'

/** An application with all that a manifest can say: a child through its parent, a view, columns by role, its own function. */
export const shop: Manifest = parseManifest({
  tables: [
    {
      schema: 'app',
      name: 'orders',
      resource: 'order',
      tenant: 'tenant_id',
      owner: 'owner_id',
      columns: {
        id: { type: 'uuid' },
        tenant_id: { type: 'uuid' },
        owner_id: { type: 'uuid' },
        title: { type: 'text' },
        margin: { type: 'numeric', hidden: ['clerk'] },
        state: { type: 'text', readOnly: ['clerk'] },
        createdAt: { type: 'timestamptz', readOnly: true },
      },
    },
    {
      schema: 'app',
      name: 'lines',
      resource: 'line',
      through: { table: 'orders', column: 'order_id', references: 'id' },
      columns: { id: { type: 'uuid' }, order_id: { type: 'uuid' }, amount: { type: 'int4' } },
    },
    {
      schema: 'app',
      name: 'units',
      resource: 'unit',
      shared: true,
      columns: { id: { type: 'uuid' }, label: { type: 'text' } },
    },
    {
      schema: 'app',
      name: 'open_orders',
      resource: 'order',
      view: true,
      tenant: 'tenant_id',
      columns: { id: { type: 'uuid' }, tenant_id: { type: 'uuid' }, title: { type: 'text' } },
    },
  ],
  roles: { admin: ['order:read'], clerk: ['order:read'] },
  functions: [
    { schema: 'app', name: 'twice', reads: [] },
    { schema: 'app', name: 'turnover', reads: ['app.orders'] },
  ],
  types: [{ schema: 'app', name: 'state' }],
})

const verbs = ['read', 'create', 'update', 'delete']
const resources = ['order', 'line', 'unit']

/** Every verb on every table. */
export const whole: Grants = parseGrants(resources.flatMap((resource) => verbs.map((verb) => `${resource}:${verb}`)))
/** Every verb on one's own orders and their lines. */
export const ownOnly: Grants = parseGrants([
  ...['order', 'line'].flatMap((resource) => verbs.map((verb) => `${resource}:${verb}@own`)),
  'unit:read',
])

/** Scopes a text: the final one, or the refusal's code with the place it points to. */
export function outcomeOf(scope: Scope, text: string, grants: Grants = whole, role = 'admin'): string {
  try {
    return scope.scope(text, grants, role).text
  } catch (error) {
    if (!(error instanceof ScopeRefusal)) throw error
    return error.position === undefined
      ? error.code
      : `${error.code} at ${text.slice(error.position, error.position + 12)}`
  }
}

/** Scopes a text that is to be refused. */
export function refusalOf(scope: Scope, text: string, grants: Grants = whole, role = 'admin'): ScopeRefusal {
  let scoped: ScopedStatement
  try {
    scoped = scope.scope(text, grants, role)
  } catch (error) {
    if (error instanceof ScopeRefusal) return error
    throw error
  }
  throw new Error(`accepted as ${scoped.text}`)
}
