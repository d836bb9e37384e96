import { beforeAll, describe, expect, it } from 'vitest'
import { MAX_DEPTH, MAX_PARAMETERS, MAX_RELATIONS } from '../../../src/core/scope/admit.ts'
import { MAX_CHAIN, MAX_NESTING } from '../../../src/core/scope/depth.ts'
import { grantedPermissions, GrantError, parseGrants } from '../../../src/core/scope/grants.ts'
import { MAX_TEXT_BYTES } from '../../../src/core/scope/lexis.ts'
import { ManifestError, parseManifest } from '../../../src/core/scope/manifest.ts'
import { ScopeRefusal } from '../../../src/core/scope/refusals.ts'
import { createScope, loadKernel, type Scope } from '../../../src/core/scope/scope.ts'
import { MAX_SIZE } from '../../../src/core/scope/sizes.ts'
import { all, archive } from './archive.ts'

let scope: Scope
beforeAll(async () => {
  await loadKernel()
  scope = createScope({ manifest: archive, dialect: 'postgresql' })
})

function outcomeOf(text: string): string {
  try {
    scope.scope(text, all)
    return 'sent'
  } catch (error) {
    if (!(error instanceof ScopeRefusal)) throw error
    return `${error.code}: ${error.hint}`
  }
}

const list = (count: number, of: (index: number) => string): string =>
  Array.from({ length: count }, (_, i) => of(i)).join(', ')
const bracketed = (depth: number, what = '1'): string => `${'('.repeat(depth)}${what}${')'.repeat(depth)}`

it('the limits are what docs/limits.md says', () => {
  expect([MAX_PARAMETERS, MAX_RELATIONS, MAX_DEPTH, MAX_CHAIN, MAX_NESTING, MAX_TEXT_BYTES, MAX_SIZE]).toEqual([
    1_000, 64, 400, 1_500, 64, 32_768, 100_000,
  ])
})

