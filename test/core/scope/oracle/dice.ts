/** Seeded chance: the same seed gives the same choices (mulberry32). */
export class Dice {
  readonly #next: () => number

  constructor(seed: number) {
    this.#next = seeded(seed)
  }

  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.#next() * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.#next() < probability
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.#next() * items.length)]
    if (item === undefined) throw new TypeError('nothing to pick from')
    return item
  }

  shuffled<Item>(items: readonly Item[]): Item[] {
    return items
      .map((item) => ({ item, order: this.#next() }))
      .sort((a, b) => a.order - b.order)
      .map(({ item }) => item)
  }

  /** Some of the items, at least one where there is one, in their order. */
  some<Item>(items: readonly Item[], most = items.length): Item[] {
    const chosen = new Set(this.shuffled(items.map((_, index) => index)).slice(0, this.int(1, Math.max(1, most))))
    return items.filter((_, index) => chosen.has(index))
  }

  list<Item>(low: number, high: number, make: (index: number) => Item): Item[] {
    return Array.from({ length: this.int(low, high) }, (_, index) => make(index))
  }
}

/** A seeded generator of numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** One seed of several numbers, so that neighbouring statements have nothing in common. */
export function seedOf(...parts: readonly number[]): number {
  let hash = 0x811c9dc5
  for (const part of parts) hash = Math.imul(hash ^ part, 0x01000193) ^ (hash >>> 13)
  return hash >>> 0
}
