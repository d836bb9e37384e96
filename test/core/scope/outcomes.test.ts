import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { parseGrants } from '../../../src/core/scope/grants.ts'
import { ScopeRefusal } from '../../../src/core/scope/refusals.ts'
import { createScope, loadKernel, type Scope } from '../../../src/core/scope/scope.ts'
import { statements as rewritten } from './mutation/statements.ts'
import { everything, office, owned } from './prover/office.ts'

/**
 * What becomes of a statement, to the letter: final text, slots, checks, sizes and proof, or the refusal's code and place.
 * The page says what is; whoever changes it says so in a diff. Made again with:
 * npx vitest run test/core/scope/outcomes.test.ts --update
 */
const page = 'outcomes.txt'

const callers = {
  all: everything,
  own: owned,
  some: parseGrants([
    'doc:read',
    'doc:update@own',
    'doc:create',
    'doc:reassign',
    'note:read@own',
    'line:create@own',
    'line:read',
  ]),
}

/** Each at a place of the kernel where it decides. */
const statements: readonly string[] = [
  ...rewritten,
  // tokens
  "SELECT E'a\\'b', e'', E'it''s', 'it''s', '', $$$$, $$a$$, $x$it's $$ in$x$, $q$$q$",
  "SELECT b'01', B'', b'2', x'1F', X'af', x''",
  "SELECT x'1G'",
  "SELECT b'0\\'",
  'SELECT 1., .5, 1.5e3, 1E+3, 1e-3, 12',
  'SELECT 0b11',
  'SELECT 1_0',
  'SELECT id "a" FROM docs',
  'SELECT 1 AS "a"\n, 2 AS "b"',
  'SELECT 1 AS "a" "b"',
  'SELECT docs.id "x"\n"y" FROM docs',
  'SELECT id x\n"y" FROM docs',
  'SELECT id "x"\ny FROM docs',
  'SELECT id\n"y" FROM docs',
  `SELECT 1 AS ${'a'.repeat(63)}, 2 AS "${'b'.repeat(63)}"`,
  `SELECT 1 AS ${'a'.repeat(64)}`,
  `SELECT 1 AS "${'a'.repeat(64)}"`,
  `SELECT '${'a'.repeat(70)}', 1 AS b`,
  `SELECT 1 /* ${'a'.repeat(70)} */ AS b`,
  'SELECT U&"a"',
  "SELECT U&'a'",
  "SELECT 'é', 1 AS é",
  "SELECT 'a' 'b'",
  "SELECT 'a'\n'b'",
  "SELECT E'a'\n'b'",
  "/* é */ SELECT id FROM docs WHERE title = 'é' AND )",
  'SELECT /* a */ id FROM docs ORDER BY id NULLS /* b */ FIRST',
  "SELECT 'é' /* c */ FROM docs WHERE",
  'SELECT /* é */ FROM docs WHERE )',
  '/* a */ SELECT 1 /* b */; -- c',
  ';SELECT 1',
  ';;SELECT 1;;',
  'SELECT 1;; SELECT 2',
  '; SELECT 1; SELECT 2; SELECT 3',
  'SELECT 1;',
  ' ',
  ';',
  'SELECT 1 \ud800',
  'SELECT 1\0',
  // statements and constructs
  'COMMIT',
  '/* a */ COMMIT',
  'WITH x AS (SELECT 1) MERGE INTO docs USING x ON true WHEN MATCHED THEN DELETE',
  'WITH x AS (MERGE INTO docs USING notes ON true WHEN MATCHED THEN DELETE) SELECT 1',
  'SELECT 1, (WITH x AS (DELETE FROM docs RETURNING id) SELECT id FROM x)',
  'WITH y AS (WITH x AS (DELETE FROM docs RETURNING id) SELECT id FROM x) SELECT id FROM y',
  'WITH y AS (WITH x AS (SELECT 1 AS id) DELETE FROM docs USING x RETURNING docs.id) SELECT id FROM y',
  'SELECT * INTO x FROM docs',
  'SELECT id FROM docs TABLESAMPLE SYSTEM (1)',
  'SELECT * FROM ROWS FROM (unnest(ARRAY[1])) AS x',
  'SELECT 1, xmlelement(name a)',
  'SELECT 1, CURRENT_USER',
  'SELECT 1, CURRENT_SCHEMA',
  'SELECT CURRENT_DATE, CURRENT_TIMESTAMP(2), LOCALTIME',
  'UPDATE docs SET title[1] = $1',
  'UPDATE docs SET title = $1 WHERE CURRENT OF c',
  'INSERT INTO docs (id) OVERRIDING SYSTEM VALUE VALUES (1)',
  'INSERT INTO docs (title[1]) VALUES ($1)',
  "SELECT id FROM docs WHERE title LIKE 'a%' AND title ILIKE 'b' AND title SIMILAR TO 'c' AND title NOT LIKE 'd'",
  'SELECT id FROM docs WHERE size BETWEEN 1 AND 2 AND size NOT BETWEEN SYMMETRIC 4 AND 3',
  'SELECT id FROM docs WHERE size = ANY ($1) AND size <> ALL ($2) AND id IN (1, 2)',
  'SELECT 1 = ANY (SELECT size FROM docs), 1 IN (SELECT size FROM docs), 1 > ALL (SELECT 2)',
  'SELECT 1 OPERATOR(evil.=) ANY (SELECT 2)',
  'SELECT 1, 2 @@@ 3',
  'SELECT 1, 2 OPERATOR(pg_catalog.+) 3, 4 OPERATOR(evil.+) 5',
  'SELECT 2 OPERATOR(x.pg_catalog.+) 3',
  'SELECT 1, pg_sleep(1)',
  'SELECT pg_catalog.lower($1), evil.lower($1)',
  'SELECT x.pg_catalog.lower($1)',
  'SELECT nosuch(1)',
  'SELECT app.nosuch(1)',
  'SELECT pg_catalog.shorten(title) FROM docs',
  'SELECT x.app.shorten(title) FROM docs',
  "SELECT 1, 'a'::regclass",
  "SELECT 'a'::nosuch",
  "SELECT 'a'::app.nosuch",
  "SELECT 'a'::app.mood, ARRAY['a']::app.mood[]",
  "SELECT 'a'::x.app.mood",
  "SELECT 'a'::pg_catalog.text, 1::numeric(3, 1), 'b'::varchar(3), ARRAY[1]::int4[]",
  `SELECT 'a' COLLATE "C", 'b' COLLATE pg_catalog."C"`,
  `SELECT 1, 'a' COLLATE "nosuch"`,
  `SELECT 'a' COLLATE evil."C"`,
  `SELECT 'a' COLLATE x.pg_catalog."C"`,
  'SELECT (ARRAY[1, 2])[1], (ARRAY[1, 2])[1:2], (ARRAY[ARRAY[1]])[1][1]',
  'SELECT 1, (ROW(1)).f1',
  'SELECT (ARRAY[1])[1].f1',
  'SELECT (ROW(1)).*',
  'SELECT $1, $2, $3',
  'SELECT $1, $1, $2',
  'SELECT $2',
  'SELECT 1, $0',
  'SELECT 1, $1001',
  'SELECT $1, $3',
  // relations
  'SELECT id FROM ONLY docs',
  'SELECT id FROM docs *',
  'SELECT id FROM app.docs *',
  'SELECT id FROM x.app.docs',
  'SELECT 1 FROM nosuch',
  'SELECT id FROM "Docs"',
  'SELECT id FROM DOCS',
  'table docs',
  'SELECT 1 AS "table", id FROM docs',
  'SELECT d.id AS table FROM docs d',
  'TABLE docs UNION TABLE docs',
  'SELECT id FROM docs d WHERE EXISTS (TABLE notes)',
  'SELECT id FROM docs FOR UPDATE OF app.docs',
  'SELECT id FROM docs FOR UPDATE OF docs NOWAIT',
  'SELECT id FROM docs d FOR NO KEY UPDATE OF d SKIP LOCKED',
  'SELECT d.id FROM docs d JOIN kinds k ON true FOR UPDATE OF d',
  'SELECT d.id FROM docs d JOIN kinds k ON true FOR UPDATE OF k',
  'SELECT j.id FROM (docs d JOIN notes n USING (body)) AS j FOR UPDATE OF j',
  'SELECT d.id FROM (docs d JOIN notes n ON true) JOIN folders f ON true FOR SHARE OF f',
  'SELECT d.id FROM kinds k JOIN (SELECT id FROM docs) d ON true FOR SHARE OF d',
  'SELECT d.id FROM docs d, (SELECT id FROM kinds) k FOR SHARE',
  'SELECT id FROM docs WHERE id IN (SELECT id FROM notes FOR SHARE)',
  'SELECT app.docs.id, app.docs.* FROM app.docs',
  'SELECT app.docs.id FROM docs',
  'SELECT other.docs.id FROM app.docs',
  'SELECT app.nosuch.id FROM docs',
  'SELECT x.app.docs.id FROM app.docs',
  'SELECT app . docs . id, app.docs.size FROM app.docs WHERE app.docs.id = ANY ($1)',
  'SELECT id FROM docs d WHERE d.id = app.docs.id',
  'DELETE FROM app.docs WHERE app.docs.id = $1 RETURNING app.docs.*, app.docs.id, docs.*',
  'WITH pg_x AS (SELECT 1) SELECT 1',
  'WITH system AS (SELECT 1) SELECT 1',
  'WITH a AS (SELECT 1), information_schema AS (SELECT 2) SELECT 1',
  'WITH x AS (SELECT 1 AS id) SELECT id FROM x UNION SELECT id FROM docs',
  'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n FROM r',
  'SELECT x.current_user FROM docs x',
  'SELECT x.regclass, x.id FROM docs x',
  'SELECT x.money FROM docs x',
  // what a leaf lacks
  'SELECT ctid FROM docs',
  'SELECT d.xmin FROM docs d',
  'SELECT 1 FROM docs WHERE tableoid = 1 OR cmin = 1',
  'SELECT xmax FROM docs',
  'SELECT cmax FROM docs',
  'SELECT cmin FROM docs',
  'SELECT x.ctid FROM (SELECT 1 AS ctid) x, docs',
  'SELECT xmin FROM (SELECT 1 AS xmin) x',
  'SELECT xmin FROM docs d, (VALUES (1)) v(xmin)',
  'WITH v(xmax) AS (SELECT 1) SELECT xmax FROM v, docs',
  'SELECT xmin FROM json_to_record($1) AS x(xmin int4), docs',
  'SELECT d.ctid FROM docs AS d(ctid)',
  'SELECT ctid FROM docs AS d(a), notes',
  'SELECT d.ctid FROM notes n',
  'WITH d AS (SELECT 1 AS a) SELECT d.ctid FROM d, docs',
  'SELECT 1 AS x, d FROM docs AS d(a)',
  'SELECT d.* FROM docs AS d(a)',
  'SELECT row_to_json(d.*) FROM docs AS d(a)',
  'SELECT count(d.*), d FROM docs d',
  'SELECT count(*) FROM docs AS d(a)',
  'WITH d AS (SELECT 1 AS a) SELECT d FROM d AS d(b)',
  // groups
  'SELECT d.title FROM docs d GROUP BY d.id',
  'SELECT d.title, f.name FROM docs d JOIN folders f ON f.id = d.folder_id GROUP BY d.title, f.id',
  'SELECT title FROM docs, (SELECT 1 AS a) x GROUP BY id',
  'SELECT d.title FROM docs d, (SELECT 1 AS a) x GROUP BY d.id',
  'SELECT title FROM (docs d JOIN folders f ON true) GROUP BY size',
  'SELECT title FROM (docs d JOIN folders f ON true) AS j GROUP BY size',
  'SELECT title FROM docs d JOIN (SELECT 1 AS a) x ON true GROUP BY size',
  'SELECT j.title FROM (docs d JOIN folders f USING (id)) AS j GROUP BY j.id',
  'SELECT title FROM docs AS d(id, a, b, c, title) GROUP BY id',
  'WITH folders2 AS (SELECT 1 AS id, 2 AS name) SELECT name FROM folders2 GROUP BY id',
  'WITH x AS (SELECT 1 AS id, 2 AS title) SELECT title FROM x, docs GROUP BY x.id',
  'SELECT (SELECT max(n.body) FROM notes n WHERE n.doc_id = d.size) FROM docs d GROUP BY d.id',
  'SELECT size IN (SELECT 1) FROM docs GROUP BY id',
  'SELECT id FROM docs GROUP BY id ORDER BY docs.title',
  'SELECT title AS t FROM docs GROUP BY title ORDER BY t, title',
  'SELECT size AS title FROM docs GROUP BY size ORDER BY title',
  'SELECT title AS x, size AS x FROM docs GROUP BY x',
  'SELECT size, title FROM docs GROUP BY 2',
  'SELECT size, title FROM docs GROUP BY 1, 2 HAVING size > 1 ORDER BY 2, size',
  'SELECT size + 1, 2 FROM docs GROUP BY size + 1',
  'SELECT size + 1 FROM docs GROUP BY size + 2',
  'SELECT title || body FROM docs GROUP BY title || body',
  'SELECT lower(title) FROM docs GROUP BY upper(title)',
  'SELECT title::text FROM docs GROUP BY title::pg_catalog.text',
  'SELECT title::text FROM docs GROUP BY title::varchar',
  "SELECT extract(year FROM now()), EXTRACT('year' FROM now()) FROM docs GROUP BY extract('year' FROM now())",
  'SELECT GROUPING(size, title) FROM docs GROUP BY ROLLUP (size, title)',
  'SELECT (size, title) FROM docs GROUP BY (size, title)',
  'SELECT size, body FROM docs GROUP BY GROUPING SETS ((size), (title))',
  'SELECT count(DISTINCT size), count(size) FILTER (WHERE size > 1), string_agg(title, $1 ORDER BY id), avg(size) FROM docs GROUP BY folder_id',
  'SELECT count(*) FILTER (WHERE size > 1), app.shorten(title), app.shorten(body ORDER BY id) FROM docs GROUP BY folder_id',
  'SELECT app.shorten(title), pg_catalog.max(title), pg_catalog.upper(title) FROM docs GROUP BY folder_id',
  'SELECT stddev(size), var_pop(size), any_value(title), percentile_cont($1) WITHIN GROUP (ORDER BY size), every(true), json_object_agg(id, size), covar_samp(id, size), rank($2) WITHIN GROUP (ORDER BY size) FROM docs GROUP BY folder_id',
  'SELECT sum(size) OVER (PARTITION BY folder_id) FROM docs GROUP BY folder_id',
  'SELECT CASE WHEN size > 1 THEN 1 END FROM docs GROUP BY folder_id',
  'SELECT DISTINCT folder_id FROM docs GROUP BY folder_id ORDER BY count(*)',
  'SELECT * FROM docs, (SELECT 1 AS a) x GROUP BY id',
  'SELECT d.* FROM docs d GROUP BY d.id',
  'SELECT x.* FROM docs d, (SELECT 1 AS a) x GROUP BY d.id',
  'SELECT 1 FROM docs GROUP BY ()',
  // sizes
  "SELECT repeat('a', 10), lpad('a', $1), rpad('a', 5 + 1)",
  "SELECT repeat('a', $1::int4), repeat('b', NULL), repeat('c', -1), repeat('d', 1.5)",
  "SELECT repeat('a', - $1)",
  "SELECT repeat('a', '5')",
  "SELECT repeat('a', $1::text)",
  "SELECT repeat('a', $1::int4[])",
  "SELECT repeat('a', (5)), repeat('b', 5::int8::numeric)",
  "SELECT 'a'::char(1000000), 'b'::pg_catalog.bpchar(2), 'c'::bit(3)",
  "SELECT 1, 'a'::char(1000001)",
  'SELECT generate_series(1, 10), generate_series(1, $1, 2), generate_series(10, 1, -1)',
  'SELECT generate_series(1, size) FROM docs',
  'SELECT generate_series(1, 10, size) FROM docs',
  "SELECT generate_series($1, $2, interval '1 day'), generate_series($3, $4, $5::interval)",
  'SELECT generate_series($1, $2, $3::interval[])',
  'SELECT generate_series(1, 1000000), 1',
  'SELECT generate_series(0, 1000000)',
  'SELECT generate_series(1, 2000, 2), generate_series(1, 1000)',
  'SELECT generate_series(1, 2000, 2), generate_series(1, 1001)',
  // changes
  'UPDATE docs SET title = $1 FROM notes n WHERE n.id = docs.id RETURNING *',
  'UPDATE docs SET title = $1 FROM notes AS n(a) WHERE n.a = docs.id RETURNING *',
  'WITH x AS (SELECT 1 AS id) UPDATE docs SET title = $1 FROM x RETURNING *',
  'UPDATE docs SET title = $1 FROM notes n JOIN folders f ON true RETURNING *',
  'UPDATE docs SET title = $1 FROM notes n JOIN folders f USING (id) RETURNING *',
  'UPDATE docs SET title = $1 FROM (notes n CROSS JOIN folders f) AS j RETURNING *',
  'UPDATE docs SET title = $1 FROM (SELECT 1) x RETURNING *',
  'UPDATE docs SET title = $1 FROM (SELECT 1) x RETURNING docs.*, x.*',
  'DELETE FROM docs d USING notes n RETURNING d.*, n.*, n.id',
  'UPDATE docs SET title = docs',
  'UPDATE docs d SET title = $1 WHERE d IS NULL',
  'UPDATE docs d SET title = $1 WHERE d.* IS NULL',
  'INSERT INTO docs (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET title = $1 WHERE excluded.* IS NULL',
  'UPDATE docs SET title = $1 RETURNING docs',
  'UPDATE docs SET title = $1 RETURNING docs.secret',
  'UPDATE docs SET title = $1, folder_id = $2, tenant_id = $3',
  'UPDATE docs SET (title, owner_id) = ($1, $2)',
  'UPDATE docs SET (title, body) = (SELECT n.body, $1 FROM notes n WHERE n.id = docs.id)',
  'UPDATE docs SET title = DEFAULT',
  'UPDATE nosuch SET a = 1',
  'UPDATE x.app.docs SET title = $1',
  'UPDATE ONLY docs SET title = $1',
  'UPDATE docs * SET title = $1',
  'UPDATE docs AS old SET title = $1',
  'DELETE FROM docs AS new',
  'DELETE FROM docs AS "new"',
  'INSERT INTO docs AS excluded (id) VALUES (1)',
  'DELETE FROM lines AS docs',
  'DELETE FROM notes AS docs',
  'UPDATE docs AS "a""b" SET title = $1 RETURNING "a""b".*',
  'DELETE FROM docs WHERE id = ANY (ARRAY[1, 2]) AND (size > 1) RETURNING (SELECT 1 WHERE true)',
  'DELETE FROM docs USING (SELECT id FROM notes WHERE true) n WHERE n.id = docs.id;',
  'DELETE FROM docs /* a */ WHERE /* b */ true /* c */ ; /* d */',
  'DELETE FROM docs -- a\n;',
  'WITH a AS (UPDATE docs SET title = $1 WHERE (id = 1) RETURNING id), b AS (DELETE FROM notes RETURNING id) SELECT 1 FROM a, b WHERE true',
  'WITH a AS (DELETE FROM docs d USING notes n WHERE n.id = (ARRAY[1])[1]) SELECT 1',
  'WITH a AS (INSERT INTO docs DEFAULT VALUES RETURNING id) SELECT id FROM a',
  'WITH a AS (INSERT INTO docs (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET title = $1) SELECT (1), 2 WHERE true',
  // INSERT
  'INSERT INTO docs VALUES (1)',
  'INSERT INTO docs AS d DEFAULT VALUES RETURNING d.id AS default, d.*',
  'INSERT INTO kinds DEFAULT VALUES',
  'INSERT INTO docs (id) VALUES (1), (2), ((SELECT 3)) RETURNING id, (SELECT 1)',
  'INSERT INTO docs (id) (VALUES (1))',
  'INSERT INTO docs (id) VALUES (1) ORDER BY 1',
  'INSERT INTO docs (id) VALUES (1) LIMIT 1',
  'INSERT INTO docs (id) SELECT 1 UNION VALUES (2)',
  'INSERT INTO docs (id) TABLE docs',
  'INSERT INTO docs (id) SELECT FROM docs',
  'INSERT INTO docs (id, title) SELECT DISTINCT 1, title FROM docs',
  'INSERT INTO docs (id, title) SELECT DISTINCT ON (title) id, title FROM docs GROUP BY id, title ORDER BY title',
  'INSERT INTO docs (id) SELECT DISTINCT ON (1) id FROM docs',
  'INSERT INTO docs (id) SELECT size FROM docs GROUP BY 1',
  'INSERT INTO docs (id) SELECT 1 UNION SELECT size FROM docs GROUP BY 1',
  'INSERT INTO docs (id) SELECT 1 UNION ALL (SELECT 2 EXCEPT SELECT 3)',
  'WITH x AS (SELECT 1 AS id) INSERT INTO docs (id) SELECT id FROM x',
  'INSERT INTO docs (id) WITH x AS (SELECT 1 AS id) SELECT id FROM x',
  'INSERT INTO docs (tenant_id, id) VALUES ($1, 1), ($2::int8, 2), ($3::pg_catalog.int8, 3), (DEFAULT, 4)',
  'INSERT INTO docs (tenant_id) VALUES ($1::int8[])',
  'INSERT INTO docs (tenant_id) VALUES ($1::numeric(3))',
  'INSERT INTO docs (tenant_id) VALUES (1), ($1)',
  'INSERT INTO docs (id, tenant_id) VALUES ($1, $1)',
  'INSERT INTO docs (id, tenant_id) SELECT $1, $2',
  'INSERT INTO docs (id, tenant_id) SELECT 1, $1 UNION SELECT 2, $2::int8',
  'INSERT INTO docs (id, tenant_id) SELECT *, $1 FROM (SELECT 1) x',
  'INSERT INTO docs (tenant_id, id) SELECT $1, x.* FROM (SELECT 1) x',
  'INSERT INTO docs (id, owner_id) VALUES (1, $1)',
  'INSERT INTO docs (id, owner_id, tenant_id) VALUES (1, DEFAULT, $1)',
  'INSERT INTO docs (id, owner_id) VALUES (1, 5)',
  'INSERT INTO docs (id, nosuch) VALUES (1, 2)',
  'INSERT INTO docs (id, size) VALUES (1, DEFAULT), (2, DEFAULT)',
  'INSERT INTO docs (id, size) VALUES (1, DEFAULT), (2, 3)',
  'INSERT INTO docs (id, secret) VALUES (1, DEFAULT)',
  'INSERT INTO docs (id) VALUES (1) ON CONFLICT DO NOTHING RETURNING *',
  'INSERT INTO docs (id) VALUES (1) ON CONFLICT ON CONSTRAINT docs_pkey DO NOTHING',
  'INSERT INTO docs (id) VALUES (1) ON CONFLICT (lower(title)) DO NOTHING',
  'INSERT INTO docs (id) VALUES (1) ON CONFLICT (lower(secret)) DO NOTHING',
  'INSERT INTO docs (id) VALUES (1) ON CONFLICT (id DESC) DO NOTHING',
  'INSERT INTO docs (id) VALUES (1) ON CONFLICT (id) WHERE (id > 0) DO UPDATE SET title = $1 WHERE docs.size > 1 AND (true)',
  'INSERT INTO docs (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET title = excluded.secret',
  'INSERT INTO docs (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET nosuch = $1',
  'INSERT INTO lines (doc_id) SELECT d.id FROM docs d JOIN notes d2 ON true',
  'INSERT INTO lines (doc_id) SELECT d.id FROM docs d, notes n WHERE n.id = 1 ON CONFLICT DO NOTHING',
  'INSERT INTO lines (doc_id) SELECT d.id FROM notes n RIGHT JOIN docs d ON true',
  'INSERT INTO lines (doc_id) SELECT d.id FROM docs d LEFT JOIN notes n ON true',
  'INSERT INTO lines (doc_id) SELECT d.id FROM docs d RIGHT JOIN notes n ON true',
  'INSERT INTO lines (doc_id) SELECT d.id FROM (notes n LEFT JOIN docs d ON true) JOIN kinds k ON true',
  'INSERT INTO lines (doc_id) SELECT d.id FROM kinds k JOIN (docs d JOIN notes n ON true) ON true',
  'INSERT INTO lines (doc_id) SELECT d.id FROM kinds k LEFT JOIN (docs d JOIN notes n ON true) ON true',
  'INSERT INTO lines (doc_id) SELECT d.id FROM docs d FULL JOIN notes n ON true',
  'INSERT INTO lines (doc_id) SELECT d.id FROM (docs d JOIN notes n ON true) AS j',
  'INSERT INTO lines (doc_id) SELECT d.id FROM notes d',
  'INSERT INTO lines (doc_id) SELECT app.docs.id FROM app.docs',
  'INSERT INTO lines (doc_id) SELECT x.app.docs.id FROM app.docs',
  'INSERT INTO lines (doc_id) SELECT d.id FROM docs d GROUP BY d.id',
  'INSERT INTO lines (doc_id) SELECT d.id FROM docs d GROUP BY GROUPING SETS ((d.id), ())',
  'INSERT INTO lines (item, doc_id) SELECT $1, d.id FROM docs d UNION SELECT $2, e.id FROM docs e',
  'INSERT INTO lines (doc_id, item) SELECT d.id, x.* FROM docs d, (SELECT 1) x',
  'INSERT INTO lines (item) SELECT $1 FROM docs d',
  'INSERT INTO lines (doc_id, doc_id) SELECT d.id, d.id FROM docs d',
  'INSERT INTO lines (doc_id) SELECT d.id FROM docs d RETURNING lines.*, *',
]

