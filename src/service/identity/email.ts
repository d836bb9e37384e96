import { domainToASCII } from 'node:url'
import { IdentityError } from './errors.ts'

/** Longest address in bytes (RFC 5321 section 4.5.3.1.3, less the angle brackets). */
const EMAIL_MAX_BYTES = 254
/** Longest local part in bytes (RFC 5321 section 4.5.3.1.1). */
const LOCAL_MAX_BYTES = 64

/** A dot-atom (RFC 5322 section 3.2.3), letters of other scripts allowed (RFC 6531): no quotes, commas, spaces, controls. */
const LOCAL = /^[\p{L}\p{M}\p{N}#$&*+/=?^_`{|}~-]+(?:\.[\p{L}\p{M}\p{N}#$&*+/=?^_`{|}~-]+)*$/u
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
/** At least two labels (RFC 1035 section 2.3.1), the last not a number: no address literal. */
const DOMAIN = new RegExp(`^(?!.*\\.[0-9]+$)(?:${LABEL}\\.)+${LABEL}$`)

/** `domainToASCII` reads the host of a URL: it drops tabs, ends at these, and decodes percent signs (CWE-1289). */
const NOT_A_HOST = /[\s/?#\\%:<>^|[\]\p{C}]/u

/**
 * One e-mail address in its one form: trimmed, NFC, ASCII letters in lower case, the domain in its ASCII form.
 * Never a list, never anything a mailer could read as two recipients (CWE-93, CWE-1289).
 *
 * @throws IdentityError `email_invalid`
 * @example parseEmail(' Ada@Example.COM ') // 'ada@example.com'
 */
export function parseEmail(text: string): string {
  const parts = text
    .trim()
    .normalize('NFC')
    .replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
    .split('@')
  const [local, typed] = parts
  if (parts.length !== 2 || local === undefined || typed === undefined) throw new IdentityError('email_invalid')
  if (NOT_A_HOST.test(typed)) throw new IdentityError('email_invalid')
  const domain = domainToASCII(typed)
  const address = `${local}@${domain}`
  const fits = Buffer.byteLength(local) <= LOCAL_MAX_BYTES && Buffer.byteLength(address) <= EMAIL_MAX_BYTES
  if (!fits || !LOCAL.test(local) || !DOMAIN.test(domain)) throw new IdentityError('email_invalid')
  return address
}
