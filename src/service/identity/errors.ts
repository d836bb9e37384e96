/**
 * The catalogue of what this room and tenancy answer: stable code → HTTP status and the sentence that a client may see.
 * One answer for all kinds of bad secret and one for all kinds of failed sign-in (CWE-204, ASVS 6.3.8).
 */
export const identityErrors = {
  invalid_credentials: { status: 401, message: 'E-mail address and password do not match an account.' },
  throttled: { status: 429, message: 'Too many attempts. Wait, then try again.' },
  busy: { status: 503, message: 'Too many sign-ins at once. Try again in a moment.' },
  email_invalid: { status: 422, message: 'This is not one e-mail address.' },
  password_too_short: { status: 422, message: 'The password needs at least 15 characters.' },
  password_too_long: { status: 422, message: 'The password may have at most 256 characters.' },
  password_contains_name: { status: 422, message: 'The password must not contain the e-mail address or the name.' },
  password_malformed: { status: 422, message: 'The password holds a character that is none (an unpaired surrogate).' },
  display_name_invalid: { status: 422, message: 'The display name needs 1 to 200 printable characters.' },
  tenant_name_invalid: { status: 422, message: 'The name needs 1 to 200 printable characters.' },
  slug_invalid: {
    status: 422,
    message: 'A slug has 1 to 32 characters: a-z, 0-9 and hyphens, no hyphen first or last.',
  },
  role_unknown: { status: 422, message: 'There is no such role.' },
  token_invalid: { status: 400, message: 'The token is unknown, used or expired.' },
  account_exists: { status: 409, message: 'This address has an account: sign in and accept the invitation there.' },
  sign_up_closed: { status: 403, message: 'Sign-up is by invitation only.' },
  role_exceeds_own: {
    status: 403,
    message: 'Nobody may give, change or take away a role that grants more than their own.',
  },
  person_required: { status: 403, message: 'Only a person can do this.' },
  session_not_found: { status: 404, message: 'There is no such session.' },
  tenant_not_found: { status: 404, message: 'There is no such tenant.' },
  member_not_found: { status: 404, message: 'There is no such member.' },
  invitation_not_found: { status: 404, message: 'There is no such invitation.' },
  slug_taken: { status: 409, message: 'This slug is taken.' },
  last_owner: { status: 409, message: 'A tenant needs an owner: make somebody else one first.' },
  already_member: { status: 409, message: 'This person is a member already.' },
} as const satisfies Record<string, { status: number; message: string }>

/** Stable code of an error of this room. */
export type IdentityErrorCode = keyof typeof identityErrors

/** An expected outcome that is not a success. `message` may be shown to anybody; `cause` to nobody. */
export class IdentityError extends Error {
  override readonly name = 'IdentityError'
  readonly code: IdentityErrorCode
  readonly status: number
  /** For `throttled`: whole seconds, at least 1, for the Retry-After header (RFC 9110 section 10.2.3). */
  readonly retryAfterSeconds: number | undefined

  constructor(code: IdentityErrorCode, options: { retryAfterSeconds?: number; cause?: unknown } = {}) {
    super(identityErrors[code].message, options.cause === undefined ? {} : { cause: options.cause })
    this.code = code
    this.status = identityErrors[code].status
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}
