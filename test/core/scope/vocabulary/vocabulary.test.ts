import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ScopeRefusal } from '../../../../src/core/scope/refusals.ts'
import { createScope, loadKernel } from '../../../../src/core/scope/scope.ts'
import { ACCEPTED_FUNCTIONS } from '../../../../src/core/scope/vocabulary/functions.ts'
import {
  COLLATIONS,
  FUNCTIONS,
  isFunctionField,
  OPERATORS,
  PLAIN_FIELDS,
  SIZED,
  TYPES,
  whyNot,
} from '../../../../src/core/scope/vocabulary/index.ts'
import { ACCEPTED_OPERATORS, REFUSED_OPERATORS } from '../../../../src/core/scope/vocabulary/operators.ts'
import { REFUSED_FUNCTIONS } from '../../../../src/core/scope/vocabulary/refused-functions.ts'
import { ACCEPTED_TYPES, PADDED_TYPES, REFUSED_TYPES } from '../../../../src/core/scope/vocabulary/types.ts'
import { connect } from '../../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../../postgres.ts'
import { all, archive } from '../archive.ts'

let database: TestDatabase
let client: pg.Client
/** 15, 18: the lists know all built-ins of these */
let version: number

const scope = createScope({ manifest: archive, dialect: 'cockroachdb' })

beforeAll(async () => {
  await loadKernel()
  database = await createTestDatabase()
  client = await connect(database.target('superuser'))
  const { rows } = await client.query<{ version: string }>("SELECT current_setting('server_version_num') AS version")
  version = Math.trunc(Number(rows[0]?.version) / 10_000)
})
afterAll(async () => {
  await client.end()
  await database.drop()
})

const words = (text: string): string[] => text.trim().split(/\s+/)
const namesOf = (groups: readonly { names: string }[]): string[] => groups.flatMap(({ names }) => words(names))

/** Names of the catalog. */
async function ask(sql: string, values: unknown[] = []): Promise<string[]> {
  const { rows } = await client.query<[string]>({ text: sql, values, rowMode: 'array' })
  return rows.map(([name]) => name)
}

const accepted = namesOf(ACCEPTED_FUNCTIONS)
const refused = namesOf(REFUSED_FUNCTIONS)
const functionsSql = "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace"

/** Built-ins that 18 has no more. */
const GONE = words(
  `interval_accum interval_accum_inv interval_combine pg_read_file_old pg_rotate_logfile_old
   pg_stat_get_bgwriter_buf_written_checkpoints pg_stat_get_bgwriter_requested_checkpoints
   pg_stat_get_bgwriter_timed_checkpoints pg_stat_get_buf_fsync_backend pg_stat_get_buf_written_backend
   pg_stat_get_checkpoint_sync_time pg_stat_get_checkpoint_write_time pg_timezone_abbrevs`,
)

describe('every built-in is in or is out', () => {
  it.each([
    ['functions', accepted, refused],
    ['operators', Object.values(ACCEPTED_OPERATORS).flatMap(words), namesOf(REFUSED_OPERATORS)],
    ['types', Object.values(ACCEPTED_TYPES).flatMap(words), namesOf(REFUSED_TYPES)],
  ])('%s: each once', (_, inside, outside) => {
    expect(inside.length).toBeGreaterThan(30)
    expect(outside.length).toBeGreaterThan(20)
    const all = [...inside, ...outside]
    expect(all.filter((name, index) => all.indexOf(name) !== index)).toEqual([])
  })

  it('functions', async () => {
    const found = await ask(functionsSql)
    expect(found.length).toBeGreaterThan(2_600)
    const known = new Set([...accepted, ...refused])
    expect(found.filter((name) => !known.has(name))).toEqual([])
    // what is listed exists, in the newest or, where it is gone from there, in the oldest
    const there = new Set(found)
    if (version === 18) expect([...known].filter((name) => !there.has(name)).sort()).toEqual(GONE)
    if (version === 15) expect(GONE.filter((name) => !there.has(name))).toEqual([])
  })

  it('operators', async () => {
    const found = await ask(
      "SELECT DISTINCT oprname::text FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace",
    )
    expect(found.sort()).toEqual([...OPERATORS, ...namesOf(REFUSED_OPERATORS)].sort())
  })

  it('types, without arrays and the rows of relations', async () => {
    const found = await ask(
      `SELECT typname::text FROM pg_type t WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype <> 'c'
       AND NOT EXISTS (SELECT FROM pg_type WHERE typarray = t.oid)`,
    )
    expect(found.sort()).toEqual([...TYPES, ...namesOf(REFUSED_TYPES)].sort())
  })

  it('collations: what is in exists', async () => {
    const found = await ask('SELECT DISTINCT collname::text FROM pg_collation WHERE collname = ANY ($1)', [
      [...COLLATIONS],
    ])
    expect(found.length).toBeGreaterThanOrEqual(version >= 16 ? COLLATIONS.size : COLLATIONS.size - 1)
  })
})

