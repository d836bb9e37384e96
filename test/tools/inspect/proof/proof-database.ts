import { manifest } from '../../../../examples/invoices/manifest.ts'
import { migrate } from '../../../../src/core/database/migrate.ts'
import type { Table } from '../../../../src/core/scope/manifest.ts'
import { serviceManifest } from '../../../../src/service/tenancy/manifest.ts'
import { guardedTables } from '../../../../src/tools/inspect/proof/prove.ts'
import { createTestDatabase, type TestDatabase } from '../../../postgres.ts'

/** All that the invoices example is made of: the service's tables, its own, and those that no handler reaches. */
export const allTables: readonly Table[] = [...serviceManifest.tables, ...manifest.tables, ...guardedTables]

/** Tables by their names. */
export function tablesOf(...names: readonly string[]): readonly Table[] {
  return allTables.filter(({ name }) => names.includes(name))
}

const tenants = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'] as const
const user = '33333333-3333-4333-8333-333333333333'

/** A database with the service, the invoices example and, in two tenants, two committed rows of each table. */
export async function makeProofDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase()
  const migrations = new URL('../../../../examples/invoices/migrations/', import.meta.url)
  await migrate({ target: database.target('migrator'), application: migrations, roleGrants: {} })
  await database.owner(`INSERT INTO holdfast.users (id, email, display_name) VALUES ('${user}', 'a@example.com', 'A')`)
  for (const [index, tenant] of tenants.entries()) {
    const id = `4444444${index}-4444-4444-8444-444444444444`
    for (const statement of [
      `INSERT INTO holdfast.tenants (id, slug, name) VALUES ('${tenant}', 't${index}', 'T')`,
      `INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ('${tenant}', '${user}', 'owner')`,
      `INSERT INTO holdfast.invitations (tenant_id, email, role, token_hash, invited_by, expires_at) VALUES ('${tenant}', 'b@example.com', 'owner', '\\x0${index}', '${user}', now())`,
      `INSERT INTO tenancy.profiles (tenant_id, user_id, email, display_name) VALUES ('${tenant}', '${user}', 'a@example.com', 'A')`,
      `INSERT INTO tenancy.teams (tenant_id, id, slug, name, created_by) VALUES ('${tenant}', '${id}', 'red', 'Red', '${user}')`,
      `INSERT INTO tenancy.team_members (tenant_id, team_id, user_id) VALUES ('${tenant}', '${id}', '${user}')`,
      `INSERT INTO app.customers (tenant_id, id, created_by, name, email) VALUES ('${tenant}', '${id}', '${user}', 'C', 'c@example.com')`,
      `INSERT INTO app.invoices (tenant_id, id, created_by, customer_id, number) VALUES ('${tenant}', '${id}', '${user}', '${id}', '1')`,
      `INSERT INTO app.lines (tenant_id, id, created_by, invoice_id, title, cents) VALUES ('${tenant}', '${id}', '${user}', '${id}', 'L', 1)`,
      `INSERT INTO app.payments (tenant_id, id, created_by, invoice_id, cents, paid_on) VALUES ('${tenant}', '${id}', '${user}', '${id}', 1, '2026-01-01')`,
    ])
      await database.owner(statement)
  }
  return database
}

/** Every row of every table, and where every sequence stands: what must be the same after a proof. */
export async function contentsOf({ owner }: TestDatabase): Promise<string> {
  const relations = await owner(`SELECT c.oid::REGCLASS::TEXT AS name, c.relkind AS kind
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'S') AND n.nspname !~ '^(pg_|information_schema$)' ORDER BY 1`)
  const lines: string[] = []
  for (const { name: relation, kind } of relations) {
    const name = String(relation)
    const rows =
      kind === 'S'
        ? await owner(`SELECT last_value::TEXT AS row, is_called FROM ${name}`)
        : await owner(`SELECT pg_catalog.to_jsonb(t)::TEXT AS row FROM ${name} t ORDER BY 1`)
    lines.push(`${name} ${rows.length}`, ...rows.map((row) => JSON.stringify(row)))
  }
  return lines.join('\n')
}
