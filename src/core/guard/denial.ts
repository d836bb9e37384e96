/** How a denial is answered: RFC 9110 status and the stable code that the client sees. */
type Answer = { readonly status: 400 | 401 | 403 | 404; readonly code: string; readonly message: string }

const UNAUTHENTICATED: Answer = { status: 401, code: 'unauthenticated', message: 'Sign in to use this resource.' }
const NOT_FOUND: Answer = { status: 404, code: 'not_found', message: 'There is no such resource.' }

/**
 * Every reason for which a caller is denied, with what the client learns of it.
 * Reasons that share an answer must be told apart by the operator's log only (CWE-204).
 */
const ANSWERS = {
  credential_missing: UNAUTHENTICATED,
  credential_malformed: UNAUTHENTICATED,
  credential_ambiguous: UNAUTHENTICATED,
  credential_kind_unknown: UNAUTHENTICATED,
  credential_bound_elsewhere: UNAUTHENTICATED,
  session_unknown: UNAUTHENTICATED,
  session_revoked: UNAUTHENTICATED,
  session_expired: UNAUTHENTICATED,
  session_idle: UNAUTHENTICATED,
  user_not_active: UNAUTHENTICATED,
  assurance_too_low: {
    status: 401,
    code: 'insufficient_user_authentication',
    message: 'This action asks for a second factor.',
  },
  authentication_too_old: {
    status: 401,
    code: 'insufficient_user_authentication',
    message: 'This action asks for a fresh sign-in.',
  },
  grant_missing: { status: 403, code: 'forbidden', message: 'Your role does not allow this.' },
  cross_site_request: { status: 403, code: 'cross_site_request', message: 'The request came from another site.' },
  tenant_unknown: NOT_FOUND,
  tenant_not_active: NOT_FOUND,
  not_a_member: NOT_FOUND,
  tenant_not_selected: { status: 400, code: 'tenant_not_selected', message: 'Choose a tenant first.' },
  host_malformed: { status: 400, code: 'malformed_request', message: 'The request is not well-formed.' },
  tenant_sources_disagree: {
    status: 400,
    code: 'tenant_sources_disagree',
    message: 'The request names more than one tenant.',
  },
} as const satisfies Record<string, Answer>

/** Why a caller was denied: for the operator's log and the metrics, never for the client. */
export type DenialReason = keyof typeof ANSWERS

/** Parameters of a `WWW-Authenticate` challenge for step-up (RFC 9470 section 3). */
export type StepUp = { readonly acrValues?: string; readonly maxAgeSeconds?: number }

/**
 * The caller may not: thrown at the adapter's edge.
 * `status`, `code` and `message` are for the client; `because` is for the operator.
 */
export class Denial extends Error {
  override readonly name = 'Denial'
  readonly status: Answer['status']
  readonly code: string
  readonly because: DenialReason
  readonly stepUp: StepUp | undefined

  constructor(because: DenialReason, options: { stepUp?: StepUp; cause?: unknown } = {}) {
    const answer = ANSWERS[because]
    super(answer.message, options.cause === undefined ? {} : { cause: options.cause })
    this.status = answer.status
    this.code = answer.code
    this.because = because
    this.stepUp = options.stepUp
  }
}

/** Whether a reason that came from the database is one that this version knows. */
export function isDenialReason(text: string | undefined): text is DenialReason {
  return text !== undefined && Object.hasOwn(ANSWERS, text)
}
