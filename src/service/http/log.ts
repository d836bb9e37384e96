import { randomBytes } from 'node:crypto'
import type { FastifyBaseLogger, FastifyRequest, FastifyServerOptions } from 'fastify'

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** What the service's parts write to: Fastify's own logger, or anything alike. */
export type Log = Pick<FastifyBaseLogger, 'info' | 'warn' | 'error' | 'debug'>

/** 96 random bits: enough to tell requests apart, short enough to read out. */
const REQUEST_ID_BYTES = 12

/** A client's own request id, for the log alone: never an id of ours (CWE-117). */
const CLIENT_ID = /^[A-Za-z0-9._-]{1,64}$/

/** Names under which secrets travel. Nothing of ours logs headers or bodies; this holds if something does (CWE-532). */
const SECRETS = [
  'authorization',
  'cookie',
  'set-cookie',
  'proxy-authorization',
  'token',
  'password',
  'secret',
  'key',
  'url',
  'smtp_url',
]
const DEPTHS = ['', '*.', '*.*.', 'req.headers.', 'res.headers.']

/** A new request id; a client's own is not trusted. */
export function newRequestId(): string {
  return randomBytes(REQUEST_ID_BYTES).toString('base64url')
}

/** What a client calls its request, if that is a name at all. */
export function clientRequestId(request: FastifyRequest): string | undefined {
  const id = request.headers['x-request-id']
  return typeof id === 'string' && CLIENT_ID.test(id) ? id : undefined
}

/** Options of Fastify's logger: structured lines, secrets redacted. @param stream where they go */
export function logOptions(
  level: LogLevel,
  stream: { write(line: string): void },
): Exclude<FastifyServerOptions['logger'], boolean | undefined> {
  const paths = DEPTHS.flatMap((depth) =>
    SECRETS.map((name) => (name.includes('-') ? `${depth.replace(/\.$/, '')}["${name}"]` : `${depth}${name}`)),
  )
  return { level, stream, redact: { paths, censor: '[redacted]' }, base: null }
}
