import type { FastifyInstance, FastifyRequest } from 'fastify'
import { HttpProblem } from './problem.ts'

/** Characters that no text of ours may hold: PostgreSQL cannot store NUL, and half of a pair is no character. */
const UNSTORABLE = /[\0]|\p{Cs}/u

/** The one spelling of a JSON body's media type that is taken: any other charset than UTF-8 is refused. */
const CHARSET = /charset\s*=\s*"?([^\s";]+)/i

/**
 * Makes JSON in UTF-8 the only body that the application takes (ASVS 1.5.3): malformed bytes are refused, not replaced;
 * keys that reach into prototypes are refused (CWE-1321); so is text that could not be stored.
 */
export function takeJsonOnly(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const charset = CHARSET.exec(request.headers['content-type'] ?? '')?.[1]?.toLowerCase()
    if (charset !== undefined && charset !== 'utf-8') return done(new HttpProblem('unsupported_media_type'), undefined)
    let text: string
    try {
      text = decoder.decode(body as Buffer)
    } catch {
      return done(new HttpProblem('malformed_utf8'), undefined)
    }
    void parse(request, text, (error, value) => {
      if (error !== null) return done(new HttpProblem('malformed_json', { cause: error }), undefined)
      done(hasUnstorable(value) ? new HttpProblem('unstorable_text') : null, value)
    })
  })
  app.addHook('preValidation', async (request) => {
    refuseUnexpectedBody(request)
    for (const part of [request.params, request.query])
      if (hasUnstorable(part)) throw new HttpProblem('unstorable_text')
  })
}

/** A body that no schema judges is not dropped in silence: its sender meant something by it. */
function refuseUnexpectedBody(request: FastifyRequest): void {
  if (request.body === undefined || request.is404 || request.routeOptions.schema?.body !== undefined) return
  throw new HttpProblem('body_unexpected')
}

/** Walks a parsed value; its size is bounded by the body's. */
function hasUnstorable(value: unknown): boolean {
  const open: unknown[] = [value]
  while (open.length > 0) {
    const next = open.pop()
    if (typeof next === 'string' && UNSTORABLE.test(next)) return true
    if (typeof next !== 'object' || next === null) continue
    for (const [key, child] of Object.entries(next)) open.push(key, child)
  }
  return false
}
