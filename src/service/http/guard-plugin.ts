import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  RouteHandlerMethod,
  RouteOptions,
} from 'fastify'
import type { GuardedAccess } from '../../core/guard/access.ts'
import type { Caller } from '../../core/guard/caller.ts'
import { credentialOf } from '../../core/guard/credential.ts'
import type { Guard, PoolName, Unit, UnitRequest } from '../../core/guard/guard.ts'
import { Repeated } from '../../core/guard/idempotency.ts'
import type { ScopedDatabase } from '../../core/guard/scoped-database.ts'
import { resolveValues, type Sql } from '../../core/guard/sql.ts'
import { selectTenant, type TenantSources } from '../../core/guard/tenant-selection.ts'
import { DatabaseError } from '../../core/database/errors.ts'
import type { Result, Row } from '../../core/database/statement.ts'
import type { RowStream } from '../../core/database/stream.ts'
import { isSafe, refuseCrossSite } from './cross-site.ts'
import { refuseUngrantable, refuseUnscopable } from './declared-statement.ts'
import { fingerprintOf, keyedOf, keyOf, replay } from './idempotency.ts'
import { HEADERS_COUNT } from './limits.ts'
import { NDJSON, ndjson } from './ndjson.ts'
import {
  GuardMisuse,
  misuse,
  NOT_ROWS,
  type Passage,
  passageOf,
  PAST,
  type Prepared,
  SENT_ITSELF,
  UNJUDGED,
} from './passage.ts'
import { HttpProblem } from './problem.ts'
import { markOf } from './reply-mark.ts'
import { type DeclaredRoute, declarationOf, type RouteDeclaration, RouteDeclarationError } from './route-declaration.ts'
import { isSamePath, readRoutes, routeKey } from './route-inventory.ts'
import { statusOf, withhold } from './withheld-answer.ts'

/** A declared route with the schema that the application gave it. */
export type DescribedRoute = DeclaredRoute & { readonly schema: FastifySchema | undefined }

declare module 'fastify' {
  interface FastifyInstance {
    /** All routes as the guard checked them; empty until the application is ready. */
    readonly declaredRoutes: readonly DescribedRoute[]
  }
  interface FastifyContextConfig extends RouteDeclaration {}
  interface FastifyRequest {
    /** Who sent the request, as the database judged it. Inside a guarded handler only; else it throws. */
    readonly caller: Caller
    /** The scoped database. Inside a guarded handler only; else it throws. */
    readonly db: ScopedDatabase
    /** Result of the declared first statement. Inside the handler of a route that declares one; else it throws. */
    readonly first: Result
    /** The rows of the declared stream. Inside the handler of a route that declares one; else it throws. */
    readonly rows: RowStream
    /** The unit of work, with `afterCommit`. Inside a guarded handler only; else it throws. */
    readonly unit: Unit
  }
}

export type GuardPluginOptions = {
  readonly guard: Guard
  /** Origin of the pages that may use the session cookie, such as `https://app.example.com`. */
  readonly origin: string
  /** Where a request may name its tenant from, besides its session; nowhere if left out. */
  readonly tenantSources?: TenantSources
  /** Told of every route at the start. */
  readonly onRoutes?: (routes: readonly DeclaredRoute[]) => void
}

const DECLARED = Symbol('holdfast.declared')
type Recorded = { declared: DeclaredRoute | undefined }
type MarkedConfig = RouteDeclaration & { [DECLARED]?: Recorded }

/**
 * Closes a Fastify application: every route says who may use it, or the application does not start; a guarded handler
 * runs in one transaction as its caller, and its answer leaves after the commit.
 *
 * Register it first, on the root, and wait for it: `await app.register(guardPlugin, { guard, origin })`. A handler
 * **returns** its payload. It may run twice after a serialization failure: mail and outgoing calls belong into
 * `request.unit.afterCommit`.
 *
 * Hooks before the handler (`onRequest`, `preParsing`, `preValidation`, `preHandler`) see an **unjudged** caller: only
 * that a credential is there is known, not that it is a true one, so they must neither act nor answer for it; what needs
 * a caller belongs into the handler. They, error handlers and 404 handlers may refuse; an answer below 400 that no
 * finished unit made is withheld, and 500 is answered. A page for every path is a declared route, such as `/*`.
 *
 * @throws RouteDeclarationError at `ready()`, naming method and path
 */
