import { beforeAll, describe, expect, it } from 'vitest'
import { parseGrants } from '../../../src/core/scope/grants.ts'
import { refusalCodes, ScopeRefusal } from '../../../src/core/scope/refusals.ts'
import { bind, createScope, loadKernel } from '../../../src/core/scope/scope.ts'
import { all, archive, own } from './archive.ts'

beforeAll(loadKernel)

const scope = createScope({ manifest: archive, dialect: 'postgresql' })
const docs = (parameter: string): string =>
  `(SELECT "docs"."id", "docs"."tenant_id", "docs"."owner_id", "docs"."folder_id", "docs"."title", "docs"."body", "docs"."size" FROM "app"."docs" WHERE "docs"."tenant_id" OPERATOR(pg_catalog.=) ${parameter})`
const labels = `(SELECT "labels"."id", "labels"."org", "labels"."made_by", "labels"."name" FROM "app"."labels" WHERE "labels"."org" OPERATOR(pg_catalog.=) $1::text AND "labels"."made_by" OPERATOR(pg_catalog.=) $2::uuid)`
const eq = 'OPERATOR(pg_catalog.=)'

describe('what a statement becomes, to the letter', () => {
  it.each([
    ['SELECT id FROM docs', all, `SELECT id FROM ${docs('$1::int8')} AS "docs"`],
    ['SELECT id FROM app.docs d', all, `SELECT id FROM ${docs('$1::int8')} d`],
    ['SELECT $1::int8 FROM docs', all, `SELECT $1::int8 FROM ${docs('$2::int8')} AS "docs"`],
    ['SELECT id FROM labels', own, `SELECT id FROM ${labels} AS "labels"`],
    [
      'SELECT label FROM kinds',
      all,
      'SELECT label FROM (SELECT "kinds"."id", "kinds"."label" FROM "app"."kinds") AS "kinds"',
    ],
    ['SELECT 1', all, 'SELECT 1'],
    ['TABLE kinds', all, 'SELECT * FROM (SELECT "kinds"."id", "kinds"."label" FROM "app"."kinds") AS "kinds"'],
    ['DELETE FROM docs', all, `DELETE FROM "app"."docs" AS "docs" WHERE "docs"."tenant_id" ${eq} $1::int8`],
    [
      'DELETE FROM docs WHERE id = $1;',
      all,
      `DELETE FROM "app"."docs" AS "docs" WHERE "docs"."tenant_id" ${eq} $2::int8 AND ( id = $1);`,
    ],
    [
      'UPDATE docs d SET title = $1',
      own,
      `UPDATE "app"."docs" d SET title = $1 WHERE "d"."tenant_id" ${eq} $2::int8 AND "d"."owner_id" ${eq} $3::int8`,
    ],
    [
      'INSERT INTO docs (id) VALUES (1), ($1)',
      own,
      'INSERT INTO "app"."docs" ("tenant_id", "owner_id", id) VALUES ($2::int8, $3::int8, 1), ($2::int8, $3::int8, $1)',
    ],
    [
      'INSERT INTO docs (id, owner_id) VALUES (1, 5)',
      all,
      'INSERT INTO "app"."docs" ("tenant_id", id, owner_id) VALUES ($1::int8, 1, 5)',
    ],
    [
      'INSERT INTO docs (tenant_id, id, owner_id) VALUES ($1, 1, $2::bigint)',
      own,
      'INSERT INTO "app"."docs" (tenant_id, id, owner_id) VALUES ($1::int8, 1, $2::bigint)',
    ],
    [
      'INSERT INTO docs (id) SELECT DISTINCT ON (id) id FROM kinds UNION SELECT 1',
      all,
      'INSERT INTO "app"."docs" ("tenant_id", id) SELECT DISTINCT ON (id) $1::int8, id FROM (SELECT "kinds"."id", "kinds"."label" FROM "app"."kinds") AS "kinds" UNION SELECT $1::int8, 1',
    ],
    [
      'INSERT INTO docs AS d (id) VALUES (1) ON CONFLICT (id) WHERE id > 0 DO UPDATE SET title = excluded.title RETURNING *',
      all,
      `INSERT INTO "app"."docs" AS d ("tenant_id", id) VALUES ($1::int8, 1) ON CONFLICT (id) WHERE id > 0 DO UPDATE SET title = excluded.title WHERE "d"."tenant_id" ${eq} $1::int8 RETURNING "d"."id", "d"."tenant_id", "d"."owner_id", "d"."folder_id", "d"."title", "d"."body", "d"."size"`,
    ],
  ])('%s', (text, grants, final) => {
    expect(scope.scope(text, grants).text).toBe(final)
  })
})

