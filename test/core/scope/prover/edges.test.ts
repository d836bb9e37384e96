import { beforeAll, describe, expect, it } from 'vitest'
import type { Manifest, Table } from '../../../../src/core/scope/manifest.ts'
import { type Claim, prove, Unproven } from '../../../../src/core/scope/prover/prove.ts'
import { createScope, loadKernel } from '../../../../src/core/scope/scope.ts'
import { parseGrants } from '../../../../src/core/scope/grants.ts'
import { docs, everything, folders, kinds, lineOf, office, owned, ownDocs, ownerOf, slots, tenantOf } from './office.ts'

beforeAll(loadKernel)

const told = (text: string, claim: Partial<Claim> = {}): string => {
  try {
    return prove({ text, slots, manifest: office, grants: everything, ...claim }).join('\n')
  } catch (error) {
    if (!(error instanceof Unproven)) throw error
    return `${error.message}${error.at === undefined ? '' : ` at ${error.at}`}`
  }
}

/** The office with other entries for one of its tables: such as its own check would not let through. */
const withTable = (name: string, other: Partial<Table>): Manifest => ({
  ...office,
  tables: office.tables.map((table) => (table.name === name ? { ...table, ...other } : table)),
})
const D = '"app"."docs" AS "d"'
const tenantIs = (by: string): string => `DELETE FROM ${D} WHERE "d"."tenant_id" OPERATOR(pg_catalog.=) ${by}`
const INSERT = 'INSERT INTO "app"."docs" ("tenant_id", id) VALUES'

it.each([
  ['$2::int8', /^DELETE/],
  ['$2::pg_catalog.int8', /^DELETE/],
  ['$2::evil.int8', 'not proven: the tenant in WHERE'],
  ['$2::x.pg_catalog.int8', 'not proven: the tenant in WHERE'],
  ['$2::int8[]', 'not proven: the tenant in WHERE'],
  ['$2::int8(3)', 'not proven: the tenant in WHERE'],
  ['$2', 'not proven: the tenant in WHERE'],
  ['9::int8', 'not proven: the tenant in WHERE'],
  ['$3::int8', 'not proven: the tenant in WHERE'],
  ['$1::int8', 'not proven: the tenant in WHERE'],
  ['$4::int8', 'not proven: the tenant in WHERE'],
] as const)('the tenant is compared with its parameter as the column’s type, and %s', (by, outcome) => {
  expect(
    told(tenantIs(by)).replace(/not proven: (?!the tenant in WHERE).*/, 'not proven: the tenant in WHERE'),
  ).toMatch(outcome)
  const row = told(`${INSERT} (${by}, 1)`)
  if (typeof outcome === 'string') expect(row).toBe('not proven: the tenant of each row')
  else expect(row).toMatch(/^INSERT/)
})

it('a constant is no parameter, not even where the first is the tenant’s', () => {
  const claim = { slots: [{ kind: 'tenant' }] as const }
  expect(told(tenantIs('$1::int8'), claim)).toMatch(/^DELETE/)
  expect(told(tenantIs('9::int8'), claim)).toBe('not proven: the tenant in WHERE')
  expect(told(`${INSERT} (9::int8, 1)`, claim)).toBe('not proven: the tenant of each row')
})

it('a column is named by its alias and its name alone', () => {
  const compared = (column: string): string => `DELETE FROM ${D} WHERE ${column} OPERATOR(pg_catalog.=) $2::int8`
  expect(told(compared('"d"."tenant_id"'))).toMatch(/^DELETE/)
  expect(told(compared('"x"."d"."tenant_id"'))).toMatch(/^not proven/)
  expect(told(compared('"d"."tenant_id"."x"'))).toMatch(/^not proven/)
  expect(told(compared('("d"."tenant_id")'))).toMatch(/^DELETE/)
  expect(told(compared('"tenant_id"'))).toMatch(/^not proven/)
})

it('of several parameters of the tenant a leaf has the last, as the rewriter makes it', () => {
  const scope = createScope({ manifest: office, dialect: 'postgresql' })
  const { text, slots: made } = scope.scope('INSERT INTO docs (id, tenant_id) SELECT d.id, $1 FROM docs d', everything)
  expect(made).toEqual([{ kind: 'tenant' }, { kind: 'tenant' }])
  expect(text).toContain('$2::int8) d')
})

