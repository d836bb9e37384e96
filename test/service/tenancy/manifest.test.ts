import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseManifest } from '../../../src/core/scope/manifest.ts'
import { parseGrants } from '../../../src/core/scope/grants.ts'
import { defaultRoles, serviceManifest } from '../../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

test('the manifest is one', () => {
  expect(parseManifest(structuredClone(serviceManifest))).toEqual(serviceManifest)
})

test('the manifest has the columns that the database has, in its order', async () => {
  expect(serviceManifest.tables.length).toBeGreaterThan(0)
  for (const { schema, name, columns } of serviceManifest.tables) {
    const rows = await database.owner(
      `SELECT column_name, udt_name FROM information_schema.columns
       WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position`,
      [schema, name],
    )
    expect(rows.map((row) => [row.column_name, row.udt_name])).toEqual(
      Object.entries(columns).map(([column, { type }]) => [column, type]),
    )
  }
})

test('the manifest has every table of the schema', async () => {
  const rows = await database.owner(
    `SELECT table_name FROM information_schema.tables WHERE table_schema = 'tenancy' ORDER BY 1`,
  )
  expect(rows.map((row) => row.table_name)).toEqual(serviceManifest.tables.map(({ name }) => name).sort())
})

const ranks = ['viewer', 'member', 'admin', 'owner'] as const
test.each(ranks.slice(1).map((role, index) => [ranks[index] ?? 'viewer', role] as const))(
  'what a %s may, a %s may too, and not the other way round',
  (lower, higher) => {
    const [less, more] = [parseGrants(defaultRoles[lower]), parseGrants(defaultRoles[higher])]
    const covered = (held: typeof less, wanted: typeof less) =>
      [...wanted].every(([permission, reach]) => held.get(permission) === 'tenant' || held.get(permission) === reach)
    expect(covered(more, less)).toBe(true)
    expect(covered(less, more)).toBe(false)
  },
)

test('docs/roles.md has the same grants', () => {
  const page = readFileSync(new URL('../../../docs/roles.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `([a-z_]+:[a-z_]+)` +\|(.*)\|.*\|$/gm)]
  expect(rows.length).toBeGreaterThan(10)
  const written: Record<string, string[]> = { viewer: [], member: [], admin: [], owner: [] }
  for (const [, permission = '', cells = ''] of rows) {
    const reaches = cells.split('|').map((cell) => cell.trim())
    for (const [index, role] of ranks.entries()) {
      if (reaches[index] === 'tenant') written[role]?.push(permission)
      if (reaches[index] === 'own') written[role]?.push(`${permission}@own`)
    }
  }
  for (const role of ranks) {
    expect(parseGrants(written[role] ?? [])).toEqual(parseGrants(defaultRoles[role]))
    expect(written[role]?.length).toBe(parseGrants(defaultRoles[role]).size)
  }
})
