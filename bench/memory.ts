import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ScopeRefusal } from '../src/core/scope/refusals.ts'
import { parseGrants } from '../src/core/scope/grants.ts'
import { createScope } from '../src/core/scope/scope.ts'
import { billing } from './billing.ts'
import { median } from './median.ts'

/** Texts between two looks at the memory. */
const EVERY = 50_000
/** Looks that warm up: by then the cache has been full many times over. */
const WARM_UP = 3
/** How much more the heap may hold at the end than after the warm-up, collected, in bytes: one byte a text and a bit. */
const HEAP_BOUND = 2 * 1024 ** 2
/** How much more the process may hold: the collector's own reserve, which comes and goes, and the parser's memory are in it. */
const RSS_BOUND = 24 * 1024 ** 2

export type Look = { readonly texts: number; readonly heap: number; readonly rss: number }
export type Memory = {
  readonly texts: number
  /** of which the kernel refused */
  readonly refused: number
  readonly seconds: number
  /** bytes after each {@link EVERY} texts, and a collection */
  readonly looks: readonly Look[]
  /** from the first quarter of the looks after the warm-up to the last, medians, in bytes */
  readonly heapGrowth: number
  readonly rssGrowth: number
  readonly bounds: { readonly heap: number; readonly rss: number }
  readonly isFlat: boolean
}

/** No two are alike: short and long ones, of all verbs, and such as are refused at every stage. */
const TEXTS: readonly ((number: number) => string)[] = [
  (n) => `SELECT id FROM invoices WHERE number = ${n}`,
  (n) => `UPDATE invoices SET total = ${n} WHERE id = $1`,
  (n) => `INSERT INTO customers (id, name) VALUES ($1, 'Customer ${n}')`,
  (n) => `DELETE FROM lines WHERE amount = ${n}`,
  (n) => `SELECT total AS total_${n} FROM invoices ORDER BY created_at LIMIT 20`,
  (n) => `SELECT c.name FROM customers c JOIN invoices i ON i.customer_id = c.id WHERE i.number = ${n}`,
  (n) => `SELECT missing_${n} FROM invoices; SELECT 1`,
  (n) => `SELECT pg_sleep(${n})`,
  (n) => `SELECT id FROM invoices_${n}`,
  (n) => `SELECT id FROM invoices WHERE (number = ${n}`,
]

/**
 * What a process holds over many distinct texts, under grants that change as well.
 * @throws RangeError for so few texts that nothing could be told
 */
export function measureMemory(texts: number, say: (line: string) => void): Memory {
  const least = (WARM_UP + 2) * EVERY
  if (!(texts >= least)) throw new RangeError(`at least ${least} texts, or memory cannot be told to be flat`)
  const scope = createScope({ manifest: billing, dialect: 'postgresql' })
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const looks: Look[] = []
  const started = performance.now()
  let refused = 0
  let grants = grantsOf(0)
  for (let number = 1; number <= texts; number++) {
    if (number % 1_000 === 0) grants = grantsOf(number / 1_000)
    const text = TEXTS[number % TEXTS.length]?.(number) ?? ''
    try {
      scope.scope(text, grants)
    } catch (error) {
      if (!(error instanceof ScopeRefusal)) throw error
      refused++
    }
    if (number % EVERY !== 0 && number !== texts) continue
    collect()
    const { heapUsed: heap, rss } = process.memoryUsage()
    looks.push({ texts: number, heap, rss })
    say(`${number} texts: heap ${mebibytes(heap)} MiB, process ${mebibytes(rss)} MiB`)
  }
  const seconds = (performance.now() - started) / 1000
  const heapGrowth = growthOf(looks.map(({ heap }) => heap))
  const rssGrowth = growthOf(looks.map(({ rss }) => rss))
  const isFlat = heapGrowth <= HEAP_BOUND && rssGrowth <= RSS_BOUND
  return { texts, refused, seconds, looks, heapGrowth, rssGrowth, bounds: { heap: HEAP_BOUND, rss: RSS_BOUND }, isFlat }
}

function growthOf(bytes: readonly number[]): number {
  const warm = bytes.slice(WARM_UP)
  const quarter = Math.ceil(warm.length / 4)
  return median(warm.slice(-quarter)) - median(warm.slice(0, quarter))
}

/** As a new version of the roles would bring: an object of its own, and one of several sets. */
function grantsOf(version: number): ReturnType<typeof parseGrants> {
  const verbs = ['read', 'create', 'update', 'delete']
  const all = ['customer', 'invoice', 'line'].flatMap((resource) => verbs.map((verb) => `${resource}:${verb}`))
  return parseGrants([...all, `version:v${version % 50}`])
}

export function mebibytes(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1)
}
