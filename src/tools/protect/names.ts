import { named } from '../inspect/identifier.ts'

/** A table by its schema and name, as the database has them. */
export type TableName = { readonly schema: string; readonly name: string }

/** What a manifest can name, and so what can be confined by both walls. */
const NAME = /^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,62}$/

/** A name as it stands in a statement: in quotes where it would be another without (CWE-89). */
export function quoted(name: string): string {
  return named(name)
}

/** A table as it stands in a statement. */
export function quotedTable({ schema, name }: TableName): string {
  return `${quoted(schema)}.${quoted(name)}`
}

/** A list of columns as it stands in a statement. */
export function quotedList(names: readonly string[]): string {
  return names.map(quoted).join(', ')
}

/** Can a manifest name it? */
export function isManifestName(name: string): boolean {
  return NAME.test(name)
}

/** Reads `schema.table`; names stand as they are, quotes may be there. Nothing where it is no such thing. */
export function readTableName(text: string): TableName | undefined {
  const match = /^(?:"([^"]+)"|([^".]+))\.(?:"([^"]+)"|([^".]+))$/.exec(text)
  if (match === null) return undefined
  return { schema: match[1] ?? match[2] ?? '', name: match[3] ?? match[4] ?? '' }
}
