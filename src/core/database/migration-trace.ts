import type { Connection } from './connection.ts'
import type { Trace } from './migration-effect.ts'

const relation = `pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`
const inSchema = 'n.nspname = $1::TEXT'
const ofTable = `${inSchema} AND c.relname = $2::TEXT`

/** Each asks for the names of a key's columns, or nothing, of the one thing that there is. */
const queries: Readonly<Record<Trace['kind'], string>> = {
  schema: `SELECT 1 AS found FROM pg_catalog.pg_namespace n WHERE ${inSchema} AND $2::TEXT = '' AND $3::TEXT = ''`,
  relation: `SELECT 1 AS found FROM ${relation} WHERE ${ofTable} AND $3::TEXT = ''`,
  type: `SELECT 1 AS found FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE ${inSchema} AND t.typname = $2::TEXT AND $3::TEXT = ''`,
  // names of indexes are a table's own on CockroachDB
  index: `SELECT 1 AS found FROM ${relation} JOIN pg_catalog.pg_index i ON i.indrelid = c.oid
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE ${ofTable} AND x.relname = $3::TEXT`,
  column: `SELECT 1 AS found FROM ${relation} JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE ${ofTable} AND a.attname = $3::TEXT AND NOT a.attisdropped`,
  policy: `SELECT 1 AS found FROM pg_catalog.pg_policies p
WHERE p.schemaname = $1::TEXT AND p.tablename = $2::TEXT AND p.policyname = $3::TEXT`,
  constraint: `SELECT a.attname::TEXT AS column_name FROM ${relation}
JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
WHERE ${ofTable} AND k.conname = $3::TEXT`,
}

/** How far a statement has come by what the catalog shows. */
export type Applied = 'wholly' | 'partly' | 'not'

/** Looks whether a statement's traces are there. */
export async function lookForTraces(connection: Connection, traces: readonly Trace[]): Promise<Applied> {
  let found = 0
  for (const trace of traces) if (await isAsAfter(connection, trace)) found++
  if (found === traces.length) return 'wholly'
  return found === 0 ? 'not' : 'partly'
}

async function isAsAfter(connection: Connection, trace: Trace): Promise<boolean> {
  const { kind, schema, table, name, columns, after } = trace
  const { rows } = await connection.client.query<{ column_name?: string }>(queries[kind], [schema, table, name])
  if (after === 'absent') return rows.length === 0
  if (columns === undefined || rows.length === 0) return rows.length > 0
  const there = new Set(rows.map((row) => row.column_name))
  return there.size === columns.length && columns.every((column) => there.has(column))
}
