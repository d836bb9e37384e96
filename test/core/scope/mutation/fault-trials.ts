import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Grants } from '../../../../src/core/scope/grants.ts'
import { manifestFor } from '../../../../src/core/scope/fields.ts'
import type { Manifest } from '../../../../src/core/scope/manifest.ts'
import type { createScope, loadKernel, ScopedStatement } from '../../../../src/core/scope/scope.ts'
import { type Bundle, bundle, kernel } from './bundle.ts'
import { complaintsOf } from './confinement.ts'
import type { Fault } from './faults.ts'
import { outside } from './harness.ts'
import type { Edit } from './instrument.ts'

/** For whom statements are scoped. */
export type Caller = {
  readonly name: string
  readonly manifest: Manifest
  readonly grants: Grants
  readonly role?: string | undefined
}

/** What became of a statement under a fault that changed something of it. */
export type Change = {
  readonly text: string
  readonly caller: string
  readonly fate: 'not proven' | 'refused before' | 'not sent' | 'harmless' | 'harmful'
  /** of what was sent: what differs, or what is wrong with it */
  readonly why?: string
  readonly final?: string | undefined
}

/** What one fault did. */
export type Damage = {
  readonly name: string
  readonly changes: readonly Change[]
  /** the rewriter went on without end, and nothing was sent */
  readonly isEndless?: boolean
}

type Kernel = { createScope: typeof createScope; loadKernel: typeof loadKernel }
type Outcome = { readonly sent?: ScopedStatement; readonly refused?: string; readonly isUnproven?: boolean }

type Case = {
  readonly text: string
  readonly caller: Caller
  readonly before: Outcome
  readonly was: string
  /** the places of the rewriter that it reaches */
  readonly hits: ReadonlySet<number>
}

/** A rewriter with one fault, and the prover as it is: over a corpus of statements, what still goes out. */
export class FaultTrials {
  readonly #bundle: Bundle
  readonly #modules: ReadonlyMap<string, unknown>
  readonly #callers: readonly Caller[]
  readonly #cases: readonly Case[]
  readonly #tick: () => void

  private constructor(
    made: Bundle,
    modules: ReadonlyMap<string, unknown>,
    texts: readonly string[],
    callers: readonly Caller[],
    isThinned: boolean,
    tick: () => void,
  ) {
    this.#tick = tick
    this.#bundle = made
    this.#modules = modules
    this.#callers = callers
    const hits = new Set<number>()
    const scope = this.#scopesOf(0, (first) => (hits.add(first), false))
    const cases = callers.flatMap((caller) =>
      texts.map((text): Case => {
        hits.clear()
        const before = scope(text, caller)
        return { text, caller, before, was: bare(before), hits: new Set(hits) }
      }),
    )
    this.#cases = isThinned ? distinct(cases) : cases
  }

  /**
   * @param edits of the rewriter's files, numbered from 1
   * @param isThinned leaves out a statement that reaches no other places of the rewriter than one before it, and has
   * no other outcome
   * @param tick called before each statement: whoever watches sees that time passes in one of them
   */
  static async prepare(
    edits: readonly (Edit & { readonly file: string })[],
    texts: readonly string[],
    callers: readonly Caller[],
    isThinned = false,
    tick: () => void = () => undefined,
  ): Promise<FaultTrials> {
    const made = await bundle(`export { createScope, loadKernel } from '../../../src/core/scope/scope.ts'`, edits)
    return new FaultTrials(made, await outside(made.outside), texts, callers, isThinned, tick)
  }

  get digest(): string {
    return this.#bundle.digest
  }

  /** Statements, each for one caller. */
  get size(): number {
    return this.#cases.length
  }