it('a shared table that has a tenant is confined, and not written', () => {
  const both = { manifest: withTable('folders', { shared: true }) }
  expect(told(`SELECT name FROM ${folders} AS f`, both)).toMatch(/^SELECT/)
  const open = folders.replace(/ WHERE .*\)$/, ')')
  expect(told(`SELECT name FROM ${open} AS f`, both)).toMatch(/^not proven: the leaf of a table/)
  expect(told(`DELETE FROM "app"."folders" AS "f" WHERE ${tenantOf('f')}`, both)).toBe(
    'not proven: a target that can be written',
  )
})

it('a child that is also shared is confined', () => {
  const both = { manifest: withTable('lines', { shared: true }) }
  expect(
    told(
      'SELECT id FROM (SELECT "lines"."id", "lines"."doc_id", "lines"."item", "lines"."price" FROM "app"."lines") AS l',
      both,
    ),
  ).toMatch(/^not proven: the leaf of a table/)
})

it('neither tenant, nor shared, nor through: nothing is proven of it', () => {
  const table = office.tables.find(({ name }) => name === 'folders')
  const { tenant: _, ...none } = table as Table
  const manifest = { ...office, tables: office.tables.map((one) => (one.name === 'folders' ? none : one)) }
  expect(told(`SELECT name FROM ${folders} AS f`, { manifest })).toMatch(/^not proven: a column for the tenant/)
  expect(told(`DELETE FROM "app"."folders" AS "f" WHERE ${tenantOf('f')}`, { manifest })).toMatch(/^not proven/)
})

it('INSERT that returns needs both to create and to read', () => {
  const text = `${INSERT} ($2::int8, 1) RETURNING id`
  for (const missing of ['doc:create', 'doc:read']) {
    const grants = new Map([...everything].filter(([name]) => name !== missing))
    expect(told(text, { grants })).toBe('not proven: a grant')
  }
  const own = new Map(everything).set('doc:create', 'own')
  expect(told(text, { grants: own })).toMatch(/^not proven: /)
})

it('what Holdfast sets may be read-only to the handler', () => {
  const columns = (...names: string[]): Table['columns'] =>
    Object.fromEntries(
      Object.entries(office.tables.find(({ name }) => name === 'docs')?.columns ?? {}).map(([name, column]) => [
        name,
        names.includes(name) ? { ...column, readOnly: true as const } : column,
      ]),
    )
  const manifest = withTable('docs', { columns: columns('tenant_id', 'owner_id') })
  expect(told(`${INSERT} ($2::int8, 1)`, { manifest })).toMatch(/^INSERT/)
  const own = 'INSERT INTO "app"."docs" ("tenant_id", "owner_id", id) VALUES ($2::int8, $3::int8, 1)'
  expect(told(own, { manifest, grants: owned })).toMatch(/^INSERT/)
  // under reach tenant the owner is a column like any other
  expect(told(own.replace('$3::int8', '5'), { manifest })).toMatch(/^not proven: a column that is not read-only/)
  const lines = withTable('lines', {
    columns: {
      id: { type: 'int8' },
      doc_id: { type: 'int8', readOnly: true },
      item: { type: 'text' },
      price: { type: 'int8' },
    },
  })
  expect(told(`INSERT INTO "app"."lines" (id, doc_id) SELECT $1, p.id FROM ${docs} AS p`, { manifest: lines })).toMatch(
    /^INSERT/,
  )
})

it('a child of a parent without owner stands beside own rows of others', () => {
  const manifest: Manifest = {
    ...office,
    tables: [
      ...office.tables,
      {
        schema: 'app',
        name: 'pages',
        resource: 'page',
        through: { table: 'folders', column: 'folder_id', references: 'id' },
        columns: { id: { type: 'int8' }, folder_id: { type: 'int8' } },
      },
    ],
  }
  const grants = parseGrants(['page:delete', 'page:read', 'doc:read@own'])
  const exists = `EXISTS (SELECT 1 FROM "app"."folders" WHERE "folders"."id" OPERATOR(pg_catalog.=) "p"."folder_id" AND ${tenantOf('folders')})`
  const text = `DELETE FROM "app"."pages" AS "p" USING ${ownDocs} AS d WHERE ${exists} AND (d.id = p.id)`
  expect(told(text, { manifest, grants })).toMatch(
    /^DELETE from app\.pages, tenant = \$2 of its app\.folders first in WHERE, needs/,
  )
  expect(told(text, { manifest, grants: new Map(grants).set('page:read', 'own') })).toBe('not proven: an owner')
})

