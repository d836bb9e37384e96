import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FUNCTIONS, SIZED } from '../../../../src/core/scope/vocabulary/index.ts'
import { connect } from '../../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../../postgres.ts'

/**
 * Every overload of every accepted function is run as the role of handlers, with arguments that name tables, files and SQL
 * and that lie at the ends of their types; then the database is asked what was touched.
 */
let database: TestDatabase
let app: pg.Client
let processId: number

/** Stands in a row of a table that the role may read: nothing that a function gives may hold it. */
const CANARY = 'canary-of-tenant-9'
const TIMEOUT_MS = 1_000

beforeAll(async () => {
  database = await createTestDatabase()
  await database.owner('CREATE SCHEMA aviary')
  await database.owner('CREATE TABLE aviary.birds (name text)')
  await database.owner('INSERT INTO aviary.birds VALUES ($1)', [CANARY])
  await database.owner('GRANT USAGE ON SCHEMA aviary TO holdfast_app')
  await database.owner('GRANT SELECT ON aviary.birds TO holdfast_app')
  app = await connect(database.target('app'))
  await app.query("SET search_path = ''")
  await app.query(`SET statement_timeout = ${TIMEOUT_MS}`)
  const { rows } = await app.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  processId = rows[0]?.pid ?? 0
})
afterAll(async () => {
  await app.end()
  await database.drop()
})

const TEXTS = [
  'year',
  'NFC',
  '9',
  'a',
  'aviary.birds',
  'SELECT name FROM aviary.birds',
  '/etc/passwd',
  '../../../../../etc/passwd',
  '(a*)*(a*)*b',
  'UTF8',
  '$.**',
  '',
  'hex',
]
const asText = (type: string, values: readonly string[]): string[] =>
  values.map((value) => `'${value}'::${type === 'char' ? '"char"' : type}`)

/** Arguments by type, as SQL. */
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  text: asText('text', TEXTS),
  name: asText('name', ['UTF8', 'aviary.birds', 'LATIN1', 'EUC_JP']),
  varchar: asText('varchar', ['a', 'aviary.birds']),
  bpchar: asText('bpchar', ['a', 'aviary.birds']),
  char: asText('char', ['A', 'x']),
  bytea: asText('bytea', ['\\x61', '', '\\xff00']),
  bool: ['true', 'false'],
  int2: asText('int2', ['1', '0', '-32768', '32767']),
  int4: asText('int4', ['0', '1', '-2147483648', '2147483647']),
  int8: asText('int8', ['1', '0', '-9223372036854775808', '9223372036854775807']),
  float4: asText('float4', ['0.5', '0', 'NaN', 'Infinity', '-3e38']),
  float8: asText('float8', ['0.5', '1', 'NaN', '-Infinity', '1e308']),
  numeric: [...asText('numeric', ['1.5', '0', 'NaN', '-Infinity', '131071']), "repeat('9', 2000)::numeric"],
  date: asText('date', ['2026-01-02', 'infinity', '5874897-12-31']),
  time: asText('time', ['1:02', '24:00']),
  timetz: asText('timetz', ['1:02+01', '24:00-15']),
  timestamp: asText('timestamp', ['2026-01-02', '-infinity', '294276-12-31']),
  timestamptz: asText('timestamptz', ['2026-01-02 UTC', 'infinity', '4713-01-02 BC UTC']),
  interval: asText('interval', ['1 day', '0', '-178000000 years']),
  json: asText('json', ['{"a":1}', '[1,[2]]', 'null', '[{"a":"aviary.birds"}]']),
  jsonb: asText('jsonb', ['{"a":1}', '[1,[2]]', '["all"]', '[{"a":"aviary.birds"}]']),
  jsonpath: asText('jsonpath', ['$.a', '$.**.**', '$[0 to 2147483647]', 'strict $[*] ? (@ like_regex "(a*)*b")']),
  tsvector: asText('tsvector', ['a:1A b:2', '']),
  tsquery: asText('tsquery', ['a & !b', 'a <16384> b', '']),
  regconfig: ["'simple'", "'english'", "'aviary.birds'"],
  uuid: asText('uuid', ['00000000-0000-7000-8000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff']),
  inet: asText('inet', ['10.0.0.1/8', '::/0']),
  cidr: asText('cidr', ['10.0.0.0/8', '::/0']),
  macaddr: asText('macaddr', ['ff:ff:ff:ff:ff:ff']),
  macaddr8: asText('macaddr8', ['08:00:2b:ff:fe:01:02:03', 'ff:ff:ff:ff:ff:ff:ff:ff']),
  bit: ["B'101'"],
  varbit: ["B'101'::varbit", "''::varbit"],
  point: asText('point', ['(1,2)', '(NaN,Infinity)']),
  line: asText('line', ['{1,2,3}']),
  lseg: asText('lseg', ['((0,0),(1,1))']),
  box: asText('box', ['((0,0),(1,1))']),
  path: asText('path', ['((0,0),(1,1),(2,2))', '[(0,0),(1,1)]']),
  polygon: asText('polygon', ['((0,0),(1,1),(2,2))']),
  circle: asText('circle', ['<(0,0),1e300>']),
  int4range: asText('int4range', ['[1,5)']),
  int8range: asText('int8range', ['(,)']),
  numrange: asText('numrange', ['empty']),
  daterange: asText('daterange', ['(,)']),
  tsrange: asText('tsrange', ['(,)']),
  tstzrange: asText('tstzrange', ['(,)']),
  record: ["ROW(1, 'aviary.birds')"],
  any: ['1', "'aviary.birds'::text"],
  anyelement: ['1', '0'],
  anycompatible: ['1', '2.5'],
  anynonarray: ['1'],
  anycompatiblenonarray: ['1'],
  anyarray: ['ARRAY[1, NULL, 2]', 'ARRAY[]::int4[]', 'ARRAY[[1], [2]]'],
  anycompatiblearray: ['ARRAY[1, NULL, 2]'],
  anyrange: ["'[1,5)'::int4range", "'empty'::int4range"],
  anycompatiblerange: ["'[1,5)'::int4range"],
  anymultirange: ["'{[1,2),[4,8)}'::int4multirange"],
  // types that only a column has, but for XML, which a server may be built without
  money: ["'1'::money"],
  oid: ['1::oid'],
  tid: ["'(0,1)'::tid"],
  xid: ["'3'::xid"],
  xid8: ["'3'::xid8"],
  pg_lsn: ["'0/1'::pg_lsn"],
}

