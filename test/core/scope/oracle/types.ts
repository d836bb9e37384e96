import type { Dice } from './dice.ts'

/** Types of columns and expressions, by PostgreSQL's short names; `mood` is the application's own enum. */
export const TYPES = [
  'int8',
  'int4',
  'text',
  'bool',
  'numeric',
  'date',
  'timestamptz',
  'uuid',
  'jsonb',
  '_int8',
  '_text',
] as const
export type Type = (typeof TYPES)[number] | 'mood'

/** How a type is declared and cast to. */
export const sqlType = (type: Type): string =>
  (({ _int8: 'int8[]', _text: 'text[]', mood: 'app.mood' }) as Partial<Record<Type, string>>)[type] ?? type

/** The values of a type: few, so that rows meet in joins, and none whose text depends on a setting. */
const VALUES: Readonly<Record<Type, readonly string[]>> = {
  int8: ['0', '1', '2', '3', '4', '5', '7', '9', '101', '203'],
  int4: ['0', '1', '2', '3', '5', '8'],
  text: ['alpha', 'beta', 'Gamma', "d'elta", '', 'text 1', 'ünder', 'A_b%', '12'],
  bool: ['true', 'false'],
  numeric: ['0.00', '1.50', '2.25', '10.00', '-3.75'],
  date: ['2024-01-01', '2024-02-29', '2025-06-30'],
  timestamptz: ['2024-01-01 00:00:00+00', '2024-06-30 12:30:00+00', '2025-12-31 23:59:59+00'],
  uuid: [1, 2, 3, 4].map((n) => uuidOf(n)),
  jsonb: ['{"n": 1, "k": ["a", "b"], "o": {"x": true}}', '{"n": 2, "t": "alpha"}', '[1, 2, 3]', '{}', '"s"', 'null'],
  _int8: ['{1,2,3}', '{}', '{5,NULL}', '{2}'],
  _text: ['{alpha,beta}', '{}', '{"a b",NULL}'],
  mood: ['sad', 'ok', 'glad'],
}

/** A value as it is bound to a parameter, or as text in a literal. */
export function valueOf(dice: Dice, type: Type): string {
  return dice.pick(VALUES[type])
}

export function uuidOf(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
}

/** A literal of exactly this type, in one of the ways to write it. */
export function literalOf(dice: Dice, type: Type, value = valueOf(dice, type)): string {
  const quoted = `'${value.replaceAll("'", "''")}'`
  if (type === 'text') {
    return dice.pick([
      quoted,
      quoted,
      `${quoted}::text`,
      `$$${value}$$`,
      `$q1$${value}$q1$`,
      `E'${value.replaceAll("'", "\\'")}'`,
      `CAST(${quoted} AS text)`,
    ])
  }
  if (type === 'bool') return value
  if (type === 'int4') return dice.pick([value, `'${value}'::int4`])
  if (type === 'numeric') return `(${value})::numeric`
  if (type === '_int8' && dice.chance(0.4)) return dice.pick(['ARRAY[1, 2]::int8[]', 'ARRAY[3, NULL]::int8[]'])
  if (type === '_text' && dice.chance(0.4)) return "ARRAY['alpha', NULL]"
  if (dice.chance(0.15) && !/^_|mood/.test(type)) return `${type} ${quoted}`
  return dice.pick([`${quoted}::${sqlType(type)}`, `CAST(${quoted} AS ${sqlType(type)})`])
}