describe('every overload of an accepted name', () => {
  type Overload = {
    name: string
    kind: string
    volatile: boolean
    definer: boolean
    result: string
    language: string
    /** names of the argument types, OUT and VARIADIC ones included, arrays as their elements */
    types: string[]
  }
  let overloads: Overload[]
  const remarks = new Map(ACCEPTED_FUNCTIONS.flatMap(({ but = {} }) => Object.entries(but)))

  beforeAll(async () => {
    const { rows } = await client.query<Overload>(
      `SELECT proname::text AS name, prokind::text AS kind, provolatile = 'v' AS volatile, prosecdef AS definer,
         lanname::text AS language, prorettype::regtype::text AS result,
         ARRAY(SELECT DISTINCT coalesce(e.typname, t.typname)::text FROM unnest(proargtypes::oid[] || coalesce(proallargtypes, '{}')) AS a (oid)
           JOIN pg_type t ON t.oid = a.oid LEFT JOIN pg_type e ON e.typarray = t.oid) AS types
       FROM pg_proc p JOIN pg_language l ON l.oid = prolang
       WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY ($1)`,
      [accepted],
    )
    overloads = rows
    expect(rows.length).toBeGreaterThan(700)
  })

  it('runs as its caller, and is code of the server or made of such', () => {
    expect(overloads.filter(({ definer }) => definer)).toEqual([])
    expect(overloads.filter(({ kind }) => kind === 'p')).toEqual([])
    expect(overloads.filter(({ language }) => language !== 'internal' && language !== 'sql')).toEqual([])
  })

  it('is volatile only where it is said why', () => {
    const found = new Set(overloads.filter((one) => one.volatile).map(({ name }) => name))
    expect(found.size).toBeGreaterThan(2)
    expect([...found].filter((name) => remarks.get(name)?.startsWith('volatile: ') !== true)).toEqual([])
    const said = [...remarks].filter(([, why]) => why.startsWith('volatile: ')).map(([name]) => name)
    const there = new Set(overloads.map(({ name }) => name))
    expect(said.filter((name) => there.has(name) && !found.has(name))).toEqual([])
  })

  /**
   * With types that no cast can name, so that only a column of such a type comes here: they compare, add and convert. Those of
   * `age` and of text search say so in the table.
   */
  const ODD = new Set([
    ...words('numeric(money) sum(money) int8(oid) text(xml) age(xid)'),
    ...words('max(money) max(oid) max(tid) max(pg_lsn) max(xid8) min(money) min(oid) min(tid) min(pg_lsn) min(xid8)'),
    // rows are values as others are
    ...words('max(record) min(record) row_to_json(record)'),
  ])

  it('takes and gives types that a cast may name, or is one of a short list', () => {
    const isPolymorphic = (type: string): boolean =>
      /^any(?:$|array|element|range|multirange|nonarray|enum|compatible)/.test(type)
    const odd = overloads
      .flatMap(({ name, types }) => types.map((type) => ({ name, type })))
      .filter(({ type }) => !TYPES.has(type) && !isPolymorphic(type))
      .filter(({ name, type }) => type !== 'regconfig' || !remarks.has(name))
      .map(({ name, type }) => `${name}(${type})`)
    expect([...new Set(odd)].filter((one) => !ODD.has(one))).toEqual([])
    if (version === 18) expect([...ODD].filter((one) => !odd.includes(one))).toEqual([])
  })

  it('is no trigger, no handler, and nothing that works on the inside', () => {
    const odd = overloads.filter(({ result }) =>
      /^(?:internal|cstring|trigger|event_trigger|void|.*_handler|reg\w*|oid|refcursor|xml)$/.test(result),
    )
    // max and min of a column of that type
    expect(odd.map(({ name, result }) => `${name}: ${result}`).sort()).toEqual(['max: oid', 'min: oid'])
  })
})