  /** The statements that are left of those given. */
  get texts(): string[] {
    return [...new Set(this.#cases.map(({ text }) => text))]
  }

  /** Those that the rewriter without a fault sends. */
  get sent(): number {
    return this.#cases.filter(({ before }) => before.sent !== undefined).length
  }

  /** What the checker of confinements says of what is sent without a fault: nothing. */
  complaints(): string[] {
    return this.#cases.flatMap(({ text, caller, before }) =>
      before.sent === undefined ? [] : wrongOf(before.sent, caller).map((what) => `${what}: ${text}`),
    )
  }

  /** @param most cases that are tried, spread evenly over those that reach the place */
  run(id: number, name: string, most = Number.POSITIVE_INFINITY): Damage {
    const first = this.#bundle.firsts[id]
    const reached = this.#cases.filter(({ hits }) => first !== undefined && hits.has(first))
    const step = Math.max(1, reached.length / most)
    const chosen = reached.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step))
    const scope = this.#scopesOf(id, (at) => at === first)
    const changes = chosen.flatMap(({ text, caller, before, was }): Change[] => {
      this.#tick()
      const after = scope(text, caller)
      return bare(after) === was ? [] : [{ text, caller: caller.name, ...judged(before, after, caller) }]
    })
    return { name, changes }
  }

  #scopesOf(id: number, at: (first: number) => boolean): (text: string, caller: Caller) => Outcome {
    const make = this.#bundle.script.runInThisContext() as (...parts: unknown[]) => Kernel
    const { createScope: create } = make((name: string) => this.#modules.get(name), id, at)
    const scopes = new Map(
      this.#callers.map(
        (one) => [one, create({ manifest: one.manifest, dialect: 'postgresql', cacheSize: 1 })] as const,
      ),
    )
    return (text, caller) => {
      try {
        return { sent: (scopes.get(caller) ?? fail()).scope(text, caller.grants, caller.role) }
      } catch (error) {
        const { name, code, message, cause } = error as Error & { code?: string; cause?: Error }
        // each evaluation of the kernel has a class of its own
        const isRefusal = name === 'ScopeRefusal'
        return { refused: isRefusal ? (code ?? '') : `${name}: ${message}`, isUnproven: cause?.name === 'Unproven' }
      }
    }
  }
}

/** Cases that reach something which none before them has reached, or end otherwise. */
function distinct(cases: readonly Case[]): Case[] {
  const seen = new Set<string>()
  return cases.filter(({ caller, before, hits }) => {
    const key = JSON.stringify([caller.name, before.refused, [...hits].sort((a, b) => a - b)])
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

/** What of an outcome counts: not the words of the proof. */
function bare({ sent, refused }: Outcome): string {
  return sent === undefined ? `${refused}` : JSON.stringify([sent.text, sent.slots, sent.checks])
}

function judged(before: Outcome, after: Outcome, caller: Caller): Omit<Change, 'text' | 'caller'> {
  const { sent } = after
  if (sent === undefined) {
    if (after.isUnproven === true) return { fate: 'not proven' }
    return { fate: after.refused?.includes(': ') === true ? 'not sent' : 'refused before' }
  }
  const wrong = wrongOf(sent, caller)
  if (wrong.length > 0) return { fate: 'harmful', why: wrong.join('; '), final: sent.text }
  return { fate: 'harmless', why: differenceOf(before, sent), final: sent.text }
}

function wrongOf({ text, slots }: ScopedStatement, { manifest, grants, role }: Caller): string[] {
  return complaintsOf({ text, slots, manifest: manifestFor(manifest, role), grants })
}

/** How what is sent differs, where every row and column of it is the caller's to see and to change. */
function differenceOf({ sent: before }: Outcome, after: ScopedStatement): string {
  if (before === undefined) return 'was refused, is confined'
  if (before.text === after.text) {
    return JSON.stringify(before.slots) === JSON.stringify(after.slots)
      ? 'the same text; a value that names another tenant is not refused, and not sent'
      : 'the same text, with a parameter more'
  }
  const plain = (text: string): string => text.replaceAll(/[\s()]+|AS "\w+"/g, '')
  return plain(before.text) === plain(after.text)
    ? 'written otherwise, means the same'
    : 'confined alike, means something else'
}

function fail(): never {
  throw new Error('the corpus has no such statement')
}

/** The edits of seeded faults. @throws Error where what a fault changes is not there, or not once */
export function editsOfFaults(faults: readonly Fault[]): (Edit & { readonly file: string })[] {
  return faults.map(({ file, name, find, by }) => {
    const text = readFileSync(join(kernel, file), 'utf8')
    const start = text.indexOf(find)
    if (start < 0 || text.includes(find, start + 1)) {
      throw new Error(`faults.ts, “${name}”: ${file} has this ${start < 0 ? 'no longer' : 'more than once'}: ${find}`)
    }
    // no more than differs is exchanged: what stands around it may be no expression of its own
    let [left, right] = [0, 0]
    const most = Math.min(find.length, by.length)
    while (left < most && find[left] === by[left]) left++
    while (right < most - left && find.at(-1 - right) === by.at(-1 - right)) right++
    const change = by.slice(left, by.length - right)
    return { file, start: start + left, end: start + find.length - right, text: change, operator: 'seeded' }
  })
}
