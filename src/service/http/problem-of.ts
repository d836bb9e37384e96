import { DatabaseError, StatementError } from '../../core/database/errors.ts'
import { Denial } from '../../core/guard/denial.ts'
import { KeyRefusal } from '../../core/guard/idempotency.ts'
import { ScopeRefusal } from '../../core/scope/refusals.ts'
import { IdentityError } from '../identity/errors.ts'
import { challengeOf, SIGN_IN_CHALLENGE } from './challenge.ts'
import { KEY_PROBLEMS } from './idempotency.ts'
import { type FieldFault, HttpProblem, type HttpProblemCode, type Problem, problem } from './problem.ts'
import { REPORTED_FAULTS } from './limits.ts'

/** A problem, and what it means for the operator: `fault` is ours and logged as an error. */
export type JudgedError = { readonly problem: Problem; readonly kind: 'expected' | 'fault' }

const expected = (answer: Problem): JudgedError => ({ problem: answer, kind: 'expected' })
const fault = (code: HttpProblemCode, extra: Pick<Problem, 'headers'> = {}): JudgedError => ({
  problem: problem(code, extra),
  kind: 'fault',
})

/**
 * What a client learns of an error. What the database said, a stack, a statement never do (CWE-209): whatever is not
 * known here is `internal_error`.
 */
export function problemOf(error: unknown): JudgedError {
  if (error instanceof HttpProblem) return expected(error.problem)
  if (error instanceof Denial) return expected(ofDenial(error))
  if (error instanceof KeyRefusal) return expected(ofKey(error))
  if (error instanceof IdentityError) return expected(ofIdentity(error))
  if (error instanceof ScopeRefusal) {
    // the only refusals that a client's value causes: it named another tenant or owner, which for it is not there …
    if (BIND_REFUSALS.has(error.code)) return expected(problem('not_found'))
    // … or asked for too much; where the text does, it has a position
    const isAskedFor = error.code === 'size_too_large' && error.position === undefined
    return isAskedFor ? expected(problem('unprocessable')) : fault('internal_error')
  }
  if (error instanceof DatabaseError) return ofDatabase(error)
  return ofFramework(error) ?? fault('internal_error')
}

const BIND_REFUSALS: ReadonlySet<string> = new Set(['tenant_mismatch', 'owner_mismatch'])

function ofDenial(denial: Denial): Problem {
  const challenge = challengeOf(denial)
  return {
    status: denial.status,
    code: denial.code,
    detail: denial.message,
    ...(challenge === undefined ? {} : { headers: { 'www-authenticate': challenge } }),
  }
}

function ofIdentity({ status, code, message, retryAfterSeconds }: IdentityError): Problem {
  const headers = {
    ...(status === 401 ? { 'www-authenticate': SIGN_IN_CHALLENGE } : {}),
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
    ...(status === 503 ? { 'retry-after': RETRY_SECONDS } : {}),
  }
  return { status, code, detail: message, ...(Object.keys(headers).length === 0 ? {} : { headers }) }
}

/** For trouble that passes by itself within a second. */
const RETRY_SECONDS = '1'

/** When a caller with too many keys may come again: the clean-up is hourly. */
const QUOTA_SECONDS = '3600'

function ofKey({ reason }: KeyRefusal): Problem {
  const seconds = reason === 'in_use' ? RETRY_SECONDS : reason === 'quota' ? QUOTA_SECONDS : undefined
  return problem(KEY_PROBLEMS[reason], seconds === undefined ? {} : { headers: { 'retry-after': seconds } })
}

/** Exact SQLSTATEs that a client's values cause; those of class 22, data exceptions, besides. */
const SQLSTATE_PROBLEMS: Readonly<Record<string, HttpProblemCode>> = {
  '23505': 'conflict',
  '23503': 'unprocessable',
  '23514': 'unprocessable',
}

function ofDatabase(error: DatabaseError): JudgedError {
  const retry = { headers: { 'retry-after': RETRY_SECONDS } }
  if (error.code === 'commit_ambiguous') return fault('outcome_unknown')
  if (error.code === 'serialization_failure') return expected(problem('serialization_failure', retry))
  if (error.code === 'value_invalid') return expected(problem('unstorable_text'))
  if (error instanceof StatementError && error.code === 'statement_failed') {
    const code = SQLSTATE_PROBLEMS[error.sqlstate] ?? (error.sqlstate.startsWith('22') ? 'unprocessable' : undefined)
    return code === undefined ? fault('internal_error') : expected(problem(code))
  }
  return error.status === 503 ? fault('unavailable', retry) : fault('internal_error')
}

/** Fastify's own errors by their code; what else has a 4xx status, such as an application's own error, keeps it. */
const FRAMEWORK_PROBLEMS: Readonly<Record<string, HttpProblemCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'malformed_request',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed_json',
  FST_ERR_BAD_URL: 'malformed_path',
  FST_ERR_MAX_PARAM_LENGTH: 'path_too_long',
  FST_ERR_NOT_FOUND: 'not_found',
}

type FrameworkError = {
  readonly code?: unknown
  readonly statusCode?: unknown
  readonly validation?: unknown
  readonly validationContext?: unknown
}

function ofFramework(error: unknown): JudgedError | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { code, statusCode, validation, validationContext } = error as FrameworkError
  if (Array.isArray(validation)) {
    const part = PARTS.has(String(validationContext)) ? (String(validationContext) as FieldFault['in']) : 'body'
    const errors = validation.slice(0, REPORTED_FAULTS).map((each) => faultOf(each as SchemaFault, part))
    return expected(problem('validation_failed', { errors }))
  }
  const known = FRAMEWORK_PROBLEMS[String(code)]
  if (known !== undefined) return expected(problem(known))
  if (typeof statusCode !== 'number' || !Number.isInteger(statusCode) || statusCode < 400 || statusCode > 499) {
    return undefined
  }
  const byStatus = BY_STATUS[statusCode]
  // what its message says was not written for a client (CWE-209)
  if (byStatus === undefined) {
    return expected({ status: statusCode, code: 'request_refused', detail: 'The request was refused.' })
  }
  return expected(problem(byStatus, statusCode === 401 ? { headers: { 'www-authenticate': SIGN_IN_CHALLENGE } } : {}))
}

const BY_STATUS: Readonly<Record<number, HttpProblemCode>> = {
  400: 'malformed_request',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  408: 'request_timeout',
  409: 'conflict',
  413: 'body_too_large',
  414: 'path_too_long',
  415: 'unsupported_media_type',
  417: 'expectation_failed',
  422: 'unprocessable',
  429: 'too_many_requests',
  431: 'headers_too_large',
}

const PARTS: ReadonlySet<string> = new Set(['body', 'params', 'querystring', 'headers'])

type SchemaFault = {
  readonly instancePath?: string
  readonly message?: string
  readonly params?: { readonly additionalProperty?: unknown; readonly missingProperty?: unknown }
}

/** Where and what; the value itself is not repeated. */
function faultOf({ instancePath = '', message = 'is not allowed', params = {} }: SchemaFault, part: FieldFault['in']) {
  const field = params.additionalProperty ?? params.missingProperty
  const path = typeof field === 'string' ? `${instancePath}/${pointer(field)}` : instancePath
  const text =
    params.additionalProperty !== undefined
      ? 'is not known'
      : params.missingProperty !== undefined
        ? 'is missing'
        : message
  return { in: part, path, message: text }
}

/** A name inside a JSON pointer (RFC 6901 section 3). */
function pointer(name: string): string {
  return name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1')
}
