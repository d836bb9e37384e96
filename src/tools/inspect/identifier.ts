/** A name as it stands in SQL: quoted, so that no character of it is anything else (CWE-89). */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A text as a literal. Escapes are none: `standard_conforming_strings` is pinned. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** A name in a statement that people read: bare where it may be, else quoted. */
export function named(...parts: readonly string[]): string {
  return parts.map((part) => (PLAIN.test(part) && !RESERVED.has(part) ? part : quoted(part))).join('.')
}

const PLAIN = /^[a-z_][a-z0-9_]*$/
/**
 * Words that need quotes as a name: PostgreSQL's that are reserved, fully or as function, type or column, and those of
 * CockroachDB besides. A test compares them with the server's own list.
 */
export const RESERVED: ReadonlySet<string> = new Set(
  `all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast
char character check coalesce collate collation column concurrently constraint create cross current_catalog
current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable
desc distinct do else end except exists extract false family fetch float for foreign freeze from full grant greatest
group grouping having if ilike in index initially inner inout int integer intersect interval into is isnull join json
json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize json_table
json_value lateral leading least left like limit localtime localtimestamp lookup merge_action national natural nchar
none normalize not nothing notnull null nullif numeric offset on only or order out outer overlaps overlay placing
position precision primary real references returning right row select session_user setof similar smallint some string
substring symmetric system_user table tablesample then time timestamp to trailing treat trim true union unique user
using values varchar variadic verbose virtual when where window with work xmlattributes xmlconcat xmlelement xmlexists
xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable`.split(/\s+/),
)
