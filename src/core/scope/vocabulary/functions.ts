/** Built-in functions that a statement may call, read through together. */
export type FunctionGroup = {
  readonly group: string
  /** names with blanks between */
  readonly names: string
  /** what they do besides computing, and why they are in nevertheless; each that is VOLATILE says so here */
  readonly but?: Readonly<Record<string, string>>
}

/**
 * The functions of `pg_catalog` that a statement may call: by name, so every overload was judged. They compute from what
 * they are given: none reads or writes a table, a file, a setting that holds a secret or another session's state, none takes
 * SQL or the name of a relation as text, none waits. What makes much from little is in {@link SIZES}.
 *
 * Not every one exists in each PostgreSQL (15 to 18) or in CockroachDB: where it is missing, the statement fails there.
 * Every other built-in is in `refused-functions.ts`, with the reason.
 */
export const ACCEPTED_FUNCTIONS: readonly FunctionGroup[] = [
  {
    group: 'aggregates',
    names: `any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every json_agg
      json_object_agg jsonb_agg jsonb_object_agg max min mode percentile_cont percentile_disc range_agg range_intersect_agg
      regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop
      stddev_samp string_agg sum var_pop var_samp variance`,
  },
  {
    group: 'windows',
    names: 'cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number',
  },
  {
    group: 'mathematics',
    names: `abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd
      degrees div erf erfc exp factorial floor gamma gcd lcm lgamma ln log10 min_scale mod pi pow power radians random
      random_normal round scale sign sin sind sinh sqrt tan tand tanh trim_scale trunc width_bucket`,
    but: {
      random: 'volatile: numbers that nobody may rely on as secret, since a session’s next ones can be foretold',
      random_normal: 'volatile: as random',
    },
  },
  {
    group: 'text',
    names: `ascii bit_length btrim casefold char_length character_length chr concat concat_ws initcap is_normalized left
      length like_escape lower lpad ltrim md5 normalize octet_length overlay parse_ident position quote_ident quote_literal
      quote_nullable repeat replace reverse right rpad rtrim similar_escape similar_to_escape split_part starts_with
      string_to_array string_to_table strpos substr substring to_bin to_hex to_oct unicode_assigned unistr upper`,
  },
  {
    group: 'regular expressions',
    names: `regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
      regexp_split_to_table regexp_substr`,
  },
  {
    group: 'bytes and bits',
    names: `bit_count convert_from convert_to crc32 crc32c decode encode get_bit get_byte set_bit set_byte sha224 sha256
      sha384 sha512`,
    but: {
      convert_from: 'the name is that of an encoding; only conversions of pg_catalog are found',
      convert_to: 'as convert_from',
    },
  },
  {
    group: 'date and time',
    names: `age clock_timestamp date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days
      justify_hours justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps
      statement_timestamp timezone to_char to_date to_number to_timestamp transaction_timestamp`,
    but: {
      age: 'age(xid) tells how many transactions ago; no statement can name a value of that type',
      clock_timestamp: 'volatile: the clock moves within a statement',
      timezone: 'the name is that of a time zone; no other file of the server is read',
    },
  },
  {
    group: 'JSON',
    names: `array_to_json json_array_elements json_array_elements_text json_array_length json_build_array json_build_object
      json_each json_each_text json_extract_path json_extract_path_text json_object json_object_keys json_populate_record
      json_populate_recordset json_strip_nulls json_to_record json_to_recordset json_typeof jsonb_array_elements
      jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
      jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists
      jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array
      jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record
      jsonb_populate_record_valid jsonb_populate_recordset jsonb_set jsonb_set_lax jsonb_strip_nulls
      jsonb_to_record jsonb_to_recordset jsonb_typeof row_to_json to_json to_jsonb`,
  },
  {
    group: 'arrays and series',
    names: `array_append array_cat array_dims array_length array_lower array_ndims array_position
      array_positions array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort
      array_to_string array_upper cardinality generate_series generate_subscripts num_nonnulls num_nulls trim_array unnest`,
    but: { array_sample: 'volatile: as random', array_shuffle: 'volatile: as random' },
  },
  {
    group: 'ranges',
    names: `datemultirange daterange int4multirange int4range int8multirange int8range isempty lower_inc lower_inf multirange
      nummultirange numrange range_merge tsmultirange tsrange tstzmultirange tstzrange upper_inc upper_inf`,
  },
  {
    group: 'full text search',
    names: `array_to_tsvector json_to_tsvector jsonb_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree setweight
      strip to_tsquery to_tsvector ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array
      websearch_to_tsquery`,
    but: Object.fromEntries(
      [
        'json_to_tsvector',
        'jsonb_to_tsvector',
        'phraseto_tsquery',
        'plainto_tsquery',
        'to_tsquery',
        'to_tsvector',
        'ts_headline',
        'websearch_to_tsquery',
      ].map((name) => [name, 'names a text search configuration: part of the schema, the same for every tenant']),
    ),
  },
  {
    group: 'identifiers',
    names: 'gen_random_uuid uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7',
    but: {
      gen_random_uuid: 'volatile: strong randomness',
      uuidv4: 'volatile: strong randomness',
      uuidv7: 'volatile: the time and strong randomness',
    },
  },
  {
    group: 'network addresses',
    names: `abbrev broadcast family host hostmask inet_merge inet_same_family macaddr8_set7bit masklen netmask network
      set_masklen`,
  },
  {
    group: 'geometry',
    names: `area bound_box box center circle diagonal diameter height isclosed ishorizontal isopen isparallel isperp
      isvertical line lseg npoints path pclose point popen radius slope width`,
  },
  {
    group: 'conversions that casts stand for',
    names: `bool bytea cidr date float4 float8 int2 int4 int8 interval macaddr macaddr8 name numeric text time timestamp
      timestamptz timetz varbit varchar`,
  },
]

/**
 * Functions that make much from little, and which argument, counted from 0, says how much (CWE-770). Of `generate_series`
 * it is the last value; how many there are follows from all of its arguments.
 */
export const SIZES: Readonly<Record<string, number>> = {
  generate_series: 1,
  lpad: 1,
  repeat: 1,
  rpad: 1,
}
