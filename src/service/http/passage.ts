import type { FastifyRequest } from 'fastify'
import type { RowStream } from '../../core/database/stream.ts'
import type { Caller } from '../../core/guard/caller.ts'
import type { Credential } from '../../core/guard/credential.ts'
import type { Unit } from '../../core/guard/guard.ts'

/** A handler broke the guard's rules: the developer's mistake, told in the log and never to a client. */
export class GuardMisuse extends Error {
  override readonly name = 'GuardMisuse'
  readonly code = 'guard_misuse'
}

/** What was read off a request before its body: the credential's hash, the tenants it names, its key. */
export type Prepared = {
  readonly credential: Credential
  readonly selectors: readonly string[]
  /** The client's Idempotency-Key. */
  readonly key: string | undefined
  /** Digest of what is asked for under the key, once the body is there. */
  fingerprint: Buffer | undefined
}

/** What the guard knows of one request. */
export type Passage = {
  prepared: Prepared | undefined
  /** while its handler runs */
  unit: Unit | undefined
  /** what a declared stream has in hand */
  stream: { readonly caller: Caller; readonly rows: RowStream } | undefined
  /** Its handler sent its answer itself: the unit is rolled back. */
  leaked: boolean
  /** Its unit was committed: only then an answer may be good news. */
  finished: boolean
  /** Its misuse is in the log. */
  told: boolean
}

// on the request itself: weak maps of all requests cost the process a good part of its time in garbage collection
const PASSAGE = Symbol('holdfast.passage')

/** The guard's notes on a request. */
export function passageOf(request: FastifyRequest & { [PASSAGE]?: Passage }): Passage {
  request[PASSAGE] ??= {
    prepared: undefined,
    unit: undefined,
    stream: undefined,
    leaked: false,
    finished: false,
    told: false,
  }
  return request[PASSAGE]
}

export const SENT_ITSELF =
  'a guarded handler must return its payload: with reply.send() the answer would leave before the commit.'

export const UNJUDGED =
  'an answer that no finished unit made was withheld: on a guarded route only the handler answers, and a 404 handler says 404.'

export const NOT_ROWS = 'the handler of a declared stream returns request.rows, or another async iterable of objects.'

export const PAST =
  'an answer that no finished unit made has left by reply.hijack() or reply.raw: nobody had judged its caller.'

/** Tells the developer by the log, which the client's answer does not. */
export function misuse(request: FastifyRequest, why: string): GuardMisuse {
  passageOf(request).told = true
  request.log.error(`${request.method} ${request.routeOptions.url ?? '(no route)'}: ${why}`)
  return new GuardMisuse(why)
}
