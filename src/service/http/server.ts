import fastify, { type FastifyInstance, type FastifyRequest, LogController } from 'fastify'
import { valuesOf } from '../../core/guard/credential.ts'
import type { Guard } from '../../core/guard/guard.ts'
import type { TenantSources } from '../../core/guard/tenant-selection.ts'
import type { Identity } from '../identity/identity.ts'
import { type ApplicationRoutes, createMount } from './application-routes.ts'
import { answerError, answerProblems } from './answer-problems.ts'
import { answerClientError } from './client-error.ts'
import { createCursors } from './cursor.ts'
import { createDrain, type Drain } from './drain.ts'
import { serviceGuardPlugin } from './guard-plugin.ts'
import { takeJsonOnly } from './json-body.ts'
import * as limits from './limits.ts'
import { clientRequestId, type LogLevel, logOptions, newRequestId } from './log.ts'
import type { RequestTrace } from '../telemetry/opentelemetry.ts'
import type { RequestTelemetry } from '../telemetry/telemetry.ts'
import { describeRoutes, serveDescription } from './openapi.ts'
import { problem } from './problem.ts'
import type { Readiness } from './readiness.ts'
import type { DeclaredRoute } from './route-declaration.ts'
import { healthRoutes } from './routes/health.ts'
import { invitationRoutes } from './routes/invitations.ts'
import { meRoutes } from './routes/me.ts'
import { memberRoutes } from './routes/members.ts'
import type { RouteContext } from './routes/route-context.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { setupRoutes } from './routes/setup.ts'
import { signInRoutes } from './routes/sign-in.ts'
import { signUpRoutes } from './routes/sign-up.ts'
import { teamMemberRoutes } from './routes/team-members.ts'
import { teamRoutes } from './routes/teams.ts'
import { tenantRoutes } from './routes/tenants.ts'

export type ServerOptions = {
  readonly guard: Guard
  readonly identity: Identity
  readonly ready: Readiness
  readonly origin: string
  readonly tenantSources: TenantSources
  /** Addresses or networks of the proxies whose X-Forwarded-For is believed; none: the socket's address counts. */
  readonly trustedProxies: readonly string[]
  readonly logLevel: LogLevel
  /** Where log lines go. */
  readonly logTo: { write(line: string): void }
  readonly telemetry?: RequestTelemetry
  /** Routes of the application that the service hosts. */
  readonly applicationRoutes?: ApplicationRoutes
}

export type Server = {
  readonly app: FastifyInstance
  readonly routes: () => readonly DeclaredRoute[]
  /** Lets requests under way finish, answers new ones 503, and closes. */
  readonly drain: Drain
}

/** Makes the service's HTTP application; nothing listens yet. */
export async function createServer(options: ServerOptions): Promise<Server> {
  const { origin, telemetry } = options
  let routes: readonly DeclaredRoute[] = []
  const app = fastify({
    logger: logOptions(options.logLevel, options.logTo),
    // one line an answer, written below
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: newRequestId,
    requestIdHeader: false,
    // X-Forwarded-* from anybody else is a client's word (CWE-348)
    trustProxy: options.trustedProxies.length === 0 ? false : [...options.trustedProxies],
    bodyLimit: limits.BODY_BYTES,
    requestTimeout: limits.REQUEST_TIMEOUT_MS,
    keepAliveTimeout: limits.KEEP_ALIVE_MS,
    connectionTimeout: limits.SOCKET_TIMEOUT_MS,
    routerOptions: { maxParamLength: limits.PARAMETER_CHARACTERS },
    http: {
      maxHeaderSize: limits.HEADER_BYTES,
      headersTimeout: limits.HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: limits.CONNECTION_CHECK_MS,
      // answered below, as a problem
      requireHostHeader: false,
    },
    forceCloseConnections: 'idle',
    ajv: {
      // what does not fit is refused, never bent, cut or filled in (CWE-915)
      customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false, allErrors: true },
    },
    clientErrorHandler: (error, socket) => answerClientError(error, socket, newRequestId),
    frameworkErrors: (error, request, reply) => {
      answerError(error, request, reply)
    },
  })
  app.server.on('checkExpectation', (_request, response) => {
    response.writeHead(problem('expectation_failed').status, { connection: 'close' }).end()
  })
  const drain = createDrain(app)

  app.addHook('onRequest', async (request) => {
    if (valuesOf(request.raw.rawHeaders, 'host').length !== 1 && request.raw.httpVersion !== '1.0') {
      throw Object.assign(new Error('no host, or several'), { statusCode: 400 })
    }
  })
  observe(app, telemetry)

  await app.register((await import('@fastify/helmet')).default, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    frameguard: { action: 'deny' },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    referrerPolicy: { policy: 'no-referrer' },
  })
  answerProblems(app, {
    routes: () => routes,
    ...(telemetry === undefined ? {} : { onDenial: (because: string) => telemetry.denied(because) }),
  })
  takeJsonOnly(app)
  const mount = createMount(app)
  await app.register(serviceGuardPlugin, {
    guard: options.guard,
    origin,
    tenantSources: options.tenantSources,
    onRoutes: (found: readonly DeclaredRoute[]) => {
      mount.check(found, options.guard.scope)
      routes = found
    },
  })
  await describeRoutes(app)
  await serveDescription(app)
  healthRoutes(app, options.ready)
  const context: RouteContext = {
    identity: options.identity,
    origin,
    cursors: createCursors(options.identity.keys.cursor),
  }
  await app.register(async (v1) => addV1(v1, context), { prefix: '/v1' })
  if (options.applicationRoutes !== undefined) await mount.add(options.applicationRoutes)
  return { app, routes: () => routes, drain }
}

/** One line, one measurement and, where OpenTelemetry is on, one span for each answer. */
function observe(app: FastifyInstance, telemetry: RequestTelemetry | undefined): void {
  const traces = new WeakMap<FastifyRequest, RequestTrace>()
  const begin = telemetry?.begin
  if (begin !== undefined) {
    app.addHook('onRequest', async (request) => {
      const trace = begin(request.method, request.headers)
      traces.set(request, trace)
      request.log = request.log.child({ trace_id: trace.traceId })
    })
    // behind the body, whose events belong to the socket and not to the request
    app.addHook('preHandler', (request, _reply, done) => {
      const trace = traces.get(request)
      if (trace === undefined) done()
      else trace.within(done)
    })
  }
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? '(none)'
    const clientId = clientRequestId(request)
    request.log.info(
      {
        method: request.method,
        route,
        status: reply.statusCode,
        milliseconds: Math.round(reply.elapsedTime * 10) / 10,
        address: request.ip,
        ...(clientId === undefined ? {} : { client_request_id: clientId }),
      },
      'answered',
    )
    const answer = { method: request.method, route, status: reply.statusCode, seconds: reply.elapsedTime / 1000 }
    telemetry?.answered(answer)
    traces.get(request)?.end(answer)
  })
}

function addV1(v1: FastifyInstance, context: RouteContext): void {
  v1.addHook('onRequest', async (_request, reply) => {
    // answers are one caller's alone (CWE-524)
    reply.header('cache-control', 'no-store')
  })
  setupRoutes(v1, context)
  signUpRoutes(v1, context)
  signInRoutes(v1, context)
  sessionRoutes(v1)
  tenantRoutes(v1, context)
  memberRoutes(v1, context)
  invitationRoutes(v1, context)
  meRoutes(v1)
  teamRoutes(v1, context)
  teamMemberRoutes(v1, context)
}
