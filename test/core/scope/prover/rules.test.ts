import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Grants } from '../../../../src/core/scope/grants.ts'
import type { Manifest } from '../../../../src/core/scope/manifest.ts'
import { prove, type Slot, Unproven } from '../../../../src/core/scope/prover/prove.ts'
import { type Content, SHAPES } from '../../../../src/core/scope/shapes.ts'
import { FUNCTIONS, TYPES } from '../../../../src/core/scope/vocabulary/index.ts'
import { loadKernel } from '../../../../src/core/scope/scope.ts'
import {
  docs,
  everything,
  folders,
  kinds,
  lineOf,
  lines,
  office,
  owned,
  ownDocs,
  ownerOf,
  ownLineOf,
  ownLines,
  papers,
  slots,
  tenantOf,
} from './office.ts'

beforeAll(loadKernel)

type Case = readonly [text: string, options?: Partial<{ grants: Grants; slots: readonly Slot[]; manifest: Manifest }>]

const proof = ([text, options]: Case): readonly string[] =>
  prove({ text, slots, manifest: office, grants: everything, ...options })
const OWN = { grants: owned }
const without = (...permissions: string[]): { grants: Grants } => ({
  grants: new Map([...everything].filter(([name]) => !permissions.includes(name))),
})
const withOwn = (permission: string): { grants: Grants } => ({ grants: new Map(everything).set(permission, 'own') })
/** A manifest that the manifest's own checks would not let through. */
const withLines = (change: object): { manifest: Manifest } => ({
  manifest: { ...office, tables: office.tables.map((one) => (one.name === 'lines' ? { ...one, ...change } : one)) },
})
const REASSIGN = { grants: new Map(everything).set('doc:reassign', 'tenant') }

const D = `"app"."docs" AS "d"`
const L = `"app"."lines" AS "l"`
const GONE = `WITH gone AS (DELETE FROM "app"."notes" AS "n" WHERE ${tenantOf('n')} RETURNING n.id)`
const INSERT = 'INSERT INTO "app"."docs" ("tenant_id", id, title) VALUES ($2::int8, $1, \'x\')'
const LINE = `INSERT INTO "app"."lines" (id, doc_id) SELECT $1, p.id FROM`

