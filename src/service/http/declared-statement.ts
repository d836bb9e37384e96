import { show } from '../../core/guard/call-site.ts'
import { readOnlyRoute } from '../../core/guard/scoped-database.ts'
import { grantedPermissions, intersectGrants, parseGrants } from '../../core/scope/grants.ts'
import { ScopeRefusal } from '../../core/scope/refusals.ts'
import type { Scope } from '../../core/scope/scope.ts'
import { isSafe } from './cross-site.ts'
import { type DeclaredRoute, RouteDeclarationError } from './route-declaration.ts'

/**
 * Scopes each declared statement at the start, under every role that may use its route: one that cannot be scoped stops
 * the start rather than the first request.
 * @throws RouteDeclarationError naming method, path and the refusal
 */
export function refuseUnscopable(routes: readonly DeclaredRoute[], scope: Scope): void {
  const roles = Object.entries(scope.manifest.roles).map(([role, texts]) => ({ role, grants: parseGrants(texts) }))
  for (const { methods, url, access, first: declaredFirst, stream } of routes) {
    const first = declaredFirst ?? stream
    if (first === undefined || access.kind === 'open') continue
    const permissions = access.kind === 'can' ? access.permissions : []
    for (const { role, grants } of roles) {
      if (!permissions.every((permission) => grants.has(permission))) continue
      try {
        const scoped = scope.scope(first.text, intersectGrants(grants, permissions), role)
        if (methods.some(isSafe) && !scoped.readOnly) throw readOnlyRoute()
      } catch (error) {
        if (!(error instanceof ScopeRefusal)) throw error
        // a declared statement is the program's own text
        const whole = show(error, undefined, first.text)
        const part = stream === undefined ? 'first statement' : 'stream'
        throw new RouteDeclarationError(`${methods.join(', ')} ${url}: its ${part}: ${whole}`, { cause: error })
      }
    }
  }
}

/**
 * A permission that no role grants is a mistyped one: its route would be there for nobody.
 * @throws RouteDeclarationError naming method, path and permission
 */
export function refuseUngrantable(routes: readonly DeclaredRoute[], { manifest }: Scope): void {
  const grantable = grantedPermissions(manifest.roles)
  for (const { methods, url, access } of routes) {
    if (access.kind !== 'can') continue
    const lacking = access.permissions.find((permission) => !grantable.has(permission))
    if (lacking === undefined) continue
    throw new RouteDeclarationError(`${methods.join(', ')} ${url}: no role of the manifest grants ${lacking}.`)
  }
}