it.each([
  'SELECT id FROM docs ORDER BY id NULLS /* a */ FIRST',
  'SELECT id FROM docs WHERE id NOT -- a\n IN (1)',
  'SELECT id FROM docs WHERE title NOT/**/LIKE $1',
  'WITH/* a */q AS (SELECT 1) SELECT * FROM q',
  'SELECT now() AT/* a */TIME ZONE $1',
])('a comment may stand where the database takes one: %s', (text) => {
  expect(scope.scope(text, all).text).not.toMatch(/\/\*|--/)
})

it.each([
  ['SELECT d.a, d.*, (SELECT 1) AS ctid FROM docs d(a, b) ORDER BY ctid', /ctid$/],
  ['SELECT secret, q.other FROM (SELECT 1 AS other) q, docs d', /^SELECT secret, q\.other/],
  ['SELECT d.secret FROM docs d WHERE EXISTS (SELECT 1 FROM (SELECT 1 AS secret) d)', /^SELECT d\.secret/],
  ['SELECT count(*) AS secret FROM docs ORDER BY secret', /secret$/],
  ['SELECT d.author FROM docs d, LATERAL (SELECT d.author FROM notes d) x', /^SELECT d\.author/],
  ['SELECT j.anything FROM (docs CROSS JOIN notes) AS j', /^SELECT j\.anything/],
  ['SELECT docs, d2 FROM docs, docs d2', /^SELECT docs, d2/],
  ['SELECT q.xmin FROM (SELECT max(id) AS xmin FROM docs) q', /^SELECT q\.xmin/],
  ['SELECT row_to_json(d), d.* FROM docs d', /^SELECT row_to_json\(d\), d\.\*/],
  [
    'DELETE FROM folders USING kinds k RETURNING *',
    /RETURNING "folders"\."id", "folders"\."name", "folders"\."tenant_id", "k"\."id", "k"\."label"$/,
  ],
  [
    'UPDATE folders AS f SET name = $1 FROM kinds CROSS JOIN app.kinds AS j RETURNING *, j.*',
    /RETURNING "f"\."id", .*"kinds"\."label", "j"\."id", "j"\."label", j\.\*$/,
  ],
])('keeps its meaning: %s', (text, final) => {
  expect(scope.scope(text, all).text).toMatch(final)
})

describe('where a refusal points', () => {
  it.each([
    ['SELECT * FROM |nothing', all],
    ["SELECT 'ü', 'ünïcode 🦊' FROM |nothing", all],
    ["SELECT 'ü🦊' FROM docs WHERE |)", all],
    ['SELECT |pg_sleep(1)', all],
    ['UPDATE docs SET title = $1, |tenant_id = $2', all],
    ['WITH a AS (SELECT 1), |docs AS (SELECT 2) SELECT 1', all],
    ['UPDATE docs SET title = $1 WHERE |docs.secret = $2', all],
    ["UPDATE docs SET title = '🦊' WHERE id IN (SELECT n.id FROM notes n WHERE |secret = $1)", all],
    ['INSERT INTO docs (id, |tenant_id) VALUES (1, 9)', all],
    ["SELECT '🦊', |xml '<a/>'", all],
    ['/* ü */ SELECT * FROM docs d, |folders f', parseGrants(['doc:read'])],
    ["SELECT 'ü;' ; ; |SELECT 2", all],
    ["SELECT /* ü🦊 */ 'ü' FROM docs WHERE |)", all],
    ['SELECT id FROM docs ORDER BY id NULLS /* ü */ FIRST |LIMITS 1', all],
    ['/* ü */ |MERGE INTO docs USING folders ON true WHEN MATCHED THEN DELETE', all],
    ["SELECT 'ü', |repeat('x', 100001)", all],
    ["SELECT 'ü', count(*), |title FROM docs GROUP BY id", all],
  ])('%s', (marked, grants) => {
    const text = marked.replace('|', '')
    expect(refusalOf(() => scope.scope(text, grants)).position).toBe(marked.indexOf('|'))
  })
})

