import type { ForeignKeyRow, IndexRow } from './catalog.ts'
import { type Expected, type ExpectedTable, keyOf } from './expected.ts'
import { named } from './identifier.ts'
import type { Rule } from './rule.ts'

const nameOf = ({ schema, name }: { readonly schema: string; readonly name: string }): string => named(schema, name)
const list = (columns: readonly (string | null)[]): string =>
  columns.map((one) => (one === null ? 'an expression' : one)).join(', ')

/** The manifest's own tables with a tenant column: what stands in Holdfast's schema is its migrations' affair. */
function confined(
  { tables }: Expected,
  row: { readonly schema: string; readonly name: string },
): (ExpectedTable & { tenant: string }) | undefined {
  const table = tables.get(keyOf(row))
  const isOurs = table?.kind === 'tenant' && !table.isView && table.schema !== 'holdfast'
  return isOurs && table.tenant !== undefined ? (table as ExpectedTable & { tenant: string }) : undefined
}

/** Columns that a child without a tenant column names its parent's rows by: they must be unique by themselves. */
function soleKeys({ tables }: Expected, table: ExpectedTable): Set<string> {
  const children = [...tables.values()].filter(
    ({ through }) => through?.schema === table.schema && through.table === table.name,
  )
  return new Set(children.flatMap(({ through }) => (through === undefined ? [] : [through.references])))
}

/** Keys and indexes. */
export const keyRules: readonly Rule[] = [
  {
    id: 'key-not-composite',
    level: 'error',
    cwe: 'CWE-204',
    holds:
      'Every primary key, unique and exclusion constraint and unique index of a tenant’s table begins with the tenant column, or at least has it.',
    why: 'Keys are checked past row-level security: whoever inserts a value learns whether another tenant has it.',
    reads: ['indexes'],
    judge: ({ indexes }, expected) =>
      indexes.flatMap((row) => {
        const table = confined(expected, row)
        if (table === undefined || !row.unique || row.columns.includes(table.tenant)) return []
        const [only, ...more] = row.columns
        if (more.length === 0 && only !== null && soleKeys(expected, table).has(only ?? '')) return []
        const what = `The key ${row.index} of ${nameOf(row)} is over ${list(row.columns)}, without ${table.tenant}.`
        return [{ object: nameOf(row), what, mend: compositeKey(row, table.tenant) }]
      }),
  },
  {
    id: 'foreign-key-not-composite',
    level: 'error',
    cwe: 'CWE-204',
    holds: 'A foreign key between tables of tenants has the tenant column on both sides.',
    why: 'Foreign keys are checked past row-level security: a row could hang on another tenant’s, and tell that it is there.',
    reads: ['foreignKeys'],
    judge: ({ foreignKeys }, expected) =>
      foreignKeys.flatMap((row) => {
        const table = confined(expected, row)
        const parent = expected.tables.get(`${row.parent_schema}.${row.parent}`)
        if (table === undefined || isPaired(row, table.tenant, parent)) return []
        const what = `The foreign key ${row.constraint} of ${nameOf(row)} names ${row.parent_schema}.${row.parent} by ${list(row.columns)}, without the tenant.`
        return [{ object: nameOf(row), what, mend: compositeForeignKey(row, table.tenant, parent) }]
      }),
  },
  {
    id: 'tenant-index',
    level: 'warning',
    cwe: 'CWE-400',
    holds: 'An index of every tenant’s table begins with the tenant column.',
    why: 'Each statement looks for one tenant’s rows: without the index it reads everybody’s.',
    reads: ['indexes', 'relations'],
    judge: ({ indexes, relations }, expected) =>
      relations.flatMap((row) => {
        const table = confined(expected, row)
        if (table === undefined || !['r', 'p'].includes(row.kind)) return []
        const isLed = ({ columns, valid, partial }: IndexRow): boolean =>
          columns[0] === table.tenant && valid && !partial
        if (indexes.some((index) => keyOf(index) === keyOf(row) && isLed(index))) return []
        return [
          {
            object: nameOf(row),
            what: `No index of ${nameOf(row)} begins with ${table.tenant}.`,
            mend: [`CREATE INDEX ON ${nameOf(row)} (${named(table.tenant)})`],
          },
        ]
      }),
  },
  {
    id: 'through-key',
    level: 'error',
    cwe: 'CWE-639',
    holds: 'What a child without a tenant column names its parent by is unique by itself.',
    why: 'Two tenants’ rows with one key would both own the child.',
    reads: ['indexes', 'relations'],
    judge: ({ indexes, relations }, expected) =>
      [...expected.tables.values()].flatMap((table) => {
        const parent = relations.find((row) => keyOf(row) === keyOf(table))
        return parent === undefined
          ? []
          : [...soleKeys(expected, table)]
              .filter((column) => !indexes.some((row) => keyOf(row) === keyOf(table) && isSoleKey(row, column)))
              .map((column) => ({
                object: nameOf(table),
                what: `${nameOf(table)}.${named(column)}, by which a child names its rows, is not unique by itself.`,
                mend: [`ALTER TABLE ${nameOf(table)} ADD UNIQUE (${named(column)})`],
              }))
      }),
  },
]

