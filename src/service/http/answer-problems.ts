import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Denial } from '../../core/guard/denial.ts'
import { documentOf, PROBLEM_TYPE, type Problem, problem } from './problem.ts'
import { problemOf } from './problem-of.ts'
import type { DeclaredRoute } from './route-declaration.ts'

/** What the answers may draw on; all of it may be left out. */
export type AnswerProblemsOptions = {
  /** All routes, once they are known: tells 405 from 404; without them there is no 405. */
  readonly routes?: () => readonly DeclaredRoute[]
  /** Told of each denial's true reason, for metrics. */
  readonly onDenial?: (because: string) => void
}

/** Makes every error of the application a problem (RFC 9457); what a client must not know goes to the log. */
export function answerProblems(app: FastifyInstance, options: AnswerProblemsOptions = {}): void {
  const { routes = () => [], onDenial } = options
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof Denial) {
      request.log.info({ because: error.because }, 'denied')
      onDenial?.(error.because)
    }
    return answerError(error, request, reply)
  })
  app.setNotFoundHandler((request, reply) => {
    const methods = methodsOf(routes(), request.url)
    if (methods.length === 0) return sendProblem(reply, request, problem('not_found'))
    return sendProblem(reply, request, problem('method_not_allowed', { headers: { allow: methods.join(', ') } }))
  })
}

/** Answers an error; ours are logged with all that is known of them. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { problem: answer, kind } = problemOf(error)
  if (kind === 'fault') request.log.error({ err: error }, 'the request failed')
  else request.log.debug({ err: error, code: answer.code }, 'the request was refused')
  return sendProblem(reply, request, answer)
}

/** Sends a problem: never to be cached, whatever the route says of its own answers. */
export function sendProblem(reply: FastifyReply, request: FastifyRequest, answer: Problem): FastifyReply {
  return reply
    .code(answer.status)
    .headers({ ...answer.headers, 'cache-control': 'no-store' })
    .type(PROBLEM_TYPE)
    .serializer((document: unknown) => JSON.stringify(document))
    .send(documentOf(answer, request.id))
}

/** Methods that a path is known under. */
function methodsOf(routes: readonly DeclaredRoute[], url: string): string[] {
  const segments = url.replace(/\?.*$/, '').split('/')
  const matching = routes.filter((route) => {
    const pattern = route.url.split('/')
    return (
      !route.url.includes('*') &&
      pattern.length === segments.length &&
      pattern.every((part, index) => (part.startsWith(':') ? segments[index] !== '' : part === segments[index]))
    )
  })
  return [...new Set(matching.flatMap(({ methods }) => methods))].sort()
}
