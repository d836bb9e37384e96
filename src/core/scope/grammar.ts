import { loadModule, parseSync, type ScanToken, scanSync, SqlError } from 'libpg-query'
import { ScopeRefusal } from './refusals.ts'

/** A node of PostgreSQL's parse tree, as the grammar's JSON has it. */
export type Struct = { readonly [key: string]: unknown }
/** A token of a text, with byte offsets. */
export type Token = Pick<ScanToken, 'start' | 'end' | 'text' | 'tokenType' | 'tokenName' | 'keywordKind'>

/** Loads the grammar; once a process, before anything else here is called. */
export function loadKernel(): Promise<void> {
  return loadModule()
}

/**
 * Parses a text to the list of its statements. A stack that ran out goes on as it is: within the module it leaves it broken,
 * and a process to which every statement is a syntax error would go unnoticed.
 * @throws ScopeRefusal `syntax_error` with the position
 */
export function parseText(text: string): readonly Struct[] {
  try {
    const { stmts = [] } = parseSync(text) as { stmts?: readonly { stmt?: unknown }[] }
    return stmts.map(({ stmt }) => (stmt ?? {}) as Struct)
  } catch (error) {
    if (isExhausted(error)) throw error
    // not even as cause: the parser's message quotes the text, and that may hold a value (CWE-209)
    const cursor = error instanceof SqlError ? error.sqlDetails?.cursorPosition : undefined
    // it counts characters, from 0; we count UTF-16 code units
    const position = cursor === undefined || cursor < 0 ? undefined : Array.from(text).slice(0, cursor).join('').length
    throw new ScopeRefusal('syntax_error', { position })
  }
}

function isExhausted(error: unknown): boolean {
  // a trap of the WebAssembly has no class that Node's types know
  return error instanceof RangeError || (error instanceof Error && error.name === 'RuntimeError')
}

/** Splits a text into tokens, comments left out. @throws ScopeRefusal `syntax_error` */
export function scanText(text: string): Token[] {
  try {
    return scanSync(text).tokens
  } catch (error) {
    throw isExhausted(error) ? error : new ScopeRefusal('syntax_error')
  }
}

/** A keyword at work: not quoted. It may still be a name, after AS or a dot: see `isNamed`. */
export function isWord(token: Token, word: string): boolean {
  return token.keywordKind !== 0 && token.text.toUpperCase() === word
}

/** The one node in a wrapped node: `{ ColumnRef: {…} }` is `['ColumnRef', {…}]`. */
export function unwrap(wrapped: unknown): [type: string, struct: Struct] {
  if (typeof wrapped !== 'object' || wrapped === null) throw new TypeError('not a node of a parse tree')
  const [entry, ...more] = Object.entries(wrapped)
  if (entry === undefined || more.length > 0) throw new TypeError('not a node of a parse tree')
  return [entry[0], entry[1] as Struct]
}

/** A list of wrapped nodes; none where the key is absent. An absent list member is `{}` and left out. */
export function listOf(value: unknown): readonly Struct[] {
  return Array.isArray(value) ? (value as Struct[]).filter((item) => Object.keys(item).length > 0) : []
}

/** The texts of a list of String nodes; `undefined` where another node is among them. */
export function stringsOf(value: unknown): (string | undefined)[] {
  return listOf(value).map((item) => {
    const inner = item['String'] as Struct | undefined
    if (inner === undefined) return undefined
    // an empty string is left out of the JSON
    return typeof inner['sval'] === 'string' ? inner['sval'] : ''
  })
}
