import { beforeAll, describe, expect, it } from 'vitest'
import { ScopeRefusal } from '../../../src/core/scope/refusals.ts'
import { bind, createScope, loadKernel, type Scope } from '../../../src/core/scope/scope.ts'
import { checkSizes, isBounded, MAX_SIZE, type Size } from '../../../src/core/scope/sizes.ts'
import { outcomeOf, shop, whole } from './shop.ts'

let scope: Scope

beforeAll(async () => {
  await loadKernel()
  scope = createScope({ manifest: shop, dialect: 'postgresql' })
})

function bindAs(text: string, values: readonly unknown[]): string {
  try {
    bind(scope.scope(text, whole, 'admin'), { tenantId: 't', userId: 'u' }, values)
    return 'bound'
  } catch (error) {
    if (!(error instanceof ScopeRefusal)) throw error
    return error.code
  }
}

describe('what one statement may make', () => {
  it.each([
    'SELECT * FROM generate_series(1, 1e12)',
    'SELECT * FROM generate_series(1, 100001)',
    'SELECT * FROM generate_series(-60000, 60000)',
    'SELECT * FROM generate_series(1, 200000::int8, 1)',
    'SELECT * FROM generate_series(200000, 1, -1)',
    'SELECT * FROM generate_series(1, 1001) a, generate_series(1, 101) b',
    "SELECT repeat('x', 1000000000)",
    "SELECT repeat(repeat('x', 10000), 10000)",
    "SELECT lpad('x', 200000), rpad('x', 1)",
    'SELECT * FROM generate_series(1, 10 * 10)',
    'SELECT generate_series(1, amount) FROM lines',
    "SELECT repeat('x', amount) FROM lines",
    "SELECT repeat('x', (SELECT count(*) FROM lines)::int)",
    "SELECT repeat('x', '1000000000')",
    "SELECT 'x'::char(10000000)",
    'SELECT $1::char(10)[]',
    'SELECT * FROM generate_series(1e30, 1.0000000000000000000000000001e30)',
    'SELECT * FROM generate_series(1, 2, 1e-400)',
    'SELECT * FROM generate_series(1, 2, 0)',
    "SELECT b'1'::bit(101) FROM generate_series(1, 1000)",
  ])('refuses %s', (text) => {
    expect(outcomeOf(scope, text)).toMatch(/^size_too_large/)
  })

  it.each([
    'SELECT * FROM generate_series(1, 100000)',
    'SELECT * FROM generate_series(1, 200000, 2)',
    'SELECT * FROM generate_series(10, 1)',
    'SELECT * FROM generate_series(1, 1000) a, generate_series(1, 100) b',
    "SELECT repeat('x', 100), lpad(title, 10, '0') FROM orders",
    "SELECT repeat('x', -5)",
    "SELECT 'x'::char(10), 'x'::char, b'1'::bit(8), 'x'::varchar(10000000)",
    "SELECT repeat('x', NULL)",
    "SELECT d FROM generate_series(now() - interval '1 year', now(), interval '1 day') d",
    'SELECT d FROM generate_series($1::timestamptz, $2, $3::interval) d',
  ])('takes %s', (text) => {
    expect(outcomeOf(scope, text)).toMatch(/^SELECT/)
  })

  const series = 'SELECT * FROM generate_series($1, $2)'
  it.each([
    [series, [1, 100_000], 'bound'],
    [series, [1, 100_001], 'size_too_large'],
    [series, ['1', '1e12'], 'size_too_large'],
    [series, [1n, 10n ** 12n], 'size_too_large'],
    [series, [-1e300, 1e300], 'size_too_large'],
    [series, [null, 5], 'bound'],
    [series, ['now', 'then'], 'size_too_large'],
    [series, [[1], {}], 'size_too_large'],
    [series, [1, '9'.repeat(400)], 'size_too_large'],
    ['SELECT * FROM generate_series(1, $1::int8, $2)', [10_000_000, 100], 'bound'],
    ['SELECT * FROM generate_series(1, $1, $2)', [10_000_000, 0.001], 'size_too_large'],
    ['SELECT * FROM generate_series(1, $1, $2)', [10_000_000, 0], 'size_too_large'],
    ['SELECT * FROM generate_series(1, $1, $2)', ['2', '1e-400'], 'size_too_large'],
    [series, ['1000000000000000000000000000000', '1000000000000000000000100000000'], 'size_too_large'],
    ["SELECT repeat('x', $1), repeat('y', $2)", [1_000, 100], 'bound'],
    ["SELECT repeat('x', $1), repeat('y', $2)", [1_000, 101], 'size_too_large'],
    ["SELECT lpad('x', $1) FROM generate_series(1, 1000)", [101], 'size_too_large'],
  ])('%s, case %#', (text, values, outcome) => {
    expect(bindAs(text, values)).toBe(outcome)
  })
})

