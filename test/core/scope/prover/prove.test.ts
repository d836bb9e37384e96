import { beforeAll, describe, expect, it } from 'vitest'
import { admit } from '../../../../src/core/scope/admit.ts'
import type { Grants } from '../../../../src/core/scope/grants.ts'
import { type Claim, prove, type Slot, Unproven } from '../../../../src/core/scope/prover/prove.ts'
import { rewrite } from '../../../../src/core/scope/rewrite.ts'
import { loadKernel } from '../../../../src/core/scope/scope.ts'
import { all, archive } from '../archive.ts'
import { bases } from './bases.ts'
import { everything, office, owned } from './office.ts'

beforeAll(loadKernel)

/** Texts that the rewriter makes of the bases are proven; each fault below is one that a rewriter could have. */
function claimOf(text: string, grants: Grants): Claim {
  const draft = rewrite(admit(text, office), office, grants)
  return { text: draft.apply(), slots: draft.slots, manifest: office, grants }
}

type Fault = (text: string, slots: readonly Slot[]) => { text?: string; slots?: readonly Slot[] }

/** Swaps a part of the text; where there is none, the fault does not apply. */
const swap =
  (part: RegExp | string, by: string | ((found: string) => string)): Fault =>
  (text) => ({ text: text.replace(part, by as string) })

const kindTo =
  (from: 'tenant' | 'user', to: Slot): Fault =>
  (_, slots) => ({ slots: slots.map((slot) => (slot.kind === from ? to : slot)) })

