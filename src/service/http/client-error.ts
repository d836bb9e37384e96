import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { documentOf, type HttpProblemCode, PROBLEM_TYPE, problem } from './problem.ts'

/** Node's codes for requests that never became one. */
const PROBLEMS: Readonly<Record<string, HttpProblemCode>> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'body_too_large',
}

/**
 * Answers what Node's parser refused, as a problem, and closes the connection: after a framing error nothing that follows
 * can be trusted to be a request (CWE-444).
 */
export function answerClientError(error: Error & { code?: string }, socket: Socket, newId: () => string): void {
  // Node hangs the answer under way here; its own handler looks at it too
  const { _httpMessage: underway } = socket as Socket & { _httpMessage?: ServerResponse | null }
  // a request that arrived whole may be at work, and its answer is not this one: what it wrote is saved all the same
  const busy = underway?.headersSent === true || underway?.req.complete === true
  if (error.code === 'ECONNRESET' || !socket.writable || busy) {
    socket.destroy()
    return
  }
  const answer = problem(PROBLEMS[error.code ?? ''] ?? 'malformed_request')
  const body = JSON.stringify(documentOf(answer, newId()))
  socket.end(
    `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n` +
      `Content-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Cache-Control: no-store\r\nConnection: close\r\n\r\n${body}`,
  )
}
