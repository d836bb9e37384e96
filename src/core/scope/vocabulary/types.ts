import type { RefusedGroup } from './refused-functions.ts'

/** Types to cast to, as the grammar writes them: `int` is `int4`, `char` is `bpchar`, `"char"` is `char`. */
export const ACCEPTED_TYPES: Readonly<Record<string, string>> = {
  'numbers and truth': 'bool float4 float8 int2 int4 int8 numeric',
  'text and bytes': 'bit bpchar bytea char name text uuid varbit varchar',
  'date and time': 'date interval time timestamp timestamptz timetz',
  JSON: 'json jsonb jsonpath',
  ranges:
    'datemultirange daterange int4multirange int4range int8multirange int8range nummultirange numrange tsmultirange tsrange tstzmultirange tstzrange',
  'text search': 'tsquery tsvector',
  'network addresses': 'cidr inet macaddr macaddr8',
  geometry: 'box circle line lseg path point polygon',
}

/** Types whose length, written behind them, pads a value to it: `bit(n)` and `char(n)`, up to 10 MB (CWE-770). */
export const PADDED_TYPES: ReadonlySet<string> = new Set(['bit', 'bpchar'])

/** All others but the rows of the catalog's relations. A cast to one of the first group looks a name up. */
export const REFUSED_TYPES: readonly RefusedGroup[] = [
  {
    group: 'names of the catalog',
    why: 'looks names up in the catalog',
    names:
      'aclitem regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype',
  },
  {
    group: 'identifiers of the catalog',
    why: 'belongs to the catalog and the storage',
    instead: 'use int8, or text',
    names: 'cid gtsvector int2vector oid oidvector tid xid xid8',
  },
  {
    group: 'PostgreSQL’s own',
    why: 'belongs to the catalog, transactions and the log',
    names:
      'pg_brin_bloom_summary pg_brin_minmax_multi_summary pg_dependencies pg_lsn pg_mcv_list pg_ndistinct pg_node_tree pg_snapshot txid_snapshot',
  },
  { group: 'cursors', why: 'names a cursor of the session', instead: 'use text', names: 'refcursor' },
  { group: 'XML', why: 'is XML, whose documents name others', instead: 'use text or jsonb', names: 'xml' },
  { group: 'money', why: 'reads lc_monetary', instead: 'use numeric', names: 'money' },
  {
    group: 'pseudo-types',
    why: 'is a type of functions alone',
    names:
      'any anyarray anycompatible anycompatiblearray anycompatiblemultirange anycompatiblenonarray anycompatiblerange anyelement anyenum anymultirange anynonarray anyrange cstring event_trigger fdw_handler index_am_handler internal language_handler pg_ddl_command record table_am_handler trigger tsm_handler unknown void',
  },
]

/** Collations by name. */
export const ACCEPTED_COLLATIONS = 'C POSIX default und-x-icu en-x-icu unicode ucs_basic'
