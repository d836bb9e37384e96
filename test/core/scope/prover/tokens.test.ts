import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadKernel } from '../../../../src/core/scope/scope.ts'
import { read } from '../../../../src/core/scope/prover/proof-tree.ts'

beforeAll(loadKernel)

function isRead(text: string): boolean {
  try {
    read(text)
    return true
  } catch {
    return false
  }
}

describe('tokens are looked at one by one only where a text is suspect, which changes no verdict', () => {
  const name = (length: number): string => 'n m '.repeat(length).slice(0, length)
  it.each([
    [`SELECT 1 AS "${name(63)}", 2 AS b, 'a literal, and a good deal after the name that was quoted' AS "c"`, true],
    [`SELECT '"', 1 AS "${name(63)}", '"'`, true],
    [`SELECT 1 AS "${name(64)}"`, false],
    [`SELECT '"', 1 AS "${name(64)}", '"'`, false],
    [`SELECT 1 AS "it's", 2 AS "${name(64)}", 3 AS "it's too"`, false],
    [`SELECT E'\\'', 1 AS "${name(64)}", E'\\''`, false],
    [`SELECT E'\\'', 1 AS "${name(63)}", E'\\''`, true],
    [`SELECT 1 AS "${name(40)}""${name(40)}"`, false],
    [`SELECT 'it''s', 1 AS "${name(64)}"`, false],
  ])('%s', (text, expected) => {
    expect(isRead(text)).toBe(expected)
    // a literal that the databases read alike, and whose backslash has every token looked at
    expect(isRead(`${text}, '\\'`)).toBe(expected)
  })

  it('for texts of every kind of quote', () => {
    const quotes = ['"', '"', "'", "'", '""', "''", `\\`, `E'`, `"${name(40)}"`, `'${name(70)}'`, "N'x'"]
    const others = [' ', '\n', ', ', ' AS ', '1', 'a', '$1', '$', ';', '(', ')', name(30), name(33), name(63)]
    const piece = fc.constantFrom(...quotes, ...others, 'SELECT "a" FROM t')
    let accepted = 0
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const isFast = isRead(`SELECT 1, ${pieces.join('')}`)
        if (isFast) accepted++
        expect(isFast).toBe(isRead(`SELECT '\\', ${pieces.join('')}`))
      }),
      { numRuns: 5_000 },
    )
    expect(accepted).toBeGreaterThan(100)
  })
})

describe('what one of the two databases would read otherwise', () => {
  const name = 'n'.repeat(62)
  it.each([
    ["SELECT 'a'\n'b'", false],
    ["SELECT 'a' \n'b'", false],
    ["SELECT 'a'\n 'b'", false],
    ["SELECT 'a'\r'b'", false],
    ["SELECT 'a', 'b'", true],
    ['SELECT 1 FROM "a"\n"b"', false],
    ['SELECT 1 FROM "a" \n "b"', false],
    ['SELECT 1 FROM "a" "b"', true],
    ['SELECT \'\\\' FROM "a" "b"', true],
    ['SELECT \'\\\',\n1 FROM "a" "b"', true],
    ['SELECT \'\\\' FROM "a"\nb', true],
    ['SELECT \'\\\' FROM a\n"b"', true],
    ['SELECT \'\\\' FROM "a"\n"b"', false],
    ["SELECT b''", true],
    ["SELECT B'01', X'1fF', x'', b'1'", true],
    ["SELECT b'0 1'", false],
    ["SELECT B'0 1'", false],
    ["SELECT x'1G'", false],
    ["SELECT X'1G'", false],
    ["SELECT U&'a'", false],
    ['SELECT 1 AS U&"a"', false],
    [`SELECT 1 AS "${name}""x"`, false],
    [`SELECT 1 AS "${name.slice(2)}""x"`, true],
    ['SELECT 1 -- c', false],
    ['SELECT 1 /* c */', false],
    ["SELECT e'a'", true],
    ['SELECT $$a$$', false],
    ['SELECT $1', true],
  ])('%s', (text, expected) => {
    expect(isRead(text)).toBe(expected)
  })
})