/** The last that is taken, and the first that is not. */
const chain = (tokens: number): string => `SELECT ${'- '.repeat(tokens - 2)}1`
describe('up to here, and no further', () => {
  it.each<[what: string, last: string, first: string, refusal: string]>([
    [
      'parameters',
      `SELECT ${list(1_000, (i) => `$${i + 1}`)}`,
      `SELECT ${list(1_001, (i) => `$${i + 1}`)}`,
      'parameter_invalid: $1 to $1000',
    ],
    [
      'tables',
      `SELECT 1 FROM ${list(64, (i) => `kinds k${i}`)}`,
      `SELECT 1 FROM ${list(65, (i) => `kinds k${i}`)}`,
      'text_too_large: at most 64 tables',
    ],
    [
      'tables and targets',
      `DELETE FROM docs USING ${list(63, (i) => `kinds k${i}`)}`,
      `DELETE FROM docs USING ${list(64, (i) => `kinds k${i}`)}`,
      'text_too_large: at most 64 tables',
    ],
    [
      'bytes',
      `SELECT '${'é'.repeat(16_379)}x'`,
      `SELECT '${'é'.repeat(16_380)}'`,
      'text_too_large: at most 32768 bytes',
    ],
    [
      'characters',
      `SELECT '${'x'.repeat(32_759)}'`,
      `SELECT '${'x'.repeat(32_760)}'`,
      'text_too_large: at most 32768 bytes',
    ],
    [
      'tokens',
      `SELECT ${'1, '.repeat(1_999)}1`,
      `SELECT ${'1, '.repeat(1_999)}- 1`,
      'text_too_large: at most 4000 tokens',
    ],
    ['brackets', `SELECT ${bracketed(64)}`, `SELECT ${bracketed(65)}`, 'text_too_deep: at most 64 levels'],
    [
      'brackets of arrays',
      `SELECT ARRAY${'['.repeat(64)}1${']'.repeat(64)}`,
      `SELECT ARRAY${'['.repeat(65)}1${']'.repeat(65)}`,
      'text_too_deep: at most 64 levels',
    ],
    [
      'CASE within CASE',
      `SELECT ${'CASE WHEN true THEN '.repeat(64)}1${' END'.repeat(64)}`,
      `SELECT ${'CASE WHEN true THEN '.repeat(65)}1${' END'.repeat(65)}`,
      'text_too_deep: at most 64 levels',
    ],
    ['nodes', `SELECT 1${' + 1'.repeat(397)}`, `SELECT 1${' + 1'.repeat(398)}`, 'text_too_deep: at most 400 levels'],
  ])('%s', (_, last, first, refusal) => {
    expect(outcomeOf(last)).toBe('sent')
    expect(outcomeOf(first)).toBe(refusal)
  })

  const tooLong = 'text_too_deep: at most 1500 tokens with no comma, AND or OR between them'
  // what passes this limit is refused for its depth, which is told otherwise
  it.each<[what: string, last: string, first: string]>([
    ['a chain', chain(1_500), chain(1_501)],
    ['a chain after a comma', `SELECT 1, ${'- '.repeat(1_498)}1`, `SELECT 1, ${'- '.repeat(1_499)}1`],
    ['a chain after AND', `SELECT true AND ${'NOT '.repeat(1_498)}true`, `SELECT true AND ${'NOT '.repeat(1_499)}true`],
    ['a chain after or', `SELECT true or ${'NOT '.repeat(1_498)}true`, `SELECT true or ${'NOT '.repeat(1_499)}true`],
    [
      'a chain in brackets, those around it counted',
      `SELECT 1 + (2, 3 + (${'- '.repeat(1_492)}1))`,
      `SELECT 1 + (2, 3 + (${'- '.repeat(1_493)}1))`,
    ],
    [
      'a chain behind brackets, which count no more',
      `SELECT (1 + 1) + (2, 3)[1] + ${'- '.repeat(1_493)}1`,
      `SELECT (1 + 1) + (2, 3)[1] + ${'- '.repeat(1_494)}1`,
    ],
    [
      'a chain behind brackets with a comma, and a comma',
      `SELECT 1 + (2 + 3, 4) + (ARRAY[5 + 6, 7])[1], ${'- '.repeat(1_498)}1`,
      `SELECT 1 + (2 + 3, 4) + (ARRAY[5 + 6, 7])[1], ${'- '.repeat(1_499)}1`,
    ],
    ['a chain that a bracket too many is in', `1 + 1 + 1) ${'- '.repeat(1_493)}1`, `1 + 1 + 1) ${'- '.repeat(1_494)}1`],
    ['a chain behind a bracket that was never opened', `) ${'- '.repeat(1_498)}1`, `) ${'- '.repeat(1_499)}1`],
  ])('%s', (_, last, first) => {
    expect(outcomeOf(last)).not.toBe(tooLong)
    expect(outcomeOf(first)).toBe(tooLong)
  })

  it('END ends a CASE, and a bracket its own', () => {
    expect(outcomeOf(`SELECT ${list(70, () => 'CASE WHEN true THEN (1) END')}`)).toBe('sent')
    expect(outcomeOf(`SELECT ${list(70, () => '(ARRAY[1])[1]')}`)).toBe('sent')
  })
})

describe('the parser', () => {
  it('is whole after a stack that ran out, and says what it was', () => {
    const deep = (frames: number): string =>
      frames === 0 ? outcomeOf(`SELECT 1${' + 1'.repeat(390)}`) : deep(frames - 1)
    const seen = new Set<string>()
    for (let frames = 200; frames < 14_000; frames += 200) {
      try {
        seen.add(deep(frames))
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError)
      }
    }
    expect(outcomeOf('SELECT 1')).toBe('sent')
    expect([...seen].every((outcome) => outcome === 'sent' || outcome.startsWith('text_too_deep'))).toBe(true)
  })
})