it('a confinement that is not the first of a condition is none', () => {
  const both = `DELETE FROM ${D} WHERE ${ownerOf('d')} AND ${tenantOf('d')}`
  expect(told(both)).toMatch(/^not proven/)
  expect(told(both, { grants: owned })).toMatch(/^not proven/)
  expect(told(`DELETE FROM ${D} WHERE ${tenantOf('d')} AND ${ownerOf('d')} AND (true)`, { grants: owned })).toMatch(
    /^DELETE/,
  )
  const child = `DELETE FROM "app"."lines" AS "l" WHERE (true) AND ${lineOf('l')}`
  expect(told(child)).toMatch(/^not proven/)
})

describe('in a condition beside its target a bare name is a column that is listed', () => {
  const where = `WHERE ${tenantOf('d')}`
  it.each([
    `UPDATE ${D} SET title = name FROM ${folders} AS f ${where}`,
    `DELETE FROM ${D} USING ${folders} AS f ${where} AND (name = 'x')`,
    `UPDATE ${D} SET title = (SELECT f.name FROM ${folders} AS f WHERE title = 'x') ${where}`,
    `UPDATE ${D} SET title = (SELECT f.name FROM ${folders} AS f JOIN ${kinds} AS k ON title = 'x') ${where}`,
    `UPDATE ${D} SET title = (SELECT name FROM ${folders} AS f JOIN ${kinds} AS k ON true) ${where}`,
    `UPDATE ${D} SET title = (SELECT label FROM ${folders} AS f JOIN ${kinds} AS k ON true) ${where}`,
    `UPDATE ${D} SET title = (SELECT f.name FROM ${folders} AS f JOIN ${kinds} AS k ON name = label) ${where}`,
  ])('%s', (text) => {
    expect(told(text)).toMatch(/^(?:UPDATE|DELETE)/)
  })

  it.each([
    `UPDATE ${D} SET title = secret FROM ${folders} AS f ${where}`,
    `UPDATE ${D} SET title = (SELECT f.name FROM ${folders} AS f WHERE secret = 'x') ${where}`,
    `UPDATE ${D} SET title = (SELECT f.name FROM ${folders} AS f JOIN ${kinds} AS k ON secret = 'x') ${where}`,
    `UPDATE ${D} SET title = (SELECT label FROM ${folders} AS f) ${where}`,
    `UPDATE ${D} SET title = (SELECT secret FROM ${folders} AS f(secret)) ${where}`,
  ])('or nothing: %s', (text) => {
    expect(told(text)).toMatch(/^not proven: whose a bare column is/)
  })
})

it('a change that returns anything, or is joined with anything, reads', () => {
  const grants = new Map([...everything].filter(([name]) => name !== 'doc:read'))
  expect(told(tenantIs('$2::int8'), { grants })).toMatch(/^DELETE/)
  expect(told(`${tenantIs('$2::int8')} RETURNING 1`, { grants })).toBe('not proven: a grant')
  expect(told(`${tenantIs('$2::int8')} AND (d.id = 1)`, { grants })).toBe('not proven: a grant')
  const joined = `DELETE FROM ${D} USING ${folders} AS f WHERE ${tenantOf('d')}`
  expect(told(joined)).toMatch(/^DELETE/)
  expect(told(joined, { grants })).toBe('not proven: a grant')
  const from = `UPDATE ${D} SET title = 'x' FROM ${folders} AS f WHERE ${tenantOf('d')}`
  expect(told(from)).toMatch(/^UPDATE/)
  expect(told(from, { grants })).toBe('not proven: a grant')
})

