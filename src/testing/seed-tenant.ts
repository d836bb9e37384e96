import { randomBytes, randomUUID } from 'node:crypto'
import type { Row } from '../core/database/statement.ts'
import { nameText } from '../core/scope/leaf.ts'
import { type Manifest, parentOf, type Table } from '../core/scope/manifest.ts'
import type { TestCaller, TestHoldfast } from './test-holdfast.ts'

/** A tenant with a user of each role and rows of theirs in each table. */
export type SeededTenant = {
  readonly slug: string
  readonly id: string
  /** random text in each text of its rows: whoever sees it has reached the tenant */
  readonly canary: string
  readonly callers: Readonly<Record<string, TestCaller>>
  /** its rows by `schema.table` */
  readonly rows: ReadonlyMap<string, readonly Row[]>
}

/** What an application seeds itself. */
export type Seed = (
  tenant: Pick<SeededTenant, 'slug' | 'id' | 'canary' | 'callers'>,
  asOwner: TestHoldfast['asOwner'],
) => Promise<void>

type Column = { name: string; type: string; kind: string; needed: boolean; limit: number; label: string | null }
type Reference = { columns: string[]; target: string; targets: string[] }
type Shape = { columns: Column[]; references: Reference[]; checks: string[] }

/**
 * Makes a tenant. Tables that `seed` leaves empty get a row for each role's user, as far as the catalog tells what fits.
 *
 * @throws TypeError naming the table whose rows it cannot invent
 */
export async function seedTenant(test: TestHoldfast, slug: string, seed: Seed | undefined): Promise<SeededTenant> {
  const canary = `hf${randomBytes(6).toString('hex')}`
  const callers: Record<string, TestCaller> = {}
  for (const role of Object.keys(test.manifest.roles)) callers[role] = await test.asCaller({ tenant: slug, role })
  const [first] = Object.values(callers)
  if (first === undefined) throw new TypeError('the manifest has no roles, so there is nobody to try')
  const id = first.tenantId
  await seed?.({ slug, id, canary, callers }, test.asOwner)

  const rows = new Map<string, readonly Row[]>()
  const shapes = new Map<string, Shape>()
  const tables = new Map(test.manifest.tables.map((table) => [nameOf(table), table]))
  for (const [name, table] of tables) {
    const shape = await shapeOf(test, nameText(table))
    shapes.set(name, { ...shape, references: [...shape.references, ...linksOf(test.manifest, table)] })
  }
  const visit = async (name: string, path: readonly string[]): Promise<void> => {
    const table = tables.get(name)
    const shape = shapes.get(name)
    if (table === undefined || shape === undefined || rows.has(name) || path.includes(name)) return
    // parents first
    for (const { target } of shape.references) await visit(target, [...path, name])
    const condition = ofTenant(test.manifest, table)
    if (condition === undefined) return
    const read = async (): Promise<Row[]> => {
      const text = `SELECT pg_catalog.to_jsonb(t) AS row FROM ${nameText(table)} t WHERE ${condition}`
      return (await test.asOwner(text, [id])).map(({ row }) => row as Row)
    }
    if (table.view === undefined && (await read()).length === 0) {
      for (const caller of Object.values(callers)) await invent(test, table, shape, { id, canary, caller, rows })
    }
    rows.set(name, await read())
  }
  for (const name of tables.keys()) await visit(name, [])
  return { slug, id, canary, callers, rows }
}

/** The name under which rows and references are kept. */
export function nameOf({ schema, name }: Table): string {
  return `${schema}.${name}`
}

/** A child's link to its parent, which need not be a foreign key. */
function linksOf(manifest: Manifest, table: Table): Reference[] {
  const parent = parentOf(manifest, table)
  if (table.through === undefined || parent === undefined) return []
  return [{ columns: [table.through.column], target: nameOf(parent), targets: [table.through.references] }]
}

/** What the rows `t` of a table fulfil that are the tenant `$1`'s; undefined for a shared table. */
export function ofTenant(manifest: Manifest, table: Table): string | undefined {
  const parent = parentOf(manifest, table)
  if (table.through !== undefined && parent !== undefined) {
    const { column, references } = table.through
    return `EXISTS (SELECT 1 FROM ${nameText(parent)} p WHERE p."${references}" = t."${column}" AND p."${parent.tenant}"::TEXT = $1::TEXT)`
  }
  return table.tenant === undefined ? undefined : `t."${table.tenant}"::TEXT = $1::TEXT`
}

