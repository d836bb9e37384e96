import { formatGrants, type Grants } from './grants.ts'
import type { ScopedStatement } from './scope.ts'

/**
 * Scoped statements by grants, then by text: two look-ups of strings whose hashes are known. When it is full the least
 * recently used text of the least recently used grants goes.
 */
export class ScopeCache {
  readonly #bySet = new Map<string, Map<string, ScopedStatement>>()
  readonly #keys = new WeakMap<Grants, Map<string | undefined, string>>()
  readonly #most: number
  #count = 0
  #hits = 0
  #misses = 0

  constructor(most: number) {
    this.#most = most
  }

  /** Statements that are remembered, and how often one that was asked for was among them. */
  get stats(): { readonly size: number; readonly hits: number; readonly misses: number } {
    return { size: this.#count, hits: this.#hits, misses: this.#misses }
  }

  /** What grants and a role are called here: worked out once for each object, for grants do not change. */
  keyOf(grants: Grants, role: string | undefined): string {
    const known = this.#keys.get(grants)
    const found = known?.get(role)
    if (found !== undefined) return found
    const key = `${role ?? ''} ${formatGrants(grants)}`
    if (known === undefined) this.#keys.set(grants, new Map([[role, key]]))
    else known.set(role, key)
    return key
  }

  /** The statement of a text under one canonical set of grants. */
  find(canonical: string, text: string): ScopedStatement | undefined {
    const texts = this.#bySet.get(canonical)
    const known = texts?.get(text)
    if (texts === undefined || known === undefined) {
      this.#misses++
      return undefined
    }
    this.#hits++
    // last is most recent
    texts.delete(text)
    texts.set(text, known)
    this.#bySet.delete(canonical)
    this.#bySet.set(canonical, texts)
    return known
  }

  /** Remembers a statement that {@link find} did not know. */
  add(canonical: string, text: string, scoped: ScopedStatement): void {
    const texts = this.#bySet.get(canonical) ?? new Map<string, ScopedStatement>()
    this.#bySet.delete(canonical)
    this.#bySet.set(canonical, texts.set(text, scoped))
    if (++this.#count > this.#most) this.#dropOldest()
  }

  #dropOldest(): void {
    const [oldestSet] = this.#bySet
    if (oldestSet === undefined) return
    const [canonical, texts] = oldestSet
    const [oldest] = texts.keys()
    if (oldest !== undefined) texts.delete(oldest)
    if (texts.size === 0) this.#bySet.delete(canonical)
    this.#count--
  }
}
