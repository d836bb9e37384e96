import { SESSION_COOKIE } from '../../core/guard/credential.ts'

/** What all our cookies say: out of scripts' reach, on https only, for this host, never sent by another site's requests. */
const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Strict'

/** Set-Cookie of a session that begins (CWE-614, CWE-1004, CWE-1275; ASVS 3.3). @param expiresAt its absolute end */
export function sessionCookie(token: string, expiresAt: Date): string {
  return `${SESSION_COOKIE}=${token}; Expires=${expiresAt.toUTCString()}; ${ATTRIBUTES}`
}

/** Set-Cookie that removes the session's cookie from the browser. */
export const endedCookie = `${SESSION_COOKIE}=; Max-Age=0; ${ATTRIBUTES}`
