import { isWord, type Token } from './grammar.ts'

/** Deepest nesting of brackets and CASE. */
export const MAX_NESTING = 64
/**
 * Longest chain: tokens with no comma, AND or OR between them, those of the enclosing brackets counted too. Each may be a
 * level of the tree – `NOT NOT NOT`, `1 + 1 + 1` –, and a stack that runs out inside the parser leaves it broken for the
 * process (CWE-674). 64 joins by quoted names need about 1,000.
 */
export const MAX_CHAIN = 1_500

/** How deep a tree a text could become, told from its tokens before the parser sees it. */
export class Depth {
  /** chains by bracket, the innermost last */
  readonly #chains = [0]
  #chained = 0
  #nesting = 0

  /** Counts the next token. @returns the limit that it passes, if it does */
  passes(token: Token): string | undefined {
    const opens = token.text === '(' || token.text === '['
    const closes = token.text === ')' || token.text === ']'
    if (opens) this.#chains.push(0)
    else if (closes && this.#chains.length > 1) this.#chained -= this.#chains.pop() ?? 0
    else if (token.text === ',' || isWord(token, 'AND') || isWord(token, 'OR')) this.#endChain()
    this.#chains[this.#chains.length - 1] = (this.#chains.at(-1) ?? 0) + 1
    this.#chained++
    if (opens || isWord(token, 'CASE')) this.#nesting++
    if (closes || isWord(token, 'END')) this.#nesting--
    if (this.#nesting > MAX_NESTING) return `at most ${MAX_NESTING} levels`
    return this.#chained > MAX_CHAIN ? `at most ${MAX_CHAIN} tokens with no comma, AND or OR between them` : undefined
  }

  #endChain(): void {
    this.#chained -= this.#chains.at(-1) ?? 0
    this.#chains[this.#chains.length - 1] = 0
  }
}
