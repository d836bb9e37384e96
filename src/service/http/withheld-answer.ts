import type { FastifyReply } from 'fastify'

/** Headers that say something by themselves: they go with the answer they were set for. */
const TELLING = ['set-cookie', 'location', 'link', 'etag', 'last-modified', 'content-disposition']

/** The status that an answer will have: a `Response` brings its own. */
export function statusOf(reply: FastifyReply, payload: unknown): number {
  return payload instanceof Response ? payload.status : reply.statusCode
}

/** Drops an answer that must not leave: what its headers say, and the source that its body would be read from. */
export function withhold(reply: FastifyReply, payload: unknown): void {
  for (const name of TELLING) reply.removeHeader(name)
  const body: unknown = payload instanceof Response ? payload.body : payload
  if (typeof body !== 'object' || body === null) return
  if ('destroy' in body && typeof body.destroy === 'function') body.destroy()
  // one that is being read cannot be cancelled, and needs not be
  else if (body instanceof ReadableStream) body.cancel().catch(() => undefined)
}
