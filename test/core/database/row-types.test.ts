import { afterAll, beforeAll, expect, it } from 'vitest'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

let database: TestDatabase
let pool: Pool
beforeAll(async () => {
  database = await createTestDatabase()
  pool = await createPool({ connection: database.target('app'), size: 1, applicationName: 'app' })
})
afterAll(async () => {
  await pool.close()
  await database.drop()
})

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return `${kindOf(value[0])}[]`
  if (value instanceof Date) return 'Date'
  return Buffer.isBuffer(value) ? 'Buffer' : typeof value
}

/** Type, a value as text, and what a row has of it: the table of `RowOf` in core/scope/define-manifest.ts. */
const base: [type: string, value: string, kind: string][] = [
  ['bool', 'true', 'boolean'],
  ['int2', '1', 'number'],
  ['int4', '1', 'number'],
  ['float4', '1.5', 'number'],
  ['float8', '1.5', 'number'],
  ['int8', '1', 'string'],
  ['numeric', '1.5', 'string'],
  ['uuid', '00000000-0000-0000-0000-000000000001', 'string'],
  ['text', 'x', 'string'],
  ['varchar', 'x', 'string'],
  ['bpchar', 'x', 'string'],
  ['time', '10:00', 'string'],
  ['inet', '10.0.0.1', 'string'],
  ['date', '2026-01-01', 'Date'],
  ['timestamp', '2026-01-01', 'Date'],
  ['timestamptz', '2026-01-01', 'Date'],
  ['bytea', '\\x01', 'Buffer'],
]
// `pg` reads the elements of a numeric array as numbers, and a numeric alone as a string
const arrays = base.map(([type, value, kind]): [string, string, string] => [
  `_${type}`,
  `{"${value.replace('\\', '\\\\')}"}`,
  type === 'numeric' ? 'number[]' : `${kind}[]`,
])

it.each([...base, ...arrays])('%s %s is read as %s', async (type, value, expected) => {
  const text = `SELECT $1::pg_catalog.${type} AS value`
  const { rows } = await pool.transaction((transaction) => transaction.query({ name: '', text }, [value]))
  expect(kindOf(rows[0]?.['value'])).toBe(expected)
})
