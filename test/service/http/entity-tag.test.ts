import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { entityTag, expectedRevision } from '../../../src/service/http/entity-tag.ts'
import { HttpProblem } from '../../../src/service/http/problem.ts'

function outcome(field: string | undefined): unknown {
  try {
    return expectedRevision({ 'if-match': field })
  } catch (error) {
    if (error instanceof HttpProblem) return `${error.problem.status} ${error.problem.code}`
    throw error
  }
}

const malformed = '400 malformed_request'
const greatest = '9223372036854775807'

describe('If-Match', () => {
  const cases: [string, unknown][] = [
    ['"3"', ['3']],
    ['*', 'any'],
    [' \t* ', 'any'],
    ['"3", "4"', ['3', '4']],
    ['"3","4"', ['3', '4']],
    ['"3" \t,\t "4"', ['3', '4']],
    ['"3", "3"', ['3']],
    // recipients pass over empty elements
    [', "3",, "4" ,', ['3', '4']],
    ['', []],
    [' ', []],
    [',', []],
    // weak tags never match (RFC 9110 section 13.1.1)
    ['W/"3"', []],
    ['W/"3", "4"', ['4']],
    // tags that are well-formed and no revision of ours
    ['""', []],
    ['"0"', []],
    ['"03"', []],
    ['"-3"', []],
    ['"+3"', []],
    ['"3.0"', []],
    ['"3e0"', []],
    ['"a,b", "5"', ['5']],
    ['"*"', []],
    ['"W/"', []],
    ['"\u00e4\u00ff"', []],
    ['"\\"', []],
    ['"!#~"', []],
    [`"${greatest}"`, [greatest]],
    ['"9223372036854775808"', []],
    [`"${'9'.repeat(5000)}"`, []],
    // garbage
    ['3', malformed],
    ['"3', malformed],
    ['3"', malformed],
    ["'3'", malformed],
    ['"3" "4"', malformed],
    ['"3";"4"', malformed],
    ['"3"x', malformed],
    ['w/"3"', malformed],
    ['W/ "3"', malformed],
    ['W"3"', malformed],
    ['W/3', malformed],
    ['W/', malformed],
    ['W/*', malformed],
    ['* *', malformed],
    ['*, "3"', malformed],
    ['"3", *', malformed],
    ['**', malformed],
    ['"3 4"', malformed],
    ['"3\t"', malformed],
    ['"\u007f"', malformed],
    ['"\u0000"', malformed],
    ['"\u0101"', malformed],
    ['\n"3"', malformed],
    ['\u00a0"3"', malformed],
    ['"3"\n', malformed],
  ]
  it.each(cases)('%j → %j', (field, expected) => {
    expect(outcome(field)).toEqual(expected)
  })

  it('is asked for, unless it may be missing', () => {
    expect(outcome(undefined)).toBe('428 precondition_required')
    expect(expectedRevision({}, { optional: true })).toBeUndefined()
    expect(expectedRevision({ 'if-match': '"3"' }, { optional: true })).toEqual(['3'])
    expect(() => expectedRevision({ 'if-match': '3' }, { optional: true })).toThrow(HttpProblem)
  })

  it('takes each entity tag that we give', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.bigInt(1n, BigInt(greatest)), { minLength: 1, maxLength: 5 }), (revisions) => {
        const field = revisions.map(entityTag).join(', ')
        expect(outcome(field)).toEqual(revisions.map(String))
      }),
    )
  })

  it('of any text is refused, or a list of numbers that fit', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('"', ',', ' ', '*', 'W/', '1', '9'.repeat(18), 'x', '\t', '\u00ff', '\\'), {
          maxLength: 12,
        }),
        (parts) => {
          const got = outcome(parts.join(''))
          if (got === 'any' || got === malformed) return
          for (const text of got as string[]) expect(BigInt.asIntN(64, BigInt(text)).toString()).toBe(text)
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('of 16 KiB takes no time', () => {
    const started = performance.now()
    for (const field of ['"1", '.repeat(4000), ' '.repeat(16_000), '"'.repeat(16_000), ','.repeat(16_000)])
      outcome(field)
    outcome(`${' '.repeat(16_000)}x`)
    outcome(`"3"${' '.repeat(16_000)}x`)
    expect(performance.now() - started).toBeLessThan(1000)
  })
})

it('an entity tag is strong', () => {
  expect(entityTag('3')).toBe('"3"')
  expect(entityTag(4n)).toBe('"4"')
})
