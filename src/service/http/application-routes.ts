import type { FastifyInstance, RouteOptions } from 'fastify'
import type { Scope } from '../../core/scope/scope.ts'
import { refuseUngrantable } from './declared-statement.ts'
import { type DeclaredRoute, RouteDeclarationError } from './route-declaration.ts'
import { isSamePath, routeKey } from './route-inventory.ts'

/** Routes of an application: a Fastify plugin. Its hooks, decorators and error handlers hold for its own routes alone. */
export type ApplicationRoutes = (app: FastifyInstance) => Promise<void> | void

/** The place where an application's routes are added. */
export type Mount = {
  /** Adds them, in a context of their own, once all of the service's are there. */
  add(routes: ApplicationRoutes): Promise<void>
  /** @throws RouteDeclarationError for what an application may not declare */
  check(routes: readonly DeclaredRoute[], scope: Scope | undefined): void
}

/** First parts of the service's own paths, now or later. */
const SERVICE_PARTS: ReadonlySet<string> = new Set([
  'v1',
  'docs',
  'openapi.json',
  'health',
  'ready',
  'live',
  'metrics',
  '.well-known',
])

/**
 * Call it before any route is added. From `add` on every route counts as the application's, however it comes: what is
 * not seen to be the service's own is not trusted like it.
 */
export function createMount(app: FastifyInstance): Mount {
  const added: { readonly route: RouteOptions; readonly method: RouteOptions['method']; readonly url: string }[] = []
  let isOpen = false
  app.addHook('onRoute', (route) => {
    if (!isOpen) return
    const { method, url } = route
    for (const each of [method].flat()) refusePath(each, url)
    added.push({ route, method, url })
  })
  // a context without a route may still answer for all below its prefix, by its own 404 handler
  app.addHook('onRegister', ({ prefix }) => {
    if (isOpen) refusePath('a context at', prefix)
  })
  return {
    async add(routes) {
      isOpen = true
      await app.register(async (scope) => {
        scope.addHook('onRequest', async (_request, reply) => {
          // answers are one caller's alone, unless a route says otherwise (CWE-524)
          reply.header('cache-control', 'no-store')
        })
        // a strategy judges every route of the router, the service's too
        scope.addConstraintStrategy = () => {
          throw new RouteDeclarationError('an application adds no constraint strategy: it would hold for all routes.')
        }
        // one context further down: a plugin that breaks out of its own comes no further than this one
        await scope.register(async (inner) => routes(inner))
      })
    },
    check(routes, scope) {
      for (const { route, method, url } of added) refuseMoved(route, method, url)
      const keys = new Set(
        added.flatMap(({ method, url }) => [method].flat().map((each) => routeKey({ method: each, url }))),
      )
      const own = routes.filter(({ methods, url }) => methods.some((method) => keys.has(routeKey({ method, url }))))
      // an operator may take a permission from every role, and a route of the service's with it: not so the application
      if (scope !== undefined) refuseUngrantable(own, scope)
      for (const { methods, url, pool } of own) {
        if (pool === 'app') continue
        // the identity role reads every tenant's accounts (CWE-269)
        throw new RouteDeclarationError(`${methods.join(', ')} ${url}: an application's route runs in the pool 'app'.`)
      }
    },
  }
}

/** What a hook of the application's own made of a route after it was looked at. */
function refuseMoved(route: RouteOptions, method: RouteOptions['method'], url: string): void {
  const name = `${[method].flat().join(', ')} ${url}`
  if (!isSamePath(route.url, url) || String(route.method) !== String(method)) {
    throw new RouteDeclarationError(`${name}: a hook has changed the route's path or method.`)
  }
  if (Object.keys(route.constraints ?? {}).length > 0) {
    throw new RouteDeclarationError(
      `${name}: an application's route has no constraints: others would answer differently.`,
    )
  }
}

/**
 * A path that could answer in the service's place is refused: what the service does not know, it alone says so. A first
 * part that is not fixed matches the service's parts too.
 */
function refusePath(method: string, url: string): void {
  if (url === '/' || url === '') return
  const [, part = ''] = /^\/([A-Za-z0-9._~-]+)(?=\/|$)/.exec(url) ?? []
  if (part === '') {
    throw new RouteDeclarationError(
      `${method} ${url}: an application's path begins with a fixed part, such as /invoices.`,
    )
  }
  if (SERVICE_PARTS.has(part.toLowerCase())) {
    throw new RouteDeclarationError(`${method} ${url}: paths under /${part} are the service's own. Choose another.`)
  }
}