/** What a plain call is not: ordered sets, and records that need a list of columns. */
const OWN_CALLS: Readonly<Record<string, string>> = {
  mode: 'SELECT mode() WITHIN GROUP (ORDER BY i)::text FROM unnest(ARRAY[1, 2]) AS i',
  percentile_cont: 'SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY i)::text FROM unnest(ARRAY[1, 2]) AS i',
  percentile_disc: 'SELECT percentile_disc(ARRAY[0, 1]) WITHIN GROUP (ORDER BY i)::text FROM unnest(ARRAY[1, 2]) AS i',
  json_to_record: `SELECT x::text FROM json_to_record('{"a": "aviary.birds"}') AS x (a text)`,
  json_to_recordset: `SELECT x::text FROM json_to_recordset('[{"a": 1}]') AS x (a int8)`,
  jsonb_to_record: `SELECT x::text FROM jsonb_to_record('{"a": "aviary.birds"}') AS x (a text)`,
  jsonb_to_recordset: `SELECT x::text FROM jsonb_to_recordset('[{"a": 1}]') AS x (a int8)`,
  json_populate_record: `SELECT json_populate_record(ROW(1), '{"f1": 2}')::text`,
  json_populate_recordset: `SELECT x::text FROM json_populate_recordset(ROW(1), '[{"f1": 2}]') AS x (f1 int4)`,
  jsonb_populate_record: `SELECT jsonb_populate_record(ROW(1), '{"f1": 2}')::text`,
  jsonb_populate_recordset: `SELECT x::text FROM jsonb_populate_recordset(ROW(1), '[{"f1": 2}]') AS x (f1 int4)`,
}

/** Not run, and why. */
const NOT_RUN: Readonly<Record<string, string>> = {
  jsonb_populate_record_valid: 'it wants a named row type, and the test database has none',
}

type Overload = { name: string; kind: string; isSet: boolean; types: string[]; isSplit: boolean }

/** SQL that runs an overload, each time with other arguments; the most that are hostile first. */
function callsOf({ name, kind, isSet, types, isSplit }: Overload): string[] {
  const own = OWN_CALLS[name]
  if (own !== undefined) return [own]
  const pools = types.map(argumentsOf)
  if (pools.includes(undefined)) return []
  const most = Math.max(1, ...pools.map((pool = []) => pool.length))
  // each value at each place, once beside its like and once beside the next one
  return Array.from({ length: types.length > 1 ? 2 * most : most }, (_, round) => {
    const given = pools.map((pool = [], place) => pool[(round + place * Math.trunc(round / most)) % pool.length])
    if (SIZED.has(name)) given[1] = types[1]?.startsWith('timestamp') === true ? given[0] : '1000'
    if (isSplit && given.length > 0) given[given.length - 1] = `VARIADIC ${given.at(-1)}`
    const call = `pg_catalog."${name}"(${kind === 'a' && types.length === 0 ? '*' : given.join(', ')})`
    const from = 'unnest(ARRAY[1, 2, 3]) AS i'
    if (kind === 'w') return `SELECT (${call} OVER (ORDER BY i))::text FROM ${from}`
    if (kind === 'a') return `SELECT ${call}::text FROM ${from}`
    return isSet ? `SELECT x::text FROM ${call} AS x LIMIT 5` : `SELECT left(${call}::text, 10000)`
  })
}