export async function guardPlugin(app: FastifyInstance, options: GuardPluginOptions): Promise<void> {
  install(app, options, ['app'])
}

/** The same for the service itself, some of whose routes run as the identity role. No entry point exports it. */
export async function serviceGuardPlugin(app: FastifyInstance, options: GuardPluginOptions): Promise<void> {
  install(app, options, ['app', 'identity'])
}

function install(app: FastifyInstance, options: GuardPluginOptions, pools: readonly PoolName[]): void {
  const { guard, origin, tenantSources = {} } = options
  const recorded: { methods: string[]; url: string; route: RouteOptions; mark: Recorded }[] = []
  const wrapped = new WeakSet<RouteHandlerMethod>()
  const unitOf = (request: FastifyRequest): Unit => {
    const { unit } = passageOf(request)
    if (unit !== undefined) return unit
    throw new GuardMisuse('caller, db, first and unit are there inside a guarded handler only, until it has returned.')
  }
  // past its limit Node drops headers in silence: a second credential, or what a proxy has added at the end (CWE-444)
  app.server.maxHeadersCount = 0
  const described: DescribedRoute[] = []
  app.decorate('declaredRoutes', described)
  app.decorateRequest('unit', { getter: unitGetter })
  app.decorateRequest('caller', { getter: callerGetter })
  app.decorateRequest('db', { getter: dbGetter })
  app.decorateRequest('first', { getter: firstGetter })
  app.decorateRequest('rows', { getter: rowsGetter })
  function unitGetter(this: FastifyRequest): Unit {
    return unitOf(this)
  }
  function callerGetter(this: FastifyRequest): Caller {
    return passageOf(this).stream?.caller ?? unitOf(this).caller
  }
  function rowsGetter(this: FastifyRequest): RowStream {
    const { stream } = passageOf(this)
    if (stream === undefined) throw new GuardMisuse('request.rows is there where the route declares stream.')
    return stream.rows
  }
  function dbGetter(this: FastifyRequest): ScopedDatabase {
    return unitOf(this).db
  }
  function firstGetter(this: FastifyRequest): Result {
    const { first } = unitOf(this)
    if (first === undefined) throw new GuardMisuse('request.first is there where the route declares first.')
    return first
  }

  app.addHook('onRoute', (route) => {
    const mark: Recorded = { declared: undefined }
    const config: MarkedConfig = { ...route.config, [DECLARED]: mark }
    route.config = config as NonNullable<typeof route.config>
    const { handler } = route
    // a HEAD route that Fastify adds to a GET may come with the handler wrapped already
    if (!wrapped.has(handler)) {
      route.handler = guarded(handler)
      wrapped.add(route.handler)
    }
    // read at `ready`, so that whoever registers another's plugin can declare for it in a hook of its own
    recorded.push({ methods: [route.method].flat(), url: route.url, route, mark })
  })

  app.addHook('onReady', async () => {
    const routes = recorded.map(({ methods, url, route, mark }) => {
      // a hook that came later may have moved it to where another is known
      if (!isSamePath(route.url, url) || [route.method].flat().join() !== methods.join()) {
        throw new RouteDeclarationError(`${methods.join(', ')} ${url}: a hook has changed the route's path or method.`)
      }
      mark.declared = declarationOf(methods, url, route.config, pools)
      described.push({ ...mark.declared, schema: route.schema })
      return mark.declared
    })
    if (guard.scope !== undefined) {
      // the service's own routes name what a configuration may have taken from all roles
      if (!pools.includes('identity')) refuseUngrantable(routes, guard.scope)
      refuseUnscopable(routes, guard.scope)
    }
    refuseUnseen(app, routes)
    options.onRoutes?.(routes)
  })

  // Before the body is read: a request without a credential costs nothing (CWE-400).
  // These hooks call back rather than return promises: at each request three of them would wait for nothing.
  app.addHook('onRequest', (request, _reply, done) => {
    let failure: Error | undefined
    try {
      prepare(request)
    } catch (error) {
      failure = error as Error
    }
    done(failure)
  })

  // before any other hook can change what was asked for
  app.addHook('preValidation', (request, _reply, done) => {
    let failure: Error | undefined
    const { prepared } = passageOf(request)
    if (prepared?.key !== undefined) {
      try {
        prepared.fingerprint = fingerprintOf(request)
      } catch (error) {
        failure = error as Error
      }
    }
    done(failure)
  })

  app.addHook('onSend', (request, reply, payload, done) => {
    let failure: Error | undefined
    try {
      judgeAnswer(request, reply, payload)
    } catch (error) {
      failure = error as Error
    }
    if (failure === undefined) done(null, payload)
    else done(failure)
  })

  // beyond recall, so it is told at least: `reply.hijack()` and `reply.raw` pass all that is above
  app.addHook('onResponse', (request, reply, done) => {
    const { finished, told, unit } = passageOf(request)
    // the handler of a unit that still runs is told when it ends
    if (reply.statusCode < 400 && reply.raw.headersSent && !finished && !told && unit === undefined) {
      if (request.is404 || accessOf(request)?.kind !== 'open') misuse(request, PAST)
    }
    done()
  })

  function prepare(request: FastifyRequest): void {
    if (request.raw.rawHeaders.length > 2 * HEADERS_COUNT) throw new HttpProblem('headers_too_large')
    if (request.is404) return
    const declared = declaredOf(request)
    if (declared.access.kind === 'open') return void keyOf(request, declared)
    const { rawHeaders, socket } = request.raw
    const credential = credentialOf(rawHeaders)
    if (credential.transport === 'cookie' && !isSafe(request.method)) refuseCrossSite(rawHeaders, origin)
    const peerVerified = 'authorized' in socket && socket.authorized === true
    const { selectors, ignored } = selectTenant(tenantSources, { rawHeaders, peerVerified })
    if (ignored) request.log.warn('a tenant header from a peer that has not proven itself was ignored')
    const key = keyOf(request, declared)
    passageOf(request).prepared = { credential, selectors, key, fingerprint: undefined }
  }

  function judgeAnswer(request: FastifyRequest, reply: FastifyReply, payload: unknown): void {
    const passage = passageOf(request)
    if (passage.unit !== undefined && !passage.leaked) {
      passage.leaked = true
      throw misuse(request, SENT_ITSELF)
    }
    // Whatever else answers has not been judged: hooks before the handler, error and 404 handlers (CWE-306). It throws
    // again when an error handler answers this refusal so; Fastify then asks the next one, and itself at last.
    if (statusOf(reply, payload) >= 400 || passage.finished) return
    if (!request.is404 && declaredOf(request).access.kind === 'open') return
    withhold(reply, payload)
    throw misuse(request, UNJUDGED)
  }

  function guarded(handler: RouteHandlerMethod): RouteHandlerMethod {
    return function guardedHandler(this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
      const declared = declaredOf(request)
      if (declared.access.kind === 'open') return handler.call(this, request, reply)
      const { stream } = declared
      if (stream !== undefined) return runStream(this, declared, stream, handler, request, reply)
      return run(this, declared, handler, request, reply)
    }
  }

  async function run(
    instance: FastifyInstance,
    declared: DeclaredRoute,
    handler: RouteHandlerMethod,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> {
    const mark = markOf(reply)
    const passage = passageOf(request)
    const prepared = preparedOf(passage)
    const { credential, selectors } = prepared
    const keyed = keyedOf(request, reply, declared, prepared)
    const { first, more, pool, strict } = declared
    // whatever is not open was made by the guard, with its modifiers
    const access = declared.access as GuardedAccess
    const unitRequest: UnitRequest = {
      credential,
      selectors,
      access,
      readOnly: isSafe(request.method),
      strict,
      pool,
      more,
      once: keyed,
      first:
        first === undefined ? undefined : (caller) => ({ text: first.text, values: valuesFor(first, request, caller) }),
    }
    try {
      let isAgain = false
      const answer = await guard.run(unitRequest, async (unit) => {
        if (isAgain) mark.restore()
        isAgain = true
        passage.unit = unit
        try {
          const value: unknown = await handler.call(instance, request, reply)
          // thrown inside the unit, so that it is rolled back
          if (passage.leaked) throw new GuardMisuse(SENT_ITSELF)
          if (value === reply || reply.sent || reply.raw.headersSent) throw misuse(request, SENT_ITSELF)
          return keyed === undefined ? value : keyed.take(value)
        } finally {
          passage.unit = undefined
        }
      })
      passage.finished = true
      return answer
    } catch (error) {
      if (reply.sent && !passage.told) misuse(request, SENT_ITSELF)
      // what the handler has set belongs to the answer that it did not give
      if (!passage.leaked) mark.restore()
      if (!(error instanceof Repeated)) throw error
      // entered afresh, and done before
      passage.finished = true
      return replay(reply, error.answer)
    }
  }

  /** Its first byte leaves when the caller is entered and the first rows are there: what fails until then is a problem. */
  async function runStream(
    instance: FastifyInstance,
    declared: DeclaredRoute,
    stream: Sql<object>,
    handler: RouteHandlerMethod,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> {
    if (guard.stream === undefined) throw new DatabaseError('unsupported_use', 'The guard has no streams.')
    const mark = markOf(reply)
    const passage = passageOf(request)
    const gone = new AbortController()
    // nobody gets this answer; it is only no fault of ours
    reply.raw.once('close', () => gone.abort(new HttpProblem('request_timeout')))
    const opened = await guard.stream<Row>(
      { ...preparedOf(passage), access: declared.access as GuardedAccess, signal: gone.signal },
      (caller) => ({ text: stream.text, values: valuesFor(stream, request, caller) }),
    )
    passage.stream = opened
    try {
      const value: unknown = await handler.call(instance, request, reply)
      if (value === reply || reply.sent || reply.raw.headersSent) throw misuse(request, SENT_ITSELF)
      if (!isAsyncIterable(value)) throw misuse(request, NOT_ROWS)
      passage.finished = true
      reply.type(NDJSON)
      if (request.method !== 'HEAD') {
        const tell = (error: Error): void => {
          if (!gone.signal.aborted) request.log.error({ err: error }, 'a stream was cut')
        }
        return ndjson(opened.rows, value).on('error', tell)
      }
      await opened.rows.return()
      return ''
    } catch (error) {
      await opened.rows.return()
      mark.restore()
      throw error
    }
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function preparedOf({ prepared }: Passage): Prepared {
  if (prepared === undefined) throw new GuardMisuse('the request did not pass the guard.')
  return prepared
}

// Fastify runs a plugin with this symbol in its parent's context, so that it guards all routes.
for (const plugin of [guardPlugin, serviceGuardPlugin]) {
  Object.defineProperty(plugin, Symbol.for('skip-override'), { value: true })
}

/** Fail closed: a request whose route was not checked at the start is not handled (CWE-306). */
function declaredOf(request: FastifyRequest): DeclaredRoute {
  const declared = (request.routeOptions.config as MarkedConfig)[DECLARED]?.declared
  if (declared !== undefined) return declared
  throw new GuardMisuse(`${request.method} ${request.routeOptions.url}: the route was added past the guard.`)
}

/** The same where nothing may be thrown any more. */
function accessOf(request: FastifyRequest): DeclaredRoute['access'] | undefined {
  return (request.routeOptions.config as MarkedConfig)[DECLARED]?.declared?.access
}

function valuesFor(
  { values }: { values: readonly unknown[] },
  request: FastifyRequest,
  caller: { userId: string; tenantId: string },
): unknown[] {
  return resolveValues(values, { params: request.params, query: request.query, body: request.body, caller })
}

/** Routes that were there before the guard. */
function refuseUnseen(app: FastifyInstance, routes: readonly DeclaredRoute[]): void {
  const seen = new Set(routes.flatMap(({ methods, url }) => methods.map((method) => routeKey({ method, url }))))
  for (const known of readRoutes(app.printRoutes())) {
    // the twin with a slash, of a plugin's root, comes without a hook and shares its sibling's declaration
    const twin = { ...known, url: known.url.replace(/\/$/, '') }
    if (seen.has(routeKey(known)) || seen.has(routeKey(twin))) continue
    throw new RouteDeclarationError(
      `${known.method} ${known.url}: the route was added before the guard. ` +
        'Register the guard first, on the root, and await it: await app.register(guardPlugin, …).',
    )
  }
}