it('never echoes a value', () => {
  for (const text of [
    "SELECT 'hunter2' FROM",
    "SELECT evil('hunter2')",
    "SELECT 'hunter2' @@@ 1",
    "SELECT 'a' 'hunter2",
    "INSERT INTO docs (id, tenant_id) VALUES (1, 'hunter2')",
  ]) {
    const refusal = refusalOf(() => scope.scope(text, all))
    expect(`${refusal.message} ${refusal.hint} ${String(refusal.cause)}`).not.toContain('hunter2')
  }
})

describe('bind', () => {
  const caller = { tenantId: '7', userId: '2' }

  it('puts the tenant and the user where the text needs them', () => {
    const scoped = scope.scope('UPDATE docs SET title = $1 WHERE id = $2', own)
    expect(bind(scoped, caller, ['x', 1])).toEqual(['x', 1, '7', '2'])
  })

  it.each([[[]], [[1]], [[1, 2, 3]]])('refuses %j where two values are asked for', (values) => {
    const scoped = scope.scope('SELECT id FROM docs WHERE id = $1 OR id = $2', all)
    expect(refusalOf(() => bind(scoped, caller, values)).code).toBe('parameter_count')
  })

  it.each([['7'], [7], [7n]])('accepts %s as the tenant', (value) => {
    const scoped = scope.scope('INSERT INTO docs (id, tenant_id) VALUES (1, $1)', all)
    expect(bind(scoped, caller, [value])).toEqual(['7'])
  })

  it.each([
    ['9'],
    [9],
    [null],
    [undefined],
    [' 7'],
    ['07'],
    [true],
    [['7']],
    [{ toString: () => '7' }],
    [Buffer.from('7')],
  ])('refuses %j as the tenant', (value) => {
    const scoped = scope.scope('INSERT INTO docs (id, tenant_id) VALUES (1, $1)', all)
    expect(refusalOf(() => bind(scoped, caller, [value])).code).toBe('tenant_mismatch')
  })

  it('compares each row, and the owner under reach own', () => {
    const rows = scope.scope('INSERT INTO docs (id, tenant_id) VALUES (1, $1), (2, $2)', all)
    expect(refusalOf(() => bind(rows, caller, ['7', '9'])).code).toBe('tenant_mismatch')
    const owned = scope.scope('INSERT INTO docs (id, owner_id) VALUES (1, $1)', own)
    expect(refusalOf(() => bind(owned, caller, ['3'])).code).toBe('owner_mismatch')
    expect(bind(owned, caller, ['2'])).toEqual(['2', '7'])
    const given = scope.scope('INSERT INTO docs (id, owner_id) VALUES (1, $1)', all)
    expect(bind(given, caller, ['3'])).toEqual(['3', '7'])
  })

  it('knows a UUID in capitals', () => {
    const id = 'ab000000-0000-4000-8000-00000000000f'
    const scoped = scope.scope('INSERT INTO labels (id, made_by) VALUES (1, $1)', own)
    const bound = bind(scoped, { tenantId: 'acme', userId: id }, [id.toUpperCase()])
    expect(bound).toEqual([id, 'acme'])
    // text is text: nobody's tenant is another's in capitals
    const text = scope.scope('INSERT INTO labels (id, org) VALUES (1, $1)', all)
    expect(refusalOf(() => bind(text, { tenantId: 'acme', userId: id }, ['ACME'])).code).toBe('tenant_mismatch')
  })

  it('runs nothing for nobody', () => {
    const scoped = scope.scope('SELECT id FROM docs', all)
    expect(refusalOf(() => bind(scoped, { tenantId: '', userId: '2' }, [])).code).toBe('tenant_mismatch')
    const owned = scope.scope('SELECT id FROM docs', own)
    expect(refusalOf(() => bind(owned, { tenantId: '7', userId: '' }, [])).code).toBe('owner_mismatch')
  })
})

