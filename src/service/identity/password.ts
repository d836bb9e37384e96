import { randomBytes } from 'node:crypto'
import { hash, parseOptions, verify } from '@node-rs/argon2'
import { IdentityError } from './errors.ts'
import type { Lane } from './lane.ts'

/** Cost of Argon2id. */
export type Argon2Parameters = {
  readonly memoryKib: number
  readonly passes: number
  readonly parallelism: number
}

/** OWASP's first recommendation for Argon2id: 19 MiB, two passes, one thread; some 50 ms on one core. */
export const ARGON2_PARAMETERS: Argon2Parameters = { memoryKib: 19_456, passes: 2, parallelism: 1 }

/** Code points after NFKC. A password alone needs 15 (NIST 800-63B-4 section 3.1.1.2); there is no second factor yet. */
const PASSWORD_MIN = 15
/** Far above the 64 that must be possible (ASVS 6.2.9); an end, so that hashing has a bound. */
const PASSWORD_MAX = 256

/** `Algorithm.Argon2id`; an ambient const enum cannot be named under isolated modules. */
const ARGON2ID = 2

/** Names shorter than this stand inside too many honest passphrases. */
const NAME_MIN = 4

/** Hashing and comparing, each in the lane, each one hash of work. */
export type Passwords = {
  /** @returns a PHC string. @throws IdentityError `busy` */
  hash(password: string): Promise<string>
  /**
   * Compares with a stored hash, or – for a user who is not there – with a dummy of the same cost, so that neither time
   * nor work tells (CWE-208, ASVS 6.3.8).
   * @throws IdentityError `busy`
   */
  verify(password: string, stored: string | undefined): Promise<PasswordVerdict>
  /** Hashes computed so far, comparisons included. */
  readonly count: number
}

/** `upgrade`: right, and hashed with parameters that are not today's. */
export type PasswordVerdict = { readonly right: boolean; readonly upgrade: boolean }

/** Makes the dummy hash, so it takes one hash of time. */
export async function createPasswords(
  lane: Lane,
  parameters: Argon2Parameters = ARGON2_PARAMETERS,
): Promise<Passwords> {
  const options = {
    algorithm: ARGON2ID,
    memoryCost: parameters.memoryKib,
    timeCost: parameters.passes,
    parallelism: parameters.parallelism,
  }
  let count = 0
  const counted = <T>(work: () => Promise<T>): Promise<T> =>
    lane.run(() => {
      count++
      return work()
    })
  const dummy = await lane.run(() => hash(randomBytes(32), options))

  return {
    hash: (password) => counted(() => hash(normalise(password), options)),
    async verify(password, stored) {
      // what no stored password can be is compared all the same, so that it costs the same
      const size = measure(password)
      const comparable = size !== 'password_too_long' && size !== 'password_malformed'
      const against = stored === undefined || !comparable ? dummy : stored
      const equal = await counted(() => verify(against, comparable ? normalise(password) : ''))
      const right = equal && against === stored
      return { right, upgrade: right && needsUpgrade(against, parameters) }
    },
    get count() {
      return count
    },
  }
}

/** Whether a hash was made with other parameters than these. */
export function needsUpgrade(stored: string, parameters: Argon2Parameters): boolean {
  const made = parseOptions(stored)
  return (
    made.algorithm !== ARGON2ID ||
    made.memoryCost !== parameters.memoryKib ||
    made.timeCost !== parameters.passes ||
    made.parallelism !== parameters.parallelism
  )
}

/**
 * Judges a new password by length and by the names it must not contain; no composition rules (NIST 800-63B-4 section
 * 3.1.1.2, ASVS 6.2.1, 6.2.5, 6.2.9, 6.2.11; CWE-521).
 *
 * @param names e-mail address and display name of the account
 * @throws IdentityError `password_too_short`, `password_too_long`, `password_malformed`, `password_contains_name`
 */
export function checkPassword(password: string, names: { email: string; displayName: string }): void {
  const size = measure(password)
  if (size !== 'fits') throw new IdentityError(size)
  const folded = fold(password)
  const local = names.email.slice(0, names.email.lastIndexOf('@'))
  const forbidden = [names.email, local, names.displayName]
    .map(fold)
    .filter((name) => Array.from(name).length >= NAME_MIN)
  if (forbidden.some((name) => folded.includes(name))) throw new IdentityError('password_contains_name')
}

/** One form for all ways of typing the same characters (NIST 800-63B-4 section 3.1.1.2; RFC 8265 uses NFC). */
function normalise(password: string): string {
  return password.normalize('NFKC')
}

function measure(password: string): 'fits' | 'password_too_short' | 'password_too_long' | 'password_malformed' {
  // NFKC makes at most 18 code points of one and never fewer than one of four: no need to normalise a megabyte
  if (password.length > 8 * PASSWORD_MAX) return 'password_too_long'
  // an unpaired surrogate would become U+FFFD, and two different passwords one
  if (/\p{Surrogate}/u.test(password)) return 'password_malformed'
  const length = Array.from(normalise(password)).length
  if (length < PASSWORD_MIN) return 'password_too_short'
  return length > PASSWORD_MAX ? 'password_too_long' : 'fits'
}

function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase()
}
