import { describe, expect, it } from 'vitest'
import {
  DatabaseError,
  type DatabaseErrorCode,
  databaseErrors,
  StatementError,
} from '../../../src/core/database/errors.ts'
import { Denial, type DenialReason } from '../../../src/core/guard/denial.ts'
import { ScopeRefusal, type ScopeRefusalCode } from '../../../src/core/scope/refusals.ts'
import { IdentityError, type IdentityErrorCode, identityErrors } from '../../../src/service/identity/errors.ts'
import { documentOf, HttpProblem, type HttpProblemCode, httpProblems } from '../../../src/service/http/problem.ts'
import { problemOf } from '../../../src/service/http/problem-of.ts'

const SECRET = 'canary-8f2 in row (42, ann@acme.example) of tenancy.teams'

function statementError(sqlstate: string, code: DatabaseErrorCode = 'statement_failed'): StatementError {
  const report = {
    sqlstate,
    severity: 'ERROR',
    message: SECRET,
    detail: SECRET,
    schema: 'tenancy',
    table: 'teams',
    constraint: SECRET,
  }
  return new StatementError(code, 1, report, new Error(SECRET))
}

describe('what a client learns of an error', () => {
  const cases: [string, unknown, number, string][] = [
    ['unique violation', statementError('23505'), 409, 'conflict'],
    ['foreign key violation', statementError('23503'), 422, 'unprocessable'],
    ['check violation', statementError('23514'), 422, 'unprocessable'],
    ['number out of range', statementError('22003'), 422, 'unprocessable'],
    ['not a uuid', statementError('22P02'), 422, 'unprocessable'],
    ['not null violation', statementError('23502'), 500, 'internal_error'],
    ['row-level security', statementError('42501'), 500, 'internal_error'],
    ['syntax error', statementError('42601'), 500, 'internal_error'],
    ['disk full', statementError('53100'), 500, 'internal_error'],
    ['an SQLSTATE that looks like a denial', statementError('KH401'), 500, 'internal_error'],
    [
      'serialization failure after retries',
      statementError('40001', 'serialization_failure'),
      409,
      'serialization_failure',
    ],
    ['ambiguous commit', statementError('40003', 'commit_ambiguous'), 503, 'outcome_unknown'],
    ['ambiguous commit by a lost socket', new DatabaseError('commit_ambiguous'), 503, 'outcome_unknown'],
    ['no database', new DatabaseError('database_unavailable', SECRET), 503, 'unavailable'],
    ['no connection free', new DatabaseError('pool_exhausted', SECRET), 503, 'unavailable'],
    ['too slow', new DatabaseError('transaction_timeout', SECRET), 503, 'unavailable'],
    ['a statement cancelled by its time limit', statementError('57014', 'statement_timeout'), 503, 'unavailable'],
    ['too many rows', new DatabaseError('too_many_rows', SECRET), 500, 'internal_error'],
    ['too large an answer', new DatabaseError('answer_too_large', SECRET), 500, 'internal_error'],
    ['a value that cannot be sent', new DatabaseError('value_invalid', SECRET), 422, 'unstorable_text'],
    ['a name used twice', new DatabaseError('statement_name_reused', SECRET), 500, 'internal_error'],
    ['a value of another tenant', new ScopeRefusal('tenant_mismatch'), 404, 'not_found'],
    ['a value that asks for too much', new ScopeRefusal('size_too_large'), 422, 'unprocessable'],
    ['a text that asks for too much', new ScopeRefusal('size_too_large', { position: 7 }), 500, 'internal_error'],
    ['a value of another owner', new ScopeRefusal('owner_mismatch'), 404, 'not_found'],
    ["a developer's statement", new ScopeRefusal('relation_unknown', { hint: SECRET }), 500, 'internal_error'],
    ['anything', new TypeError(SECRET), 500, 'internal_error'],
    ['anything with a status of its own', Object.assign(new Error(SECRET), { statusCode: 502 }), 500, 'internal_error'],
    ...(
      [
        [400, 'malformed_request'],
        [401, 'unauthenticated'],
        [403, 'forbidden'],
        [404, 'not_found'],
        [409, 'conflict'],
        [418, 'request_refused'],
        [422, 'unprocessable'],
        [429, 'too_many_requests'],
        [499, 'request_refused'],
      ] as const
    ).map(([status, code]): [string, unknown, number, string] => [
      `an application’s own ${status}`,
      Object.assign(new Error(SECRET), { statusCode: status }),
      status,
      code,
    ]),
    ['a status that is none', Object.assign(new Error(SECRET), { statusCode: 404.5 }), 500, 'internal_error'],
    ['no error at all', SECRET, 500, 'internal_error'],
    ['undefined', undefined, 500, 'internal_error'],
  ]
  it.each(cases)('%s', (_, error, status, code) => {
    const { problem } = problemOf(error)
    expect([problem.status, problem.code]).toEqual([status, code])
    expect(JSON.stringify(documentOf(problem, 'r')) + JSON.stringify(problem.headers ?? {})).not.toMatch(
      /canary|tenancy|\d{5}|23P|ann@/,
    )
  })

  it.each(Object.keys(databaseErrors) as DatabaseErrorCode[])(
    'a database error is a 5xx or named above: %s',
    (code) => {
      const { problem } = problemOf(new DatabaseError(code, SECRET))
      expect(problem.status >= 500 || ['serialization_failure', 'value_invalid'].includes(code)).toBe(true)
      expect(JSON.stringify(problem)).not.toContain('canary')
    },
  )

  const refusals: ScopeRefusalCode[] = [
    'syntax_error',
    'grant_missing',
    'read_only_route',
    'not_proven',
    'parameter_count',
  ]
  it.each(refusals)('a refusal of the kernel is our fault: %s', (code) => {
    expect(problemOf(new ScopeRefusal(code)).kind).toBe('fault')
  })

  it.each(Object.keys(identityErrors) as IdentityErrorCode[])('identity speaks for itself: %s', (code) => {
    const { problem, kind } = problemOf(new IdentityError(code, { retryAfterSeconds: 7, cause: new Error(SECRET) }))
    expect(problem).toMatchObject({ status: identityErrors[code].status, code, detail: identityErrors[code].message })
    expect(kind).toBe('expected')
    expect(JSON.stringify(problem)).not.toContain('canary')
  })

  it('says when to come back', () => {
    expect(problemOf(new IdentityError('throttled', { retryAfterSeconds: 7 })).problem.headers).toEqual({
      'retry-after': '7',
    })
    expect(problemOf(new DatabaseError('pool_exhausted')).problem.headers).toEqual({ 'retry-after': '1' })
  })

  it.each(Object.keys(httpProblems) as HttpProblemCode[])('every problem of the catalogue has a title: %s', (code) => {
    const document = documentOf(problemOf(new HttpProblem(code)).problem, 'r1')
    expect(document).toMatchObject({ type: `urn:holdfast:problem:${code}`, code, request_id: 'r1' })
    expect(document.title).not.toBe('Error')
  })
})