/** Each rule by the words in which it refuses, with texts that it lets through and texts that it alone refuses. */
const rules: readonly (readonly [rule: string, good: readonly Case[], bad: readonly Case[]])[] = [
  ['exactly one statement', [['SELECT 1'], ['SELECT 1;']], [['SELECT 1; SELECT 2'], [';']]],
  [
    'a text that parses',
    [['SELECT 1']],
    [[''], ['SELECT 1 FROM'], ['SELECT 1 /* open'], [`SELECT 1 FROM ${docs.slice(0, -1)}`]],
  ],
  [
    'one of the four kinds of statement',
    [[INSERT], ['SELECT 1'], [`DELETE FROM ${D} WHERE ${tenantOf('d')}`]],
    [
      ['EXPLAIN SELECT 1'],
      ['TRUNCATE "app"."docs"'],
      [`MERGE INTO "app"."docs" AS d USING ${docs} AS s ON d.id = s.id WHEN MATCHED THEN DELETE`],
      [`WITH x AS (MERGE INTO "app"."docs" AS d USING ${docs} AS s ON true WHEN MATCHED THEN DELETE) SELECT 1`],
    ],
  ],
  [
    'a change as a query of the outermost WITH',
    [
      [`${GONE} SELECT id FROM gone`],
      [`${GONE}, made AS (${INSERT} RETURNING id) UPDATE ${D} SET title = 'x' WHERE ${tenantOf('d')}`],
    ],
    [
      [`WITH x AS (${GONE} SELECT id FROM gone) SELECT id FROM x`],
      [`SELECT (${GONE} SELECT max(id) FROM gone)`],
      [`SELECT * FROM (${GONE} SELECT id FROM gone) AS x`],
      [`WITH x AS (${GONE} DELETE FROM ${D} WHERE ${tenantOf('d')}) SELECT 1`],
      [`(${GONE} SELECT id FROM gone) UNION SELECT 1`],
      [`INSERT INTO "app"."docs" ("tenant_id") ${GONE} SELECT $2::int8 FROM gone`],
    ],
  ],
  ['a value at its own place', [['SELECT $1']], [['SELECT $1', { slots: [{ kind: 'value', index: 1 }] }]]],
  [
    'a parameter of a value',
    [['SELECT $1::int8']],
    [
      ['SELECT $2::int8'],
      ['SELECT $9'],
      [`SELECT * FROM ${docs} AS d WHERE d.owner_id = $3::int8`],
      [`UPDATE ${D} SET folder_id = $2::int8 WHERE ${tenantOf('d')}`],
      [`${GONE.replace('RETURNING n.id', 'RETURNING $2::int8')} SELECT 1`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} AND ${tenantOf('d')}`],
      [`INSERT INTO "app"."docs" ("tenant_id", id, folder_id) VALUES ($2::int8, 1, $2::int8)`],
      [`DELETE FROM ${L} WHERE ${lineOf('l')} AND (l.id = $2::int8)`],
      // what is almost the confinement is none, so that its parameter stands out
      [`DELETE FROM ${D} WHERE ${tenantOf('e')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d').replace('"d".', '')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d').replace('"tenant_id"', '"folder_id"')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d').replace('pg_catalog.=', 'pg_catalog.<>')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d').replace('OPERATOR(pg_catalog.=)', '=')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d').replace('$2::int8', 'ANY (ARRAY[$2::int8])')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d').replace('$2::int8', 'ANY ($2::int8)')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d').replace('int8', 'int4')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d').replace('int8', 'int8[]')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} OR (true)`],
      [`DELETE FROM ${D} WHERE NOT (${tenantOf('d')})`],
      [`DELETE FROM ${D} WHERE (true) AND ${tenantOf('d')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} AND ${ownerOf('d', 'folder_id')}`, OWN],
    ],
  ],
  [
    'name of a CTE',
    [['WITH x AS (SELECT 1) SELECT * FROM x']],
    [
      ['WITH docs AS (SELECT 1) SELECT * FROM docs'],
      ['WITH "pg_Class" AS (SELECT 1) SELECT 1'],
      [`WITH lines AS (DELETE FROM ${D} WHERE ${tenantOf('d')}) SELECT 1`],
      ['SELECT (WITH kinds AS (SELECT 1 AS a) SELECT a FROM kinds)'],
    ],
  ],
  [
    'the manifest as a role sees it',
    [['SELECT 1']],
    (['hidden', 'readOnly'] as const).map((mark): Case => {
      const columns = { id: { type: 'int8' }, tenant_id: { type: 'int8' }, title: { type: 'text', [mark]: ['clerk'] } }
      return ['SELECT 1', { manifest: { ...office, tables: [{ ...office.tables[0]!, columns }] } }]
    }),
  ],
  [
    'a parent with a tenant',
    [[`SELECT 1 FROM ${lines} AS l`]],
    [
      { table: 'kinds', column: 'doc_id', references: 'id' },
      { table: 'lines', column: 'doc_id', references: 'id' },
      { table: 'docs', schema: 'other', column: 'doc_id', references: 'id' },
    ].map((through): Case => [`SELECT 1 FROM ${lines} AS l`, withLines({ through })]),
  ],
  [
    'a column for the tenant',
    [[`SELECT 1 FROM ${lines} AS l`]],
    [
      ['SELECT 1 FROM "app"."lines"', withLines({ through: undefined })],
      ['SELECT 1 FROM "app"."lines"', withLines({ through: undefined, tenant: 'org' })],
    ],
  ],
  [
    'the leaf of a table',
    [
      [`SELECT * FROM ${docs} AS d`],
      [`SELECT * FROM ${ownDocs} AS d`, OWN],
      [`SELECT * FROM ${lines} AS l JOIN ${papers} AS p ON p.id = l.doc_id, ${kinds} AS k`],
      [`SELECT * FROM ${ownLines} AS l`, OWN],
      [`WITH x AS ${lines} SELECT * FROM x WHERE x.id IN ${lines.replace(', "lines"."doc_id"', ', "lines"."doc_id"')}`],
      [`${lines}`],
    ],
    [
      [`SELECT * FROM ${ownDocs} AS d`],
      [`SELECT * FROM ${docs} AS d`, OWN],
      [`SELECT * FROM ${docs.replace('$2', '$3')} AS d`],
      [`SELECT * FROM ${docs.replace('"docs"."size"', '"docs"."size", "docs"."secret"')} AS d`],
      [`SELECT * FROM ${docs.replace(/ WHERE .*/, ')')} AS d`],
      [`SELECT * FROM ${docs.replace('(SELECT', '( SELECT')} AS d`],
      [`SELECT * FROM ${docs.replace('"app"."docs" WHERE', 'ONLY "app"."docs" WHERE')} AS d`],
      [`SELECT * FROM ${lines} AS l`, OWN],
      [`SELECT * FROM ${lines.replace(/ WHERE EXISTS .*/, ')')} AS l`],
      [`SELECT * FROM ${lines.replace('EXISTS', 'NOT EXISTS')} AS l`],
      [`SELECT * FROM ${lines.replace('"lines"."doc_id" AND', '"docs"."id" AND')} AS l`],
      [`SELECT * FROM ${lines.replace('"docs"."id" OPERATOR', '"docs"."folder_id" OPERATOR')} AS l`],
      [`SELECT * FROM ${lines.replace('FROM "app"."docs"', 'FROM "app"."docs" AS "docs"')} AS l`],
      [`SELECT * FROM ${lines.replace(`AND ${tenantOf('docs')}`, 'OR true')} AS l`],
      [`SELECT * FROM ${kinds.replace(')', ' WHERE true)')} AS k`],
      [`SELECT * FROM ${papers.replace('"app"."papers"', '"app"."papers" AS "papers"')} AS p`],
    ],
  ],
  [
    'a leaf and nothing more',
    [[`SELECT * FROM ${docs} AS d ORDER BY title LIMIT 1`]],
    [
      [`SELECT * FROM (${docs} ORDER BY secret) AS d`],
      [`SELECT * FROM (${lines} LIMIT 1) AS d`],
      [`SELECT * FROM (WITH x AS (SELECT 1) ${docs}) AS d`],
      [`SELECT * FROM (${docs} FOR UPDATE) AS d`],
    ],
  ],
  [
    'a relation of the manifest',
    [[`SELECT * FROM ${kinds} AS k`]],
    [['SELECT * FROM "app"."other"'], ['SELECT * FROM pg_catalog.pg_class'], ['SELECT * FROM "x"."docs"']],
  ],
  [
    'a relation in its leaf',
    [[`SELECT * FROM ${docs} AS a, ${docs} AS b`]],
    [
      ['SELECT 1 FROM "app"."docs", "app"."docs" AS b'],
      [`SELECT * FROM ${docs} AS d, "app"."docs" AS e`],
      [`SELECT * FROM ${docs} AS d JOIN "app"."kinds" AS k ON true`],
      [`DELETE FROM ${D} USING "app"."notes" AS n WHERE ${tenantOf('d')}`],
      ['WITH x AS (SELECT 1) SELECT * FROM ONLY x'],
    ],
  ],
  [
    'a bare relation is a WITH query',
    [['WITH x AS (SELECT 1) SELECT * FROM x'], [`${GONE} SELECT * FROM gone`]],
    [['SELECT * FROM docs'], ['SELECT * FROM gone'], [`DELETE FROM ${D} USING notes WHERE ${tenantOf('d')}`]],
  ],
  [
    'no lock on a shared table or a view',
    [[`SELECT * FROM ${docs} AS d, ${kinds} AS k FOR UPDATE OF d`], [`SELECT * FROM ${lines} AS l FOR SHARE`]],
    [
      [`SELECT * FROM ${kinds} AS k FOR UPDATE`],
      [`SELECT * FROM ${docs} AS d, ${papers} AS p FOR SHARE OF p`],
      [
        `SELECT * FROM ${docs} AS d JOIN (${docs.replace(/^/, 'SELECT p.* FROM ').replace(docs, papers)} AS p) AS q ON true FOR UPDATE`,
      ],
    ],
  ],
  [
    'what is locked',
    [[`SELECT 1 FROM ${docs} AS d FOR UPDATE OF d`]],
    [[`SELECT 1 FROM ${docs} AS d FOR UPDATE OF app.d`]],
  ],
  [
    'a grant',
    [[`SELECT 1 FROM ${lines} AS l`, without('doc:read', 'line:update')]],
    [
      [`SELECT 1 FROM ${lines} AS l`, without('line:read')],
      [`SELECT 1 FROM ${papers} AS l`, without('paper:read')],
      [`SELECT 1 FROM ${kinds} AS l`, without('kind:read')],
      [`SELECT 1 FROM ${docs} AS d FOR UPDATE`, without('doc:update')],
      [`UPDATE ${D} SET title = 'x' WHERE ${tenantOf('d')}`, without('doc:update')],
      [`UPDATE ${D} SET title = body WHERE ${tenantOf('d')}`, without('doc:read')],
      [`UPDATE ${D} SET title = 'x' WHERE ${tenantOf('d')} AND (id = 1)`, without('doc:read')],
      [`UPDATE ${L} SET item = 'x' WHERE ${lineOf('l')} RETURNING l.id`, without('line:read')],
      [`DELETE FROM ${L} WHERE ${lineOf('l')}`, without('line:delete')],
      [INSERT, without('doc:create')],
      [`${INSERT} RETURNING id`, without('doc:read')],
      [`${INSERT} ON CONFLICT (id) DO UPDATE SET title = 'x' WHERE ${tenantOf('docs')}`, without('doc:update')],
      [`${INSERT} ON CONFLICT (id) DO UPDATE SET title = 'x' WHERE ${tenantOf('docs')}`, without('doc:read')],
      [`${GONE} SELECT 1`, without('note:delete')],
      [`${GONE} SELECT 1`, without('note:read')],
      [`WITH made AS (${INSERT}) SELECT 1`, without('doc:create')],
      [`${LINE} ${docs} AS p`, without('doc:read')],
      ['SELECT app.tally()', without('note:read')],
    ],
  ],
  [
    'an owner',
    [[`SELECT 1 FROM ${ownLines} AS l`, withOwn('line:read')]],
    [
      [`SELECT 1 FROM ${folders} AS f`, withOwn('folder:read')],
      [`SELECT 1 FROM ${kinds} AS f`, withOwn('kind:read')],
      [`SELECT 1 FROM ${papers} AS f`, withOwn('paper:read')],
      [`WITH x AS (DELETE FROM "app"."folders" AS "f" WHERE ${tenantOf('f')}) SELECT 1`, withOwn('folder:delete')],
    ],
  ],
  [
    'a parameter for the tenant',
    [['SELECT 1', { slots: [] }]],
    [
      [`SELECT 1 FROM ${docs} AS d`, { slots: [] }],
      [`DELETE FROM ${L} WHERE ${lineOf('l')}`, { slots: [] }],
    ],
  ],
  [
    'a target that can be written',
    [[`DELETE FROM ${L} WHERE ${lineOf('l')}`], [`DELETE FROM ${D} WHERE ${tenantOf('d')}`]],
    [
      ['DELETE FROM docs WHERE true'],
      ['DELETE FROM "app"."other" WHERE true'],
      ['DELETE FROM "app"."kinds" AS "k" WHERE true'],
      [`DELETE FROM "app"."papers" AS "p" WHERE ${tenantOf('p')}`],
      [`UPDATE "app"."papers" AS "p" SET title = 'x' WHERE ${tenantOf('p')}`],
      ['INSERT INTO "app"."papers" ("tenant_id", id) VALUES ($2::int8, 1)'],
      [`WITH x AS (INSERT INTO "app"."kinds" (id) VALUES (1)) SELECT 1`],
      [`DELETE FROM ONLY ${D} WHERE ${tenantOf('d')}`],
      [`DELETE FROM "c"."app"."docs" AS "d" WHERE ${tenantOf('d')}`],
      [`WITH gone AS (SELECT 1) DELETE FROM gone WHERE true`],
    ],
  ],
  [
    'the alias of the target',
    [[`DELETE FROM "app"."docs" AS "x" WHERE ${tenantOf('x')}`]],
    [
      [`DELETE FROM "app"."docs" AS "old" WHERE ${tenantOf('old')}`],
      [`DELETE FROM "app"."docs" AS "new" WHERE ${tenantOf('new')}`],
      ['INSERT INTO "app"."docs" AS excluded ("tenant_id") VALUES ($2::int8)'],
    ],
  ],
  [
    'an alias that is not the parent’s name',
    [[`DELETE FROM "app"."lines" AS "lines" WHERE ${lineOf('lines')}`]],
    [
      [`DELETE FROM "app"."lines" AS "docs" WHERE ${lineOf('docs')}`],
      [`UPDATE "app"."lines" AS "docs" SET item = 'x' WHERE ${lineOf('docs')}`],
      [`INSERT INTO "app"."lines" AS docs (id, doc_id) SELECT 1, p.id FROM ${docs} AS p`],
    ],
  ],
  [
    'the tenant in WHERE',
    [
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} AND (true)`],
      [`UPDATE ${L} SET item = 'x' WHERE ${lineOf('l')} AND (l.id = 1)`],
      [`DELETE FROM ${L} WHERE ${ownLineOf('l')}`],
      [`${LINE} ${docs} AS p ON CONFLICT (id) DO UPDATE SET item = 'x' WHERE ${lineOf('lines')}`],
    ],
    [
      [`DELETE FROM ${D}`],
      [`DELETE FROM ${D} WHERE true`],
      [`DELETE FROM ${L}`],
      [`DELETE FROM ${L} WHERE EXISTS (SELECT 1)`],
      [`WITH x AS (DELETE FROM ${D} RETURNING id) SELECT 1`],
      [`${INSERT} ON CONFLICT (id) DO UPDATE SET title = 'x'`],
      [`${LINE} ${docs} AS p ON CONFLICT (id) DO UPDATE SET item = 'x'`],
    ],
  ],
  [
    'the owner in WHERE',
    [
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} AND ${ownerOf('d')} AND (true)`, OWN],
      [`DELETE FROM ${L} WHERE ${ownLineOf('l')}`, OWN],
    ],
    [
      [`DELETE FROM ${D} WHERE ${tenantOf('d')}`, OWN],
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} AND (${ownerOf('d').replace('$3', '$1')})`, OWN],
      [`DELETE FROM ${L} WHERE ${lineOf('l')}`, OWN],
      [`UPDATE ${L} SET item = 'x' WHERE ${lineOf('l')} AND (l.id = 1)`, withOwn('line:read')],
      [`WITH x AS (DELETE FROM ${D} WHERE ${tenantOf('d')}) SELECT 1`, OWN],
    ],
  ],
  [
    'columns and a source',
    [[INSERT], ['INSERT INTO "app"."docs" ("tenant_id") VALUES ($2::int8)']],
    [['INSERT INTO "app"."docs" VALUES ($2::int8)']],
  ],
  ['a node', [[INSERT]], [['INSERT INTO "app"."docs" DEFAULT VALUES'], ['INSERT INTO "app"."lines" DEFAULT VALUES']]],
  [
    'a column of INSERT that must be there once',
    [['INSERT INTO "app"."docs" ("tenant_id", "owner_id") VALUES ($2::int8, $3::int8)', OWN]],
    [
      ['INSERT INTO "app"."docs" (id) VALUES (1)'],
      ['INSERT INTO "app"."docs" ("tenant_id", "tenant_id") VALUES ($2::int8, $2::int8)'],
      ['INSERT INTO "app"."docs" ("tenant_id") VALUES ($2::int8)', OWN],
      [`INSERT INTO "app"."lines" (id) SELECT p.id FROM ${docs} AS p`],
      [`INSERT INTO "app"."lines" (doc_id, doc_id) SELECT p.id, 905 FROM ${docs} AS p`],
    ],
  ],
  [
    'the tenant of each row',
    [['INSERT INTO "app"."docs" ("tenant_id", id) SELECT $2::int8, 1 UNION SELECT $2::int8, 2']],
    [
      ['INSERT INTO "app"."docs" ("tenant_id", id) VALUES (9, 1)'],
      ['INSERT INTO "app"."docs" ("tenant_id", id) VALUES ($2::int8, 1), (DEFAULT, 2)'],
      ['INSERT INTO "app"."docs" ("tenant_id", id) SELECT $2::int8, 1 UNION SELECT 9, 2'],
      ['INSERT INTO "app"."docs" ("tenant_id", id) VALUES ($1::int8, 1)'],
      ['INSERT INTO "app"."docs" ("tenant_id", id) VALUES ($2::int4, 1)'],
      ['INSERT INTO "app"."docs" ("tenant_id", id) VALUES ($3::int8, 1)'],
      ['INSERT INTO "app"."docs" ("tenant_id", id) VALUES (($2::int8) + 1, 1)'],
      ['WITH x AS (INSERT INTO "app"."docs" ("tenant_id") VALUES (9)) SELECT 1'],
    ],
  ],
  [
    'the user of each row',
    [['INSERT INTO "app"."docs" ("tenant_id", "owner_id") VALUES ($2::int8, $3::int8)', OWN]],
    [['INSERT INTO "app"."docs" ("tenant_id", "owner_id") VALUES ($2::int8, 5)', OWN]],
  ],
  [
    'no star, which would move what follows',
    [['INSERT INTO "app"."docs" ("tenant_id", id) SELECT $2::int8, x.* FROM (SELECT 1) AS x']],
    [
      ['INSERT INTO "app"."docs" (id, "tenant_id") SELECT x.*, $2::int8 FROM (SELECT 1, 9) AS x'],
      [`INSERT INTO "app"."lines" (id, doc_id) SELECT x.*, p.id FROM ${docs} AS p, (SELECT 1, 905) AS x`],
    ],
  ],
  [
    'no VALUES as an arm',
    [[`${LINE} ${docs} AS p UNION SELECT 2, q.id FROM ${docs} AS q`]],
    [
      [`${LINE} ${docs} AS p UNION VALUES (1, 905)`],
      ['INSERT INTO "app"."docs" ("tenant_id") SELECT $2::int8 UNION VALUES (9::int8)'],
    ],
  ],
  [
    'the link of each row',
    [
      [`${LINE} ${docs} AS p`],
      [`INSERT INTO "app"."lines" (doc_id, item) SELECT p.id, max(p.title) FROM ${docs} AS p GROUP BY p.id`],
    ],
    [
      ['INSERT INTO "app"."lines" (id, doc_id) VALUES ($1, 905)'],
      [`INSERT INTO "app"."lines" (id, doc_id) SELECT $1, 905 FROM ${docs} AS p`],
      [`INSERT INTO "app"."lines" (id, doc_id) SELECT $1, p.folder_id FROM ${docs} AS p`],
      [`INSERT INTO "app"."lines" (id, doc_id) SELECT $1, p.id + 1 FROM ${docs} AS p`],
      [`INSERT INTO "app"."lines" (id, doc_id) SELECT $1, id FROM ${docs} AS p`],
      [`INSERT INTO "app"."lines" (id, doc_id) SELECT $1, p.id FROM ${docs} AS p UNION SELECT 1, 905`],
      [`INSERT INTO "app"."lines" (id, doc_id) SELECT 1, p.id FROM ${docs} AS p GROUP BY ROLLUP (p.id)`],
    ],
  ],
  [
    "the parent's leaf in the FROM of each row",
    [
      [`${LINE} ${docs} AS p JOIN ${kinds} AS k ON k.id = p.id`],
      [`${LINE} ${docs} AS p LEFT JOIN ${kinds} AS k ON k.id = p.id`],
      [`${LINE} ${kinds} AS k CROSS JOIN ${docs} AS p, ${folders} AS f`],
    ],
    [
      [`${LINE} ${folders} AS p`],
      [`${LINE} (SELECT 905 AS id) AS p`],
      [`${LINE} ${docs} AS p(tenant_id, id)`],
      [`${LINE} ${kinds} AS k LEFT JOIN ${docs} AS p ON true`],
      [`${LINE} ${docs} AS p FULL JOIN ${kinds} AS k ON true`],
      [`${LINE} ${docs} AS p RIGHT JOIN ${kinds} AS k ON true`],
      [`${LINE} (${docs} AS p CROSS JOIN ${kinds} AS k) AS j, (SELECT 905 AS id) AS p`],
      [`${LINE} (${docs} AS p CROSS JOIN ${kinds} AS k) AS j`],
      [`${LINE} ${docs} AS q JOIN (SELECT 905 AS id) AS r USING (id) AS p`],
      [`${LINE} ${docs} AS p, (SELECT 905 AS id) AS p`],
      [`${LINE} (SELECT p.id FROM ${docs} AS p) AS p`],
      [`WITH p AS (SELECT 905 AS id) INSERT INTO "app"."lines" (id, doc_id) SELECT 1, p.id FROM p`],
      [
        `INSERT INTO "app"."lines" (id, doc_id) SELECT 1, p.id FROM ${docs} AS p UNION ALL SELECT 2, q.id FROM ${kinds} AS q`,
      ],
      [`WITH x AS (INSERT INTO "app"."lines" (doc_id) SELECT p.id FROM ${kinds} AS p) SELECT 1`],
    ],
  ],
  [
    'own parents for own rows',
    [[`${LINE} ${ownDocs} AS p`, OWN]],
    [[`${LINE} ${docs} AS p`, { grants: new Map(owned).set('doc:read', 'tenant') }]],
  ],
  [
    'the columns of INSERT',
    [[INSERT]],
    [
      ['INSERT INTO "app"."docs" ("tenant_id", secret) VALUES ($2::int8, 1)'],
      [`INSERT INTO "app"."lines" (secret, doc_id) SELECT 1, p.id FROM ${docs} AS p`],
    ],
  ],
  [
    'a column that is not read-only',
    [[`UPDATE ${D} SET title = d.size::text WHERE ${tenantOf('d')} RETURNING d.size`]],
    [
      [`UPDATE ${D} SET size = 1 WHERE ${tenantOf('d')}`],
      [`UPDATE ${D} SET size = DEFAULT WHERE ${tenantOf('d')}`],
      [`UPDATE ${D} SET (title, size) = ('x', 1) WHERE ${tenantOf('d')}`],
      [`UPDATE ${D} SET (title, size) = (SELECT 'x', 1) WHERE ${tenantOf('d')}`],
      [`${INSERT} ON CONFLICT (id) DO UPDATE SET size = excluded.size WHERE ${tenantOf('docs')}`],
      [`WITH x AS (UPDATE ${D} SET size = 1 WHERE ${tenantOf('d')}) SELECT 1`],
    ],
  ],
  [
    'a column that is not read-only, or left to its default',
    [
      ['INSERT INTO "app"."docs" ("tenant_id", size) VALUES ($2::int8, DEFAULT)'],
      ['INSERT INTO "app"."docs" ("tenant_id", size) VALUES ($2::int8, DEFAULT), ($2::int8, DEFAULT)'],
    ],
    [
      ['INSERT INTO "app"."docs" ("tenant_id", size) VALUES ($2::int8, 1)'],
      ['INSERT INTO "app"."docs" ("tenant_id", size) VALUES ($2::int8, DEFAULT), ($2::int8, 1)'],
      ['INSERT INTO "app"."docs" ("tenant_id", size) SELECT $2::int8, NULL'],
      [`INSERT INTO "app"."lines" (doc_id, price) SELECT p.id, 1 FROM ${docs} AS p`],
      ['WITH x AS (INSERT INTO "app"."docs" ("tenant_id", size) VALUES ($2::int8, 1)) SELECT 1'],
    ],
  ],
  [
    'the column assigned',
    [[`UPDATE ${L} SET item = 'x' WHERE ${lineOf('l')}`]],
    [
      [`UPDATE ${D} SET tenant_id = 9 WHERE ${tenantOf('d')}`],
      [`UPDATE ${D} SET secret = 'x' WHERE ${tenantOf('d')}`],
      [`UPDATE ${D} SET (title, tenant_id) = ('x', 9) WHERE ${tenantOf('d')}`],
      [`UPDATE ${L} SET doc_id = 905 WHERE ${lineOf('l')}`],
      [`UPDATE ${L} SET (item, doc_id) = ('x', 905) WHERE ${lineOf('l')}`],
      [`${LINE} ${docs} AS p ON CONFLICT (id) DO UPDATE SET doc_id = 905 WHERE ${lineOf('lines')}`],
    ],
  ],
  [
    'the owner assigned',
    [[`UPDATE ${D} SET owner_id = 5 WHERE ${tenantOf('d')}`, REASSIGN]],
    [
      [`UPDATE ${D} SET owner_id = 5 WHERE ${tenantOf('d')}`],
      [
        `UPDATE ${D} SET owner_id = 5 WHERE ${tenantOf('d')} AND ${ownerOf('d')}`,
        { grants: new Map(owned).set('doc:reassign', 'tenant') },
      ],
    ],
  ],
  [
    'whose a bare column is',
    [
      [`UPDATE ${D} SET title = body WHERE ${tenantOf('d')} RETURNING title`],
      [
        `DELETE FROM ${D} USING ${folders} AS f WHERE ${tenantOf('d')} AND (name = 'x' AND EXISTS (SELECT label FROM ${kinds} AS k) AND EXISTS (SELECT * FROM ${kinds} AS k))`,
      ],
      [`${GONE.replace('RETURNING n.id', 'RETURNING id')} SELECT secret FROM gone`],
      [
        `DELETE FROM ${D} WHERE ${tenantOf('d')} AND (EXISTS (SELECT 1 FROM ${folders} AS f JOIN ${kinds} AS k ON label = name))`,
      ],
    ],
    [
      [`UPDATE ${D} SET title = secret WHERE ${tenantOf('d')}`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} RETURNING *`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} RETURNING d`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} RETURNING row_to_json(d)`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} RETURNING (SELECT secret)`],
      [`${GONE.replace('n.id', '*')} SELECT * FROM gone`],
      [`${GONE.replace('n.id', 'secret')} SELECT * FROM gone`],
      [`DELETE FROM ${L} WHERE ${lineOf('l')} AND (title = 'x')`],
      [`${INSERT} ON CONFLICT (id) WHERE secret = 'x' DO NOTHING`],
      [
        `DELETE FROM ${D} WHERE ${tenantOf('d')} AND (EXISTS (SELECT 1 FROM (SELECT name) AS l JOIN ${folders} AS f ON true))`,
      ],
      [
        `DELETE FROM ${D} WHERE ${tenantOf('d')} AND (EXISTS (SELECT 1 FROM ${folders} AS f JOIN (SELECT name) AS l ON true))`,
      ],
      [`${INSERT} ON CONFLICT (lower(secret)) DO NOTHING`],
    ],
  ],
  [
    "the target's column",
    [[`DELETE FROM ${L} WHERE ${lineOf('l')} RETURNING l.item, old.price`]],
    [
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} RETURNING d.*`],
      [`DELETE FROM ${D} WHERE ${tenantOf('d')} RETURNING d.secret`],
      [`UPDATE ${D} SET title = 'x' WHERE ${tenantOf('d')} RETURNING old.secret`],
      [`UPDATE ${D} SET title = 'x' WHERE ${tenantOf('d')} RETURNING new.*`],
      [`${INSERT} ON CONFLICT (id) DO UPDATE SET title = excluded.secret WHERE ${tenantOf('docs')}`],
      [`DELETE FROM ${L} WHERE ${lineOf('l')} AND (EXISTS (SELECT 1 FROM ${kinds} AS k WHERE l.secret = k.label))`],
      [`WITH x AS (DELETE FROM ${L} WHERE ${lineOf('l')} RETURNING l.secret) SELECT 1`],
      [
        `WITH d AS (SELECT 1 AS secret) DELETE FROM ${D} WHERE ${tenantOf('d')} AND (EXISTS (SELECT 1 FROM d WHERE d.secret = 1))`,
      ],
    ],
  ],
  [
    'a column of at most two names',
    [[`SELECT d.id FROM ${docs} AS d`]],
    [[`SELECT app.docs.id FROM ${docs} AS docs`], [`DELETE FROM ${D} WHERE ${tenantOf('d')} RETURNING app.d.secret`]],
  ],
  [
    'a column of a conflict',
    [[`${INSERT} ON CONFLICT (id) DO NOTHING`], [`${INSERT} ON CONFLICT (lower(title)) DO NOTHING`]],
    [
      [`${INSERT} ON CONFLICT (secret) DO NOTHING`],
      [`WITH x AS (${INSERT} ON CONFLICT (price) DO NOTHING) ${LINE} ${docs} AS p`],
    ],
  ],
  [
    'a field that is no function',
    [[`SELECT d.title FROM ${docs} AS d`]],
    [[`SELECT d.pg_sleep FROM ${docs} AS d`], [`SELECT d.pg_ls_dir FROM ${docs} AS d`]],
  ],
  [
    'a function of the list',
    [
      ['SELECT lower($1), pg_catalog.upper($1), app.shorten($1)'],
      [`SELECT * FROM app.tally() AS t, ${docs} AS d WHERE app.shorten(d.title) = 'x'`],
    ],
    [
      ['SELECT pg_sleep(1)'],
      ['SELECT shorten($1)'],
      ['SELECT pg_catalog.shorten($1)'],
      ['SELECT app.lower($1)'],
      ['SELECT app.mood($1)'],
      ['SELECT x.app.shorten($1)'],
      ["SELECT query_to_xml('select 1', true, true, '')"],
      [`SELECT * FROM pg_ls_dir('.')`],
    ],
  ],
  [
    'the whole tenant for what a function reads',
    [['SELECT app.tally()']],
    [
      ['SELECT app.tally()', OWN],
      ['SELECT app.tally()', withOwn('note:read')],
    ],
  ],
  [
    'a table that a function may read',
    [['SELECT app.tally()']],
    ['app.other', 'app.lines'].map((read): Case => {
      const functions = [{ schema: 'app', name: 'tally', reads: [read] }]
      return ['SELECT app.tally()', { manifest: { ...office, functions } }]
    }),
  ],
  [
    'an operator of the list',
    [['SELECT 1 + 2, 1 OPERATOR(pg_catalog.-) 2, 1 NOT BETWEEN 1 AND 2, 1 = ANY (SELECT 1)']],
    [['SELECT 1 OPERATOR(evil.+) 2'], ['SELECT 1 @@@ 2'], ['SELECT @1'], ['SELECT 1 OPERATOR(evil.=) ANY (SELECT 2)']],
  ],
  [
    'a type of the list',
    [['SELECT $1::text, $1::app.mood, $1::app.mood[], $1::pg_catalog.int8']],
    [
      ['SELECT $1::mood'],
      ['SELECT $1::app.other'],
      ['SELECT $1::app.text'],
      ['SELECT $1::pg_catalog.mood'],
      ['SELECT $1::x.app.mood'],
      ["SELECT 'x'::regclass"],
      [`SELECT $1::app.docs`],
    ],
  ],
  [
    'a collation of the list',
    [[`SELECT 'a' COLLATE "C"`]],
    [[`SELECT 'a' COLLATE evil`], [`SELECT 'a' COLLATE app."C"`]],
  ],
  ['no field of an expression', [['SELECT (ARRAY[1])[1]']], [['SELECT (ROW(1)).f1'], ['SELECT (ROW(1)).*']]],
  [
    'the kind of a node',
    [['SELECT 1']],
    [
      ['SELECT CURRENT_USER IS OF (text)'.replace('CURRENT_USER IS OF (text)', 'XMLELEMENT(name x)')],
      ['SELECT * FROM "app"."docs" TABLESAMPLE SYSTEM (1)'.replace('"app"."docs"', 'x')],
    ],
  ],
  [
    'a key of a node',
    [['SELECT 1 AS a']],
    [
      ['SELECT 1 INTO stolen'],
      ['WITH x AS (SELECT 1 AS a) SELECT * FROM ONLY x'.replace('ONLY x', 'ROWS FROM (lower($1)) AS y')],
    ],
  ],
  [
    'a value of the list',
    [['SELECT CURRENT_DATE']],
    [['SELECT CURRENT_USER'], ['SELECT SESSION_USER'], ['SELECT CURRENT_SCHEMA']],
  ],
  [
    'a token that both databases read alike',
    [["SELECT 'é', E'\\''"]],
    [
      ['SELECT 1 -- c'],
      ['SELECT 1 /* c */'],
      ['SELECT U&"a"'],
      ["SELECT 'a'\n'b'"],
      ['SELECT tenant_ıd'],
      ["SELECT b'\\'"],
    ],
  ],
  [
    'a name that neither database cuts',
    [[`SELECT 1 AS ${'a'.repeat(63)}`], [`SELECT 1 AS "a", '${'a '.repeat(90)}' AS "${'a'.repeat(63)}"`]],
    [
      [`SELECT 1 AS ${'a'.repeat(64)}`],
      [`SELECT 1 AS "${'a'.repeat(64)}"`],
      [`SELECT 1 AS "${'a '.repeat(32)}"`],
      [`SELECT 1 AS "${'a'.repeat(40)}""${'a'.repeat(40)}"`],
      [`SELECT '"' AS "${'a '.repeat(32)}"`],
      [`SELECT '"''' AS "${'a '.repeat(32)}"`],
      [`SELECT E'\\'"' AS "${'a '.repeat(32)}"`],
    ],
  ],
  ['two names that CockroachDB would join', [['SELECT 1 AS "a" ,\n1 AS "b"']], [['SELECT "a"\n"b"']]],
]

