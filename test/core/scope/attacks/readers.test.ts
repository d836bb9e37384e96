import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAX_CHAIN } from '../../../../src/core/scope/depth.ts'
import { prove, type Slot, Unproven } from '../../../../src/core/scope/prover/prove.ts'
import { ScopeRefusal } from '../../../../src/core/scope/refusals.ts'
import { createScope, loadKernel } from '../../../../src/core/scope/scope.ts'
import { connect } from '../../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../../postgres.ts'
import { all, archive } from '../archive.ts'

/** Each of these was tried because the prover could have been wrong there; some were. */

let database: TestDatabase
let client: pg.Client
const scope = createScope({ manifest: archive, dialect: 'cockroachdb' })

beforeAll(async () => {
  await loadKernel()
  database = await createTestDatabase()
  client = await connect(database.target('superuser'))
})
afterAll(async () => {
  await client.end()
  await database.drop()
})

const tenant: readonly Slot[] = [{ kind: 'tenant' }]
const leaf = `(SELECT "docs"."id", "docs"."tenant_id", "docs"."owner_id", "docs"."folder_id", "docs"."title", "docs"."body", "docs"."size" FROM "app"."docs" WHERE "docs"."tenant_id" OPERATOR(pg_catalog.=) $1::int8)`
const where = '"tenant_id" OPERATOR(pg_catalog.=) $1::int8'
const long = 'a'.repeat(63)

describe('final texts that two readers would read as two statements, or that hang something on a leaf', () => {
  it.each([
    ['an order of a leaf by a column that it hides', `${leaf} ORDER BY secret`],
    ['the same within', `SELECT * FROM (${leaf} ORDER BY secret) AS d`],
    ['a limit of a leaf', `SELECT * FROM (${leaf} LIMIT 1) AS d`],
    ['a lock on a leaf', `${leaf} FOR UPDATE`],
    ['a WITH before a leaf', `WITH x AS (SELECT 1) ${leaf}`],
    ['two names that are one to CockroachDB', `DELETE FROM "app"."docs" WHERE "docs".${where} RETURNING "title"\n"_x"`],
    ['the same with more between', `DELETE FROM "app"."docs" WHERE "docs".${where} RETURNING "title" \t\n \r\n "_x"`],
    ['a literal between dollars', `SELECT $a$x$a$ FROM ${leaf} AS d`],
    [
      'an alias that only PostgreSQL cuts, beside one of the cut name',
      `UPDATE "app"."docs" AS ${long}b SET title = 'x' FROM (SELECT 7::int8 AS tenant_id) AS ${long} WHERE "${long}".${where}`,
    ],
    ['a quoted alias of 64 letters', `UPDATE "app"."docs" AS "${long}b" SET title = 'x' WHERE "${long}".${where}`],
  ])('refuses %s', (_, text) => {
    expect(() => prove({ text, slots: text.includes('$1') ? tenant : [], manifest: archive, grants: all })).toThrow(
      Unproven,
    )
  })

  it.each([
    `SELECT * FROM ${leaf} AS d ORDER BY id`,
    `SELECT "d"."id" "a", 'x' "b" FROM ${leaf} "d"`,
    `UPDATE "app"."docs" AS ${long} SET title = 'x' WHERE "${long}".${where}`,
  ])('proves %s', (text) => {
    expect(() => prove({ text, slots: tenant, manifest: archive, grants: all })).not.toThrow()
  })
})

it.each([
  ['SELECT "id"\n"x" FROM docs', 'write AS between the two names'],
  ['UPDATE docs\n"d" SET title = $1', undefined],
])('%j: refused or read alike', (text, hint) => {
  const outcome = attempt(text)
  if (hint !== undefined) expect((outcome as ScopeRefusal).hint).toBe(hint)
  else expect(outcome).toBeInstanceOf(ScopeRefusal)
})

it.each([
  ["SELECT $$it's$$", "SELECT 'it''s'"],
  ['SELECT $a$ $$ $b$ $a$, $1', "SELECT ' $$ $b$ ', $1"],
  ['SELECT $$$$', "SELECT ''"],
  ['SELECT $_$\\$_$', "SELECT '\\'"],
])('%s is sent as %s, the same value', async (text, sent) => {
  const scoped = scope.scope(text, all)
  expect(scoped.text).toBe(sent)
  const values = scoped.valueCount === 0 ? [] : ['x']
  const run = (sql: string): Promise<unknown[]> =>
    client.query({ text: sql, values, rowMode: 'array' }).then((r) => r.rows)
  expect(await run(sent)).toEqual(await run(text))
})

