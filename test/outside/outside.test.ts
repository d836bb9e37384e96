import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadKernel, parseText, unwrap } from '../../src/core/scope/grammar.ts'
import { parseGrants } from '../../src/core/scope/grants.ts'
import { createScope } from '../../src/core/scope/scope.ts'
import { connect } from '../backends.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { Arena, type Comparison, sameOrder, sameOutcome } from './arena.ts'
import { examine, type Report } from './examine.ts'
import { extract, fromPsql, sourcesIn } from './extract.ts'
import { tell, tellBriefly } from './report.ts'
import { World } from './tables.ts'
import { watch } from './watch.ts'

let directory: string
let database: TestDatabase
let client: pg.Client
beforeAll(async () => {
  await loadKernel()
  directory = mkdtempSync(join(tmpdir(), 'holdfast-outside-'))
  database = await createTestDatabase()
  client = await connect(database.target('superuser'))
})
afterAll(async () => {
  await client.end()
  await database.drop()
  rmSync(directory, { recursive: true, force: true })
})

it('takes the SQL out of a psql script', () => {
  const script = [
    '\\set x 1',
    'SELECT 1; -- one',
    'SELECT 2 \\gset',
    'COPY t FROM stdin;',
    "a\tb'; DROP",
    '\\.',
    '  \\d t',
    "SELECT ';",
    "' \\g",
    'SELECT 4',
  ].join('\n')
  expect(fromPsql(script)).toEqual([
    { sql: 'SELECT 1', line: 2 },
    { sql: 'SELECT 2', line: 3 },
    { sql: 'COPY t FROM stdin', line: 4 },
    { sql: "SELECT ';\n'", line: 8 },
    { sql: 'SELECT 4', line: 10 },
  ])
})

it('takes the SQL out of TypeScript', () => {
  const source = [
    'const a: string = "select 1"',
    'const b = sql`select ${a} from t where id = ${b as number}`',
    "const c = ['select 2', 'from t'].length + ('select ' + '3').length",
    "test('select', () => ({ postgres: { sql: 'delete from t' }, mysql: { sql: 'select 4' } }))",
    "const d = 'insert into t values (@1)' // 'select 5'",
    'const e = /select 6/',
  ].join('\n')
  writeFileSync(join(directory, 'a.test.ts'), source)
  writeFileSync(join(directory, 'b.mysql.ts'), "const f = 'select 7'")
  expect(sourcesIn(directory)).toEqual(['a.test.ts'])
  expect(extract(directory, 'a.test.ts').map(({ sql, line }) => [line, sql])).toEqual([
    [1, 'select 1'],
    [2, 'select $1 from t where id = $2'],
    [3, 'select 2 from t'],
    [3, 'select 3'],
    [4, 'select'],
    [4, 'delete from t'],
  ])
})

describe('the tables', () => {
  const cases: [statements: string, table: string, columns: string | undefined, keys: number][] = [
    ['CREATE TABLE t (a int PRIMARY KEY, b varchar(9)[], c text, UNIQUE (b, c))', 't', 'a int4, b _varchar, c text', 2],
    ['CREATE TEMP TABLE t (a serial); ALTER TABLE t ADD COLUMN b date; ALTER TABLE t DROP COLUMN a', 't', 'b date', 0],
    ['CREATE TABLE p (a int); CREATE TABLE t (b int) INHERITS (p)', 't', 'a int4, b int4', 0],
    ['CREATE TABLE p (a int); CREATE TABLE t PARTITION OF p DEFAULT', 't', 'a int4', 0],
    ['CREATE TABLE p (a int); CREATE TABLE t (LIKE p, b int)', 't', 'a int4, b int4', 0],
    ['CREATE TABLE t (a int); ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME TO u', 'u', 'b int4', 0],
    ['CREATE TABLE t (a int); CREATE UNIQUE INDEX ON t (a); CREATE UNIQUE INDEX ON t (abs(a))', 't', 'a int4', 1],
    ['CREATE TABLE t (a int); DROP TABLE t', 't', undefined, 0],
    ['CREATE TABLE t (a int); DROP SCHEMA public CASCADE', 't', undefined, 0],
    ['CREATE TABLE t (a int); DROP VIEW t', 't', 'a int4', 0],
    ['CREATE TABLE s.t (a int)', 't', undefined, 0],
    ['CREATE TABLE t ("Capital" int)', 't', undefined, 1],
  ]
  it.each(cases)('%s', (statements, table, columns, keys) => {
    const world = new World()
    for (const statement of parseText(statements)) world.follow(...unwrap(statement))
    expect(world.speaksOf(table)).toBe(columns !== undefined)
    if (columns === undefined) return
    const shape = world.get(table)
    expect([...(shape?.columns ?? [])].map(([name, { type }]) => `${name} ${type}`).join(', ')).toBe(columns)
    expect((shape?.keys.length ?? 0) + (shape?.primary === undefined ? 0 : 1)).toBe(keys)
    expect(world.manifest('app').tables.find(({ name }) => name === table)?.tenant).toBe('hf_tenant')
  })
})

