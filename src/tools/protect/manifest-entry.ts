import type { Table } from '../../core/scope/manifest.ts'
import { isManifestName } from './names.ts'
import type { ColumnFacts, TableFacts } from './table-facts.ts'

/** What the manifest is to say of a table. */
export function manifestEntry(
  facts: TableFacts,
  columns: readonly ColumnFacts[],
  { resource, tenant, owner }: { resource: string; tenant: string; owner: string | undefined },
): Table {
  const named = columns.filter(({ name, type }) => isManifestName(name) && isManifestName(type))
  return {
    schema: facts.schema,
    name: facts.name,
    resource,
    columns: Object.fromEntries(
      named.map(({ name, type, notNull }) => [name, notNull ? { type, notNull: true as const } : { type }]),
    ),
    tenant,
    ...(owner === undefined ? {} : { owner }),
  }
}

/** A name for what grants are about: the table's, in the singular where English makes that easy. */
export function resourceOf(table: string): string {
  const words = table.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
  const singular = words
    .replace(/ies$/, 'y')
    .replace(/(ss|x|ch|sh)es$/, '$1')
    .replace(/([^s])s$/, '$1')
  return singular.replace(/^[^a-z]+/, '') || 'row'
}

/** The entry as it stands in a configuration in TypeScript. */
export function entryText({ columns, ...table }: Table): string[] {
  const { schema, name, resource, tenant, owner } = table
  return [
    '{',
    `  schema: '${schema}',`,
    `  name: '${name}',`,
    `  resource: '${resource}',`,
    '  columns: {',
    ...Object.entries(columns).map(
      ([column, { type, notNull }]) =>
        `    ${column}: { type: '${type}'${notNull === true ? ', notNull: true' : ''} },`,
    ),
    '  },',
    `  tenant: '${tenant}',`,
    ...(owner === undefined ? [] : [`  owner: '${owner}',`]),
    '},',
  ]
}