describe('the cache', () => {
  const sized = (most: number): Scope => createScope({ manifest: archive, dialect: 'postgresql', cacheSize: most })
  const other = parseGrants(['doc:read'])

  it('remembers a text of 8,192 characters, and names it; a longer one neither', () => {
    const last = `SELECT '${'x'.repeat(8_183)}'`
    expect(scope.scope(last, all)).toBe(scope.scope(last, all))
    expect(scope.scope(last, all).name).toMatch(/^hf_/)
    const first = `SELECT '${'x'.repeat(8_184)}'`
    expect(scope.scope(first, all)).not.toBe(scope.scope(first, all))
    expect(scope.scope(first, all).name).toBe('')
    // a text that is long itself, or becomes so
    const [commented, wide] = [`SELECT 1 /* ${'x'.repeat(8_200)} */`, `SELECT 1 FROM ${list(40, (i) => `docs d${i}`)}`]
    expect(scope.scope(commented, all)).not.toBe(scope.scope(commented, all))
    expect(scope.scope(wide, all)).not.toBe(scope.scope(wide, all))
  })

  it('drops the least recently used text of the least recently used grants, one at a time', () => {
    const small = sized(3)
    const [a, b] = [small.scope('SELECT 1', all), small.scope('SELECT 2', all)]
    const c = small.scope('SELECT 1', other)
    // the other grants become the oldest, and lose all they have before a text of these goes
    expect(small.scope('SELECT 2', all)).toBe(b)
    const d = small.scope('SELECT 3', all)
    expect(small.scope('SELECT 1', all)).toBe(a)
    expect(small.scope('SELECT 3', all)).toBe(d)
    expect(small.scope('SELECT 2', all)).toBe(b)
    // it is remembered again, and the oldest of all is the first text of these
    expect(small.scope('SELECT 1', other)).not.toBe(c)
    expect(small.scope('SELECT 1', all)).not.toBe(a)
  })

  it('what is used makes its grants the most recent', () => {
    const small = sized(2)
    const third = parseGrants(['note:read'])
    const a = small.scope('SELECT 1', all)
    const b = small.scope('SELECT 1', other)
    expect(small.scope('SELECT 1', all)).toBe(a)
    small.scope('SELECT 1', third)
    expect(small.scope('SELECT 1', all)).toBe(a)
    expect(small.scope('SELECT 1', other)).not.toBe(b)
  })

  it('grants that have no text left are forgotten: the next to go is a text', () => {
    const small = sized(2)
    small.scope('SELECT 1', other)
    const a = small.scope('SELECT 1', all)
    const b = small.scope('SELECT 2', all)
    const c = small.scope('SELECT 3', all)
    expect(small.scope('SELECT 3', all)).toBe(c)
    expect(small.scope('SELECT 2', all)).toBe(b)
    expect(small.scope('SELECT 1', all)).not.toBe(a)
  })

  it('a role called undefined is not the lack of one', () => {
    const tables = [
      {
        schema: 'app',
        name: 'docs',
        resource: 'doc',
        tenant: 'tenant_id',
        columns: { tenant_id: { type: 'int8' }, title: { type: 'text', hidden: ['clerk'] } },
      },
    ]
    const mine = createScope({
      manifest: parseManifest({ tables, roles: { clerk: [], undefined: [] } }),
      dialect: 'postgresql',
    })
    expect(mine.scope('SELECT * FROM docs', other).text).not.toContain('title')
    expect(mine.scope('SELECT * FROM docs', other, 'undefined').text).toContain('title')
    expect(mine.scope('SELECT * FROM docs', other, 'clerk').text).not.toContain('title')
    expect(mine.scope('SELECT * FROM docs', other, 'undefined').text).toContain('title')
  })

  it('a read-only column keeps its type', () => {
    const tables = [
      {
        schema: 'app',
        name: 'docs',
        resource: 'doc',
        tenant: 'tenant_id',
        columns: { tenant_id: { type: 'int8', readOnly: true }, title: { type: 'text', hidden: ['clerk'] } },
      },
    ]
    const mine = createScope({ manifest: parseManifest({ tables, roles: { clerk: [] } }), dialect: 'postgresql' })
    expect(mine.scope('SELECT * FROM docs', other).text).toContain('$1::int8)')
  })

  it('adds to what is used most recently', () => {
    const small = sized(2)
    const a = small.scope('SELECT 1', all)
    small.scope('SELECT 1', other)
    const b = small.scope('SELECT 2', all)
    expect(small.scope('SELECT 1', all)).toBe(a)
    expect(small.scope('SELECT 2', all)).toBe(b)
    small.scope('SELECT 3', all)
    expect(small.scope('SELECT 2', all)).toBe(b)
    expect(small.scope('SELECT 1', all)).not.toBe(a)
  })
})

