/** A table by its schema and name, as the database has them. */
export type TableName = { readonly schema: string; readonly name: string }

/** What a manifest can name, and so what can be confined by both walls. */
const NAME = /^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,62}$/

/**
 * Words that need quotes as a name: PostgreSQL's that are reserved, fully or as function, type or column, and those of
 * CockroachDB besides. A test compares them with the server's own list.
 */
export const RESERVED: ReadonlySet<string> = new Set(
  `all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast char
character check coalesce collate collation column concurrently constraint create cross current_catalog current_date
current_role current_schema current_time current_timestamp current_user dec decimal default deferrable desc distinct do
else end except exists extract false family fetch float for foreign freeze from full grant greatest group grouping having
ilike in index initially inner inout int integer intersect interval into is isnull join json json_array json_arrayagg
json_exists json_object json_objectagg json_query json_scalar json_serialize json_table json_value lateral leading least
left like limit localtime localtimestamp lookup merge_action national natural nchar none normalize not nothing notnull
null nullif numeric offset on only or order out outer overlaps overlay placing position precision primary real references
returning right row select session_user setof similar smallint some substring symmetric system_user table tablesample then
time timestamp to trailing treat trim true union unique user using values varchar variadic verbose virtual when where
window with work xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize
xmltable`.split(/\s+/),
)

/** A name as it stands in a statement: in quotes where it would be another without (CWE-89). */
export function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !RESERVED.has(name) ? name : `"${name.replaceAll('"', '""')}"`
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