type Tenant = { id: string; canary: string; caller: TestCaller; rows: ReadonlyMap<string, readonly Row[]> }

async function invent(test: TestHoldfast, table: Table, shape: Shape, tenant: Tenant): Promise<void> {
  const values = new Map<string, unknown>()
  for (const column of shape.columns) {
    const value = valueFor(table, column, shape, tenant)
    if (value !== undefined) values.set(column.name, value)
  }
  for (const { columns, target, targets } of shape.references) {
    const parents = tenant.rows.get(target)
    const parent = parents?.find((row) => Object.values(row).includes(tenant.caller.userId)) ?? parents?.[0]
    if (parent === undefined) continue
    for (const [index, column] of columns.entries()) values.set(column, parent[targets[index] ?? ''])
  }
  const names = [...values.keys()]
  try {
    await test.asOwner(
      `INSERT INTO ${nameText(table)} (${names.map((name) => `"${name}"`).join(', ')}) VALUES (${names.map((_, index) => `$${index + 1}`).join(', ')})`,
      [...values.values()],
    )
  } catch (error) {
    throw new TypeError(
      `expectIsolated cannot invent a row of ${nameOf(table)} (${(error as Error).message}). Insert some yourself, in each tenant: expectIsolated(app, { test, seed: async ({ id, canary }, asOwner) => … })`,
      { cause: error },
    )
  }
}

function valueFor(table: Table, column: Column, shape: Shape, { id, canary, caller }: Tenant): unknown {
  if (column.name === table.tenant) return id
  if (column.name === table.owner) return caller.userId
  if (/^(text|varchar|bpchar|citext)$/.test(column.type)) {
    // a CHECK that lists what may stand there
    const check = shape.checks.find((text) => new RegExp(`\\b${column.name}\\b.*=`).test(text) && text.includes("'"))
    const listed = check === undefined ? undefined : /'([^']*)'/.exec(check)?.[1]
    const text = listed ?? `${canary} ${randomBytes(3).toString('hex')}`
    return column.limit > 0 ? text.slice(0, column.limit) : text
  }
  if (!column.needed) return undefined
  if (column.kind === 'e') return column.label
  if (column.type === 'uuid') return randomUUID()
  if (/^(int2|int4|int8|numeric|float4|float8)$/.test(column.type)) return 1 + Math.floor(Math.random() * 30_000)
  if (column.type === 'bool') return true
  if (/^(timestamptz|timestamp|date)$/.test(column.type)) return '2026-01-01'
  if (/^jsonb?$/.test(column.type)) return JSON.stringify({ canary })
  if (column.type.startsWith('_')) return '{}'
  return canary
}

async function shapeOf({ asOwner }: TestHoldfast, name: string): Promise<Shape> {
  const columns = await asOwner(
    `SELECT a.attname AS name, t.typname AS type, t.typtype AS kind, a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS needed,
      CASE WHEN a.atttypmod > 4 AND t.typname IN ('varchar', 'bpchar') THEN a.atttypmod - 4 ELSE 0 END AS limit,
      (SELECT e.enumlabel FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder LIMIT 1) AS label
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = $1::REGCLASS AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''`,
    [name],
  )
  const constraints = await asOwner(
    `SELECT c.contype AS kind, pg_catalog.pg_get_constraintdef(c.oid) AS text, n.nspname || '.' || r.relname AS target,
      (SELECT pg_catalog.json_agg(a.attname ORDER BY k.ord) FROM unnest(c.conkey) WITH ORDINALITY AS k(num, ord)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num) AS columns,
      (SELECT pg_catalog.json_agg(a.attname ORDER BY k.ord) FROM unnest(c.confkey) WITH ORDINALITY AS k(num, ord)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.num) AS targets
    FROM pg_catalog.pg_constraint c LEFT JOIN pg_catalog.pg_class r ON r.oid = c.confrelid
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
    WHERE c.conrelid = $1::REGCLASS AND c.contype IN ('c', 'f')`,
    [name],
  )
  return {
    columns: columns as unknown as Column[],
    references: constraints.filter(({ kind }) => kind === 'f') as unknown as Reference[],
    checks: constraints.filter(({ kind }) => kind === 'c').map(({ text }) => String(text)),
  }
}
