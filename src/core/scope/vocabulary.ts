/**
 * Functions, operators, types and collations of PostgreSQL that a statement may name: an allow-list. All are free of
 * effects, read no table, no file, no setting and no catalog, and exist in `pg_catalog` of both databases or fail there.
 *
 * Left out on purpose: whatever takes SQL or a name of a table as text (`query_to_xml`, `table_to_xml`, `ts_stat`,
 * `nextval`, `to_regclass`), reads or sets the session (`set_config`, `current_setting`, `current_user`), takes locks or
 * time (`pg_advisory_lock`, `pg_sleep`), reads files or the catalog (`pg_read_file`, `obj_description`), or makes a value
 * of any size from a small one (`repeat`, `lpad`, `generate_series`: each statement would need a bound of its own).
 */
const FUNCTION_GROUPS = {
  aggregates:
    'count sum avg min max bool_and bool_or every string_agg array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg bit_and bit_or stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop covar_samp percentile_cont percentile_disc mode',
  windows: 'row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value',
  mathematics:
    'abs ceil ceiling floor round trunc mod div sign sqrt cbrt exp ln log log10 power degrees radians pi sin cos tan asin acos atan atan2 greatest least gcd lcm width_bucket',
  text: 'lower upper initcap length char_length character_length octet_length bit_length substring substr left right position strpos trim btrim ltrim rtrim replace translate reverse split_part starts_with concat concat_ws ascii chr md5 sha256 encode decode quote_literal normalize like_escape overlay',
  regularExpressions:
    'regexp_replace regexp_match regexp_count regexp_like regexp_substr regexp_instr similar_escape similar_to_escape',
  time: 'now transaction_timestamp statement_timestamp clock_timestamp date_trunc date_part extract age make_date make_time make_timestamp make_timestamptz make_interval to_timestamp to_date to_char to_number justify_days justify_hours justify_interval timezone isfinite date_bin',
  json: 'to_json to_jsonb json_build_object jsonb_build_object json_build_array jsonb_build_array json_array_length jsonb_array_length json_typeof jsonb_typeof json_strip_nulls jsonb_strip_nulls json_extract_path json_extract_path_text jsonb_extract_path jsonb_extract_path_text jsonb_set jsonb_set_lax jsonb_insert jsonb_pretty row_to_json array_to_json',
  arrays:
    'array_length array_upper array_lower array_ndims cardinality array_append array_prepend array_cat array_remove array_replace array_position array_positions array_to_string string_to_array',
  identifiers: 'gen_random_uuid',
  choice: 'num_nulls num_nonnulls',
  sets: 'unnest json_array_elements json_array_elements_text jsonb_array_elements jsonb_array_elements_text json_each json_each_text jsonb_each jsonb_each_text json_object_keys jsonb_object_keys regexp_split_to_table regexp_split_to_array regexp_matches string_to_table',
  grammar: 'overlaps',
} as const

const words = (text: string): string[] => text.split(' ')

/** Functions by name; a schema, where there is one, must be `pg_catalog`. */
export const FUNCTIONS: ReadonlySet<string> = new Set(Object.values(FUNCTION_GROUPS).flatMap(words))

/**
 * Operators by name. PostgreSQL resolves them in `pg_catalog`, the only schema on the path. Not `@`: in CockroachDB `@1` is
 * the first column of a table, hidden or not.
 */
export const OPERATORS: ReadonlySet<string> = new Set(
  words(
    '= <> != < <= > >= + - * / % ^ || ~ ~* !~ !~* ~~ ~~* !~~ !~~* & | # << >> -> ->> #> #>> @> <@ ? ?| ?& #- && @? @@',
  ),
)

/** Types to cast to. Not `regclass` and its kin, which look names up in the catalog, nor `xml`. */
export const TYPES: ReadonlySet<string> = new Set(
  words(
    'uuid text varchar bpchar char int2 int4 int8 float4 float8 numeric bool date time timetz timestamp timestamptz interval json jsonb bytea bit varbit inet cidr',
  ),
)

/** Collations by name. */
export const COLLATIONS: ReadonlySet<string> = new Set([
  'C',
  'POSIX',
  'default',
  'und-x-icu',
  'en-x-icu',
  'unicode',
  'ucs_basic',
])

/** What stands in front of one of the above, if anything does. */
export const HOME_SCHEMA = 'pg_catalog'
