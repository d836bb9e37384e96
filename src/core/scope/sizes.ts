import { listOf, type Struct, stringsOf, unwrap } from './grammar.ts'
import { ScopeRefusal } from './refusals.ts'
import { SIZED } from './vocabulary/index.ts'
import { PADDED_TYPES } from './vocabulary/types.ts'

/**
 * What `generate_series`, `repeat`, `lpad` and `rpad` are asked for in one statement, multiplied: so many rows or
 * characters one small text may make (CWE-400, CWE-789).
 */
export const MAX_SIZE = 100_000

/** A number that is in the text, or the index of the caller's value. */
type Term = number | { readonly index: number }
/** How much a call makes: one number, or from, to and step of a series. */
export type Size = readonly [count: Term] | readonly [from: Term, to: Term, step: Term]

/**
 * How much a call may make; undefined for one whose result is no larger than what it is given.
 * @returns `unbounded` where its bound is neither a number nor a parameter. A series over time is bounded by the
 * statement's time alone: its bounds are instants, and what a step is depends on them.
 */
export function readSize(call: Struct): Size | 'unbounded' | undefined {
  const name = stringsOf(call['funcname']).at(-1)
  const terms = listOf(call['args']).map(termOf)
  if (name === 'generate_series') {
    if (isInterval(listOf(call['args'])[2])) return undefined
    const [from, to, step = 1] = terms
    return from === undefined || to === undefined || (terms.length > 2 && terms[2] === undefined)
      ? 'unbounded'
      : [from, to, step]
  }
  const index = SIZED.get(name ?? '')
  if (index === undefined) return undefined
  const count = terms[index]
  return count === undefined ? 'unbounded' : [count]
}

/** What a cast to `char(n)` or `bit(n)` fills up to, however short the value. */
export function readPadding({ names, typmods, arrayBounds }: Struct): Size | 'unbounded' | undefined {
  const [length] = listOf(typmods)
  if (length === undefined || !PADDED_TYPES.has(stringsOf(names).at(-1) ?? '')) return undefined
  // each of the elements is filled up
  if (arrayBounds !== undefined) return 'unbounded'
  const term = termOf(length)
  return term === undefined ? 'unbounded' : [term]
}

/**
 * Checks what the calls of a statement make together, its values known.
 * @throws ScopeRefusal `size_too_large`, with no position: it is a value that is too large
 */
export function checkSizes(sizes: readonly Size[], values: readonly unknown[]): void {
  if (!isBounded(sizes, values)) {
    throw new ScopeRefusal('size_too_large', { hint: `at most ${MAX_SIZE.toLocaleString('en')} in all` })
  }
}

/** Whether calls make no more than is allowed; without values, as far as the text alone tells. */
export function isBounded(sizes: readonly Size[], values?: readonly unknown[]): boolean {
  let product = 1
  for (const size of sizes) {
    if (values === undefined && size.some((term) => typeof term !== 'number')) continue
    const [first = 0, to, step = 1] = size.map((term) =>
      numberOf(typeof term === 'number' ? term : values?.[term.index]),
    )
    // what is no number, or passes what a number holds, and a step that is none, is refused here
    const isExact = [first, to ?? 0].every((bound) => Math.abs(bound) <= Number.MAX_SAFE_INTEGER) && step !== 0
    const count = !isExact ? Infinity : to === undefined ? first : Math.floor((to - first) / step) + 1
    product *= Math.max(1, count)
  }
  return product <= MAX_SIZE
}

function numberOf(value: unknown): number {
  // NULL makes nothing
  if (value === null || value === undefined) return 0
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string'
    ? Number(value)
    : Number.NaN
}

function termOf(item: Struct): Term | undefined {
  const [type, struct] = unwrap(item)
  if (type === 'ParamRef') return { index: Number(struct['number'] ?? 0) - 1 }
  if (type === 'TypeCast') return isNumeric(struct['typeName']) ? termOf(struct['arg'] as Struct) : undefined
  if (type === 'A_Expr' && stringsOf(struct['name']).join() === '-' && struct['lexpr'] === undefined) {
    const term = termOf(struct['rexpr'] as Struct)
    return typeof term === 'number' ? -term : undefined
  }
  if (type !== 'A_Const') return undefined
  const { ival, fval, isnull } = struct as { ival?: { ival?: number }; fval?: { fval: string }; isnull?: boolean }
  if (isnull === true) return 0
  if (ival !== undefined) return ival.ival ?? 0
  return fval === undefined ? undefined : Number(fval.fval)
}

function isNumeric(typeName: unknown): boolean {
  const { names, arrayBounds } = (typeName ?? {}) as Struct
  return arrayBounds === undefined && ['int2', 'int4', 'int8', 'numeric'].includes(stringsOf(names).at(-1) ?? '')
}

function isInterval(item: Struct | undefined): boolean {
  const { typeName } = ((item ?? {})['TypeCast'] ?? {}) as Struct
  const { names, arrayBounds } = (typeName ?? {}) as Struct
  return arrayBounds === undefined && stringsOf(names).at(-1) === 'interval'
}
