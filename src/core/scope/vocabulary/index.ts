import { ACCEPTED_FUNCTIONS, SIZES } from './functions.ts'
import { ACCEPTED_OPERATORS, REFUSED_OPERATORS } from './operators.ts'
import { REFUSED_FUNCTIONS, type RefusedGroup } from './refused-functions.ts'
import { ACCEPTED_COLLATIONS, ACCEPTED_TYPES, REFUSED_TYPES } from './types.ts'

const words = (text: string): string[] => text.trim().split(/\s+/)
const setOf = (lists: readonly string[]): ReadonlySet<string> => new Set(lists.flatMap(words))

/** Functions by name; a schema, where there is one, must be {@link HOME_SCHEMA}. */
export const FUNCTIONS = setOf(ACCEPTED_FUNCTIONS.map(({ names }) => names))
/** Those of them that make one value of a group's rows. */
export const AGGREGATE_FUNCTIONS = setOf(
  ACCEPTED_FUNCTIONS.filter(({ group }) => group === 'aggregates').map(({ names }) => names),
)
/** Operators by name, bare or `OPERATOR(pg_catalog.…)`. */
export const OPERATORS = setOf(Object.values(ACCEPTED_OPERATORS))
/** Types to cast to. */
export const TYPES = setOf(Object.values(ACCEPTED_TYPES))
/** Collations by name. */
export const COLLATIONS = setOf([ACCEPTED_COLLATIONS])
/** Functions that make much from little: the place of the argument that says how much, from 0 (CWE-770). */
export const SIZED: ReadonlyMap<string, number> = new Map(Object.entries(SIZES))
/** What stands in front of one of the above, if anything does. */
export const HOME_SCHEMA = 'pg_catalog'

const REFUSED = {
  function: reasonsOf(REFUSED_FUNCTIONS),
  operator: reasonsOf(REFUSED_OPERATORS),
  type: reasonsOf(REFUSED_TYPES),
} as const

function reasonsOf(groups: readonly RefusedGroup[]): ReadonlyMap<string, RefusedGroup> {
  return new Map(groups.flatMap((group) => words(group.names).map((name) => [name, group] as const)))
}

/**
 * Why a built-in of PostgreSQL cannot be named, and how to do without it: `it reads the server's files`.
 * @returns nothing where the name is accepted, or that of no built-in of PostgreSQL 15 to 18
 */
export function whyNot(kind: 'function' | 'operator' | 'type', name: string): string | undefined {
  const special = kind === 'function' ? INSTEAD.get(name) : undefined
  const group = REFUSED[kind].get(name)
  if (group === undefined) return undefined
  const instead = special ?? group.instead
  return `it ${group.why}${instead === undefined ? '' : `; ${instead}`}`
}

/** Where a name has a way round of its own. */
const INSTEAD: ReadonlyMap<string, string> = new Map([
  ['bpchar', 'cast to char(n), or use rpad'],
  ['bit', 'cast to bit(n)'],
  ['char', 'use chr or ascii'],
  ['convert', 'use convert_from or convert_to'],
  ['format', 'use concat, || and quote_literal'],
  ['jsonb_pretty', 'indent it in the handler'],
  ['array_fill', 'use ARRAY(SELECT … FROM generate_series(1, n))'],
  ['polygon', 'cast the circle to polygon'],
  ['setseed', 'random() needs no seed'],
  ['timeofday', 'use clock_timestamp()'],
  ['pg_size_pretty', 'write sizes out in the handler'],
  ['pg_typeof', 'json_typeof and jsonb_typeof tell of JSON'],
  ['current_database', 'the handler knows it'],
])

/**
 * Whether a field `x.f` may be the call `f(x)`, or the cast `x::f`, of what is not in the vocabulary: PostgreSQL takes both
 * where `x` has no column `f` (CWE-94). Its own families, CockroachDB's, and what moves sequences, looks names up, reads files
 * or runs SQL count even where a column of the manifest bears the name; the others give way to a column. Arrays of a type
 * are its name behind underscores.
 */
export function isFunctionField(field: string, columns: ReadonlySet<string>): boolean {
  if (OWN_FAMILIES.test(field)) return true
  const name = field.replace(/^_+/, '')
  if (FUNCTIONS.has(field) || PLAIN_FIELDS.has(field)) return false
  const isRefused = REFUSED.function.has(field) || REFUSED.type.has(name)
  return isRefused && (ACTING.test(name) || !columns.has(field))
}

/** Names that are the databases' own, whatever they may add. */
const OWN_FAMILIES = /^_*(?:pg_|binary_upgrade|crdb_)/
/** Of what is refused, what acts or looks up: a column of the same name would have to be named without its table. */
const ACTING =
  /^(?:reg|to_reg|lo_|(?:query|table|schema|database|cursor)_to_|txid_|(?:next|curr|set)val$|set_config$|current_setting$)/

/** Refused names that are nevertheless fields and no more: no such function takes one argument, no such type is cast to. */
export const PLAIN_FIELDS: ReadonlySet<string> = new Set(
  words('bit convert internal like notlike record trigger unknown version'),
)
