import type { FastifyReply } from 'fastify'

/** An answer's status and headers at one moment. */
export type ReplyMark = {
  /** Puts them back: a handler that runs twice, or fails, must leave nothing of its first run (a cookie, a status). */
  restore(): void
}

/** Remembers an answer as it is now. */
export function markOf(reply: FastifyReply): ReplyMark {
  const { statusCode } = reply
  const headers = { ...reply.getHeaders() }
  return {
    restore() {
      if (reply.sent) return
      if (reply.statusCode !== statusCode) reply.code(statusCode)
      for (const name of Object.keys(reply.getHeaders())) if (!Object.hasOwn(headers, name)) reply.removeHeader(name)
      for (const [name, value] of Object.entries(headers)) {
        // setting adds to what is there, for this header alone
        if (name === 'set-cookie') reply.removeHeader(name)
        reply.header(name, value)
      }
    },
  }
}
