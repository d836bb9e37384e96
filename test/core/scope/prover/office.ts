import { type Grants, parseGrants } from '../../../../src/core/scope/grants.ts'
import { type Manifest, parseManifest } from '../../../../src/core/scope/manifest.ts'
import type { Slot } from '../../../../src/core/scope/prover/prove.ts'
import { archive } from '../archive.ts'

/**
 * The archive, and what makes the kernel full: a child without a tenant column, a view, a shared table, a column that is
 * read-only, one that is hidden (`secret`: the manifest of a role simply lacks it), functions and a type of the
 * application's own.
 */
export const office: Manifest = parseManifest({
  ...archive,
  tables: [
    ...archive.tables.map((table) =>
      table.name === 'docs'
        ? { ...table, columns: { ...table.columns, size: { type: 'int4', readOnly: true } } }
        : table,
    ),
    {
      schema: 'app',
      name: 'lines',
      resource: 'line',
      through: { table: 'docs', column: 'doc_id', references: 'id' },
      columns: {
        id: { type: 'int8' },
        doc_id: { type: 'int8' },
        item: { type: 'text' },
        price: { type: 'int8', readOnly: true },
      },
    },
    {
      schema: 'app',
      name: 'papers',
      resource: 'paper',
      tenant: 'tenant_id',
      view: true,
      columns: { id: { type: 'int8' }, tenant_id: { type: 'int8' }, title: { type: 'text' } },
    },
  ],
  functions: [
    { schema: 'app', name: 'tally', reads: ['app.docs', 'app.notes'] },
    { schema: 'app', name: 'shorten', reads: [] },
  ],
  types: [{ schema: 'app', name: 'mood' }],
})

const verbs = ['read', 'create', 'update', 'delete']
/** Every verb at reach tenant. */
export const everything: Grants = parseGrants(
  ['doc', 'note', 'folder', 'label', 'line', 'paper', 'kind'].flatMap((one) => verbs.map((verb) => `${one}:${verb}`)),
)
/** Every verb on one's own rows, where rows have an owner: those of lines are their document's. */
export const owned: Grants = parseGrants([
  ...['doc', 'note', 'label', 'line'].flatMap((one) => verbs.map((verb) => `${one}:${verb}@own`)),
  ...['folder', 'paper', 'kind'].flatMap((one) => verbs.map((verb) => `${one}:${verb}`)),
])

/** `$1` is the handler's, `$2` the tenant, `$3` the user. */
export const slots: readonly Slot[] = [{ kind: 'value', index: 0 }, { kind: 'tenant' }, { kind: 'user' }]

export const tenantOf = (alias: string): string => `"${alias}"."tenant_id" OPERATOR(pg_catalog.=) $2::int8`
export const ownerOf = (alias: string, column = 'owner_id'): string =>
  `"${alias}"."${column}" OPERATOR(pg_catalog.=) $3::int8`
const items = (table: string, columns: string): string =>
  columns
    .split(' ')
    .map((column) => `"${table}"."${column}"`)
    .join(', ')
const parent = (alias: string, rows: string): string =>
  `EXISTS (SELECT 1 FROM "app"."docs" WHERE "docs"."id" OPERATOR(pg_catalog.=) "${alias}"."doc_id" AND ${rows})`
/** What confines a line, under reach tenant and under reach own. */
export const lineOf = (alias: string): string => parent(alias, tenantOf('docs'))
export const ownLineOf = (alias: string): string => parent(alias, `${tenantOf('docs')} AND ${ownerOf('docs')}`)

const DOCS = items('docs', 'id tenant_id owner_id folder_id title body size')
const LINES = items('lines', 'id doc_id item price')
/** The leaves, written out by hand. */
export const docs = `(SELECT ${DOCS} FROM "app"."docs" WHERE ${tenantOf('docs')})`
export const ownDocs = `(SELECT ${DOCS} FROM "app"."docs" WHERE ${tenantOf('docs')} AND ${ownerOf('docs')})`
export const lines = `(SELECT ${LINES} FROM "app"."lines" WHERE ${lineOf('lines')})`
export const ownLines = `(SELECT ${LINES} FROM "app"."lines" WHERE ${ownLineOf('lines')})`
export const folders = `(SELECT ${items('folders', 'id name tenant_id')} FROM "app"."folders" WHERE ${tenantOf('folders')})`
export const papers = `(SELECT ${items('papers', 'id tenant_id title')} FROM "app"."papers" WHERE ${tenantOf('papers')})`
export const kinds = `(SELECT ${items('kinds', 'id label')} FROM "app"."kinds")`