describe('the databases, asked', () => {
  it('has no relation in pg_catalog that a CTE out of its sight could be', async () => {
    const { rows } = await client.query(
      `SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relname NOT LIKE 'pg\\_%'`,
    )
    expect(rows).toEqual([])
  })
})

it.each([
  'DELETE FROM docs WHERE OPERATOR(pg_catalog.=) true',
  'UPDATE docs SET title = $1 WHERE OPERATOR(pg_catalog.=) $2',
  'DELETE FROM docs WHERE - 1',
])('answers %s', (text) => {
  // an operator with no left side, where the owner's confinement is looked for
  expect(() => attempt(text)).not.toThrow()
})

describe('texts that go deep', () => {
  const deepest: [name: string, text: string][] = [
    ['NOT', `SELECT ${'NOT '.repeat(1_490)}true`],
    ['minus', `SELECT ${'- '.repeat(1_490)}1`],
    ['plus', `SELECT 1${' + 1'.repeat(740)}`],
    ['casts', `SELECT 1${'::int8'.repeat(740)}`],
    ['arrows', `SELECT '{}'::jsonb${" -> 'a'".repeat(740)}`],
    ['fields', `SELECT a${'.a'.repeat(740)}`],
    ['IS NULL', `SELECT 1${' ISNULL'.repeat(1_490)}`],
    ['subscripts', `SELECT (ARRAY[1])${'[1]'.repeat(480)}`],
    ['UNION', `SELECT 1${' UNION SELECT 1'.repeat(490)}`],
    ['UNION of lists', `SELECT 1, 1${' UNION SELECT 1, 1'.repeat(780)}`],
    ['UNION with AND', `SELECT 1${' UNION SELECT 1 WHERE true AND true'.repeat(500)}`],
    ['arrays', `SELECT ${'ARRAY['.repeat(64)}1${']'.repeat(64)}`],
    ['CASE', `SELECT ${'CASE WHEN true THEN '.repeat(64)}1${' END'.repeat(64)}`],
    ['OR in AND', `SELECT ${'true OR (true AND '.repeat(64)}true${')'.repeat(64)}`],
    ['chains in brackets', `SELECT ${`${'NOT '.repeat(21)}(`.repeat(64)}true${')'.repeat(64)}`],
    ['joins', `SELECT 1 FROM unnest(ARRAY[1]) a0${' NATURAL JOIN unnest(ARRAY[1])'.repeat(140)}`],
  ]

  it.each(deepest)('%s: answered in time, and the parser lives, even with most of the stack gone', (_, text) => {
    const started = performance.now()
    const under = (frames: number): unknown => (frames === 0 ? attempt(text) : under(frames - 1))
    under(3_000)
    expect(performance.now() - started).toBeLessThan(1_000)
    expect(attempt('SELECT id FROM docs')).not.toBeInstanceOf(ScopeRefusal)
  })

  it('refuses a longer chain before the parser sees it, and counts no list as one', () => {
    expect(attempt(`SELECT ${'NOT '.repeat(MAX_CHAIN)}true`)).toMatchObject({ code: 'text_too_deep' })
    expect(attempt(`SELECT ${`${'NOT '.repeat(30)}(`.repeat(60)}1${')'.repeat(60)}`)).toMatchObject({
      code: 'text_too_deep',
    })
    expect(attempt(`SELECT ${'(1), '.repeat(900)}1`)).not.toBeInstanceOf(ScopeRefusal)
    expect(attempt(`SELECT 1 WHERE ${'1 = 1 AND '.repeat(900)}true`)).not.toBeInstanceOf(ScopeRefusal)
  })

  it('leaves the parser whole after a thousand of them', () => {
    for (let round = 0; round < 60; round++) for (const [, text] of deepest) attempt(text)
    expect(attempt('SELECT id FROM docs')).not.toBeInstanceOf(ScopeRefusal)
  })
})

function attempt(text: string): unknown {
  try {
    return scope.scope(text, all)
  } catch (error) {
    if (error instanceof ScopeRefusal) return error
    throw error
  }
}
