import { hkdfSync } from 'node:crypto'
import type { IdentityKeys } from './identity.ts'

/** Length of the configured key and of each subkey: 256 bits. */
const ROOT_KEY_BYTES = 32

/** Key id under which the outbox seals now; a later key gets another, and this one stays to open. */
const OUTBOX_KEY_ID = 1

/**
 * Subkeys of the one configured key, one for each purpose, so that no key is used twice (RFC 5869, CWE-323).
 * @param root 32 random bytes
 * @throws RangeError when it has another length
 */
export function deriveKeys(root: Uint8Array): IdentityKeys {
  if (root.length !== ROOT_KEY_BYTES) throw new RangeError(`the key must have ${ROOT_KEY_BYTES} bytes`)
  const subkey = (purpose: string): Buffer =>
    Buffer.from(hkdfSync('sha256', root, 'holdfast', `holdfast/v1/${purpose}`, ROOT_KEY_BYTES))
  return {
    throttle: subkey('throttle'),
    cursor: subkey('cursor'),
    outbox: { current: OUTBOX_KEY_ID, keys: new Map([[OUTBOX_KEY_ID, subkey('outbox')]]) },
  }
}
