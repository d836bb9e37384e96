import fc from 'fast-check'
import { expect, it } from 'vitest'
import { canonicalJson } from '../../../src/service/http/canonical-json.ts'

/** The same value, with the names of each object in another order. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, child]) => [name, turned(child)]),
  )
}

it.each([
  [{ b: 1, a: [{ d: null, c: 'x' }] }, '{"a":[{"c":"x","d":null}],"b":1}'],
  [[], '[]'],
  [{}, '{}'],
  [[[], {}, ''], '[[],{},""]'],
  ['"', '"\\""'],
  [null, 'null'],
  [undefined, 'undefined'],
  [[undefined], '[undefined]'],
])('%j is %s', (value, text) => {
  expect(canonicalJson(value)).toBe(text)
})

it('is one text for what means the same, and JSON of it', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = canonicalJson(value)
      expect(canonicalJson(turned(value))).toBe(text)
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)))
    }),
    { numRuns: 200 },
  )
})

it('is two texts for what means two things', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), fc.jsonValue({ maxDepth: 3 }), (one, other) => {
      const isSame = JSON.stringify(JSON.parse(canonicalJson(one))) === JSON.stringify(JSON.parse(canonicalJson(other)))
      expect(canonicalJson(one) === canonicalJson(other)).toBe(isSame)
    }),
    { numRuns: 200 },
  )
})

it('takes what is nested as deeply as a body is long', () => {
  const depth = 100_000
  let value: unknown = 1
  for (let level = 0; level < depth; level++) value = [value]
  expect(canonicalJson(value)).toBe(`${'['.repeat(depth)}1${']'.repeat(depth)}`)
})