let scope: Scope
beforeAll(async () => {
  await loadKernel()
  scope = createScope({ manifest: office, dialect: 'postgresql' })
})

/** The columns of each table as a leaf lists them: told by the name of the table, where they are all there. */
const lists = office.tables.map(({ name, columns }) => {
  const list = Object.keys(columns).map((column) => `"${name}"."${column}"`)
  return [list.join(', '), `«${name}»`] as const
})

function outcomeOf(text: string, name: keyof typeof callers): string {
  try {
    const {
      proof,
      text: final,
      slots,
      checks,
      sizes,
      verb,
      writes,
      readOnly,
      valueCount,
    } = scope.scope(text, callers[name])
    const bound = slots.map((slot) => (slot.kind === 'value' ? slot.index : slot.kind)).join(' ')
    const kind = `${verb}${writes ? ', writes' : ''}${readOnly ? ', reads only' : ''}, ${valueCount} values`
    const more = checks.length + sizes.length === 0 ? '' : ` ${JSON.stringify({ checks, sizes })}`
    const short = lists.reduce((shortened, [list, sign]) => shortened.replaceAll(list, sign), final)
    return [`${kind} [${bound}]${more}`, short, ...(name === 'all' ? proof : [])].join('\n    ')
  } catch (error) {
    if (!(error instanceof ScopeRefusal)) throw error
    const { code, position, cause } = error
    const place =
      position === undefined ? '' : ` at ${position}: ${JSON.stringify(text.slice(position, position + 12))}`
    // of two that stand behind each other, which one it was that refused
    return `${code}${place}${cause === undefined ? '' : ` (${(cause as Error).message})`}`
  }
}

const texts = [...new Set(statements)].map((text) => [JSON.stringify(text), text] as const)

function entryOf(title: string, text: string): string {
  const outcomes = (Object.keys(callers) as (keyof typeof callers)[]).map(
    (name) => `  ${name}: ${outcomeOf(text, name)}`,
  )
  return [title, ...outcomes].join('\n')
}

describe('to the letter', () => {
  const told = new Map(
    readFileSync(new URL(page, import.meta.url), 'utf8')
      .trim()
      .split('\n\n')
      .map((entry) => [entry.split('\n', 1)[0], entry] as const),
  )
  it.each(texts)('%s', (title, text) => {
    expect(entryOf(title, text)).toBe(told.get(title))
  })
})

it('the page has them all, and no others', async () => {
  await expect(`${texts.map(([title, text]) => entryOf(title, text)).join('\n\n')}\n`).toMatchFileSnapshot(page)
})
