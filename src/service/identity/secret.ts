import { createHash, randomBytes } from 'node:crypto'

/** 256 bits, so its SHA-256 needs neither salt nor slowness (ASVS 6.5.2). */
const SECRET_BYTES = 32

/** Prefixes by purpose: for secret scanners, and so that a token of one purpose is never one of another (CWE-287). */
const PREFIXES = { setup: 'hfp_', sign_up: 'hfu_', invitation: 'hfi_' } as const

/** What a single-use secret is for. */
export type SecretPurpose = keyof typeof PREFIXES

/** A new single-use secret and the hash under which it is stored (CWE-312, CWE-330). @param random as `randomBytes` */
export function newSecret(purpose: SecretPurpose, random = randomBytes): { token: string; hash: Buffer } {
  const secret = random(SECRET_BYTES)
  return { token: PREFIXES[purpose] + secret.toString('base64url'), hash: digest(secret) }
}

/** Purpose and hash of a token, or nothing when the text is none; only canonical base64url is one (CWE-1289). */
export function readSecret(token: string): { purpose: SecretPurpose; hash: Buffer } | undefined {
  for (const [purpose, prefix] of Object.entries(PREFIXES)) {
    if (!token.startsWith(prefix)) continue
    const text = token.slice(prefix.length)
    const secret = Buffer.from(text, 'base64url')
    if (secret.length !== SECRET_BYTES || secret.toString('base64url') !== text) return undefined
    return { purpose: purpose as SecretPurpose, hash: digest(secret) }
  }
  return undefined
}

function digest(secret: Buffer): Buffer {
  return createHash('sha256').update(secret).digest()
}