describe('x.f', () => {
  it('knows each function that it could call', async () => {
    const callable = await ask(
      `${functionsSql} AND prokind <> 'p'
       AND (pronargs = 1 OR pronargs > 1 AND pronargs - pronargdefaults <= 1 OR provariadic <> 0)`,
    )
    expect(callable.length).toBeGreaterThan(1_000)
    expect(callable.filter((name) => !FUNCTIONS.has(name) && !isFunctionField(name, new Set()))).toEqual([])
    expect(callable.filter((name) => SIZED.has(name))).toEqual([])
  })

  it('knows each type and array that it could cast to', async () => {
    const types = await ask(
      "SELECT typname::text FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype <> 'p'",
    )
    expect(types).toContain('_regclass')
    const isIn = (name: string): boolean => TYPES.has(name.replace(/^_/, ''))
    expect(types.filter((name) => !isIn(name) && !isFunctionField(name, new Set()))).toEqual([])
    expect(isFunctionField('_regrole', new Set())).toBe(true)
  })

  it.each([...PLAIN_FIELDS])('%s is a field and no more', async (name) => {
    const outcome = client.query(`SELECT x."${name}" FROM lower('a') AS x`)
    if (TYPES.has(name)) await outcome.catch(() => undefined)
    else await expect(outcome).rejects.toThrow()
  })

  it.each([
    ['a type', "SELECT x.regclass FROM lower('pg_class') AS x"],
    ['an array of a type', "SELECT x._regnamespace FROM lower('{pg_catalog}') AS x"],
    ['a function', "SELECT x.to_regclass FROM lower('pg_class') AS x"],
    ['a column of a function in FROM', `SELECT * FROM json_to_record('{"a": "pg_class"}') AS x (a regclass)`],
    ['the same, an array', `SELECT * FROM json_to_record('{"a": "{pg_class}"}') AS x (a _regclass)`],
  ])('looks no name up in the catalog through %s', async (_, sql) => {
    // the database itself would
    expect((await client.query(sql)).rowCount).toBe(1)
    expect(() => scope.scope(sql, all)).toThrow(ScopeRefusal)
  })

  it('gives way to a column of the manifest, but not in the databases’ own families', () => {
    expect(isFunctionField('money', new Set())).toBe(true)
    expect(isFunctionField('money', new Set(['money']))).toBe(false)
    expect(isFunctionField('pg_sleep', new Set(['pg_sleep']))).toBe(true)
    for (const acting of ['nextval', 'lo_unlink', 'regclass', '_regrole', 'table_to_xml']) {
      expect(isFunctionField(acting, new Set([acting]))).toBe(true)
    }
    for (const plain of ['region', 'registered_at', 'lo_price', 'reg', 'query_to_run', 'txid_note']) {
      expect(isFunctionField(plain, new Set([plain]))).toBe(false)
    }
    expect(isFunctionField('total', new Set())).toBe(false)
    expect(isFunctionField('lower', new Set())).toBe(false)
  })
})

describe('whyNot', () => {
  it.each([
    ['function', 'pg_read_file', "it reads the server's files"],
    ['function', 'setseed', 'it reads or sets the session; random() needs no seed'],
    ['operator', '^@', expect.stringContaining('use abs or starts_with')],
    ['type', 'regclass', 'it looks names up in the catalog'],
    ['function', 'lower', undefined],
    ['function', 'no_such_function', undefined],
    ['type', 'int4', undefined],
  ] as const)('%s %s', (kind, name, why) => {
    expect(whyNot(kind, name)).toEqual(why)
  })

  it('has a name of its own list for every size', () => {
    expect([...SIZED.keys()].every((name) => FUNCTIONS.has(name))).toBe(true)
    expect([...PADDED_TYPES].every((name) => TYPES.has(name))).toBe(true)
  })
})