describe.each(rules)('%s', (rule, good, bad) => {
  it.each(good.map((one) => [one[0], one] as const))('proves %s', (_, one) => {
    expect(proof(one).length).toBeGreaterThan(0)
  })

  it.each(bad.map((one) => [one[0], one] as const))('alone refuses %s', (_, one) => {
    let caught: unknown
    try {
      proof(one)
    } catch (error) {
      caught = error
    }
    expect(caught).toBeInstanceOf(Unproven)
    expect((caught as Unproven).message).toBe(`not proven: ${rule}`)
  })
})

describe('a wrong entry in a list that the admission reads too', () => {
  const functions = FUNCTIONS as Set<string>
  const types = TYPES as Set<string>
  const shapes = SHAPES as Record<string, Record<string, Content>>

  it.each([
    ['pg_sleep', 'SELECT pg_sleep(1)'],
    ['set_config', `SELECT pg_catalog.set_config('holdfast.tenant_id', '9', true)`],
    ['query_to_xml', `SELECT query_to_xml('SELECT 1', true, true, '')`],
    ['nextval', `SELECT nextval('x')`],
    ['current_setting', `SELECT current_setting('x')`],
  ])('does not let %s be called', (name, text) => {
    functions.add(name)
    try {
      expect(() => proof([text])).toThrow('not proven: a function of the list')
    } finally {
      functions.delete(name)
    }
  })

  it.each(['regclass', 'regrole', 'oid', 'xml', 'refcursor'])('does not let %s be cast to', (name) => {
    types.add(name)
    try {
      expect(() => proof([`SELECT $1::${name}`])).toThrow('not proven: a type of the list')
      expect(() => proof([`SELECT $1::pg_catalog.${name}`])).toThrow('not proven: a type of the list')
    } finally {
      types.delete(name)
    }
  })

  it.each<[string, string, Content, string, string]>([
    ['RangeVar', 'catalogname', 'value', 'SELECT * FROM a.b.x, a.b.y', 'a relation in its leaf'],
    ['SelectStmt', 'intoClause', 'value', 'SELECT 1 INTO stolen', 'a scalar'],
    ['SelectStmt', 'whereClause', 'value', 'SELECT 1 WHERE pg_sleep(1) IS NULL', 'a scalar'],
    ['SelectStmt', 'targetList', '=A_Const', 'SELECT 1', 'a key of a node'],
    ['SubLink', 'subselect', 'nodes', 'SELECT (SELECT 1)', 'a list'],
    [
      'MergeStmt',
      'relation',
      '=RangeVar',
      'SELECT (WITH x AS (MERGE INTO y USING z ON true WHEN MATCHED THEN DELETE) SELECT 1)',
      'a change as a query of the outermost WITH',
    ],
  ])('does not let %s.%s pass unseen', (type, key, content, text, rule) => {
    const before = shapes[type]
    shapes[type] = { ...before, [key]: content }
    try {
      expect(() => proof([text])).toThrow(`not proven: ${rule}`)
    } finally {
      if (before === undefined) delete shapes[type]
      else shapes[type] = before
    }
  })
})