describe('a challenge', () => {
  const cases: [DenialReason, ConstructorParameters<typeof Denial>[1], string | undefined][] = [
    ['credential_missing', {}, 'Bearer realm="holdfast"'],
    ['session_revoked', {}, 'Bearer realm="holdfast", error="invalid_token"'],
    ['credential_ambiguous', {}, 'Bearer realm="holdfast", error="invalid_token"'],
    ['grant_missing', {}, 'Bearer realm="holdfast", error="insufficient_scope"'],
    ['not_a_member', {}, undefined],
    ['cross_site_request', {}, undefined],
    [
      'authentication_too_old',
      { stepUp: { maxAgeSeconds: 300 } },
      'Bearer realm="holdfast", error="insufficient_user_authentication", error_description="This action asks for a fresh sign-in.", max_age="300"',
    ],
    [
      'assurance_too_low',
      { stepUp: { acrValues: 'aal2' } },
      'Bearer realm="holdfast", error="insufficient_user_authentication", error_description="This action asks for a second factor.", acr_values="aal2"',
    ],
  ]
  it.each(cases)('of %s', (because, options, header) => {
    expect(problemOf(new Denial(because, options)).problem.headers?.['www-authenticate']).toBe(header)
  })

  it('comes with an application’s own 401, which RFC 9110 asks for', () => {
    expect(problemOf(Object.assign(new Error('no'), { statusCode: 401 })).problem.headers).toEqual({
      'www-authenticate': 'Bearer realm="holdfast"',
    })
  })

  it('comes with a failed sign-in too', () => {
    expect(problemOf(new IdentityError('invalid_credentials')).problem.headers).toEqual({
      'www-authenticate': 'Bearer realm="holdfast"',
    })
  })
})
