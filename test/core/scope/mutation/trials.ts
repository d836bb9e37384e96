import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Bundle, bundle } from './bundle.ts'
import { Collection, outside, type Test } from './harness.ts'
import type { Mutant } from './instrument.ts'

const tests = fileURLToPath(new URL('../', import.meta.url))

/**
 * Files that are nothing without a database, pages made of data, this folder's own; and the laws, which draw their
 * statements at random: ten seconds a mutant, for what a test with a name of its own ought to show.
 */
const NOT_RUN = /^(?:attacks|oracle|mutation)\/|(?:oracle|attacks|mutants|plans|execution|page|laws)\.test\.ts$/

/** The files of tests that need no database, or only for some of their tests. */
export function testFiles(): string[] {
  return readdirSync(tests, { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.test.ts') && !NOT_RUN.test(file))
    .sort()
}

/** Makes of all its file's tests one page: what differs in it differs in one of them. */
const WHOLE_PAGE = /^the page has them all/

export type Outcome = { readonly status: 'killed' | 'survived'; readonly by?: string }

/** Runs tests against one mutant after the other, each in a kernel that is evaluated afresh. */
export class Trials {
  readonly #bundle: Bundle
  readonly #modules: ReadonlyMap<string, unknown>
  readonly #firsts: readonly number[]
  readonly #files: readonly string[]
  readonly #tick: () => void

  private constructor(
    made: Bundle,
    modules: ReadonlyMap<string, unknown>,
    firsts: readonly number[],
    files: readonly string[],
    tick: () => void,
  ) {
    this.#bundle = made
    this.#modules = modules
    this.#firsts = firsts
    this.#files = files
    this.#tick = tick
  }

  /** @param tick called before each test: whoever watches sees that time passes in one of them */
  static async prepare(mutants: readonly Mutant[], files: readonly string[], tick: () => void): Promise<Trials> {
    const imports = files.map((file) => `${JSON.stringify(file)}: () => import('./${file}')`)
    const made = await bundle(`export const files = { ${imports.join(', ')} }`, mutants)
    const modules = await outside(made.outside)
    return new Trials(made, modules, made.firsts, files, tick)
  }

  /** by the number of a mutant: the first at its place */
  get firsts(): readonly number[] {
    return this.#firsts
  }

  get digest(): string {
    return this.#bundle.digest
  }

  /** Tests that pass with no mutant, without a database; and which mutants each reaches. */
  async survey(): Promise<Survey> {
    const found: Survey = { tests: [], atLoading: {}, withoutDatabase: 0, failed: [] }
    for (const file of this.#files) {
      const { collection, hits, needsDatabase } = await this.#evaluate(0, [file])
      found.atLoading[file] = [...hits]
      for (const [index, { name }] of collection.tests.entries()) {
        if (WHOLE_PAGE.test(name)) continue
        const fresh = await this.#evaluate(0, [file])
        const test = fresh.collection.tests[index] as Test
        fresh.hits.clear()
        const started = process.cpuUsage()
        const error = await failure(test)
        const { user, system } = process.cpuUsage(started)
        if (error === undefined) {
          found.tests.push({ file, name, index, hits: [...fresh.hits], millis: Math.round((user + system) / 1000) })
        } else if (needsDatabase) found.withoutDatabase++
        else found.failed.push(`${file} ${name}: ${(error as Error).message}`)
      }
    }
    return found
  }

  /** The texts that the tests give to the grammar. */
  async record(): Promise<ReadonlySet<string>> {
    const texts = new Set<string>()
    const { collection } = await this.#evaluate(0, this.#files, (name) => {
      const module = this.#modules.get(name)
      if (name !== 'libpg-query') return module
      const { parseSync } = module as { parseSync: (text: string) => unknown }
      return { ...(module as object), parseSync: (text: string) => (texts.add(text), parseSync(text)) }
    })
    for (const test of collection.tests) await failure(test)
    return texts
  }

  /** Whether one of the tests, tried in their order, fails with a mutant; 0 is none. */
  async run(mutant: number, order: readonly SurveyedTest[]): Promise<Outcome> {
    const loaded = new Map<string, readonly Test[]>()
    const factory = this.#instance(mutant, new Set())
    for (const { file, name, index } of order) {
      this.#tick()
      let known = loaded.get(file)
      if (known === undefined) {
        const collection = factory.collection
        const before = collection.tests.length
        try {
          await collection.evaluate(file, factory.load(file))
        } catch {
          return { status: 'killed', by: `${file}: cannot be loaded` }
        }
        let needsDatabase = false
        for (const hook of collection.hooks.get(file) ?? []) {
          const error = await failure({ run: hook })
          needsDatabase ||= isForDatabase(error)
          if (error !== undefined && !needsDatabase) return { status: 'killed', by: `${file}: beforeAll` }
        }
        known = collection.tests.slice(before)
        loaded.set(file, known)
      }
      const test = known[index]
      if (test?.name !== name || (await failure(test)) !== undefined) return { status: 'killed', by: `${file} ${name}` }
    }
    return { status: 'survived' }
  }

  async #evaluate(
    mutant: number,
    files: readonly string[],
    modules?: (name: string) => unknown,
  ): Promise<{ collection: Collection; hits: Set<number>; needsDatabase: boolean }> {
    const hits = new Set<number>()
    let needsDatabase = false
    const { collection, load } = this.#instance(mutant, hits, modules)
    for (const file of files) {
      await collection.evaluate(file, load(file))
      for (const hook of collection.hooks.get(file) ?? []) {
        needsDatabase ||= isForDatabase(await failure({ run: hook }))
      }
    }
    return { collection, hits, needsDatabase }
  }

  #instance(
    mutant: number,
    hits: Set<number>,
    modules = (name: string): unknown => this.#modules.get(name),
  ): { collection: Collection; load: (file: string) => () => Promise<unknown> } {
    const collection = new Collection()
    const { api } = collection
    const require = (name: string): unknown => (name === 'vitest' ? api : modules(name))
    const active = this.#firsts[mutant] ?? -1
    const at =
      mutant === 0 ? (first: number): boolean => (hits.add(first), false) : (first: number): boolean => first === active
    const make = this.#bundle.script.runInThisContext() as (...parts: unknown[]) => {
      files: Record<string, () => Promise<unknown>>
    }
    const { files } = make(require, mutant, at)
    return { collection, load: (file) => files[file] as () => Promise<unknown> }
  }
}

export type SurveyedTest = {
  readonly file: string
  readonly name: string
  readonly index: number
  /** the first mutants of the places that it reaches */
  readonly hits: readonly number[]
  readonly millis: number
}
export type Survey = {
  readonly tests: SurveyedTest[]
  /** what the evaluation of a file of tests reaches */
  readonly atLoading: Record<string, number[]>
  withoutDatabase: number
  readonly failed: string[]
}

function isForDatabase(error: unknown): boolean {
  return error instanceof Error && error.message === 'there is no database here'
}

async function failure({ run }: Pick<Test, 'run'>): Promise<unknown> {
  try {
    const outcome = run()
    if (outcome instanceof Promise) await outcome
    return undefined
  } catch (error) {
    return error ?? new Error('something was thrown')
  }
}
