import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

/** Iterations of SCRAM-SHA-256; PostgreSQL's own default. The passwords are 256 random bits, so more buys nothing. */
const iterations = 4096

/**
 * Makes the verifier PostgreSQL stores for a password (RFC 5803), so that the password itself never travels in a
 * statement, nor reaches a log (CWE-532).
 *
 * @param password - printable ASCII only: SASLprep (RFC 4013) is not applied
 */
export function scramVerifier(password: string): string {
  if (!/^[\x21-\x7e]+$/.test(password)) throw new TypeError('a password must be printable ASCII without blanks')
  const salt = randomBytes(16)
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256')
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest()
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64')
  const serverKey = hmac('Server Key').toString('base64')
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`
}