function argumentsOf(type: string): readonly string[] | undefined {
  if (!type.startsWith('_')) return ARGUMENTS[type]
  const base = type.slice(1)
  if (base === 'any') return ['ARRAY[1, 2]']
  const values = ARGUMENTS[base]
  return values && [`ARRAY[${values[0]}]`, `ARRAY[${values.join(', ')}]`]
}

type Outcome = { readonly succeeded: boolean; readonly results: string; readonly took: number; readonly code: string }

/** Runs SQL within the open transaction, which lives on whatever it does. */
async function run(sql: string): Promise<Outcome> {
  const started = performance.now()
  await app.query('SAVEPOINT here')
  try {
    const { rows } = await app.query<unknown[]>({ text: sql, rowMode: 'array' })
    await app.query('RELEASE here')
    return { succeeded: true, results: JSON.stringify(rows), took: performance.now() - started, code: '' }
  } catch (error) {
    const { code = 'lost', message } = error as { code?: string; message: string }
    await app.query('ROLLBACK TO here')
    return { succeeded: false, results: message, took: performance.now() - started, code }
  }
}

/** What the transaction of the role holds, which stays held to its end: each relation that it read is there. */
const held = (): Promise<unknown[]> =>
  database.owner(
    `SELECT locktype, relation::regclass::text AS relation FROM pg_locks
     WHERE pid = $1 AND locktype NOT IN ('virtualxid', 'transactionid')`,
    [processId],
  )

/** The session's settings and what else a call could leave behind. */
async function state(): Promise<unknown> {
  const { rows } = await app.query(
    `SELECT pg_catalog.md5(pg_catalog.string_agg(name || '=' || setting, ',' ORDER BY name)) AS settings, pg_catalog.pg_my_temp_schema() AS temp,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_listening_channels()) AS channels, pg_catalog.pg_current_xact_id_if_assigned() AS wrote,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata) AS objects
     FROM pg_catalog.pg_settings`,
  )
  return rows
}

describe('the accepted functions, run', () => {
  it('reach no table, file or setting, leave nothing behind, and end in time', async () => {
    const overloads = (await database.owner(
      `SELECT proname::text AS name, prokind::text AS kind, proretset AS "isSet", provariadic NOT IN (0, '"any"'::regtype) AS "isSplit",
         ARRAY(SELECT t.typname::text FROM unnest(proargtypes::oid[]) WITH ORDINALITY AS a (oid, n)
           JOIN pg_type t ON t.oid = a.oid ORDER BY n) AS types
       FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY ($1) ORDER BY proname, types`,
      [[...FUNCTIONS]],
    )) as Overload[]
    const before = await state()
    const done = new Set<string>()
    const odd: string[] = []
    let calls = 0
    await app.query('BEGIN')
    for (const overload of overloads) {
      for (const sql of callsOf(overload)) {
        const { succeeded, results, took, code } = await run(sql)
        calls++
        if (succeeded) done.add(overload.name)
        if (results.includes(CANARY) || results.includes('root:')) odd.push(`${sql} tells`)
        if (took > TIMEOUT_MS + 1_000) odd.push(`${sql} took ${took} ms`)
        // lost connections, a server that is out of memory or about to end
        if (/^(?:lost|53|57P|58)/.test(code)) odd.push(`${sql}: ${code} ${results}`)
      }
    }
    const locks = await held()
    await app.query('ROLLBACK')
    expect(odd).toEqual([])
    expect(locks).toEqual([])
    expect(await state()).toEqual(before)
    expect(calls).toBeGreaterThan(2_000)
    const missing = [...new Set(overloads.map(({ name }) => name))].filter((name) => !done.has(name))
    expect(missing.filter((name) => NOT_RUN[name] === undefined)).toEqual([])
  }, 120_000)

  it('would be seen if they did', async () => {
    await app.query('BEGIN')
    const { results } = await run(`SELECT pg_catalog.ts_stat('SELECT ''${'a'}''::tsvector FROM aviary.birds')`)
    expect(results).toContain('a')
    expect(await held()).toContainEqual({ locktype: 'relation', relation: 'aviary.birds' })
    const before = await state()
    expect((await run("SELECT pg_catalog.set_config('work_mem', '65kB', true)")).succeeded).toBe(true)
    expect(await state()).not.toEqual(before)
    await run('SELECT pg_catalog.pg_advisory_xact_lock(1)')
    expect(await held()).toContainEqual({ locktype: 'advisory', relation: null })
    expect((await run('SELECT pg_catalog.pg_sleep(3)')).code).toBe('57014')
    await app.query('ROLLBACK')
  })
})
