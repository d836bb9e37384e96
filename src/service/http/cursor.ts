import { createHmac, timingSafeEqual } from 'node:crypto'
import { HttpProblem } from './problem.ts'

/** Longest cursor, in characters: a position of ours has under 150 bytes, and a query string stays short. */
export const CURSOR_CHARACTERS = 512

/** Length of the tag before the position, in bytes: all of SHA-256's. */
const TAG_BYTES = 32

/** Makes and reads the cursors of lists. */
export type Cursors = {
  /**
   * A cursor that continues a list after `position`. What it holds is signed, not hidden: put in only what the caller
   * has just been shown.
   * @param scope what it is good for: route, tenant id, filters. Only the same scope opens it.
   * @param position key of the last row that was given out
   * @throws RangeError when it would be longer than CURSOR_CHARACTERS
   */
  seal(scope: readonly string[], position: readonly string[]): string
  /** The position of a cursor that was made for this scope with this key. @throws HttpProblem `cursor_invalid` */
  open(scope: readonly string[], text: string): string[]
  /**
   * What a cursor says, believing nothing: for a statement that is declared before the caller is judged. Its result may
   * be used only after `open` has accepted the same text. Nothing where it says nothing.
   */
  peek(text: string): string[] | undefined
}

/**
 * Cursors with a tag (HMAC-SHA-256, RFC 2104), so that a client can neither make one nor carry one to another tenant,
 * route or filter (CWE-639, CWE-642). The reading is scoped all the same; this keeps foreign positions out of it.
 * @param key a subkey for this purpose alone, 32 bytes
 */
export function createCursors(key: Buffer): Cursors {
  // JSON of an array of strings says where each begins and ends, and has no line feed of its own: no two differ alike
  const tagOf = (scope: readonly string[], payload: Uint8Array): Buffer =>
    createHmac('sha256', key)
      .update(`${JSON.stringify(scope)}\n`)
      .update(payload)
      .digest()

  return {
    seal(scope, position) {
      const payload = Buffer.from(JSON.stringify(position))
      const text = Buffer.concat([tagOf(scope, payload), payload]).toString('base64url')
      if (text.length > CURSOR_CHARACTERS) throw new RangeError('the position is too long for a cursor')
      return text
    },
    open(scope, text) {
      const bytes = bytesOf(text)
      if (bytes === undefined) throw new HttpProblem('cursor_invalid')
      const payload = bytes.subarray(TAG_BYTES)
      const isOurs = timingSafeEqual(bytes.subarray(0, TAG_BYTES), tagOf(scope, payload))
      if (!isOurs) throw new HttpProblem('cursor_invalid')
      return JSON.parse(payload.toString()) as string[]
    },
    peek(text) {
      try {
        const said: unknown = JSON.parse(bytesOf(text)?.subarray(TAG_BYTES).toString() ?? '')
        return Array.isArray(said) && said.every((part) => typeof part === 'string') ? said : undefined
      } catch {
        return undefined
      }
    },
  }
}

/** A cursor's bytes. One spelling only: the decoder passes over foreign characters and spare bits. */
function bytesOf(text: string): Buffer | undefined {
  const bytes = Buffer.from(text.slice(0, CURSOR_CHARACTERS), 'base64url')
  return bytes.length > TAG_BYTES && bytes.toString('base64url') === text ? bytes : undefined
}
