import type { Denial, DenialReason } from '../../core/guard/denial.ts'

const REALM = 'Bearer realm="holdfast"'

/** No credential, so no error code: the client did not try (RFC 6750 section 3.1). */
const SILENT: ReadonlySet<DenialReason> = new Set(['credential_missing'])

/**
 * The `WWW-Authenticate` header of a denial: RFC 6750's error codes, RFC 9470's for step-up; nothing where signing in
 * anew would not help.
 */
export function challengeOf(denial: Denial): string | undefined {
  if (denial.because === 'grant_missing') return `${REALM}, error="insufficient_scope"`
  if (denial.status !== 401) return undefined
  if (denial.code === 'insufficient_user_authentication') {
    const { acrValues, maxAgeSeconds } = denial.stepUp ?? {}
    const parameters = [
      `error="${denial.code}"`,
      `error_description="${denial.message}"`,
      ...(acrValues === undefined ? [] : [`acr_values="${acrValues}"`]),
      ...(maxAgeSeconds === undefined ? [] : [`max_age="${maxAgeSeconds}"`]),
    ]
    return `${REALM}, ${parameters.join(', ')}`
  }
  return SILENT.has(denial.because) ? REALM : `${REALM}, error="invalid_token"`
}

/** The challenge of a failed sign-in: RFC 9110 section 11.6.1 asks for one with every 401. */
export const SIGN_IN_CHALLENGE = REALM
