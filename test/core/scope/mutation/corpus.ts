import { statements } from './statements.ts'
import { testFiles, Trials } from './trials.ts'

/** Longest statement that is kept: longer ones are there for the limits. */
const MAX_LENGTH = 600
/** What only the rewriter writes: a final text is no statement of a caller's. */
const FINAL = /OPERATOR\(pg_catalog\.=\) (?:\$\d|"\w+"\.")/

/** Every statement that a test without a database gives to the kernel, and those of this folder. */
export async function corpusOf(): Promise<string[]> {
  const trials = await Trials.prepare([], testFiles(), () => undefined)
  const texts = await trials.record()
  return [...new Set([...statements, ...texts])].filter((text) => text.length <= MAX_LENGTH && !FINAL.test(text))
}