describe('manifests', () => {
  const table = {
    schema: 'app',
    name: 'docs',
    resource: 'doc',
    tenant: 'tenant_id',
    columns: { tenant_id: { type: 'uuid' } },
  }
  const tables = (count: number): unknown[] => Array.from({ length: count }, (_, i) => ({ ...table, name: `t${i}` }))
  const own = (count: number): unknown[] => Array.from({ length: count }, (_, i) => ({ schema: 'app', name: `f${i}` }))
  const reading = (count: number): unknown => ({
    tables: tables(count),
    roles: {},
    functions: [{ schema: 'app', name: 'f', reads: tables(count).map((_, i) => `app.t${i}`) }],
  })
  const hiddenFrom = (count: number): unknown => ({
    tables: [
      {
        ...table,
        columns: { ...table.columns, x: { type: 'text', hidden: Array.from({ length: count }, (_, i) => `r${i}`) } },
      },
    ],
    roles: Object.fromEntries(Array.from({ length: count }, (_, i) => [`r${i}`, []])),
  })
  const named = (name: string): unknown => ({ tables: [{ ...table, name }], roles: {} })
  const ofResource = (resource: string): unknown => ({ tables: [{ ...table, resource }], roles: {} })

  it.each<[what: string, last: unknown, first: unknown]>([
    ['tables', { tables: tables(2_000), roles: {} }, { tables: tables(2_001), roles: {} }],
    [
      'functions',
      { tables: [], roles: {}, functions: own(1_000).map((one) => ({ ...(one as object), reads: [] })) },
      { tables: [], roles: {}, functions: own(1_001).map((one) => ({ ...(one as object), reads: [] })) },
    ],
    ['types', { tables: [], roles: {}, types: own(1_000) }, { tables: [], roles: {}, types: own(1_001) }],
    ['what a function reads', reading(100), reading(101)],
    ['roles of a column', hiddenFrom(100), hiddenFrom(101)],
    ['letters of a name', named('a'.repeat(63)), named('a'.repeat(64))],
    ['letters of a resource', ofResource('a'.repeat(63)), ofResource('a'.repeat(64))],
    [
      'letters of a role',
      { tables: [], roles: { ['a'.repeat(63)]: [] } },
      { tables: [], roles: { ['a'.repeat(64)]: [] } },
    ],
  ])('%s', (_, last, first) => {
    expect(() => parseManifest(last)).not.toThrow()
    expect(() => parseManifest(first)).toThrow(ManifestError)
  })
})

