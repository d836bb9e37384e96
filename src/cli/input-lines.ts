/**
 * Longest line on standard input, in bytes: the longest statement fits, were each of its letters written as an escape.
 * A longer line is passed over and never held (CWE-770).
 */
const MAX_LINE_BYTES = 262_144

const NEWLINE = 0x0a

/**
 * The lines of a stream of bytes, one at a time, without their line feeds; the last needs none.
 * @returns a line's bytes; `undefined` where it is longer than {@link MAX_LINE_BYTES}
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer | undefined> {
  let pieces: Uint8Array[] = []
  let length = 0
  const keep = (piece: Uint8Array): void => {
    length += piece.length
    if (length > MAX_LINE_BYTES) pieces = []
    else pieces.push(piece)
  }
  const take = (): Buffer | undefined => {
    const line = length > MAX_LINE_BYTES ? undefined : Buffer.concat(pieces)
    pieces = []
    length = 0
    return line
  }
  for await (const chunk of chunks) {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      keep(chunk.subarray(start, end))
      yield take()
      start = end + 1
    }
    keep(chunk.subarray(start))
  }
  if (length > 0) yield take()
}

/** What one line asks for. */
export type Question = { readonly sql: string; readonly role: string | undefined }

/** Why a line asks for nothing. */
export type Unreadable = {
  readonly unreadable: 'line_malformed' | 'text_malformed' | 'text_too_large'
  readonly hint: string
}

/** Reads a line `{"sql", "role"?}`; other fields are the caller's own and mean nothing here. */
export function readQuestion(line: Buffer | undefined): Question | Unreadable {
  if (line === undefined) return { unreadable: 'text_too_large', hint: `at most ${MAX_LINE_BYTES} bytes a line` }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(line)
  } catch {
    return { unreadable: 'text_malformed', hint: 'send UTF-8' }
  }
  const value = parseJson(text)
  if (typeof value !== 'object' || value === null) return malformed('one object a line')
  const { sql, role } = value as { readonly sql?: unknown; readonly role?: unknown }
  if (typeof sql !== 'string') return malformed('"sql" is the statement')
  if (role !== undefined && typeof role !== 'string') return malformed('"role" is a name, or left out')
  return { sql, role }
}

function malformed(hint: string): Unreadable {
  return { unreadable: 'line_malformed', hint }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