describe('the cache', () => {
  const text = 'SELECT id FROM docs'

  it('gives one text another meaning for other grants', () => {
    const wide = scope.scope(text, all)
    const narrow = scope.scope(text, own)
    expect(narrow.text).not.toBe(wide.text)
    expect(narrow.name).not.toBe(wide.name)
    expect(scope.scope(text, all)).toBe(wide)
    expect(() => scope.scope(text, new Map())).toThrow(ScopeRefusal)
    expect(scope.scope(text, parseGrants(['doc:read@own']))).toEqual(narrow)
  })

  it('forgets the least recently used, and scopes it again alike', () => {
    const small = createScope({ manifest: archive, dialect: 'cockroachdb', cacheSize: 2 })
    const first = small.scope('SELECT 1', all)
    const second = small.scope('SELECT 2', all)
    expect(small.scope('SELECT 1', all)).toBe(first)
    small.scope('SELECT 3', all)
    expect(small.scope('SELECT 1', all)).toBe(first)
    const again = small.scope('SELECT 2', all)
    expect(again).not.toBe(second)
    expect(again).toEqual(second)
  })

  it('does not follow a manifest that changes afterwards', () => {
    const tables = archive.tables.map((table) => ({ ...table }))
    const mine = createScope({ manifest: { tables, roles: {} }, dialect: 'postgresql' })
    tables.length = 0
    expect(mine.scope('SELECT id FROM docs', all).text).toContain('"app"."docs"')
  })

  it('hands out what nobody can change', () => {
    const scoped = scope.scope('INSERT INTO docs (id, tenant_id) VALUES (1, $1)', all)
    expect([scoped, scoped.slots, scoped.checks].every(Object.isFrozen)).toBe(true)
  })

  it('names a text by its digest: short enough for every server', () => {
    const { name } = scope.scope(text, all)
    expect(name).toMatch(/^hf_[A-Za-z0-9_-]{32}$/)
    expect(createScope({ manifest: archive, dialect: 'postgresql' }).scope(text, all).name).toBe(name)
  })
})

it.each([
  ['SELECT id FROM docs', 'select', true],
  ['SELECT id FROM docs FOR SHARE', 'select', false],
  ['SELECT (SELECT id FROM docs FOR UPDATE)', 'select', false],
  ['INSERT INTO docs (id) VALUES (1)', 'insert', false],
  ['UPDATE docs SET title = $1', 'update', false],
  ['DELETE FROM docs', 'delete', false],
])('%s is %s, read-only: %s', (text, verb, readOnly) => {
  expect(scope.scope(text, all)).toMatchObject({ verb, readOnly })
})

it('locks what FOR UPDATE names, and asks for no more', () => {
  const grants = parseGrants(['doc:read', 'note:read', 'doc:update'])
  const accepted = [
    'SELECT 1 FROM docs d JOIN notes n ON true FOR UPDATE OF d',
    'SELECT 1 FROM docs WHERE id IN (SELECT doc_id FROM notes) FOR UPDATE',
    'WITH x AS (SELECT id FROM notes) SELECT 1 FROM docs, x FOR UPDATE OF docs',
  ]
  for (const text of accepted) expect(scope.scope(text, grants).verb).toBe('select')
  expect(refusalOf(() => scope.scope('SELECT 1 FROM docs d JOIN notes n ON true FOR UPDATE', grants)).code).toBe(
    'grant_missing',
  )
})

it('has a message for every code, and no code is without a test or a user', () => {
  expect(Object.values(refusalCodes).every((message) => message.endsWith('.'))).toBe(true)
})

function refusalOf(work: () => unknown): ScopeRefusal {
  try {
    work()
  } catch (error) {
    if (error instanceof ScopeRefusal) return error
    throw error
  }
  throw new Error('was accepted')
}
