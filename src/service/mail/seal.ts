import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

/** Keys of AES-256-GCM by their one-byte id: the current one seals, all open. */
export type SealKeys = { readonly current: number; readonly keys: ReadonlyMap<number, Buffer> }

/** Nonce of 96 random bits, which NIST SP 800-38D section 8.2.2 allows for 2^32 messages under a key. */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const ID_BYTES = 1

/** The sealed bytes are not what was sealed under this purpose, or their key is not known. */
class SealError extends Error {
  override readonly name = 'SealError'
  readonly code = 'seal_broken'
}

/**
 * Seals a text (CWE-311): key id, nonce, ciphertext, tag.
 * @param purpose bound as additional data: bytes moved to another row or use do not open (CWE-345)
 */
export function seal(keys: SealKeys, purpose: string, text: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', keyOf(keys, keys.current), nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(additional(keys.current, purpose))
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([Buffer.of(keys.current), nonce, body, cipher.getAuthTag()])
}

/**
 * Opens what {@link seal} made.
 * @throws SealError `seal_broken`
 */
export function unseal(keys: SealKeys, purpose: string, sealed: Uint8Array): string {
  const bytes = Buffer.from(sealed)
  const [id] = bytes
  if (id === undefined || bytes.length < ID_BYTES + NONCE_BYTES + TAG_BYTES) throw new SealError('too short')
  const nonce = bytes.subarray(ID_BYTES, ID_BYTES + NONCE_BYTES)
  const decipher = createDecipheriv('aes-256-gcm', keyOf(keys, id), nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(additional(id, purpose))
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
  try {
    const body = bytes.subarray(ID_BYTES + NONCE_BYTES, -TAG_BYTES)
    return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8')
  } catch (error) {
    throw new SealError('the bytes were changed, moved or sealed with another key', { cause: error })
  }
}

function keyOf(keys: SealKeys, id: number): Buffer {
  const key = keys.keys.get(id)
  if (key === undefined) throw new SealError(`no key with the id ${id}`)
  return key
}

function additional(id: number, purpose: string): Buffer {
  return Buffer.concat([Buffer.of(id), Buffer.from(purpose, 'utf8')])
}
