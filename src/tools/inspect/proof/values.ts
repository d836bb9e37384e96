import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import type { ProofColumn, Shape } from './catalog.ts'

/** A value as text, NULL, or – undefined – what the column's own default gives. */
export type Value = string | null | undefined

/** Above what sequences have given out in most tables, so that a made number meets no real one. */
const FAR = 1_000_000_000

/**
 * Values to try for a column, the likeliest first. Key columns are always given one of their own: so no sequence is
 * used up, and rows can be told apart.
 */
export function candidates(column: ProofColumn, shape: Shape, isKey: boolean): readonly Value[] {
  const made = valuesOf(column, isKey)
  const listed = shape.checks.flatMap(({ columns, text }) =>
    columns.includes(column.name) ? literalsOf(text, column.name) : [],
  )
  // a key is nobody else's: what a CHECK lists, others have as well
  const fitting = isKey ? [...made, ...listed] : [...listed, ...made]
  const values = column.limit > 0 ? fitting.map((value) => value?.slice(0, column.limit)) : fitting
  if (isKey || column.isSerial) return values
  if (column.hasDefault || !column.notNull) return [undefined, ...values]
  return values
}

/** What a CHECK compares the column with: `status = ANY (ARRAY['draft'::text …` names the values that may stand there. */
function literalsOf(text: string, column: string): string[] {
  const name = column.replaceAll(/[^A-Za-z0-9_]/g, '.')
  const found = new RegExp(`(?:^|[^A-Za-z0-9_])${name}"?\\)?(?:::[a-z ]+)?\\)? = (.*)`, 's').exec(text)?.[1] ?? ''
  return [...found.matchAll(/'((?:[^']|'')*)'/g)].map(([, literal = '']) => literal.replaceAll("''", "'"))
}

function valuesOf({ base, labels }: ProofColumn, isKey: boolean): readonly Value[] {
  if (labels.length > 0) return labels
  const mark = `hf${randomBytes(6).toString('hex')}`
  if (base.startsWith('_')) return ['{}']
  switch (base) {
    case 'uuid':
      return [randomUUID()]
    case 'text':
    case 'varchar':
    case 'bpchar':
    case 'citext':
    case 'name':
      return [mark, `${mark}@example.com`, `https://example.com/${mark}`, mark.slice(2, 5), '1', 'A', '2026-01-01', '']
    case 'int2':
      return isKey ? [String(randomInt(20_000, 32_000))] : numbers
    case 'int4':
    case 'int8':
      return isKey ? [String(FAR + randomInt(FAR))] : numbers
    case 'numeric':
    case 'float4':
    case 'float8':
      return isKey ? [String(FAR + randomInt(FAR))] : [...numbers, '0.5']
    case 'bool':
      return ['true', 'false']
    case 'date':
    case 'timestamp':
    case 'timestamptz':
      return ['2026-01-01', '2999-01-01', '2000-01-01']
    case 'bytea':
    case 'bytes':
      return [`\\x${randomBytes(32).toString('hex')}`, `\\x${randomBytes(16).toString('hex')}`]
    default:
      return simple[base] ?? []
  }
}

const numbers = ['1', '0', '10', '100', '1000', '-1']

/** Types with a value or two that fit nearly everywhere. */
const simple: Readonly<Record<string, readonly string[]>> = {
  time: ['12:00', '00:00'],
  timetz: ['12:00+00', '00:00+00'],
  interval: ['1 day', '0'],
  json: ['{}', '[]'],
  jsonb: ['{}', '[]'],
  inet: ['192.0.2.1'],
  cidr: ['192.0.2.0/24'],
  macaddr: ['00:00:5e:00:53:01'],
  macaddr8: ['00:00:5e:00:53:01:00:00'],
  money: ['1'],
  bit: ['1'],
  varbit: ['1'],
  xml: ['<a/>'],
  point: ['(0,0)'],
  tsvector: [''],
  oid: ['1'],
}
