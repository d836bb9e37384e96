import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { valuesOf } from '../../core/guard/credential.ts'
import {
  KEPT_BYTES,
  KEPT_HEADER_CHARACTERS,
  type KeptAnswer,
  type KeyRefusalReason,
  type Once,
} from '../../core/guard/idempotency.ts'
import { canonicalJson } from './canonical-json.ts'
import { isSafe } from './cross-site.ts'
import type { Prepared } from './passage.ts'
import { HttpProblem, type HttpProblemCode } from './problem.ts'
import type { DeclaredRoute } from './route-declaration.ts'

/**
 * What a client sends to make a write safe to repeat: draft-ietf-httpapi-idempotency-key-header-07 section 2.1, a string
 * in double quotes; the same without quotes is taken too, as most clients send it. A comma or a semicolon would be a
 * second key or a parameter, so that neither can be in it.
 */
const KEY = /^(?:"([A-Za-z0-9._~:+/=@-]{1,255})"|([A-Za-z0-9._~:+/=@-]{1,255}))$/

/** Name of the header as a request has it. */
export const IDEMPOTENCY_KEY = 'idempotency-key'

/** Says that an answer is a repeated one. */
const REPLAYED = 'idempotent-replayed'

/** What the header's description says in the OpenAPI document. */
export const KEY_DESCRIPTION =
  'Makes the request safe to repeat for 24 hours: 1 to 255 of letters, digits and ._~:+/=@-, in double quotes or not.'

/**
 * The client's key. A header that is not kept is refused, never dropped: its sender would believe in a safety that is not
 * there. Reading is safe to repeat anyway, so that there it means nothing.
 *
 * @throws HttpProblem idempotency_key_invalid, idempotency_key_missing, idempotency_key_unsupported (400)
 */
export function keyOf(request: FastifyRequest, { idempotent }: Pick<DeclaredRoute, 'idempotent'>): string | undefined {
  if (isSafe(request.method)) return undefined
  const [value, ...others] = valuesOf(request.raw.rawHeaders, IDEMPOTENCY_KEY)
  if (value === undefined) {
    if (idempotent === 'required') throw new HttpProblem('idempotency_key_missing')
    return undefined
  }
  if (idempotent === 'no') throw new HttpProblem('idempotency_key_unsupported')
  const match = others.length === 0 ? KEY.exec(value) : null
  const key = match?.[1] ?? match?.[2]
  if (key === undefined) throw new HttpProblem('idempotency_key_invalid')
  return key
}

/**
 * Digest of what is asked for: path parameters, query, body, and the version that a change is based on. Taken before
 * anything but the parser has touched them.
 *
 * @throws HttpProblem idempotency_key_unsupported for a body that is not there as a value
 */
export function fingerprintOf(request: FastifyRequest): Buffer {
  const { params, query, body, headers } = request
  const isLost = body === undefined && hasBody(request)
  if (isLost || isForeign(body)) throw new HttpProblem('idempotency_key_unsupported')
  const bytes = Buffer.isBuffer(body)
  return createHash('sha256')
    .update(canonicalJson([params, query, headers['if-match'], mediaTypeOf(headers), bytes ? 'bytes' : 'value']))
    .update('\n')
    .update(bytes ? body : canonicalJson(body))
    .digest()
}

/** A body that a handler reads by itself, such as the parts of a form, cannot be compared. */
function hasBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function mediaTypeOf(headers: FastifyRequest['headers']): string | undefined {
  return headers['content-type']?.replace(/;.*$/s, '').trim().toLowerCase()
}

function isForeign(body: unknown): boolean {
  if (typeof body !== 'object' || body === null || Array.isArray(body) || Buffer.isBuffer(body)) return false
  const prototype: unknown = Object.getPrototypeOf(body)
  return prototype !== Object.prototype && prototype !== null
}

/** A request's key, with what its answer becomes. */
export type Keyed = Once & {
  /** Keeps what the handler gave; what it returns is sent. Inside the unit, so that what cannot be written fails it. */
  readonly take: (value: unknown) => unknown
}

/** @returns nothing for a request without a key */
export function keyedOf(
  request: FastifyRequest,
  reply: FastifyReply,
  { url, shownOnce }: DeclaredRoute,
  { credential, key, fingerprint }: Prepared,
): Keyed | undefined {
  if (key === undefined) return undefined
  // fail closed: it must not run as if it had no key
  if (fingerprint === undefined) throw new TypeError('a key without a fingerprint')
  let kept: KeptAnswer | undefined
  return {
    key: createHash('sha256')
      .update(JSON.stringify([credential.kind, request.method, url, key]))
      .digest(),
    fingerprint,
    answer() {
      if (kept === undefined) throw new TypeError('the work has not ended')
      return kept
    },
    take(value) {
      const written = writtenOf(reply, value)
      // a cookie is not kept, and an answer without it is another one (CWE-312)
      const isSecret = shownOnce || reply.hasHeader('set-cookie')
      const body = Buffer.isBuffer(written) ? written : null
      const headers = {
        contentType: headerOf(reply, 'content-type'),
        etag: headerOf(reply, 'etag'),
        location: headerOf(reply, 'location'),
      }
      const isShort = Object.values(headers).every((header) => (header ?? '').length <= KEPT_HEADER_CHARACTERS)
      const isKept = isShort && (written === null || (body !== null && body.length <= KEPT_BYTES))
      kept = {
        status: reply.statusCode,
        ...headers,
        body,
        withheld: isSecret ? 'shown_once' : isKept ? '' : 'not_kept',
      }
      return written
    },
  }
}

/**
 * The bytes that the framework would make of a value, with the type that it would give them: the first answer is the
 * repeated one. What can be read only once is given back as it is.
 */
function writtenOf(reply: FastifyReply, value: unknown): unknown {
  if (value === undefined || value === null) return null
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (typeof value === 'object' && (value instanceof Response || 'pipe' in value || 'getReader' in value)) return value
  const isText = typeof value === 'string'
  if (!reply.hasHeader('content-type')) reply.type(`${isText ? 'text/plain' : 'application/json'}; charset=utf-8`)
  const written: unknown = isText ? value : reply.serialize(value)
  return typeof written === 'string' ? Buffer.from(written) : written
}

function headerOf(reply: FastifyReply, name: string): string | null {
  const value = reply.getHeader(name)
  return value === undefined ? null : String(value)
}

/** Sets an answer as it was given the first time. @returns its body */
export function replay(reply: FastifyReply, { status, contentType, etag, location, body }: KeptAnswer): unknown {
  reply.code(status).header(REPLAYED, 'true')
  const headers = { 'content-type': contentType, etag, location }
  for (const [name, value] of Object.entries(headers)) if (value !== null) reply.header(name, value)
  return body
}

/** What a client learns of a refused key. */
export const KEY_PROBLEMS = {
  in_use: 'idempotency_key_in_use',
  reused: 'idempotency_key_reused',
  rights_changed: 'idempotency_rights_changed',
  shown_once: 'idempotency_answer_shown_once',
  not_kept: 'idempotency_answer_not_kept',
  quota: 'idempotency_quota_exceeded',
} as const satisfies Record<KeyRefusalReason, HttpProblemCode>
