import { Depth } from './depth.ts'
import { isWord, scanText, type Token } from './grammar.ts'
import { ScopeRefusal, type ScopeRefusalCode } from './refusals.ts'

/** Longest text, in bytes of UTF-8: a report's query is a few thousand; the parser's cost grows with it (CWE-400). */
export const MAX_TEXT_BYTES = 32_768
/** Most tokens: an INSERT of some 180 rows of ten values. */
const MAX_TOKENS = 4_000
/**
 * Most work that runs of operator characters may be: the sum of their squared lengths, for PostgreSQL's scanner looks at a
 * whole run for each token of it, and 32 KB of `+` held a process for 15 s (CWE-407). A ruler of 80 dashes is 6,400.
 */
export const MAX_RUN_WORK = 1_000_000
const RUN = /[-+*/<>=~!@#%^&|?`]{16,}/g

/** A text as its tokens; comments apart, for they are not sent. */
export type Lexis = {
  readonly bytes: Buffer
  readonly tokens: readonly Token[]
  readonly comments: readonly Token[]
}

/** Longest name: PostgreSQL cuts a longer one off and CockroachDB does not, so that it would be two names (CWE-436). */
const MAX_NAME_BYTES = 63

const TOKEN = {
  name: 258,
  unicodeIdentifier: 259,
  string: 261,
  unicodeString: 262,
  bits: 263,
  hexadecimal: 264,
} as const
const COMMENTS: ReadonlySet<number> = new Set([275, 276])

/**
 * Tokens that both databases cut alike. What is not here is cut differently by one of them, so that what is proven would
 * not be what is executed: literals continued on another line, `b'\'` (an escape to CockroachDB), `1_000`, `0x1F`.
 */
const LITERAL = /^(?:'(?:[^']|'')*'|[eE]'(?:[^'\\]|''|\\[^])*'|\$[A-Za-z_]?\w*\$[^]*\$)$/
const BITS = /^(?:[bB]'[01]*'|[xX]'[0-9a-fA-F]*')$/
const NUMBER = /^(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

/** Refuses at a byte offset of the caller's text. */
export function refuseAt(bytes: Buffer, offset: unknown, code: ScopeRefusalCode, hint?: string): never {
  const position = typeof offset === 'number' && offset >= 0 ? bytes.toString('utf8', 0, offset).length : undefined
  throw new ScopeRefusal(code, { position, hint })
}

/**
 * Cuts a text into tokens, if it is one that both databases read alike.
 * @throws ScopeRefusal `text_malformed`, `text_too_large`, `text_too_deep`, `identifier_not_ascii`, `construct_not_accepted`
 */
export function readLexis(text: string): Lexis {
  const bytes = encode(text)
  const tokens: Token[] = []
  const comments: Token[] = []
  const depth = new Depth()
  if (!isScannable(text)) throw new ScopeRefusal('text_too_large', { hint: 'put blanks between operators' })
  for (const token of scanText(text)) {
    if (COMMENTS.has(token.tokenType)) {
      comments.push(token)
      continue
    }
    if (tokens.push(token) > MAX_TOKENS) {
      throw new ScopeRefusal('text_too_large', { hint: `at most ${MAX_TOKENS} tokens` })
    }
    checkToken(bytes, token)
    checkNeighbours(bytes, tokens.at(-2), token)
    const limit = depth.passes(token)
    if (limit !== undefined) refuseAt(bytes, token.start, 'text_too_deep', limit)
  }
  return { bytes, tokens, comments }
}

/** Whether a text may be cut into tokens in a time that goes with its length. */
export function isScannable(text: string): boolean {
  let work = 0
  for (const [run] of text.matchAll(RUN)) work += run.length ** 2
  return work <= MAX_RUN_WORK
}

/** Whether what follows this token is a name, even where it is spelt like a keyword. */
export function isNamed(previous: Token | undefined): boolean {
  return previous !== undefined && (previous.text === '.' || isWord(previous, 'AS'))
}

function encode(text: string): Buffer {
  if (typeof text !== 'string' || text.includes('\0')) throw new ScopeRefusal('text_malformed')
  // the bytes are at least as many as the code units: no need to encode what is too large anyway
  if (text.length > MAX_TEXT_BYTES) throw tooLarge()
  const bytes = Buffer.from(text)
  if (bytes.length > MAX_TEXT_BYTES) throw tooLarge()
  if (bytes.toString() !== text) throw new ScopeRefusal('text_malformed')
  return bytes
}

function tooLarge(): ScopeRefusal {
  return new ScopeRefusal('text_too_large', { hint: `at most ${MAX_TEXT_BYTES} bytes` })
}

/** `"a"` and `"b"` on two lines are two names to PostgreSQL and the one name `ab` to CockroachDB. */
function checkNeighbours(bytes: Buffer, previous: Token | undefined, token: Token): void {
  if (previous === undefined || !previous.text.startsWith('"') || !token.text.startsWith('"')) return
  if (/[\n\r]/.test(bytes.toString('latin1', previous.end, token.start))) {
    refuseAt(bytes, token.start, 'construct_not_accepted', 'write AS between the two names')
  }
}

function checkToken(bytes: Buffer, { tokenType, tokenName, start, end }: Token): void {
  const raw = bytes.toString('utf8', start, end)
  if (tokenType === TOKEN.unicodeIdentifier || tokenType === TOKEN.unicodeString) {
    refuseAt(bytes, start, 'construct_not_accepted', 'write the letters themselves and not U&')
  }
  if (tokenType === TOKEN.string) {
    if (!LITERAL.test(raw)) refuseAt(bytes, start, 'construct_not_accepted', 'write the literal in one piece')
    return
  }
  if (!/^[\t\n\r\x20-\x7e]*$/.test(raw)) refuseAt(bytes, start, 'identifier_not_ascii')
  if (tokenType === TOKEN.name && end - start > MAX_NAME_BYTES + (raw.startsWith('"') ? 2 : 0)) {
    refuseAt(bytes, start, 'construct_not_accepted', `a name has at most ${MAX_NAME_BYTES} bytes`)
  }
  if ((tokenType === TOKEN.bits || tokenType === TOKEN.hexadecimal) && !BITS.test(raw)) {
    refuseAt(bytes, start, 'construct_not_accepted', "only 0 and 1 stand in b'', only hexadecimal digits in x''")
  }
  if ((tokenName === 'ICONST' || tokenName === 'FCONST') && !NUMBER.test(raw)) {
    refuseAt(bytes, start, 'construct_not_accepted', 'write the number in decimal digits')
  }
}
