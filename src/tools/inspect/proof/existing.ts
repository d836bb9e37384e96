import { quoted } from '../../../core/scope/leaf.ts'
import type { Table } from '../../../core/scope/manifest.ts'
import { relation } from './plant.ts'
import { MOST_ROWS } from './tries.ts'
import type { Stage } from './stage.ts'
import type { TrySettings } from './permitted.ts'

/** Rows that tables have already, by `schema.table`: how many of which tenants. */
export type Existing = ReadonlyMap<string, readonly { readonly tenant: string; readonly rows: number }[]>

/** So many tenants are looked at, the first by id. */
const mostTenants = 20
const TENANTS = `SELECT id::TEXT AS id FROM holdfast.tenants ORDER BY id LIMIT ${mostTenants}`

/**
 * What is there already: for tables in which no row can be made, and for a session that never set anything. Whoever
 * plants reads the tenants; what each has, the app role counts as that tenant.
 */
export async function readExisting(
  stage: Stage,
  { catalog }: TrySettings,
  tables: readonly Table[],
): Promise<Existing> {
  const found = new Map<string, { tenant: string; rows: number }[]>()
  await stage.asPlanter()
  const tenants = await stage.attempt([{ statement: { name: '', text: TENANTS }, values: [] }])
  await stage.asApp()
  if (tenants.kind === 'failed') return found
  // a table that cannot be read as one tenant – locked, or not granted – is not asked about again
  const closed = new Set<string>()
  for (const { id } of tenants.results[0]?.rows ?? []) {
    const tenant = String(id)
    for (const { schema, name, tenant: column, columns } of tables) {
      const type = columns[column ?? '']?.type ?? 'uuid'
      const shape = catalog.get(`${schema}.${name}`)
      if (shape === undefined || column === undefined || closed.has(shape.name)) continue
      const text = `SELECT count(*)::INT8 AS n FROM (SELECT 1 AS one FROM ${relation(shape)} AS t WHERE t.${quoted(column)} = $1::${type} LIMIT ${MOST_ROWS}) AS x`
      const outcome = await stage.attempt([{ statement: { name: '', text }, values: [tenant] }], { tenant, user: '' })
      if (outcome.kind === 'failed') closed.add(shape.name)
      const rows = outcome.kind === 'done' ? Number(outcome.results[0]?.rows[0]?.['n']) : 0
      if (rows > 0) found.set(shape.name, [...(found.get(shape.name) ?? []), { tenant, rows }])
    }
  }
  return found
}
