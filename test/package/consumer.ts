// Compiled against the packed package, as its user's compiler sees it: each entry point, and what must not compile.
import fastify from 'fastify'
import {
  AccessError,
  createHoldfast,
  createPool,
  defineManifest,
  type EnteredCaller,
  type EnterRequest,
  type Holdfast,
  type HoldfastConfig,
  ManifestError,
  migrate,
  type MigrateOptions,
  type PermissionOf,
  type PoolName,
  type RetryOptions,
  type RoleGrants,
  type RowOf,
  type ScopedDatabase,
  type Seconds,
  startEmbedded,
  type TenantEvidence,
  type TenantSelection,
  type TransactionOptions,
  type ValueSource,
} from 'holdfast'
import { answerProblems, firstOf, guardPlugin, HttpProblem, type HttpProblemCode, param, sql } from 'holdfast/fastify'
import { kyselyOf } from 'holdfast/kysely'
import { createService, loadConfig, type Service } from 'holdfast/service'
import { expectIsolated, openTestHoldfast } from 'holdfast/testing'

export type Named = [
  EnterRequest,
  EnteredCaller,
  HttpProblemCode,
  MigrateOptions,
  PoolName,
  RetryOptions,
  RoleGrants,
  Seconds,
  Service,
  TenantEvidence,
  TenantSelection,
  TransactionOptions,
  ValueSource,
]
export const values = [
  AccessError,
  ManifestError,
  createPool,
  createService,
  expectIsolated,
  loadConfig,
  migrate,
  startEmbedded,
]

const manifest = defineManifest({
  tables: [
    {
      schema: 'app',
      name: 'invoices',
      resource: 'invoice',
      columns: {
        tenant_id: { type: 'uuid', notNull: true },
        id: { type: 'uuid', notNull: true },
        total: { type: 'int8' },
      },
      tenant: 'tenant_id',
    },
  ],
  roles: { owner: ['invoice:read', 'invoice:create'], clerk: ['invoice:read@own'] },
})

// @ts-expect-error the manifest has no such table
export type None = RowOf<typeof manifest, 'customers'>

export async function application(config: HoldfastConfig<typeof manifest>): Promise<Holdfast<typeof manifest>> {
  const holdfast = await createHoldfast(config)
  const app = fastify()
  answerProblems(app)
  await app.register(guardPlugin, { guard: holdfast, origin: 'https://app.example.com' })
  const byId = sql<RowOf<typeof manifest, 'invoices'>>`SELECT * FROM invoices WHERE id = ${param('id')}`
  app.get('/invoices/:id', { config: { access: holdfast.can('invoice:read'), first: byId } }, async (request) => {
    const [invoice] = firstOf(request, byId).rows
    if (invoice === undefined) throw new HttpProblem('not_found')
    const total: string | null = invoice.total
    // @ts-expect-error the table has no such column
    void invoice.totl
    // @ts-expect-error an int8 is a string
    const wrong: number = invoice.total
    return [total, wrong]
  })
  // @ts-expect-error no role grants it
  holdfast.can('invoice:delete')
  const permission: PermissionOf<typeof manifest> = 'invoice:create'
  holdfast.can(permission)
  const caller = await holdfast.enter('token')
  // @ts-expect-error a unit gives back what its work does
  const text: string = await caller.unit(async () => 1)
  void text
  return holdfast
}

export async function test(): Promise<void> {
  const opened = await openTestHoldfast({ manifest })
  const clerk = await opened.asCaller({ tenant: 'acme', role: 'clerk' })
  void clerk.headers.authorization
  await opened.close()
}

export async function totals(db: ScopedDatabase): Promise<string[]> {
  type Tables = { invoices: { id: string; total: string } }
  const rows = await kyselyOf<Tables>(db).selectFrom('invoices').select('total').execute()
  // @ts-expect-error only this column was asked for
  void rows[0]?.id
  const { rows: arrays } = await db.query<[string]>({ text: 'SELECT total FROM invoices', rowMode: 'array' })
  return [...rows.map(({ total }) => total), ...arrays.map(([total]) => total)]
}
