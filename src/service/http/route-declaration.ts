import { type Access, isAccess } from '../../core/guard/access.ts'
import type { PoolName } from '../../core/guard/guard.ts'
import { paramsOf, type Sql } from '../../core/guard/sql.ts'
import { isSafe } from './cross-site.ts'

/** What a route says of itself: `config: { access: can('invoice:read'), first: sql`…` }`. */
export type RouteDeclaration = {
  /** Who may use it. A route without one stops the start (CWE-306, ASVS 8.3.1). */
  access?: Access
  /** Its first statement: travels with *enter*, so that the request costs one round trip. Its result: `request.first`. */
  first?: Sql<object>
  /**
   * Whether the handler sends statements after `first`; if not, COMMIT travels with it, and what it wrote stays written
   * when the handler then throws.
   */
  more?: boolean
  /**
   * The one statement whose rows it streams, as lines of JSON; its handler gives `request.rows` back, or what it makes of
   * them. With GET alone, and instead of `first`.
   */
  stream?: Sql<object>
  /** The login role it runs under: `app`. `identity` is for the service's own routes, and refused to any other. */
  pool?: PoolName
  /** The caller's session, membership and tenant are locked while it runs: no change of them may overlap. */
  strict?: boolean
  /**
   * Whether it takes an Idempotency-Key (docs/idempotency.md): then it is done once under each, and the answer kept for
   * 24 hours. `no` if left out: a request that brings one is refused. For routes that write, with `can` alone.
   */
  idempotent?: Idempotent
  /** Its answer holds a secret, such as a token: under a key it is done once and never shown again. */
  shownOnce?: boolean
}

/** Whether a route takes an Idempotency-Key: it must be there, it may be, it is refused. */
export type Idempotent = 'required' | 'accepted' | 'no'

/** A route as it was checked at the start. */
export type DeclaredRoute = {
  readonly methods: readonly string[]
  readonly url: string
  readonly access: Access
  readonly first: Sql<object> | undefined
  readonly more: boolean
  readonly stream: Sql<object> | undefined
  readonly pool: PoolName
  readonly strict: boolean
  readonly idempotent: Idempotent
  readonly shownOnce: boolean
}

/** A route's declaration is missing or makes no sense: it stops the start. */
export class RouteDeclarationError extends Error {
  override readonly name = 'RouteDeclarationError'
  readonly code = 'route_undeclared'
}

/**
 * Checks what a route declares.
 * @param pools which login roles it may name
 * @throws RouteDeclarationError `route_undeclared` naming method and path
 */
export function declarationOf(
  methods: readonly string[],
  url: string,
  config: RouteDeclaration | undefined,
  pools: readonly PoolName[] = ['app'],
): DeclaredRoute {
  const name = `${methods.join(', ')} ${url}`
  const refuse = (why: string): never => {
    throw new RouteDeclarationError(`${name}: ${why}`)
  }
  const { access, first, more = false, stream, pool = 'app', strict = false } = config ?? {}
  const { idempotent = 'no', shownOnce = false } = config ?? {}
  if (access === undefined) {
    return refuse(
      "the route does not say who may use it. Add config: { access: can('resource:verb') }, signedIn() or open('why').",
    )
  }
  // a look-alike, such as one from parsed JSON, is not an access (CWE-306)
  if (!isAccess(access)) return refuse('access must be made by can(), signedIn() or open().')
  // the identity role reads every tenant's accounts: no application's handler runs as it (CWE-269)
  if (!pools.includes(pool)) return refuse(`pool must be ${pools.map((each) => `'${each}'`).join(' or ')}.`)
  if (!IDEMPOTENT.has(idempotent)) return refuse("idempotent must be 'required', 'accepted' or 'no'.")
  if (idempotent !== 'no' && (access.kind !== 'can' || methods.some(isSafe))) {
    return refuse('idempotent is for what is written in a tenant: it needs can(), and POST, PUT, PATCH or DELETE.')
  }
  if (shownOnce && idempotent === 'no')
    return refuse('shownOnce says what becomes of a key, and idempotent takes none.')
  const others = first !== undefined || more || strict || config?.pool !== undefined
  if (access.kind === 'open' && (others || stream !== undefined)) {
    return refuse('an open route has no caller, so it has no first, more, stream, pool or strict.')
  }
  if (stream !== undefined && (others || !methods.every((method) => method === 'GET' || method === 'HEAD'))) {
    return refuse('stream stands alone, and needs GET: it has no first, more, pool or strict.')
  }
  if (strict && methods.some(isSafe)) return refuse('strict takes locks, so it needs POST, PUT, PATCH or DELETE.')
  for (const [part, statement] of Object.entries({ first, stream })) {
    if (statement === undefined || (typeof statement.text === 'string' && Array.isArray(statement.values))) continue
    return refuse(`${part} must be made by sql\`…\`.`)
  }
  const declared = first ?? stream
  const lacking = paramsOf(declared?.values ?? []).find((each) => !parametersOf(url).has(each))
  if (lacking !== undefined)
    return refuse(`${first === undefined ? 'stream' : 'first'} takes param('${lacking}'), which the path lacks.`)
  if (more && first === undefined) return refuse('more says that statements follow first, and there is no first.')
  return Object.freeze({ methods, url, access, first, more, stream, pool, strict, idempotent, shownOnce })
}

const IDEMPOTENT: ReadonlySet<unknown> = new Set<Idempotent>(['required', 'accepted', 'no'])

/** A path's parameters: each name ends where its part does, or where a fixed piece or a pattern follows. */
function parametersOf(url: string): ReadonlySet<string> {
  const names = [...url.replaceAll('::', '').matchAll(/:([^/:(.?-]+)/g)].map(([, name = '']) => name)
  return new Set(url.includes('*') ? [...names, '*'] : names)
}

/** An access as people read it: `can(team:read)`, `signed in, within 300 s`, `open: health probe`. */
export function formatAccess(access: Access): string {
  if (access.kind === 'open') return `open: ${access.because}`
  const base = access.kind === 'can' ? `can(${access.permissions.join(', ')})` : 'signed in'
  const within = access.maxAgeSeconds > 0 ? `, within ${access.maxAgeSeconds} s` : ''
  return `${base}${within}${access.assurance === 'aal2' ? ', with a second factor' : ''}`
}
