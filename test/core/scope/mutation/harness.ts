import { createRequire } from 'node:module'
import { dirname, resolve } from 'node:path'
import { existsSync, readFileSync } from 'node:fs'
import { chai, JestAsymmetricMatchers, JestChaiExpect, JestExtend } from '@vitest/expect'

/** A test that a file of tests has registered. */
export type Test = { readonly file: string; readonly name: string; readonly run: () => unknown }
type Hook = () => unknown

/** What vitest's functions register when a file of tests is evaluated. */
export class Collection {
  readonly tests: Test[] = []
  readonly hooks = new Map<string, Hook[]>()
  #file = ''
  #names: string[] = []

  /** Evaluates a file; its tests are named by their order, for two may have one title. */
  async evaluate(file: string, load: () => Promise<unknown>): Promise<void> {
    this.#file = file
    this.#names = []
    await load()
  }

  /** The functions that a file of tests imports from vitest. */
  get api(): Record<string, unknown> {
    const add = (name: string, run: () => unknown): void => {
      this.tests.push({ file: this.#file, name: [...this.#names, name].join(' > '), run })
    }
    const within = (name: string, body: () => void): void => {
      this.#names.push(name)
      body()
      this.#names.pop()
    }
    const each =
      (register: (name: string, run: () => void) => void) =>
      (cases: readonly unknown[]) =>
      (title: string, body: (...values: unknown[]) => unknown) => {
        for (const [index, one] of cases.entries()) {
          const values = Array.isArray(one) ? (one as unknown[]) : [one]
          register(`${title} [${index}]`, () => body(...values))
        }
      }
    const it = Object.assign(add, { each: each(add) })
    const describe = Object.assign(within, { each: each(within) })
    const hook = (body: Hook): void => {
      this.hooks.set(this.#file, [...(this.hooks.get(this.#file) ?? []), body])
    }
    return { it, test: it, describe, beforeAll: hook, afterAll: () => undefined, expect }
  }
}

chai.use(JestExtend)
chai.use(JestChaiExpect)
chai.use(JestAsymmetricMatchers)
chai.use((_, utilities) => {
  // pages are made again by their own test alone; here one that differs is a mutant that shows
  utilities.addMethod(
    chai.Assertion.prototype,
    'toMatchFileSnapshot',
    function (this: { _obj: unknown }, path: string) {
      const file = resolve(dirname(new URL(import.meta.url).pathname), '../', path)
      chai.assert(existsSync(file) && readFileSync(file, 'utf8') === this._obj, 'differs from the page')
    },
  )
})
const expect = Object.assign((value: unknown, message?: string) => chai.expect(value, message), chai.expect)

const require = createRequire(import.meta.url)

/** The modules that kernel and tests take from outside: loaded once, for they hold no mutant. */
export async function outside(names: readonly string[]): Promise<ReadonlyMap<string, unknown>> {
  const modules = new Map<string, unknown>()
  for (const name of names) {
    const loaded = (await import(name)) as { default?: unknown }
    modules.set(name, name === 'fast-check' ? loaded.default : name.startsWith('node:') ? require(name) : loaded)
  }
  return modules
}