const TENANT = String.raw`"\w+"\."tenant_id" OPERATOR\(pg_catalog\.=\) \$\d+::int8`
const faults: Record<string, Fault> = {
  'a leaf without its predicate': swap(
    new RegExp(` WHERE ${TENANT}( AND "\\w+"\\."\\w+" OPERATOR\\(pg_catalog\\.=\\) \\$\\d+::int8)?\\)`),
    ')',
  ),
  'a leaf without its WHERE but with the text of it in a comment': swap(new RegExp(` (WHERE ${TENANT})`), ' /* $1 */'),
  'a bare relation instead of a leaf': swap(/\(SELECT "docs"[^)]*pg_catalog[^)]*\)[^)]*\)/, 'docs'),
  'a qualified relation instead of a leaf': swap(/\(SELECT "docs"[^)]*pg_catalog[^)]*\)[^)]*\)/, '"app"."docs"'),
  'a leaf of another table': swap(/FROM "app"\."docs" WHERE/, 'FROM "app"."labels" WHERE'),
  'a leaf of another schema': swap(/FROM "app"\."docs" WHERE/, 'FROM "pg_temp"."docs" WHERE'),
  'a leaf without schema': swap(/FROM "app"\."docs" WHERE/, 'FROM "docs" WHERE'),
  'a leaf with a catalog': swap(/FROM "app"\."docs" WHERE/, 'FROM "x"."app"."docs" WHERE'),
  'a leaf with a column more': swap('(SELECT "docs"."id", ', '(SELECT "docs"."id", "docs"."secret", '),
  'a leaf with a column less': swap('(SELECT "docs"."id", ', '(SELECT '),
  'a leaf with a star': swap(/\(SELECT "docs"\."id"[^()]* FROM/, '(SELECT * FROM'),
  'a leaf with ONLY': swap('FROM "app"."docs" WHERE', 'FROM ONLY "app"."docs" WHERE'),
  'a leaf with a join': swap('FROM "app"."docs" WHERE', 'FROM "app"."docs", "app"."notes" WHERE'),
  'a predicate with <>': swap('OPERATOR(pg_catalog.=)', 'OPERATOR(pg_catalog.<>)'),
  'a predicate with an operator of another schema': swap('OPERATOR(pg_catalog.=)', 'OPERATOR(evil.=)'),
  'a predicate with a bare operator': swap('OPERATOR(pg_catalog.=)', '='),
  'a predicate on another column': swap('."tenant_id" OPERATOR', '."id" OPERATOR'),
  'a predicate of an unqualified column': swap(/"\w+"\."tenant_id" OPERATOR/, '"tenant_id" OPERATOR'),
  'a predicate of another alias': swap(/"\w+"\."tenant_id" OPERATOR/, '"f"."tenant_id" OPERATOR'),
  'a predicate with a constant': swap(/(OPERATOR\(pg_catalog\.=\)) \$\d+::int8/, '$1 9::int8'),
  'a predicate with its own column': swap(
    /("\w+"\."tenant_id" OPERATOR\(pg_catalog\.=\)) \$\d+::int8/,
    '$1 "docs"."tenant_id"',
  ),
  'a predicate with another parameter': swap(/(OPERATOR\(pg_catalog\.=\)) \$\d+::int8/, '$1 $1::int8'),
  'a predicate with a parameter that is not there': swap(/(OPERATOR\(pg_catalog\.=\)) \$\d+::int8/, '$1 $99::int8'),
  'a predicate with another cast': swap(/(OPERATOR\(pg_catalog\.=\) \$\d+)::int8/, '$1::text::int8'),
  'a predicate with a narrowing cast': swap(/(OPERATOR\(pg_catalog\.=\) \$\d+)::int8/, '$1::varchar(1)'),
  'a predicate without cast': swap(/(OPERATOR\(pg_catalog\.=\) \$\d+)::int8/, '$1'),
  'a predicate that is negated': swap(new RegExp(`WHERE (${TENANT})`), 'WHERE NOT $1'),
  'a predicate OR true': swap(new RegExp(`(${TENANT})`), '$1 OR true'),
  'a predicate AND more within the leaf': swap(new RegExp(`(FROM "app"."\\w+" WHERE ${TENANT})`), '$1 AND true'),
  'a predicate after what was there': swap(
    new RegExp(
      `WHERE (${TENANT}(?: AND "\\w+"\\."owner_id" OPERATOR\\(pg_catalog\\.=\\) \\$\\d+::int8)?) AND \\((.*)\\)`,
    ),
    'WHERE ($2) AND $1',
  ),
  'parentheses around the old WHERE forgotten': swap(/AND \( (id = \$2 OR true)\)/, 'AND $1'),
  'the whole WHERE of a change dropped': swap(
    new RegExp(`(SET [^()]*|FROM "app"\\."docs" AS "docs") WHERE ${TENANT}.*$`),
    '$1',
  ),
  'a target without schema': swap(/(UPDATE|INTO|DELETE FROM) "app"\."docs"/, '$1 docs'),
  'another target': swap(/(UPDATE|INTO|DELETE FROM) "app"\."docs"/, '$1 "app"."labels"'),
  'a shared target': swap(/(UPDATE|INTO|DELETE FROM) "app"\."docs"/, '$1 "app"."kinds"'),
  'a target outside the manifest': swap(/(UPDATE|INTO|DELETE FROM) "app"\."docs"/, '$1 "holdfast"."sessions"'),
  'a target with ONLY': swap(/(UPDATE|DELETE FROM) "app"/, '$1 ONLY "app"'),
  'a target of another alias': swap(/("app"\."docs" AS )("docs"|d\b)/, '$1 "other"'),
  'INSERT without the tenant': swap('("tenant_id", ', '('),
  'INSERT with the tenant twice': swap('("tenant_id", ', '("tenant_id", "tenant_id", '),
  'INSERT with another column first': swap('("tenant_id", ', '("size", "tenant_id", '),
  'INSERT with a column of its own': swap(/\("tenant_id", /, '("tenant_id", secret, '),
  'INSERT with a constant tenant in one row': swap(/\), \(\$\d+::int8/, '), (9'),
  'INSERT with DEFAULT as the tenant': swap(/VALUES \(\$\d+::int8/, 'VALUES (DEFAULT'),
  'INSERT with the tenant of one arm missing': swap(/UNION SELECT \$\d+::int8, /, 'UNION SELECT '),
  'INSERT with a star before the tenant': swap(/SELECT \$\d+::int8, /, 'SELECT n.*, $2::int8, '),
  'INSERT with another cast of the tenant': swap(/VALUES \(\$(\d+)::int8/, 'VALUES ($$$1::int4'),
  'INSERT that overrides': swap(') VALUES', ') OVERRIDING USER VALUE VALUES'),
  'ON CONFLICT without its WHERE': swap(/ WHERE "docs"\."tenant_id".*$/, ''),
  'ON CONFLICT that assigns the tenant': swap('SET title = excluded.title', 'SET tenant_id = excluded.id'),
  'UPDATE that assigns the tenant': swap('SET title =', 'SET tenant_id ='),
  'UPDATE that assigns the owner': swap('SET title =', 'SET owner_id ='),
  'UPDATE that assigns a hidden column': swap('SET title =', 'SET secret ='),
  'RETURNING a star': swap(/RETURNING .*$/, 'RETURNING *'),
  'RETURNING a star of old': swap(/RETURNING .*$/, 'RETURNING old.*'),
  'RETURNING a hidden column': swap(/RETURNING .*$/, 'RETURNING secret'),
  'RETURNING a hidden column within a query': swap(/RETURNING .*$/, 'RETURNING (SELECT secret)'),
  'RETURNING the whole row': swap(/RETURNING .*$/, 'RETURNING docs'),
  'the tenant as a result of its own': swap(/^SELECT /, 'SELECT $2::int8, '),
  'a second statement': swap(/$/, '; DELETE FROM "app"."docs"'),
  'another kind of statement': swap(/^SELECT/, 'EXPLAIN SELECT'),
  'a function': swap(/^SELECT /, "SELECT set_config('a', 'b', true), "),
  'a type': swap(/^SELECT /, "SELECT 'a'::regclass, "),
  'a field that is a function': swap(/^SELECT /, 'SELECT d.pg_sleep, '),
  'SELECT INTO': swap(/ FROM \(/, ' INTO stolen FROM ('),
  'a CTE with the name of a table': swap(/\bWITH x AS\b/, 'WITH docs AS'),
  'a CTE that writes': swap(/^WITH x AS \(.*?\) AS "docs"\)/, 'WITH x AS (DELETE FROM "app"."docs" RETURNING id)'),
  'a comment': swap(/$/, ' -- c'),
  'a Unicode escape': swap('"app"."docs"', 'U&"app"."docs"'),
  'a letter that folds': swap(/^SELECT /, 'SELECT tenant_ıd, '),
  'a literal in two pieces': swap(/^SELECT /, "SELECT 'a'\n'b', "),
  'the tenant bound to a value': (_, slots) => ({
    slots: slots.map((slot, index): Slot => (slot.kind === 'tenant' ? { kind: 'value', index } : slot)),
  }),
  'the tenant bound to the user': kindTo('tenant', { kind: 'user' }),
  'a value at another place': (_, slots) => ({
    slots: slots.map((slot): Slot => (slot.kind === 'value' ? { kind: 'value', index: slot.index + 1 } : slot)),
  }),
  'a value bound to the tenant': (_, slots) => ({
    slots: slots.map((slot): Slot => (slot.kind === 'value' ? { kind: 'tenant' } : slot)),
  }),
  'slots missing': (_, slots) => ({ slots: slots.slice(0, -1) }),
}

/** What the full grammar adds: children through a parent, writes in WITH, views, columns by role, names of one's own. */
const EXISTS = String.raw`EXISTS \(SELECT 1 FROM "app"\."docs" WHERE [^()]*\(pg_catalog\.=\)[^()]*\(pg_catalog\.=\)[^()]*(?:\(pg_catalog\.=\)[^()]*)?\)`
const LINK = String.raw`"docs"\."id" OPERATOR\(pg_catalog\.=\) "(?:lines|l)"\."doc_id"`
const GONE = /\(DELETE FROM "app"\."notes" AS n WHERE .*? AND \( ?n\.id = \$1\) RETURNING n\.doc_id\)/
const faultsOfTheFull: Record<string, Fault> = {
  'a child without its EXISTS': swap(new RegExp(` WHERE ${EXISTS}\\)`), ')'),
  'a child under NOT EXISTS': swap(/WHERE EXISTS/, 'WHERE NOT EXISTS'),
  'a child under EXISTS of nothing': swap(new RegExp(EXISTS), 'EXISTS (SELECT 1)'),
  'a child under EXISTS OR true': swap(new RegExp(`(${EXISTS})`), '$1 OR true'),
  'a child under EXISTS after what was there': swap(
    new RegExp(`WHERE (${EXISTS}) AND (\\(.*?\\))( RETURNING|$)`),
    'WHERE $2 AND $1$3',
  ),
  'a child under EXISTS that is compared': swap(new RegExp(`(${EXISTS})`), '$1 = false'),
  'a child under EXISTS with parentheses around': swap(new RegExp(`(${EXISTS})`), '($1 IS NOT NULL)'),
  'a child whose EXISTS lacks the tenant': swap(new RegExp(`(${LINK}) AND ${TENANT}`), '$1'),
  'a child whose EXISTS lacks the link': swap(new RegExp(`${LINK} AND `), ''),
  'a child whose EXISTS joins OR': swap(new RegExp(`(${LINK}) AND`), '$1 OR'),
  'a child linked by the parent’s own column': swap(new RegExp(LINK), '"docs"."id" OPERATOR(pg_catalog.=) "docs"."id"'),
  'a child linked by a bare column': swap(new RegExp(LINK), '"docs"."id" OPERATOR(pg_catalog.=) doc_id'),
  'a child linked by another column': swap(/"(lines|l)"\."doc_id" AND/, '"$1"."id" AND'),
  'a child linked to another column of the parent': swap(
    /WHERE "docs"\."id" OPERATOR/,
    'WHERE "docs"."folder_id" OPERATOR',
  ),
  'a child linked by another alias': swap(/"(?:lines|l)"\."doc_id" AND/, '"e"."doc_id" AND'),
  'a child linked to a parent of another alias': swap(
    /FROM "app"\."docs" WHERE "docs"\."id" OPERATOR/,
    'FROM "app"."docs" AS docs WHERE "docs"."id" OPERATOR',
  ),
  'a child linked through another table': swap(
    /FROM "app"\."docs" WHERE "docs"\."id"/,
    'FROM "app"."notes" WHERE "docs"."id"',
  ),
  'a child linked through a table of another schema': swap(
    /FROM "app"\."docs" WHERE "docs"\."id"/,
    'FROM "pg_temp"."docs" WHERE "docs"."id"',
  ),
  'a child linked through a WITH query': swap(/FROM "app"\."docs" WHERE "docs"\."id"/, 'FROM docs WHERE "docs"."id"'),
  'a child linked through more than its parent': swap(
    /FROM "app"\."docs" WHERE "docs"\."id"/,
    'FROM "app"."docs", "app"."docs" AS o WHERE "docs"."id"',
  ),
  'a child linked by another operator': swap(
    /"docs"\."id" OPERATOR\(pg_catalog\.=\)/,
    '"docs"."id" OPERATOR(pg_catalog.>)',
  ),
  'a child linked by a bare operator': swap(/"docs"\."id" OPERATOR\(pg_catalog\.=\)/, '"docs"."id" ='),
  'a child’s EXISTS with a value for the tenant': swap(
    new RegExp(`(${LINK} AND "docs"\\."tenant_id" OPERATOR\\(pg_catalog\\.=\\)) \\$\\d+`),
    '$1 $$1',
  ),
  'a child’s EXISTS with a limit': swap(new RegExp(`(${EXISTS.slice(0, -2)})\\)`), '$1 LIMIT 1)'),
  'a child’s EXISTS with a union': swap(new RegExp(`(${EXISTS.slice(0, -2)})\\)`), '$1 UNION SELECT 1)'),
  'a child’s IN instead of EXISTS': swap(
    new RegExp(`WHERE ${EXISTS}`),
    'WHERE doc_id IN (SELECT "docs"."id" FROM "app"."docs")',
  ),
  'a child’s target called like its parent': swap(
    /"app"\."lines" AS "lines"(.*?)"lines"\."doc_id"/,
    '"app"."lines" AS "docs"$1"docs"."doc_id"',
  ),
  'a child’s leaf with a column more': swap('"lines"."price" FROM', '"lines"."price", "lines"."secret" FROM'),
  'a child with the parent’s leaf template': swap(
    / FROM "app"\."lines" WHERE .*?\)\) AS l/,
    ' FROM "app"."lines" WHERE "lines"."tenant_id" OPERATOR(pg_catalog.=) $1::int8) AS l',
  ),
  'a child inserted by VALUES': swap(/\(id, doc_id\) SELECT .*$/, '(id, doc_id) VALUES (1, 905)'),
  'a child’s link as a parameter': swap('SELECT $1, d.id,', 'SELECT $1, $2,'),
  'a child’s link as a constant': swap('SELECT 1, d.id FROM', 'SELECT 1, 905 FROM'),
  'a child’s link computed': swap('SELECT 1, d.id FROM', 'SELECT 1, d.id + 1 FROM'),
  'a child’s link from another column': swap('SELECT 1, d.id FROM', 'SELECT 1, d.folder_id FROM'),
  'a child’s link from another table': swap('SELECT 1, d.id FROM', 'SELECT 1, k.id FROM'),
  'a child’s link from a bare column': swap('SELECT 1, d.id FROM', 'SELECT 1, id FROM'),
  'a child’s link constant in the second arm': swap('SELECT 2, e.id FROM', 'SELECT 2, 905 FROM'),
  'a child’s link from a subquery of the same alias': swap(
    /SELECT 1, d\.id FROM (\(.*?int8\)) AS d/,
    'SELECT 1, d.id FROM (SELECT 905 AS id, 1 AS folder_id, d.title FROM $1 AS d) AS d',
  ),
  'a child’s link from a leaf inside a subquery': swap(
    /SELECT 1, d\.id FROM (\(.*?int8\)) AS d/,
    'SELECT 1, d.id FROM (SELECT d.id + 900 AS id, d.folder_id FROM $1 AS d) AS d',
  ),
  'a child’s link from a join that hides the leaf': swap(
    /SELECT 1, d\.id FROM (\(.*?int8\)) AS d JOIN (\(.*?\)) AS k ON k\.id = d\.folder_id/,
    'SELECT 1, d.id FROM ($1 AS d CROSS JOIN $2 AS k) AS j, (SELECT 905 AS id) AS d',
  ),
  'a child’s link from a leaf with other column names': swap(
    /(SELECT 1, d\.id FROM \(.*?int8\)) AS d JOIN/,
    '$1 AS d(tenant_id, id, folder_id) JOIN',
  ),
  'a child’s link from the empty side of a join': swap(/AS d JOIN (\(SELECT "kinds")/, 'AS d RIGHT JOIN $1'),
  'a child’s link grouped away': swap(/ UNION SELECT 2/, ' GROUP BY ROLLUP (d.id) UNION SELECT 2'),
  'a child’s link given twice': swap('(id, doc_id)', '(doc_id, doc_id)'),
  'a child’s link left out': swap('(id, doc_id)', '(id, item)'),
  'a child’s link behind a star': swap('SELECT 1, d.id FROM', 'SELECT k.*, d.id FROM'),
  'a child’s link assigned': swap('SET item =', 'SET doc_id ='),
  'a child’s link assigned among others': swap('SET item = $1', 'SET (item, doc_id) = ($1, 905)'),
  'a conflict of a child without EXISTS': swap(
    new RegExp(`SET item = excluded\\.item WHERE ${EXISTS}`),
    'SET item = excluded.item',
  ),
  'a conflict of a child confined by what is proposed': swap(/"lines"\."doc_id"(?! *=)/, 'excluded."doc_id"'),
  'a write in WITH without its confinement': swap(
    GONE,
    '(DELETE FROM "app"."notes" AS n WHERE n.id = $1 RETURNING n.doc_id)',
  ),
  'a write in WITH confined by another write’s alias': swap(/AS n WHERE "n"\./, 'AS n WHERE "docs".'),
  'a write in WITH whose confinement stands in the main statement': swap(
    /AS n WHERE ("n".*?int8)(.*?)AND \( docs\.id/,
    'AS n WHERE true$2AND $1 AND ( docs.id',
  ),
  'a write hidden in a nested WITH': swap(
    /WITH gone AS (\(.*?RETURNING n\.doc_id\))/,
    'WITH gone AS (WITH g AS $1 SELECT doc_id FROM g)',
  ),
  'a write hidden in a subquery': swap(
    /\( docs\.id = gone\.doc_id\)/,
    '(EXISTS (WITH g AS (DELETE FROM "app"."docs" RETURNING id) SELECT 1 FROM g))',
  ),
  'a write in WITH of a shared table': swap(/"app"\."notes" AS n/, '"app"."kinds" AS n'),
  'a write in WITH of a view': swap(/"app"\."notes" AS n/, '"app"."papers" AS n'),
  'a write in WITH returning everything': swap('RETURNING n.doc_id', 'RETURNING *'),
  'a write in WITH returning its whole row': swap('RETURNING n.doc_id', 'RETURNING n'),
  'a write in WITH returning a hidden column': swap('RETURNING n.doc_id', 'RETURNING n.secret'),
  'a write in WITH returning the other target’s column': swap('RETURNING n.doc_id', 'RETURNING title'),
  'an INSERT in WITH of another tenant': swap(/(WITH made AS .*?VALUES \()\$\d+::int8/, '$1 9'),
  'a second write in WITH without its confinement': swap(
    new RegExp(`SET item = \\$3 WHERE ${EXISTS} AND`),
    'SET item = $3 WHERE',
  ),
  'a MERGE in WITH': swap(
    GONE,
    '(MERGE INTO "app"."notes" AS n USING gone ON true WHEN MATCHED THEN DELETE RETURNING n.doc_id)',
  ),
  'a WITH query called like a table': swap(/\bgone\b/g, 'lines'),
  'a WITH query called like the catalog’s': swap(/\bgone\b/g, 'pg_class'),
  'a view read past its leaf': swap(/\(SELECT "papers".*?int8\) AS p/, '"app"."papers" AS p'),
  'a view without its tenant': swap(/(FROM "app"\."papers") WHERE .*?int8\) AS p/, '$1) AS p'),
  'a view that is locked': swap('FOR UPDATE OF l', 'FOR UPDATE'),
  'a view as the target': swap(/(UPDATE|DELETE FROM|INSERT INTO) "app"\."docs"/, '$1 "app"."papers"'),
  'a read-only column in an INSERT': swap(/\("tenant_id", (?:"owner_id", )?id, title\) VALUES/, (all) =>
    all.replace('title', 'size'),
  ),
  'a read-only column assigned': swap('SET title =', 'SET size ='),
  'a read-only column in a multiple assignment': swap('SET title = $1', 'SET (title, size) = ($1, 1)'),
  'a read-only column in a multiple assignment from a query': swap(
    'SET title = $1',
    "SET (title, size) = (SELECT 'x', 1)",
  ),
  'a read-only column in a conflict': swap('SET title = excluded.title', 'SET size = excluded.size'),
  'a child’s read-only column': swap('SET item =', 'SET price ='),
  'a hidden column of excluded': swap('excluded.title', 'excluded.secret'),
  'a hidden column of a child’s excluded': swap('excluded.item', 'excluded.secret'),
  'a hidden column in the conflict’s key': swap('ON CONFLICT (id)', 'ON CONFLICT (secret)'),
  'a hidden column in an expression of the conflict’s key': swap('ON CONFLICT (id)', 'ON CONFLICT (lower(secret))'),
  'the whole row of a child': swap(/RETURNING (?:l|lines)\.item/, 'RETURNING l'),
  'a star of a child': swap(/RETURNING (l|lines)\.item/, 'RETURNING $1.*'),
  'a function of the application’s by its bare name': swap('app.shorten(', 'shorten('),
  'a function of the application’s of another schema': swap('app.shorten(', 'evil.shorten('),
  'a function that is not the application’s': swap('app.shorten(', 'app.lower('),
  'a function of the application’s as one of pg_catalog': swap('app.shorten(', 'pg_catalog.shorten('),
  'a type of the application’s by its bare name': swap('::app.mood', '::mood'),
  'a type of another schema': swap('::app.mood', '::evil.mood'),
  'a table’s row type': swap('::app.mood', '::app.docs'),
  'DEFAULT VALUES left as they were': swap(
    /INTO "app"\."docs" \("tenant_id"(?:, "owner_id")?\) VALUES \(\$\d+::int8(?:, \$\d+::int8)?\)$/,
    'INTO "app"."docs" DEFAULT VALUES',
  ),
}

const ownFaults: Record<string, Fault> = {
  ...Object.fromEntries(
    Object.entries({ ...faults, ...faultsOfTheFull }).filter(
      ([name]) => !/constant tenant|star before|UPDATE that assigns the owner/.test(name),
    ),
  ),
  'a leaf without the owner': swap(/ AND "docs"\."owner_id" OPERATOR\(pg_catalog\.=\) \$\d+::int8\)/, ')'),
  'a change without the owner': swap(/ AND "(?:d|docs)"\."owner_id" OPERATOR\(pg_catalog\.=\) \$\d+::int8(?! *\))/, ''),
  'INSERT without the owner': swap('"owner_id", ', ''),
  'the owner bound to the tenant': kindTo('user', { kind: 'tenant' }),
  'the owner in another column': swap('"owner_id" OPERATOR', '"folder_id" OPERATOR'),
}

describe.each([
  ['reach tenant', everything, { ...faults, ...faultsOfTheFull }],
  ['reach own', owned, ownFaults],
] as const)('%s', (_, grants, table) => {
  it.each(bases)('proves %s', (text) => {
    expect(() => prove(claimOf(text, grants))).not.toThrow()
  })

  it.each(Object.entries(table))('refuses %s', (_name, fault) => {
    let applied = 0
    for (const base of bases) {
      const claim = claimOf(base, grants)
      const faulty = { ...claim, ...fault(claim.text, claim.slots) }
      if (faulty.text === claim.text && JSON.stringify(faulty.slots) === JSON.stringify(claim.slots)) continue
      applied++
      expect(() => prove(faulty), faulty.text).toThrow(Unproven)
    }
    expect(applied).toBeGreaterThan(0)
  })
})

it.each([
  ['the grant to read', 'SELECT id FROM docs', 'doc:read'],
  ['the grant to create', 'INSERT INTO docs (id) VALUES (1)', 'doc:create'],
  ['the grant to update', 'UPDATE docs SET title = $1', 'doc:update'],
  ['the grant to read what is updated', 'UPDATE docs SET title = title', 'doc:read'],
  ['the grant to delete', 'DELETE FROM docs', 'doc:delete'],
  ['the grant to update what is locked', 'SELECT id FROM docs FOR UPDATE', 'doc:update'],
  [
    'the grant to update a conflict',
    'INSERT INTO docs (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET title = $1',
    'doc:update',
  ],
  ['the grant to read what comes back', 'INSERT INTO docs (id) VALUES (1) RETURNING id', 'doc:read'],
])('refuses without %s, and what was proven for the tenant under reach own', (_, text, grant) => {
  const claim = claimOf(text, all)
  const without = new Map([...all].filter(([name]) => name !== grant))
  expect(() => prove({ ...claim, grants: without })).toThrow(Unproven)
  expect(() => prove({ ...claim, grants: new Map(all).set(grant, 'own') })).toThrow(Unproven)
  expect(() => prove({ ...claim, grants: all })).not.toThrow()
})

const leaf =
  '(SELECT "docs"."id", "docs"."tenant_id", "docs"."owner_id", "docs"."folder_id", "docs"."title", "docs"."body", "docs"."size" FROM "app"."docs" WHERE "docs"."tenant_id" OPERATOR(pg_catalog.=) $1::int8)'
const kinds = '(SELECT "kinds"."id", "kinds"."label" FROM "app"."kinds")'
const folders =
  '(SELECT "folders"."id", "folders"."name", "folders"."tenant_id" FROM "app"."folders" WHERE "folders"."tenant_id" OPERATOR(pg_catalog.=) $1::int8)'
const where = 'WHERE "docs"."tenant_id" OPERATOR(pg_catalog.=) $1::int8'
const tenantSlot: readonly Slot[] = [{ kind: 'tenant' }]

describe('final texts that are not one of a rewriter with a single fault', () => {
  it.each([
    `SELECT d.title, k.label FROM ${leaf} AS d, ${kinds} AS k`,
    `DELETE FROM "app"."docs" ${where} AND (true)`,
    `SELECT 1 + 2, 'a' COLLATE "C", 1 = ANY (SELECT 2), (ARRAY[1])[1], 1 BETWEEN 0 AND 2`,
  ])('proves %s', (text) => {
    const slots = text.includes('$1') ? tenantSlot : []
    expect(() => prove({ text, slots, manifest: archive, grants: all })).not.toThrow()
  })

  const withKinds = new Map(all).set('kind:update', 'tenant')
  const ownFolders = new Map(all).set('folder:read', 'own')
  it.each<[what: string, text: string, slots?: readonly Slot[], grants?: Grants]>([
    ['no statement', ''],
    ['a CTE of a table’s name', 'WITH docs AS (SELECT 1 AS id) SELECT id FROM docs', []],
    ['a CTE of a catalog’s name', 'WITH pg_class AS (SELECT 1) SELECT * FROM pg_class', []],
    [
      'a CTE that is read out of its sight',
      `SELECT * FROM x WHERE EXISTS (WITH y AS (SELECT 1) SELECT 1 FROM ${leaf} AS d)`,
    ],
    ['a CTE that inserts without the tenant', 'WITH x AS (INSERT INTO "app"."docs" (id) VALUES (1)) SELECT $1::int8'],
    [
      'a star before the tenant',
      'INSERT INTO "app"."docs" (id, "tenant_id") SELECT x.*, $1::int8 FROM (SELECT 1, 2) AS x',
    ],
    ['VALUES as an arm', 'INSERT INTO "app"."docs" ("tenant_id") SELECT $1::int8 UNION VALUES (9::int8)'],
    ['one row too short', 'INSERT INTO "app"."docs" ("tenant_id", id) VALUES ($1::int8, 1), ()'],
    ['an INSERT of defaults', 'INSERT INTO "app"."docs" DEFAULT VALUES', []],
    ['a lock on a qualified name', `SELECT 1 FROM ${leaf} AS d FOR UPDATE OF app.docs`],
    ['a lock on a shared table', `SELECT 1 FROM ${kinds} AS k FOR UPDATE`, [], withKinds],
    ['an operator of another schema', 'SELECT 1 OPERATOR(evil.+) 2', []],
    ['an operator that is not in the list', 'SELECT 1 @@@ 2', []],
    ['such an operator before a query', 'SELECT 1 OPERATOR(evil.=) ANY (SELECT 2)', []],
    ['a column of the first of a table', 'SELECT @1', []],
    ['a collation', "SELECT 'a' COLLATE evil", []],
    ['a field of an expression', "SELECT (lower('BASE')).pg_ls_dir", []],
    ['a star of an expression', 'SELECT (ROW(1)).*', []],
    [
      'a conflict on a hidden column',
      'INSERT INTO "app"."docs" ("tenant_id") VALUES ($1::int8) ON CONFLICT (secret) DO NOTHING',
    ],
    ['a column of three names', `SELECT app.docs.id FROM ${leaf} AS docs`],
    ['a leaf without a parameter', `SELECT 1 FROM ${leaf.replace('$1', '$0')} AS d`, []],
    ['reach own on a table without owner', `SELECT 1 FROM ${folders} AS f`, tenantSlot, ownFolders],
    ['a target called old', `UPDATE "app"."docs" AS old SET title = 'x' ${where.replace('"docs"', '"old"')}`],
    ['a target called excluded', 'INSERT INTO "app"."docs" AS excluded ("tenant_id") VALUES ($1::int8)'],
    ['a table sample', `SELECT 1 FROM "app"."docs" TABLESAMPLE SYSTEM (100)`, []],
    ['a function over rows', "SELECT * FROM ts_stat('SELECT 1') AS x(a text)", []],
    ['a whole statement as a value', `SELECT * FROM ${leaf} AS d; SELECT 1`],
    ['a leaf within a literal', `SELECT '${leaf.replaceAll("'", "''")}', id FROM "app"."docs"`],
    ['half a leaf', `SELECT * FROM ${leaf.slice(0, -1)} OR true)`],
    ['a leaf with more than its WHERE', `SELECT * FROM ${leaf.slice(0, -1)} UNION SELECT 1)`],
    ['a confinement that is a part of OR', `DELETE FROM "app"."docs" ${where} OR (true)`],
    ['a confinement within NOT', `DELETE FROM "app"."docs" ${where.replace('WHERE', 'WHERE NOT')}`],
    [
      'a hidden column through a join',
      `DELETE FROM "app"."docs" USING ${folders} AS f JOIN ${kinds} AS k ON secret = k.label ${where}`,
    ],
    [
      'a hidden column through a renamed leaf',
      `DELETE FROM "app"."docs" ${where} AND (EXISTS (SELECT 1 FROM ${folders} AS f(a, b, c) WHERE name = 'x'))`,
    ],
    [
      'a hidden column beside a comma',
      `DELETE FROM "app"."docs" ${where} AND (EXISTS (SELECT 1 FROM ${folders} AS f JOIN ${folders} AS g ON label = 'x', ${kinds} AS k))`,
    ],
    [
      'a hidden column in LATERAL',
      `DELETE FROM "app"."docs" ${where} AND (EXISTS (SELECT 1 FROM LATERAL (SELECT label) AS l, ${kinds} AS k))`,
    ],
    [
      'a hidden column in a CTE within',
      `DELETE FROM "app"."docs" ${where} AND (EXISTS (WITH x AS (SELECT label) SELECT 1 FROM x, ${kinds} AS k))`,
    ],
  ])('refuses %s', (_, text, slots = tenantSlot, grants = all) => {
    expect(() => prove({ text, slots, manifest: archive, grants })).toThrow(Unproven)
  })
})

it('refuses a leaf whose table has changed in the manifest', () => {
  const claim = claimOf('SELECT id FROM docs', all)
  const tables = office.tables.map((table) => (table.name === 'docs' ? { ...table, tenant: 'folder_id' } : table))
  expect(() => prove({ ...claim, manifest: { ...office, tables } })).toThrow(Unproven)
})
