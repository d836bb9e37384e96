import { hash, randomBytes } from 'node:crypto'
import { Denial } from './denial.ts'

/** Name of the session cookie; the prefix binds it to this host, to `/` and to https (RFC 6265bis section 4.1.3.2). */
export const SESSION_COOKIE = '__Host-holdfast'

/** Length of a session token's secret: 256 bits (ASVS 7.2.3 asks for 128). */
const TOKEN_BYTES = 32

/** Prefix of a session token, for secret scanners. */
const TOKEN_PREFIX = 'hfs_'

const TOKEN = /^hfs_[A-Za-z0-9_-]{43}$/
const BEARER = /^Bearer ([A-Za-z0-9._~+/-]+=*)$/i

/** A caller's credential as it goes to *enter*: never the secret, only its hash. */
export type Credential = {
  readonly kind: 'session'
  readonly transport: 'bearer' | 'cookie'
  /** SHA-256 of the token's 32 bytes */
  readonly hash: Buffer
}

/** A new session token and the hash under which it is stored (CWE-330, CWE-312). */
export function newSessionToken(): { token: string; hash: Buffer } {
  const secret = randomBytes(TOKEN_BYTES)
  return { token: TOKEN_PREFIX + secret.toString('base64url'), hash: sha256(secret) }
}

/**
 * The hash of a session token, or nothing when the text is not one.
 * Only the canonical base64url is a token: 43 characters carry two bits too many, and they must be zero (CWE-1289).
 */
export function hashSessionToken(token: string): Buffer | undefined {
  if (!TOKEN.test(token)) return undefined
  const text = token.slice(TOKEN_PREFIX.length)
  const secret = Buffer.from(text, 'base64url')
  return secret.toString('base64url') === text ? sha256(secret) : undefined
}

/**
 * Takes the credential from a request's raw header list. The transport is chosen first: where an Authorization header
 * is present, it is the bearer token or nothing, so that a broken one never falls back to the cookie (CWE-287).
 *
 * @param rawHeaders names and values alternating, as Node gives them; duplicates are seen
 * @throws Denial `credential_missing`, `credential_malformed`, `credential_ambiguous` (401)
 * @see RFC 6750 section 2.1
 */
export function credentialOf(rawHeaders: readonly string[]): Credential {
  const authorization = valuesOf(rawHeaders, 'authorization')
  const cookies = valuesOf(rawHeaders, 'cookie').flatMap(sessionCookies)
  if (authorization.length > 1 || cookies.length > 1) throw new Denial('credential_ambiguous')
  const [header] = authorization
  const [cookie] = cookies
  if (header !== undefined) {
    if (cookie !== undefined) throw new Denial('credential_ambiguous')
    return credential('bearer', BEARER.exec(header)?.[1])
  }
  if (cookie === undefined) throw new Denial('credential_missing')
  return credential('cookie', cookie)
}

/** All values of one header, in order; names are case-insensitive (RFC 9110 section 5.1). */
export function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = []
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const header = rawHeaders[index] ?? ''
    if (header.length === name.length && header.toLowerCase() === name) values.push(rawHeaders[index + 1] ?? '')
  }
  return values
}

function credential(transport: Credential['transport'], token: string | undefined): Credential {
  const digest = token === undefined ? undefined : hashSessionToken(token)
  if (digest === undefined) throw new Denial('credential_malformed')
  return { kind: 'session', transport, hash: digest }
}

function sessionCookies(header: string): string[] {
  return header
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${SESSION_COOKIE}=`))
    .map((pair) => pair.slice(SESSION_COOKIE.length + 1))
}

function sha256(bytes: Buffer): Buffer {
  return hash('sha256', bytes, 'buffer')
}
