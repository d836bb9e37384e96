import type { ColumnRow, Evidence, RelationRow } from './catalog.ts'
import { type Expected, type ExpectedTable, keyOf } from './expected.ts'
import { named } from './identifier.ts'
import { confiningPolicy } from './policies.ts'
import type { Found, Rule } from './rule.ts'

const nameOf = ({ schema, name }: { readonly schema: string; readonly name: string }): string => named(schema, name)
const isConfined = ({ kind, isView }: ExpectedTable): boolean => kind === 'tenant' && !isView

/** Expected tables with what the catalogs say of them. */
function pairs(
  { relations }: Pick<Evidence, 'relations'>,
  { tables }: Expected,
): { table: ExpectedTable; found: RelationRow }[] {
  const byKey = new Map(relations.map((row) => [keyOf(row), row]))
  return [...tables.values()].flatMap((table) => {
    const found = byKey.get(keyOf(table))
    return found === undefined ? [] : [{ table, found }]
  })
}

/** Takes from the roles that serve, and from PUBLIC, what they have on a table or its like. */
export function revokeAll(
  { privileges = [] }: Partial<Evidence>,
  row: { readonly schema: string; readonly name: string },
): string[] {
  const holders = new Set(privileges.filter((one) => keyOf(one) === keyOf(row)).map(({ grantee }) => grantee))
  return [...holders].map((grantee) => `REVOKE ALL ON TABLE ${nameOf(row)} FROM ${grantee}`)
}

/**
 * What the roles that serve are given and no manifest names. What they reach as superuser, member or owner is told by the
 * rules about roles.
 */
function unclassified(evidence: Pick<Evidence, 'relations'> & Partial<Evidence>, { tables }: Expected): RelationRow[] {
  return evidence.relations.filter(
    (row) => !tables.has(keyOf(row)) && (evidence.privileges === undefined || revokeAll(evidence, row).length > 0),
  )
}

function isChild(row: RelationRow, { tables }: Expected): boolean {
  const parent = row.parent === null ? undefined : tables.get(row.parent)
  return parent !== undefined && parent.kind !== 'shared'
}

