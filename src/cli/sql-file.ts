import { scanText, type Token } from '../core/scope/grammar.ts'
import { isScannable } from '../core/scope/lexis.ts'
import { ScopeRefusal } from '../core/scope/refusals.ts'

/** Longest file of statements, in bytes: it is held as a whole (CWE-770). */
const MAX_FILE_BYTES = 16_777_216
/** Longest stretch that is searched for a statement's end, in bytes: an open quotation would take the rest of the file. */
const MAX_STRETCH_BYTES = 1_048_576

const SEMICOLON = 0x3b
const NEWLINE = 0x0a

/** A statement of a file, without its semicolon and the comments before it. */
export type FileStatement = {
  readonly sql: string
  /** the line that it begins on, from 1 */
  readonly line: number
}

/** A file that holds no statements: too large, or no text. */
export class SqlFileError extends Error {
  override readonly name = 'SqlFileError'
  readonly code = 'sql_file'
}

/**
 * Cuts a file into its statements by PostgreSQL's own tokens, so that a semicolon in a literal, a name, a comment or between
 * brackets ends none. What cannot be cut – a quotation that is never closed – is one statement, down to the file's end.
 * @throws SqlFileError `sql_file`
 */
export function* statementsOf(file: Buffer): Generator<FileStatement> {
  if (file.length > MAX_FILE_BYTES) throw new SqlFileError(`it is longer than ${MAX_FILE_BYTES} bytes`)
  // the grammar stops at a NUL, and what follows would go unjudged (CWE-626)
  if (file.includes(0)) throw new SqlFileError('it holds a NUL')
  const bytes = Buffer.from(decode(file))
  let line = 1
  let at = 0
  while (at < bytes.length) {
    const { start, end, next } = nextStatement(bytes, at)
    line += newlines(bytes, at, start)
    if (end > start) yield { sql: bytes.toString('utf8', start, end), line }
    line += newlines(bytes, start, next)
    at = next
  }
}

function decode(file: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(file)
  } catch (error) {
    throw new SqlFileError('it is not UTF-8', { cause: error })
  }
}

/** Byte offsets: where a statement begins and ends, and where the next is looked for. */
type Stretch = { readonly start: number; readonly end: number; readonly next: number }

/** Looks as far as the first semicolon, then twice as far, and so on, until the tokens have one that ends a statement. */
function nextStatement(bytes: Buffer, at: number): Stretch {
  for (let reach = 1; ; reach *= 2) {
    const until = Math.min(endOf(bytes, at, reach), at + MAX_STRETCH_BYTES)
    const stretch = bytes.toString('utf8', at, until)
    if (!isScannable(stretch)) throw new SqlFileError('it has long runs of operator characters')
    const tokens = tokensOf(stretch)
    const stop = tokens === undefined ? undefined : firstStop(tokens)
    const start = tokens?.[0] === undefined ? firstInk(bytes, at) : at + tokens[0].start
    if (stop !== undefined) return { start, end: at + stop.start, next: at + stop.end }
    const isLast = until === bytes.length
    if (isLast && tokens?.length === 0) return { start: until, end: until, next: until }
    if (isLast || until === at + MAX_STRETCH_BYTES) return { start, end: bytes.length, next: bytes.length }
  }
}

/** The first byte that is no blank. */
function firstInk(bytes: Buffer, at: number): number {
  let index = at
  while (index < bytes.length && (bytes[index] ?? 0) <= 0x20) index++
  return index
}

/** The offset after so many semicolons, or the end. */
function endOf(bytes: Buffer, at: number, semicolons: number): number {
  let end = at
  for (let count = 0; count < semicolons; count++) {
    const found = bytes.indexOf(SEMICOLON, end)
    if (found === -1) return bytes.length
    end = found + 1
  }
  return end
}

/** Tokens without comments; nothing where something is left open. */
function tokensOf(text: string): Token[] | undefined {
  try {
    return scanText(text).filter(({ tokenName }) => tokenName !== 'SQL_COMMENT' && tokenName !== 'C_COMMENT')
  } catch (error) {
    if (error instanceof ScopeRefusal) return undefined
    throw error
  }
}

/** The first semicolon outside brackets. */
function firstStop(tokens: readonly Token[]): Token | undefined {
  let depth = 0
  for (const token of tokens) {
    if (token.text === '(' || token.text === '[') depth++
    else if (token.text === ')' || token.text === ']') depth--
    else if (token.text === ';' && depth <= 0) return token
  }
  return undefined
}

function newlines(bytes: Buffer, from: number, to: number): number {
  let count = 0
  for (
    let index = bytes.indexOf(NEWLINE, from);
    index !== -1 && index < to;
    index = bytes.indexOf(NEWLINE, index + 1)
  ) {
    count++
  }
  return count
}
