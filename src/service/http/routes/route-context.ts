import type { FastifyRequest } from 'fastify'
import type { Cursors } from '../cursor.ts'
import type { Identity, RequestTrace } from '../../identity/identity.ts'

/** What the routes are made with. */
export type RouteContext = {
  readonly identity: Identity
  /** Origin of the pages that may use the session cookie. */
  readonly origin: string
  readonly cursors: Cursors
}

/** Where a request came from: the socket's address, or a listed proxy's word for it. */
export function traceOf(request: FastifyRequest): RequestTrace {
  return { address: request.ip, userAgent: request.headers['user-agent'] }
}