it('each of several locks needs its grant', () => {
  const grants = new Map([...everything].filter(([name]) => name !== 'doc:update'))
  const read = `SELECT 1 FROM ${docs} AS d, ${folders} AS f`
  expect(told(`${read} FOR UPDATE OF f`, { grants })).toMatch(/^SELECT, locks/)
  expect(told(`${read} FOR UPDATE OF d FOR SHARE OF f`, { grants })).toMatch(/^not proven: a grant/)
  expect(told(`${read} FOR SHARE OF f FOR UPDATE OF d`, { grants })).toMatch(/^not proven: a grant/)
  expect(told(`SELECT 1 FROM ${docs} AS d FOR UPDATE OF "app"."d"`)).toMatch(/^not proven: what is locked/)
})

it('the parent of a child is in each row, however deep it stands in a join', () => {
  const insert = (from: string): string => told(`INSERT INTO "app"."lines" (id, doc_id) SELECT $1, p.id FROM ${from}`)
  expect(insert(`${folders} AS f JOIN (${kinds} AS k JOIN ${docs} AS p ON true) ON true`)).toMatch(/^INSERT/)
  expect(insert(`(${docs} AS p LEFT JOIN ${kinds} AS k ON true) LEFT JOIN ${folders} AS f ON true`)).toMatch(/^INSERT/)
  for (const join of ['LEFT', 'FULL']) {
    expect(insert(`${folders} AS f ${join} JOIN (${kinds} AS k JOIN ${docs} AS p ON true) ON true`)).toMatch(
      /^not proven: the parent's leaf/,
    )
  }
  expect(insert(`(${docs} AS p JOIN ${kinds} AS k ON true) RIGHT JOIN ${folders} AS f ON true`)).toMatch(
    /^not proven: the parent's leaf/,
  )
  expect(insert(`${docs} AS x JOIN ${folders} AS f USING (id) AS p`)).toMatch(/^not proven: the parent's leaf/)
})

it('an alias that holds a quote is still one name', () => {
  const line = lineOf('l""x')
  expect(told(`DELETE FROM "app"."lines" AS "l""x" WHERE ${line}`)).toMatch(/^DELETE/)
  expect(told(`DELETE FROM "app"."lines" AS "l""x" WHERE ${lineOf('l')}`)).toMatch(/^not proven/)
})

it('what is the application’s own has two names, and neither is PostgreSQL’s', () => {
  expect(told('SELECT app.shorten()')).toBe('SELECT, reads only\n  app.shorten() at 7: a function of the manifest')
  expect(told('SELECT app.shorten.x()')).toMatch(/^not proven: a function of the list/)
  expect(told('SELECT x.app.shorten()')).toMatch(/^not proven: a function of the list/)
  expect(told('SELECT NULL::app.mood')).toBe('SELECT, reads only')
  expect(told('SELECT NULL::app.mood.x')).toMatch(/^not proven: a type of the list/)
  const manifest: Manifest = {
    ...office,
    functions: [{ schema: 'pg_catalog', name: 'pg_sleep', reads: [] }],
    types: [{ schema: 'pg_catalog', name: 'regclass' }],
  }
  expect(told('SELECT pg_catalog.pg_sleep(1)', { manifest })).toMatch(/^not proven: a function of the list/)
  expect(told('SELECT NULL::pg_catalog.regclass', { manifest })).toMatch(/^not proven: a type of the list/)
})

it('says where a text could not be proven', () => {
  expect(told('SELECT 1, nosuch(2)')).toBe('not proven: a function of the list at 10')
  expect(told('SELECT 1, 2 @@@ 3')).toBe('not proven: an operator of the list at 12')
  expect(told('SELECT 1, NULL::nosuch')).toBe('not proven: a type of the list at 14')
  expect(told('SELECT f(1)::nosuch')).toBe('not proven: a function of the list at 7')
  expect(told('SELECT 1 FROM "app"."nosuch"')).toBe('not proven: a relation of the manifest at 14')
  expect(told('SELECT 1 FROM (VALUES (1)) AS v, LATERAL (SELECT 2) AS w TABLESAMPLE SYSTEM (1)')).toBe(
    'not proven: a text that parses',
  )
})