describe('names in a manifest', () => {
  const columns = { tenant_id: { type: 'uuid' } }
  const table = { schema: 'app', name: 'docs', resource: 'doc', tenant: 'tenant_id', columns }
  const problemOf = (input: unknown): unknown => {
    try {
      return parseManifest(input).tables.length
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error
      const { name, code, path, message } = error
      return { name, code, path, message }
    }
  }

  it('a problem says where and what', () => {
    expect(problemOf({ tables: [{ ...table, tenant: 'none' }], roles: {} })).toEqual({
      name: 'ManifestError',
      code: 'manifest_invalid',
      path: '/tables/0/tenant',
      message: 'manifest/tables/0/tenant: app.docs has no column none',
    })
    expect(problemOf({ tables: [{ ...table, owner: 'none' }], roles: {} })).toMatchObject({ path: '/tables/0/owner' })
  })

  it.each([
    'my_pg_x',
    'xinformation_schema',
    'information_schema2',
    'crdb_internal2',
    'xcrdb_internal',
    'xsystem',
    'systems',
  ])('a schema may be called %s', (schema) => {
    expect(problemOf({ tables: [{ ...table, schema }], roles: {} })).toBe(1)
  })

  it.each(['pg_x', 'PG_X', 'information_schema', 'crdb_internal', 'CRDB_internal', 'system'])(
    'none is called %s',
    (schema) => {
      const path = { path: '/tables/0' }
      expect(problemOf({ tables: [{ ...table, schema }], roles: {} })).toMatchObject(path)
      expect(problemOf({ tables: [], roles: {}, types: [{ schema, name: 'x' }] })).toMatchObject({ path: '/types/0' })
    },
  )

  it('a table may be called my_pg_x, and not PG_x', () => {
    expect(problemOf({ tables: [{ ...table, name: 'my_pg_x' }], roles: {} })).toBe(1)
    expect(problemOf({ tables: [{ ...table, name: 'PG_x' }], roles: {} })).toMatchObject({ path: '/tables/0' })
  })

  it('two tables are one only if schema and name are', () => {
    const two = [
      { ...table, schema: 'a', name: 'bc' },
      { ...table, schema: 'ab', name: 'c' },
    ]
    expect(problemOf({ tables: two, roles: {} })).toBe(2)
  })

  it('a parent is the table of its schema, its own if none is said', () => {
    const inA = { ...table, schema: 'a', name: 'p', columns: { tenant_id: { type: 'uuid' }, id: { type: 'uuid' } } }
    const inB = { ...inA, schema: 'b', columns: { tenant_id: { type: 'uuid' }, key: { type: 'uuid' } } }
    const child = (references: string, schema?: string): unknown => ({
      schema: 'b',
      name: 'c',
      resource: 'c',
      through: { ...(schema === undefined ? {} : { schema }), table: 'p', column: 'p_id', references },
      columns: { p_id: { type: 'uuid' } },
    })
    expect(problemOf({ tables: [inA, inB, child('key')], roles: {} })).toBe(3)
    expect(problemOf({ tables: [inA, inB, child('id', 'a')], roles: {} })).toBe(3)
    expect(problemOf({ tables: [inB, inA, child('id', 'a')], roles: {} })).toBe(3)
    expect(problemOf({ tables: [inA, inB, child('id')], roles: {} })).toMatchObject({
      path: '/tables/2/through/references',
    })
  })
})

describe('grants', () => {
  it.each(['a:b', `${'a'.repeat(63)}:${'b'.repeat(63)}`, 'a_1:b_2@own'])('%s is one', (text) => {
    expect(parseGrants([text]).size).toBe(1)
  })
  it.each(['1a:b', 'a:1b', '_a:b', `${'a'.repeat(64)}:b`, `a:${'b'.repeat(64)}`, 'a:b@', ' a:b', 'a:b '])(
    '%j is none',
    (text) => {
      expect(() => parseGrants([text])).toThrow(GrantError)
      expect(new GrantError('x')).toMatchObject({ name: 'GrantError', code: 'grant_invalid' })
    },
  )

  it('of some role are granted', () => {
    expect(grantedPermissions({ a: ['x:read@own', 'y:read'], b: ['x:read', 'z:read'] })).toEqual(
      new Set(['x:read', 'y:read', 'z:read']),
    )
  })
})