/** The tables: their walls, their columns, and that there are no others. */
export const tableRules: readonly Rule[] = [
  {
    id: 'table-missing',
    level: 'error',
    cwe: 'CWE-1188',
    holds: 'Every table of the manifest is there.',
    why: 'Statements on it would fail, or find another table of that name one day.',
    reads: ['relations'],
    judge: ({ relations }, { tables }) => {
      const there = new Set(relations.map(keyOf))
      return [...tables.values()]
        .filter((table) => !there.has(keyOf(table)))
        .map((table) => ({
          object: nameOf(table),
          what: `There is no table ${nameOf(table)}: migrate the database, or take it out of the manifest.`,
          mend: [],
        }))
    },
  },
  {
    id: 'table-kind',
    level: 'error',
    cwe: 'CWE-1188',
    holds: 'A table of the manifest is a table, and what it declares as a view is a view.',
    why: 'Row-level security is a table’s: a view has its owner’s rights or its caller’s, a foreign table has none.',
    reads: ['relations'],
    judge: (evidence, expected) =>
      pairs(evidence, expected)
        .filter(({ table, found }) => !(table.isView ? ['v', 'm'] : ['r', 'p']).includes(found.kind))
        .map(({ table }) => ({
          object: nameOf(table),
          what: `${nameOf(table)} is ${table.isView ? 'no view' : 'no table'}, as the manifest says it is: change one of the two.`,
          mend: [],
        })),
  },
  {
    id: 'table-rls-enabled',
    level: 'error',
    cwe: 'CWE-863',
    holds: 'Row-level security is enabled on every table with a tenant column.',
    why: 'Without it the second wall is not there: one statement that escapes the first sees every tenant.',
    reads: ['relations'],
    judge: (evidence, expected) =>
      pairs(evidence, expected)
        .filter(({ table, found }) => isConfined(table) && ['r', 'p'].includes(found.kind) && !found.enabled)
        .map(({ table }) => ({
          object: nameOf(table),
          what: `Row-level security is off on ${nameOf(table)}.`,
          mend: [`ALTER TABLE ${nameOf(table)} ENABLE ROW LEVEL SECURITY`],
        })),
  },
  {
    id: 'table-rls-forced',
    level: 'error',
    cwe: 'CWE-863',
    holds: 'Row-level security is forced on every table with a tenant column.',
    why: 'Else it does not hold the owner: a view or a definer function of the owner reads every tenant.',
    reads: ['relations'],
    judge: (evidence, expected) =>
      pairs(evidence, expected)
        .filter(({ table, found }) => isConfined(table) && ['r', 'p'].includes(found.kind) && !found.forced)
        .map(({ table }) => ({
          object: nameOf(table),
          what: `Row-level security is not forced on ${nameOf(table)}: its owner is not held.`,
          mend: [`ALTER TABLE ${nameOf(table)} FORCE ROW LEVEL SECURITY`],
        })),
  },
  {
    id: 'table-owner',
    level: 'warning',
    cwe: 'CWE-282',
    holds: 'The tables belong to `holdfast_owner`.',
    why: 'Migrations run as that role; an owner that can log in can take the walls down.',
    reads: ['relations'],
    judge: (evidence, expected) =>
      pairs(evidence, expected)
        .filter(
          ({ table, found }) => table.kind !== 'shared' && found.owner !== 'holdfast_owner' && !isServing(found.owner),
        )
        .map(({ table, found }) => ({
          object: nameOf(table),
          what: `${nameOf(table)} belongs to ${found.owner}.`,
          mend: [`ALTER ${table.isView ? 'VIEW' : 'TABLE'} ${nameOf(table)} OWNER TO holdfast_owner`],
        })),
  },
  {
    id: 'table-unclassified',
    level: 'error',
    cwe: 'CWE-668',
    holds: 'The roles that serve reach no table or view that the manifest does not name.',
    why: 'Nobody has said whose rows it holds, so nothing confines them.',
    reads: ['relations'],
    judge: (evidence, expected) =>
      unclassified(evidence, expected)
        .filter((row) => ['r', 'p', 'v'].includes(row.kind) && !isChild(row, expected))
        .map((row) => ({
          object: nameOf(row),
          what: `A role that serves reaches ${nameOf(row)}, which the manifest does not name.`,
          mend: revokeAll(evidence, row),
        })),
  },
  {
    id: 'table-child',
    level: 'error',
    cwe: 'CWE-863',
    holds: 'Partitions and inheriting tables are reached through their parent alone.',
    why: 'The parent’s policies hold only who names the parent: its rows stand open in the child.',
    reads: ['relations'],
    judge: (evidence, expected) =>
      unclassified(evidence, expected)
        .filter((row) => ['r', 'p'].includes(row.kind) && isChild(row, expected))
        .map((row) => ({
          object: nameOf(row),
          what: `A role that serves reaches ${nameOf(row)}, which holds rows of ${row.parent}, past the policies of that.`,
          mend: revokeAll(evidence, row),
        })),
  },
  {
    id: 'table-foreign',
    level: 'error',
    cwe: 'CWE-863',
    holds: 'The roles that serve reach no foreign table.',
    why: 'A foreign table has no row-level security, and is read with the rights that its server was given.',
    reads: ['relations'],
    judge: (evidence, expected) =>
      unclassified(evidence, expected)
        .filter(({ kind }) => kind === 'f')
        .map((row) => ({
          object: nameOf(row),
          what: `A role that serves reaches the foreign table ${nameOf(row)}.`,
          mend: revokeAll(evidence, row),
        })),
  },
  {
    id: 'table-one-wall',
    level: 'warning',
    cwe: 'CWE-863',
    holds: 'Every table with rows of tenants has a tenant column.',
    why: 'A child that is confined through its parent stands behind the first wall alone.',
    reads: ['relations'],
    judge: (evidence, expected) =>
      pairs(evidence, expected)
        .filter(({ table }) => table.kind === 'through')
        .map(({ table }) => ({
          object: nameOf(table),
          what: `${nameOf(table)} has no tenant column: give it one and a composite foreign key (\`holdfast protect\`).`,
          mend: [],
        })),
  },
  {
    id: 'table-rule',
    level: 'error',
    cwe: 'CWE-863',
    holds: 'No rewrite rule is on an expected table.',
    why: 'A rule puts other statements in the place of the one that was proven, with the rights of the table’s owner.',
    reads: ['attached'],
    judge: ({ attached }) =>
      attached
        .filter(({ kind }) => kind === 'rule')
        .map((row) => ({
          object: nameOf(row),
          what: `The rewrite rule ${row.attached} is on ${nameOf(row)}.`,
          mend: [`DROP RULE ${named(row.attached)} ON ${nameOf(row)}`],
        })),
  },
  {
    id: 'table-trigger',
    level: 'warning',
    cwe: 'CWE-441',
    holds: 'No trigger is on a table of the manifest.',
    why: 'What it does is in no statement that was proven: see that it stays in the row’s own tenant.',
    reads: ['attached'],
    judge: ({ attached }) =>
      attached
        .filter(({ kind }) => kind === 'trigger')
        .map((row) => ({
          object: nameOf(row),
          what: `The trigger ${row.attached} is on ${nameOf(row)}.`,
          mend: [`DROP TRIGGER ${named(row.attached)} ON ${nameOf(row)}`],
        })),
  },
]

const isServing = (role: string): boolean => role === 'holdfast_app' || role === 'holdfast_identity'

type Pair = { readonly table: ExpectedTable; readonly column: string; readonly found: ColumnRow | undefined }

/** Declared columns, and what there is; none of a table that is not there at all. */
function declared({ columns }: Pick<Evidence, 'columns'>, { tables }: Expected): Pair[] {
  const byName = new Map(columns.map((row) => [JSON.stringify([keyOf(row), row.column]), row]))
  const there = new Set(columns.map(keyOf))
  return [...tables.values()]
    .filter((table) => there.has(keyOf(table)))
    .flatMap((table) =>
      Object.keys(table.columns).map((column) => ({
        table,
        column,
        found: byName.get(JSON.stringify([keyOf(table), column])),
      })),
    )
}