function isSoleKey({ columns, unique, valid, partial }: IndexRow, column: string): boolean {
  return unique && valid && !partial && columns.length === 1 && columns[0] === column
}

/** A key with the tenant column before the others; one over expressions is only dropped where no statement can be made of it. */
function compositeKey(row: IndexRow, tenant: string): string[] {
  const drop =
    row.constraint === null
      ? `DROP INDEX ${named(row.schema, row.index)}`
      : `ALTER TABLE ${nameOf(row)} DROP CONSTRAINT ${named(row.constraint)}`
  const known = row.columns.filter((column) => column !== null)
  if (known.length < row.columns.length || row.partial || row.constraint_kind === 'x') return [drop]
  const columns = [tenant, ...known].map((column) => named(column)).join(', ')
  if (row.constraint === null) return [drop, `CREATE UNIQUE INDEX ${named(row.index)} ON ${nameOf(row)} (${columns})`]
  const kind = row.constraint_kind === 'p' ? 'PRIMARY KEY' : 'UNIQUE'
  return [drop, `ALTER TABLE ${nameOf(row)} ADD CONSTRAINT ${named(row.constraint)} ${kind} (${columns})`]
}

function isPaired(
  { columns, parent_columns, parent_schema, parent }: ForeignKeyRow,
  tenant: string,
  expected: ExpectedTable | undefined,
): boolean {
  const [of] = columns.flatMap((column, index) => (column === tenant ? [parent_columns[index]] : []))
  if (`${parent_schema}.${parent}` === 'holdfast.tenants') return of === 'id'
  if (expected === undefined || expected.kind === 'shared') return parent_schema !== 'holdfast'
  return expected.tenant !== undefined && of === expected.tenant
}

function compositeForeignKey(row: ForeignKeyRow, tenant: string, parent: ExpectedTable | undefined): string[] {
  const table = nameOf(row)
  const drop = `ALTER TABLE ${table} DROP CONSTRAINT ${named(row.constraint)}`
  if (parent?.tenant === undefined) return [drop]
  const columns = (first: string, others: readonly string[]): string =>
    [first, ...others.filter((one) => one !== first)].map((one) => named(one)).join(', ')
  const actions =
    /\)((?: ON (?:UPDATE|DELETE) (?:CASCADE|RESTRICT))*)/.exec(
      row.definition.slice(row.definition.indexOf('REFERENCES')),
    )?.[1] ?? ''
  return [
    drop,
    `ALTER TABLE ${table} ADD CONSTRAINT ${named(row.constraint)} FOREIGN KEY (${columns(tenant, row.columns)}) REFERENCES ${named(row.parent_schema, row.parent)} (${columns(parent.tenant, row.parent_columns)})${actions}`,
  ]
}
