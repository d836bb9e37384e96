import { STATUS_CODES } from 'node:http'

/** A problem as a client gets it (RFC 9457), with a stable `code`. */
export type ProblemDocument = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail?: string
  readonly request_id: string
  readonly errors?: readonly FieldFault[]
}

/** One fault of the request. */
export type FieldFault = {
  /** JSON pointer into the part (RFC 6901); `''` for the part itself */
  readonly path: string
  readonly in: 'body' | 'params' | 'querystring' | 'headers'
  readonly message: string
}

/** What is answered instead of a result. */
export type Problem = {
  readonly status: number
  readonly code: string
  readonly detail?: string
  readonly errors?: readonly FieldFault[]
  readonly headers?: Readonly<Record<string, string>>
}

/** Media type of every problem (RFC 9457 section 6.1). */
export const PROBLEM_TYPE = 'application/problem+json'

/**
 * The problems of the HTTP layer itself: stable code → status and the sentence a client sees. Denials, identity and the
 * database bring their own codes.
 */
export const httpProblems = {
  malformed_request: { status: 400, detail: 'The request is not well-formed.' },
  malformed_json: { status: 400, detail: 'The body is not well-formed JSON.' },
  malformed_utf8: { status: 400, detail: 'The body is not well-formed UTF-8.' },
  malformed_path: { status: 400, detail: 'The path is not well-formed.' },
  validation_failed: { status: 400, detail: 'The request does not fit the schema; see errors.' },
  body_unexpected: { status: 400, detail: 'This request takes no body.' },
  cursor_invalid: { status: 400, detail: 'The cursor is not one of this list. Start without one.' },
  idempotency_key_invalid: {
    status: 400,
    detail: 'The Idempotency-Key is no key: send one, of 1 to 255 of letters, digits and ._~:+/=@-.',
  },
  idempotency_key_missing: { status: 400, detail: 'This request needs an Idempotency-Key.' },
  idempotency_key_unsupported: {
    status: 400,
    detail: 'This request takes no Idempotency-Key, and is not safe to repeat. Nothing was done; send it without.',
  },
  unauthenticated: { status: 401, detail: 'Sign in to use this resource.' },
  forbidden: { status: 403, detail: 'You may not do this.' },
  not_on_team: { status: 403, detail: 'Only those who are on the team may see this.' },
  not_found: { status: 404, detail: 'There is no such resource.' },
  method_not_allowed: { status: 405, detail: 'The resource does not know this method.' },
  request_timeout: { status: 408, detail: 'The request took too long to arrive.' },
  conflict: { status: 409, detail: 'Something with these values is there already.' },
  idempotency_key_in_use: { status: 409, detail: 'The first request with this key is still under way. Try again.' },
  idempotency_rights_changed: {
    status: 409,
    detail: 'This was done under this key, when you had other rights. Its answer is not shown again.',
  },
  idempotency_answer_shown_once: {
    status: 409,
    detail: 'This was done under this key. Its answer is shown once only.',
  },
  idempotency_answer_not_kept: {
    status: 409,
    detail: 'This was done under this key. Its answer was too large to be kept: read what it made.',
  },
  serialization_failure: { status: 409, detail: 'The work kept colliding with other work. Try again.' },
  precondition_failed: { status: 412, detail: 'It has changed since it was read: read it again.' },
  body_too_large: { status: 413, detail: 'The body is too large.' },
  path_too_long: { status: 414, detail: 'A part of the path is too long.' },
  unsupported_media_type: { status: 415, detail: 'Send application/json in UTF-8.' },
  expectation_failed: { status: 417, detail: 'The expectation cannot be met.' },
  unprocessable: { status: 422, detail: 'A value cannot be used.' },
  idempotency_key_reused: {
    status: 422,
    detail: 'This key stands for another request. Nothing was done; use a new key for this one.',
  },
  team_name_invalid: { status: 422, detail: 'The name needs 1 to 200 printable characters.' },
  unstorable_text: { status: 422, detail: 'A text holds a character that cannot be stored.' },
  precondition_required: { status: 428, detail: 'Say with If-Match which version this change is based on.' },
  too_many_requests: { status: 429, detail: 'Too many requests. Try again later.' },
  idempotency_quota_exceeded: {
    status: 429,
    detail: 'You have too many keys of the last 24 hours. Nothing was done; try later, or send it without a key.',
  },
  headers_too_large: { status: 431, detail: 'The headers are too large.' },
  internal_error: {
    status: 500,
    detail: 'Something went wrong on our side. Give the request_id to whoever runs this.',
  },
  unavailable: { status: 503, detail: 'The service is not available at the moment. Try again.' },
  outcome_unknown: {
    status: 503,
    detail:
      'The connection was lost while saving: look whether it happened, or repeat it with the same Idempotency-Key.',
  },
  shutting_down: { status: 503, detail: 'The server is shutting down. Try again.' },
} as const satisfies Record<string, { status: number; detail: string }>

/** Code of a problem of the HTTP layer itself. */
export type HttpProblemCode = keyof typeof httpProblems

/** A problem of the catalogue. @param extra headers and field faults */
export function problem(code: HttpProblemCode, extra: Pick<Problem, 'errors' | 'headers'> = {}): Problem {
  return { code, ...httpProblems[code], ...extra }
}

/** Thrown where a handler answers with a problem of the catalogue. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem'
  readonly problem: Problem

  constructor(code: HttpProblemCode, extra: Pick<Problem, 'errors' | 'headers'> & { cause?: unknown } = {}) {
    const { cause, ...rest } = extra
    super(httpProblems[code].detail, cause === undefined ? {} : { cause })
    this.problem = problem(code, rest)
  }
}

/** The document of a problem. @param requestId as the log has it */
export function documentOf({ status, code, detail, errors }: Problem, requestId: string): ProblemDocument {
  return {
    type: `urn:holdfast:problem:${code}`,
    title: TITLES[status] ?? STATUS_CODES[status] ?? 'Error',
    status,
    code,
    ...(detail === undefined ? {} : { detail }),
    request_id: requestId,
    ...(errors === undefined ? {} : { errors }),
  }
}

/** RFC 9110's phrases: a title is the same for all problems of a status. */
const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  417: 'Expectation Failed',
  422: 'Unprocessable Content',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}