describe('how much calls make together', () => {
  const series = (from: number, to: number, step = 1): Size => [from, to, step]
  it.each<[sizes: Size[], isBounded: boolean]>([
    [[], true],
    [[[MAX_SIZE]], true],
    [[[MAX_SIZE + 1]], false],
    [[[MAX_SIZE], [1]], true],
    [[[MAX_SIZE], [2]], false],
    [[[MAX_SIZE], [0]], true],
    [[[MAX_SIZE], [-2]], true],
    [[series(1, MAX_SIZE)], true],
    [[series(0, MAX_SIZE)], false],
    [[series(1, 2 * MAX_SIZE, 2)], true],
    [[series(1, 2 * MAX_SIZE + 1, 2)], false],
    [[series(MAX_SIZE, 1, -1)], true],
    [[series(MAX_SIZE, 0, -1)], false],
    [[series(5, 1), [MAX_SIZE]], true],
    [[series(1, 1), [MAX_SIZE]], true],
    [[series(1, 2), [MAX_SIZE]], false],
    [[series(1, 2, 0)], false],
    [[series(2 ** 53, 2 ** 53 + 2)], false],
    [[series(-(2 ** 53), 1, 2 ** 53)], false],
    [[series(1, 2 ** 53, 2 ** 53)], false],
    [[series(1, 2 ** 53 - 1, 2 ** 53)], true],
    [[[Number.NaN]], false],
    [[[2 ** 53]], false],
  ])('%j: %s', (sizes, expected) => {
    expect(isBounded(sizes)).toBe(expected)
  })

  it('a value counts where it is known, as the database would read it', () => {
    const twice: Size[] = [[{ index: 1 }], [2]]
    const half = MAX_SIZE / 2
    expect(isBounded(twice)).toBe(true)
    for (const value of [half, BigInt(half), String(half), null, undefined, 0, -5]) {
      expect(isBounded(twice, ['x', value])).toBe(true)
    }
    for (const value of [half + 1, BigInt(half + 1), String(half + 1), 'x', {}, [1], true, new Date(0)]) {
      expect(isBounded(twice, ['x', value])).toBe(false)
    }
    // NULL makes nothing, and takes nothing of what the others make
    expect(isBounded([[MAX_SIZE], [{ index: 0 }]], [null])).toBe(true)
    expect(() => checkSizes(twice, ['x', half + 1])).toThrow(ScopeRefusal)
    expect(() => checkSizes(twice, ['x', half])).not.toThrow()
  })

  const sizesOf = (text: string): unknown => scope.scope(text, whole, 'admin').sizes
  it('is read from numbers, their casts and their signs', () => {
    expect(sizesOf("SELECT repeat('x', - 5::int2), lpad('x', - 6::int4), rpad('x', - 7::int8)")).toEqual([
      [-5],
      [-6],
      [-7],
    ])
    expect(sizesOf('SELECT generate_series(- 2::int8, 2::numeric, 1.5)')).toEqual([[-2, 2, 1.5]])
    expect(sizesOf("SELECT repeat('x', NULL), repeat('x', $1::numeric)")).toEqual([[0], [{ index: 0 }]])
    expect(sizesOf("SELECT 'x'::char(5), upper('x')")).toEqual([[5]])
  })

  it.each([
    "SELECT repeat('x', + 5::int8)",
    "SELECT repeat('x', - $1)",
    "SELECT repeat('x', 7 - 5)",
    "SELECT repeat('x', 5::text::int4)",
    "SELECT repeat('x', - 5::text::int4)",
    "SELECT repeat('x', 5::int4[])",
    'SELECT generate_series(1 + 1, 2)',
    'SELECT generate_series(1, 2, 1 + 1)',
  ])('and is refused where it is anything else: %s', (text) => {
    expect(outcomeOf(scope, text)).toMatch(/^size_too_large/)
  })
})