describe('an examination', () => {
  let report: Report
  beforeAll(async () => {
    const folder = mkdtempSync(join(directory, 'folder-'))
    writeFileSync(
      join(folder, 'setup.sql'),
      'CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL, age int);',
    )
    writeFileSync(
      join(folder, 'a.sql'),
      [
        'CREATE TABLE pets (id int PRIMARY KEY, owner int, name text DEFAULT $$Rex$$);',
        'SELECT p.name, count(*) FROM people p JOIN pets ON owner = p.id GROUP BY 1 ORDER BY 1;',
        'EXPLAIN (costs off)\n  SELECT * FROM people;',
        'SELECT 1; SELECT * FROM pg_class; SELECT * FROM strangers; SELECT 1 / 0 FROM people;',
        "INSERT INTO people VALUES (500, 'Ann'); INSERT INTO people (name) SELECT name FROM people RETURNING id;",
        "INSERT INTO pets (id) VALUES (4) ON CONFLICT (id) DO UPDATE SET name = 'x';",
        'UPDATE pets SET owner = owner + 1 WHERE name IS NOT NULL; DELETE FROM people WHERE age < 3 RETURNING *;',
        'SELECT pg_sleep(0) FROM people; SELECT own_function(id) FROM people; SELECT age FROM people LIMIT 2; SELECT id FROM cats;',
      ].join('\n'),
    )
    writeFileSync(
      join(folder, 'b.test.ts'),
      'const q = sql`select id from people where name = ${name} and age > ${age}`',
    )
    const tables = join(directory, 'tables.sql')
    writeFileSync(tables, 'CREATE TABLE cats (id int);')
    report = await examine(folder, { client, tables })
  }, 60_000)

  it('counts what is admitted, and what PostgreSQL runs', () => {
    expect(report.statements).toEqual({
      select: { total: 8, admitted: 6, runs: 6, runsAdmitted: 5 },
      insert: { total: 3, admitted: 2, runs: 3, runsAdmitted: 2 },
      update: { total: 1, admitted: 1, runs: 1, runsAdmitted: 1 },
      delete: { total: 1, admitted: 1, runs: 1, runsAdmitted: 1 },
    })
    expect(report.columnsNamed).toEqual({ total: 1, admitted: 1, runs: 1, runsAdmitted: 1 })
  })

  it('tells refusals by what they were about', () => {
    expect(report.refusals.map(({ code, construct, count }) => [code, construct, count])).toEqual([
      ['column_list_missing', '', 1],
      ['function_not_accepted', 'pg_sleep', 1],
      ['function_not_accepted', "one of the suite's own", 1],
    ])
  })

  it('executes, and finds both walls alike', () => {
    expect(report.contradictions).toEqual([])
    expect(report.executed['equal']?.count).toBeGreaterThan(5)
    expect(report.executed['fail alike']?.count).toBe(1)
    expect(tell(report)).toContain('own_function')
    expect(tellBriefly(report)).not.toContain('own_function')
    expect(tellBriefly(report)).toMatch(/\| SELECT \| 8 \| 6 \(75\.0%\) \| 6 \| 5 \(83\.3%\) \|/)
  })
})

describe('the comparison sees a kernel that lets through', () => {
  const seeded: [
    what: string,
    sql: string,
    fault: (text: string) => string,
    seen: (compared: Comparison) => unknown,
  ][] = [
    ['rows', 'SELECT id FROM people', unconfined, ({ scoped, raw }) => sameOutcome(scoped, raw)],
    ['a change', 'UPDATE people SET age = 99', unconfined, ({ scoped, raw }) => foreignOf(scoped) === foreignOf(raw)],
    [
      'too few rows',
      'SELECT id FROM people',
      (text) => `${text} LIMIT 3`,
      ({ scoped, raw }) => sameOutcome(scoped, raw),
    ],
    [
      'another type',
      'SELECT id FROM people',
      (text) => text.replace('id', 'id::int8 AS id'),
      ({ scoped, raw }) => sameOutcome(scoped, raw),
    ],
    [
      'another order',
      'SELECT id FROM people ORDER BY id',
      (text) => `${text} DESC`,
      ({ scoped, raw }) => sameOrder(scoped, raw),
    ],
    [
      'other names',
      'SELECT id FROM people',
      (text) => text.replace('id', 'id AS x'),
      ({ scoped, raw }) => sameOutcome(scoped, raw),
    ],
  ]
  it.each(seeded)('%s', async (_, sql, fault, isAlike) => {
    const world = new World()
    for (const statement of parseText('CREATE TABLE people (id int PRIMARY KEY, age int)'))
      world.follow(...unwrap(statement))
    const scope = createScope({ manifest: world.manifest('seeded'), dialect: 'postgresql' })
    const scoped = scope.scope(sql, parseGrants(['row:read', 'row:update']))
    const arena = new Arena(client, 'seeded')
    await arena.open()
    try {
      const shape = world.get('people')
      expect(shape !== undefined && (await arena.provide(shape))).toBe(true)
      const right = (await arena.compare(sql, scoped, ['people'])) as Comparison
      expect([isAlike(right), right.isSettled]).toEqual([true, true])
      const text = fault(scoped.text)
      expect(text).not.toBe(scoped.text)
      expect(isAlike((await arena.compare(sql, { ...scoped, text }, ['people'])) as Comparison)).toBe(false)
    } finally {
      await arena.close()
    }
  })
})

/** A fault: the tenant's predicate is one that always holds. */
function unconfined(text: string): string {
  return text.replaceAll(/"people"\."hf_tenant" OPERATOR\(pg_catalog\.=\) (\$\d)::int8/g, '$1::int8 IS NOT NULL')
}

function foreignOf(outcome: Comparison['raw']): string {
  return 'failed' in outcome ? outcome.failed : outcome.foreign
}

it('ends what hangs, and says where', async () => {
  const script = join(directory, 'hang.mjs')
  writeFileSync(script, "process.send({ at: 'a.sql:7' }, () => { for (;;); })")
  expect(await watch(script, [], 5_000)).toEqual({ died: 'hangs at a.sql:7' })
  writeFileSync(script, "process.send({ at: 'a.sql:8' }, () => process.exit(3))")
  expect(await watch(script, [], 30_000)).toEqual({ died: 'ended with 3 at a.sql:8' })
})