describe('the proof', () => {
  const gone = `WITH gone AS (DELETE FROM "app"."notes" AS "notes" WHERE ${tenantOf('notes')} AND ( id = $1) RETURNING doc_id)`

  it.each<[string, Case, readonly string[]]>([
    [
      'each leaf with its place, who is reached and what it needs',
      [`SELECT 'a literal' FROM ${ownDocs} AS d, ${ownLines} AS l, ${kinds} AS k FOR UPDATE OF l`, OWN],
      [
        'SELECT, locks rows',
        '  app.docs at 154: through its leaf, tenant = $2, owner = $3, needs doc:read',
        '  app.lines at 362: through its leaf, tenant = $2, owner = $3 of its app.docs, locked, needs line:read, line:update',
        '  app.kinds at 635: through its leaf, shared by all tenants, needs kind:read',
      ],
    ],
    [
      'functions of the application’s with what they read',
      ['SELECT app.shorten($1), app.tally()'],
      [
        'SELECT, reads only',
        '  app.shorten() at 7: a function of the manifest',
        '  app.tally() at 24: a function of the manifest, reads app.docs, needs doc:read, reads app.notes, needs note:read',
      ],
    ],
    [
      'a conflict below its INSERT',
      [`${LINE} ${docs} AS p ON CONFLICT (id) DO UPDATE SET item = 'x' WHERE ${lineOf('lines')}`],
      [
        'INSERT into app.lines, doc_id from a leaf of app.docs in each row, needs line:create',
        '  app.docs at 190: through its leaf, tenant = $2, needs doc:read',
        '  ON CONFLICT: UPDATE, tenant = $2 of its app.docs first in WHERE, sets item, needs line:update, line:read',
      ],
    ],
    [
      'each write of WITH by its name, however that is written',
      [
        `WITH "a\nb" AS (INSERT INTO "app"."docs" ("tenant_id", "owner_id") VALUES ($2::int8, $3::int8)) UPDATE ${D} SET (title, body) = ('x', 'y') WHERE ${tenantOf('d')} AND ${ownerOf('d')}`,
        OWN,
      ],
      [
        'UPDATE of app.docs, tenant = $2, owner = $3 first in WHERE, sets title, body, needs doc:update',
        'WITH "a\\nb": INSERT into app.docs, tenant = $2, owner = $3 in each row, needs doc:create',
      ],
    ],
  ])('names %s', (_, one, expected) => {
    expect(proof(one)).toEqual(expected)
  })

  it('is the one that the README shows', () => {
    const lines = proof([`${gone} SELECT d.title FROM ${docs} AS d JOIN gone ON gone.doc_id = d.id`])
    const readme = readFileSync(new URL('../../../../src/core/scope/prover/README.md', import.meta.url), 'utf8')
    expect(readme).toContain(`\n${lines.join('\n')}\n`)
  })

  it('points at the place of what it cannot show', () => {
    const text = `SELECT 1 FROM ${docs} AS d WHERE 'é' = pg_sleep(1)::text`
    expect(() => proof([text])).toThrow(expect.objectContaining({ at: Buffer.from(text).indexOf('pg_sleep') }))
    const bare = `SELECT 1 FROM ${docs.replace('$2', '$1')} AS d`
    expect(() => proof([bare])).toThrow(expect.objectContaining({ at: bare.indexOf('"app"."docs"') }))
  })
})