function tenantColumns(
  evidence: Pick<Evidence, 'columns'>,
  expected: Expected,
): { table: ExpectedTable; column: string; found: ColumnRow }[] {
  return declared(evidence, expected).flatMap(({ table, column, found }) =>
    found !== undefined && isTable(found) && isConfined(table) && table.tenant === column
      ? [{ table, column, found }]
      : [],
  )
}

const isTable = ({ kind }: ColumnRow): boolean => kind === 'r' || kind === 'p'
const typeText = (type: string): string => (type.startsWith('_') ? `${type.slice(1)}[]` : type).toUpperCase()

/** Gives a column another type; a tenant column's policy goes meanwhile, and in between nothing passes. */
function retype(
  { policies }: Pick<Evidence, 'policies'>,
  table: ExpectedTable,
  column: string,
  type: string,
): Found['mend'] {
  const alter = `ALTER TABLE ${nameOf(table)} ALTER COLUMN ${named(column)} TYPE ${type} USING ${named(column)}::${type.split(' ')[0]}`
  const own = policies.filter((row) => keyOf(row) === keyOf(table))
  if (table.tenant !== column) return [alter]
  return [...own.map(({ policy }) => `DROP POLICY ${named(policy)} ON ${nameOf(table)}`), alter, confiningPolicy(table)]
}

/** The columns. */
export const columnRules: readonly Rule[] = [
  {
    id: 'column-missing',
    level: 'error',
    cwe: 'CWE-1188',
    holds: 'Every column of the manifest is there.',
    why: 'Statements that read it fail.',
    reads: ['columns'],
    judge: (evidence, expected) =>
      declared(evidence, expected)
        .filter(({ found }) => found === undefined)
        .map(({ table, column }) => ({
          object: nameOf(table),
          what: `${nameOf(table)} has no column ${column}.`,
          mend: table.isView
            ? []
            : [
                `ALTER TABLE ${nameOf(table)} ADD COLUMN ${named(column)} ${typeText(table.columns[column]?.type ?? 'text')}`,
              ],
        })),
  },
  {
    id: 'column-type',
    level: 'error',
    cwe: 'CWE-843',
    holds: 'Every column of the manifest has the declared type.',
    why: 'Values are bound and compared as the declared type: another one may hold as equal what is not.',
    reads: ['columns', 'policies'],
    judge: (evidence, expected) =>
      declared(evidence, expected).flatMap(({ table, column, found }) => {
        const type = table.columns[column]?.type
        if (found === undefined || type === undefined || found.type === type) return []
        const what = `${nameOf(table)}.${named(column)} is ${found.type}, and the manifest says ${type}.`
        return [
          { object: nameOf(table), what, mend: table.isView ? [] : retype(evidence, table, column, typeText(type)) },
        ]
      }),
  },
  {
    id: 'column-nullable',
    level: 'warning',
    cwe: 'CWE-476',
    holds: 'A column that the manifest calls `notNull` is NOT NULL.',
    why: 'The types of rows promise a value.',
    reads: ['columns'],
    judge: (evidence, expected) =>
      declared(evidence, expected)
        .filter(
          ({ table, column, found }) =>
            found?.not_null === false && isTable(found) && table.columns[column]?.notNull === true,
        )
        .filter(({ table, column }) => table.tenant !== column)
        .map(({ table, column }) => ({
          object: nameOf(table),
          what: `${nameOf(table)}.${named(column)} may be NULL, and the manifest says it is not.`,
          mend: [`ALTER TABLE ${nameOf(table)} ALTER COLUMN ${named(column)} SET NOT NULL`],
        })),
  },
  {
    id: 'tenant-nullable',
    level: 'error',
    cwe: 'CWE-863',
    holds: 'The tenant column is NOT NULL.',
    why: 'A row of no tenant is nobody’s: no unique key holds it, and a condition written the wrong way round shows it to all.',
    reads: ['columns'],
    judge: (evidence, expected) =>
      tenantColumns(evidence, expected)
        .filter(({ found }) => !found.not_null)
        .map(({ table, column }) => ({
          object: nameOf(table),
          what: `The tenant column ${nameOf(table)}.${named(column)} may be NULL.`,
          mend: [`ALTER TABLE ${nameOf(table)} ALTER COLUMN ${named(column)} SET NOT NULL`],
        })),
  },
  {
    id: 'tenant-collation',
    level: 'error',
    cwe: 'CWE-178',
    holds: 'The tenant column’s collation is deterministic.',
    why: 'Under another one two different texts are equal: the tenant acme is then the tenant ACME.',
    reads: ['columns', 'policies'],
    judge: (evidence, expected) =>
      tenantColumns(evidence, expected)
        .filter(({ found }) => found.deterministic === false)
        .map(({ table, column }) => ({
          object: nameOf(table),
          what: `The tenant column ${nameOf(table)}.${named(column)} has a collation that takes different texts for equal.`,
          mend: retype(evidence, table, column, 'TEXT COLLATE pg_catalog."C"'),
        })),
  },
]
