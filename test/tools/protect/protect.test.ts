import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrate } from '../../../src/core/database/migrate.ts'
import { readMigrations } from '../../../src/core/database/migration-file.ts'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import { parseManifest } from '../../../src/core/scope/manifest.ts'
import { PRIVILEGES } from '../../../src/tools/protect/grants.ts'
import { resourceOf } from '../../../src/tools/protect/manifest-entry.ts'
import { RESERVED } from '../../../src/tools/inspect/identifier.ts'
import { quoted, readTableName } from '../../../src/tools/protect/names.ts'
import { protect, type Protection, type ProtectRequest } from '../../../src/tools/protect/protect.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

const tables = `CREATE SCHEMA app
-- next
CREATE TABLE app.currencies (code TEXT PRIMARY KEY)
-- next
CREATE TABLE app."Invoices" (
  "Id" BIGSERIAL PRIMARY KEY,
  "TenantId" UUID,
  "CreatedBy" UUID NOT NULL,
  "Number" TEXT NOT NULL,
  "ParentId" INT8 REFERENCES app."Invoices" ("Id") ON DELETE CASCADE,
  currency TEXT REFERENCES app.currencies (code),
  email TEXT,
  "order" INT8,
  voided_at TIMESTAMPTZ,
  CONSTRAINT "a ""quoted"" one" UNIQUE ("Number"),
  UNIQUE ("order", "Number") DEFERRABLE INITIALLY DEFERRED
)
-- next
CREATE UNIQUE INDEX "Invoices_email" ON app."Invoices" (lower(email))
-- next
CREATE UNIQUE INDEX live ON app."Invoices" ("order") WHERE voided_at IS NULL
-- next
CREATE TABLE app.lines (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), invoice_id INT8 NOT NULL, title TEXT NOT NULL)
-- next
CREATE TABLE app.documents (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), org TEXT NOT NULL, slug TEXT NOT NULL UNIQUE)
-- next
CREATE TABLE app.counters (id INT8 PRIMARY KEY, tenant_id INT8 NOT NULL)
-- next
CREATE TABLE app.ready (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  slug TEXT,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (slug, tenant_id)
)
-- next
CREATE TABLE app.keyless (note TEXT)
-- next
GRANT SELECT ON TABLE app.keyless TO PUBLIC
`
const A = '00000000-0000-4000-8000-00000000000a'
const B = '00000000-0000-4000-8000-00000000000b'
const all = ['read', 'create', 'update', 'delete']

let database: TestDatabase
let folder: string
let owner: Pool
let app: Pool
let files = 0

beforeAll(async () => {
  database = await createTestDatabase()
  folder = mkdtempSync(join(tmpdir(), 'protect-'))
  await apply(tables)
  owner = await createPool({
    connection: database.target('migrator'),
    size: 1,
    applicationName: 'protect',
    role: 'holdfast_owner',
  })
  app = await createPool({ connection: database.target('app'), size: 1, applicationName: 'app' })
})
afterAll(async () => {
  await owner.close()
  await app.close()
  await database.drop()
  rmSync(folder, { recursive: true })
})

async function apply(text: string): Promise<void> {
  writeFileSync(join(folder, `${String(++files).padStart(4, '0')}-some.sql`), text)
  await migrate({
    target: database.target('migrator'),
    application: pathToFileURL(`${folder}/`),
    roleGrants: {},
  })
}
const ask = (table: string, request: Partial<ProtectRequest> = {}): Promise<Protection> =>
  protect(owner, { table: readTableName(table) as { schema: string; name: string }, shared: [], ...request })
const applied = async (table: string, request: Partial<ProtectRequest> = {}): Promise<Protection> => {
  const made = await ask(table, request)
  await apply(made.statements.join('\n-- next\n'))
  return made
}
/** Runs as holdfast_app, as enter would have bound it. */
const as = (tenant: string, sql: string, values: readonly unknown[] = []) =>
  app.transaction(async (transaction) => {
    await transaction.query({ name: '', text: "SELECT set_config('holdfast.tenant_id', $1::TEXT, true) AS t" }, [
      tenant,
    ])
    return (await transaction.query({ name: '', text: sql }, values)).rows
  })

type Catalog = { rls: boolean; policies: unknown[]; keys: string[]; uniques: string[]; foreign: string[] }
async function catalogOf(table: string): Promise<Catalog> {
  const [head] = await database.owner(
    'SELECT relrowsecurity AND relforcerowsecurity AS rls FROM pg_class WHERE oid = $1::regclass',
    [table],
  )
  const definitions = async (sql: string): Promise<string[]> =>
    (await database.owner(sql, [table])).map(({ definition }) => String(definition))
  return {
    rls: head?.['rls'] === true,
    policies: await database.owner(
      `SELECT p.polname AS name, pg_get_expr(p.polqual, p.polrelid) = pg_get_expr(p.polwithcheck, p.polrelid) AS same,
        polcmd AS command, polroles::TEXT AS roles FROM pg_policy p WHERE p.polrelid = $1::regclass`,
      [table],
    ),
    keys: await definitions(
      "SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conrelid = $1::regclass AND contype IN ('p', 'u') ORDER BY 1",
    ),
    uniques: await definitions(
      `SELECT pg_get_indexdef(indexrelid) AS definition FROM pg_index WHERE indrelid = $1::regclass
       AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u')) ORDER BY 1`,
    ),
    foreign: await definitions(
      "SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'f' ORDER BY 1",
    ),
  }
}
const guarded = [{ name: 'tenant_isolation', same: true, command: '*', roles: '{0}' }]

describe('a table of an awkward shape', () => {
  const request = { tenant: 'TenantId', owner: 'CreatedBy', shared: ['app.currencies'], verbs: all }

  test('protect, apply, and the catalog is as expected', async () => {
    const { statements, entry, notes } = await applied('app.Invoices', request)
    // row-level security before anything else, the policy after the keys, grants last
    expect(statements[0]).toBe('ALTER TABLE app."Invoices" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
    const kinds = statements.map((text) => /^(?:\w+ \w+|\{\{\w+)/.exec(text)?.[0])
    expect(kinds.indexOf('CREATE POLICY')).toBeGreaterThan(kinds.lastIndexOf('ALTER TABLE'))
    expect(kinds.slice(kinds.indexOf('CREATE POLICY') + 1)).toEqual(
      ['GRANT USAGE', 'GRANT USAGE', 'GRANT SELECT,'].map((text) => text.replace(',', '')),
    )
    expect(await catalogOf('app."Invoices"')).toEqual({
      rls: true,
      policies: guarded,
      keys: [
        'PRIMARY KEY ("TenantId", "Id")',
        'UNIQUE ("TenantId", "Number")',
        'UNIQUE ("TenantId", "order", "Number") DEFERRABLE INITIALLY DEFERRED',
      ],
      uniques: [
        'CREATE INDEX "Invoices_by_CreatedBy" ON app."Invoices" USING btree ("TenantId", "CreatedBy")',
        'CREATE INDEX "Invoices_by_ParentId" ON app."Invoices" USING btree ("TenantId", "ParentId")',
        'CREATE UNIQUE INDEX "Invoices_email" ON app."Invoices" USING btree ("TenantId", lower(email))',
        'CREATE UNIQUE INDEX live ON app."Invoices" USING btree ("TenantId", "order") WHERE (voided_at IS NULL)',
      ],
      foreign: [
        'FOREIGN KEY ("TenantId", "ParentId") REFERENCES app."Invoices"("TenantId", "Id") ON DELETE CASCADE',
        'FOREIGN KEY (currency) REFERENCES app.currencies(code)',
      ],
    })
    expect(notes).toEqual([expect.stringContaining('one sequence for all tenants')])
    const roles = { owner: ['invoice:read'] }
    expect(parseManifest({ tables: [entry], roles }).tables[0]).toMatchObject({
      resource: 'invoice',
      tenant: 'TenantId',
      owner: 'CreatedBy',
      columns: { TenantId: { type: 'uuid', notNull: true }, Id: { type: 'int8', notNull: true } },
    })
  })

  test('the wall holds: what A writes, B neither reads, changes, nor meets in a key', async () => {
    const insert =
      'INSERT INTO app."Invoices" ("TenantId", "CreatedBy", "Number", email) VALUES ($1::UUID, $1::UUID, $2::TEXT, $3::TEXT) RETURNING "Id"'
    const [row] = await as(A, insert, [A, '1', 'x@x'])
    expect(await as(A, 'SELECT "Number" FROM app."Invoices"')).toEqual([{ Number: '1' }])
    expect(await as(B, 'SELECT "Number" FROM app."Invoices"')).toEqual([])
    expect(await as('', 'SELECT "Number" FROM app."Invoices"')).toEqual([])
    expect(await as(B, 'UPDATE app."Invoices" SET email = NULL RETURNING 1 AS n')).toEqual([])
    expect(await as(B, 'DELETE FROM app."Invoices" RETURNING 1 AS n')).toEqual([])
    await expect(as(B, insert, [A, '2', 'y@y'])).rejects.toMatchObject({ sqlstate: '42501' })
    // the same number, address and parent: another tenant's are not in the way, and cannot be pointed to
    await as(B, insert, [B, '1', 'x@x'])
    await expect(as(B, 'UPDATE app."Invoices" SET "ParentId" = $1::INT8', [row?.['Id']])).rejects.toMatchObject({
      sqlstate: '23503',
    })
    await expect(as(A, insert, [A, '1', 'z@z'])).rejects.toMatchObject({ sqlstate: '23505' })
  })

  test('again: nothing to do; with a verb less, it is taken away', async () => {
    expect((await ask('app.Invoices', request)).statements).toEqual([])
    expect((await ask('app.Invoices', { ...request, verbs: ['read'] })).statements).toEqual([
      'REVOKE DELETE, INSERT, UPDATE ON TABLE app."Invoices" FROM holdfast_app',
    ])
  })

  test('a child of it gets a tenant column and a foreign key led by it', async () => {
    const parent = { table: { schema: 'app', name: 'Invoices' }, link: 'invoice_id', onDelete: 'CASCADE' }
    const { entry } = await applied('app.lines', { parent, verbs: ['read', 'create'] })
    expect(await catalogOf('app.lines')).toMatchObject({
      rls: true,
      policies: guarded,
      keys: ['PRIMARY KEY ("TenantId", id)'],
      foreign: ['FOREIGN KEY ("TenantId", invoice_id) REFERENCES app."Invoices"("TenantId", "Id") ON DELETE CASCADE'],
      uniques: [expect.stringContaining('("TenantId", invoice_id)')],
    })
    expect(entry).toMatchObject({ tenant: 'TenantId', resource: 'line' })
    expect((await ask('app.lines', { parent, verbs: ['read', 'create'] })).statements).toEqual([])
    const [invoice] = await as(A, 'SELECT "Id" FROM app."Invoices"')
    const insert = 'INSERT INTO app.lines ("TenantId", invoice_id, title) VALUES ($1::UUID, $2::INT8, $3::TEXT)'
    await as(A, insert, [A, invoice?.['Id'], 'a'])
    await expect(as(B, insert, [B, invoice?.['Id'], 'b'])).rejects.toMatchObject({ sqlstate: '23503' })
    expect(await as(B, 'SELECT title FROM app.lines')).toEqual([])
    await expect(as(A, 'DELETE FROM app.lines')).rejects.toMatchObject({ sqlstate: '42501' })
  })
})

describe('tenants of other types, and keys that are there', () => {
  test.each([
    [
      'app.documents',
      { tenant: 'org' },
      ['PRIMARY KEY (org, id)', 'UNIQUE (org, slug)'],
      "INSERT INTO app.documents (org, slug) VALUES ($1::TEXT, 's')",
      ['acme', 'globex'],
    ],
    [
      'app.counters',
      {},
      ['PRIMARY KEY (tenant_id, id)'],
      'INSERT INTO app.counters (tenant_id, id) VALUES ($1::INT8, 1)',
      ['7', '8'],
    ],
    [
      'app.ready',
      {},
      ['PRIMARY KEY (tenant_id, id)', 'UNIQUE (tenant_id, slug)'],
      "INSERT INTO app.ready (tenant_id, slug) VALUES ($1::UUID, 's')",
      [A, B],
    ],
    ['app.keyless', {}, [], 'INSERT INTO app.keyless (tenant_id) VALUES ($1::UUID)', [A, B]],
  ] as const)('%s', async (table, request, keys, insert, [one, other]) => {
    const asked = { ...request, verbs: ['read', 'create'] }
    await applied(table, asked)
    expect(await catalogOf(table)).toMatchObject({ rls: true, policies: guarded, keys })
    await as(one, insert, [one])
    await as(other, insert, [other])
    await expect(as(one, insert, [other])).rejects.toMatchObject({ sqlstate: '42501' })
    expect(await as(one, `SELECT 1 AS n FROM ${table}`)).toHaveLength(1)
    expect(await as('', `SELECT 1 AS n FROM ${table}`)).toHaveLength(0)
    expect((await ask(table, asked)).statements).toEqual([])
    const public_ = await database.owner(
      "SELECT 1 FROM information_schema.table_privileges WHERE table_schema = 'app' AND table_name = $1 AND grantee = 'PUBLIC'",
      [table.slice(4)],
    )
    expect(public_).toEqual([])
  })

  test('the manifest says what is granted, and what is shared', async () => {
    await apply('CREATE TABLE app.orders (id UUID PRIMARY KEY, currency TEXT REFERENCES app.currencies (code))')
    const uuid = { type: 'uuid' }
    const manifest = parseManifest({
      tables: [
        {
          schema: 'app',
          name: 'orders',
          resource: 'order',
          columns: { tenant_id: uuid, id: uuid },
          tenant: 'tenant_id',
        },
        { schema: 'app', name: 'currencies', resource: 'currency', columns: { code: { type: 'text' } }, shared: true },
      ],
      roles: { owner: ['order:read', 'order:update@own'], clerk: ['order:read@own', 'currency:delete'] },
    })
    const { statements } = await ask('app.orders', { manifest })
    expect(statements.at(-1)).toBe('GRANT SELECT, UPDATE ON TABLE app.orders TO holdfast_app')
    const { statements: none, notes } = await ask('app.orders', { shared: ['app.currencies'] })
    expect(none.some((text) => text.startsWith('GRANT'))).toBe(false)
    expect(notes).toEqual([expect.stringContaining('Nothing is granted')])
  })
})

describe('what cannot be protected is refused, with the way', () => {
  const make = 'CREATE TABLE app.x (id UUID PRIMARY KEY, tenant_id UUID NOT NULL'
  test.each<[string, string[], Partial<ProtectRequest>, string, RegExp]>([
    ['no such table', [], {}, 'table_missing', /Create the table/],
    ['a view', ['CREATE VIEW app.x AS SELECT 1 AS one'], {}, 'table_kind', /security_invoker/],
    ['a materialized view', ['CREATE MATERIALIZED VIEW app.x AS SELECT 1 AS one'], {}, 'table_kind', /Make it a table/],
    ['partitions', ['CREATE TABLE app.x (id INT8) PARTITION BY LIST (id)'], {}, 'table_kind', /partitioned/],
    [
      'inheritance',
      ['CREATE TABLE app.y (id INT8)', 'CREATE TABLE app.x () INHERITS (app.y)'],
      {},
      'table_kind',
      /inherits/,
    ],
    ['rules', [`${make})`, 'CREATE RULE r AS ON INSERT TO app.x DO INSTEAD NOTHING'], {}, 'table_kind', /Drop them/],
    [
      'another owner',
      [`${make})`, 'ALTER TABLE app.x OWNER TO CURRENT_USER'],
      {},
      'table_owner',
      /OWNER TO holdfast_owner/,
    ],
    [
      'rows',
      [`${make})`, 'INSERT INTO app.x (id, tenant_id) SELECT gen_random_uuid(), gen_random_uuid()'],
      {},
      'table_has_rows',
      /in stages/,
    ],
    [
      'rows that nobody can see',
      [`${make})`, 'ALTER TABLE app.x ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY'],
      {},
      'table_has_rows',
      /taken for one that has/,
    ],
    [
      'a policy that lets more in',
      [`${make})`, 'CREATE POLICY p ON app.x USING (tenant_id IS NOT NULL)'],
      {},
      'table_policies',
      /DROP POLICY p ON app.x/,
    ],
    [
      'a second policy',
      [
        `${make})`,
        "CREATE POLICY p ON app.x USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID) WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)",
        'CREATE POLICY q ON app.x USING (true)',
      ],
      {},
      'table_policies',
      /joined by OR/,
    ],
    [
      'a policy for another role',
      [
        `${make})`,
        "CREATE POLICY p ON app.x TO holdfast_app USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)",
      ],
      {},
      'table_policies',
      /policies of its own/,
    ],
    [
      'a tenant of type varchar',
      ['CREATE TABLE app.x (id UUID PRIMARY KEY, tenant_id VARCHAR(9))'],
      {},
      'tenant_column',
      /TYPE TEXT/,
    ],
    [
      'a vague collation',
      [
        "CREATE COLLATION app.vague (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        'CREATE TABLE app.x (id UUID PRIMARY KEY, tenant_id TEXT COLLATE app.vague)',
      ],
      {},
      'tenant_column',
      /different texts/,
    ],
    [
      'a generated tenant',
      ['CREATE TABLE app.x (id INT8 PRIMARY KEY, tenant_id INT8 GENERATED ALWAYS AS (id) STORED)'],
      {},
      'tenant_column',
      /generated/,
    ],
    ['an owner that is no key', [`${make}, who INT4)`], { owner: 'who' }, 'owner_column', /uuid, text or int8/],
    [
      'an exclusion',
      [`${make}, during INT4RANGE, EXCLUDE USING gist (during WITH &&))`],
      {},
      'key_unknown',
      /first column/,
    ],
    [
      'a key that another table points to',
      [`${make}, n INT8)`, 'CREATE TABLE app.y (id UUID REFERENCES app.x (id))'],
      {},
      'key_referenced',
      /ALTER TABLE app.y DROP CONSTRAINT y_id_fkey/,
    ],
    [
      'a foreign key to what is not protected',
      [`CREATE TABLE app.y (id UUID PRIMARY KEY)`, `${make}, y UUID REFERENCES app.y (id))`],
      {},
      'foreign_key',
      /--shared app.y/,
    ],
    ['SET NULL', [`${make}, up UUID REFERENCES app.x (id) ON DELETE SET NULL)`], {}, 'foreign_key', /clear the tenant/],
    ['MATCH FULL', [`${make}, up UUID REFERENCES app.x (id) MATCH FULL)`], {}, 'foreign_key', /MATCH FULL/],
    [
      'a parent that is not protected',
      [`${make})`, 'CREATE TABLE app.y (id UUID PRIMARY KEY)'],
      { parent: { table: { schema: 'app', name: 'y' }, link: 'id', onDelete: '' } },
      'parent_unusable',
      /holdfast protect app.y first/,
    ],
    [
      'a link of another type',
      [`${make})`],
      { parent: { table: { schema: 'app', name: 'ready' }, link: 'who', onDelete: '' } },
      'parent_unusable',
      /is not there/,
    ],
  ])('%s', async (_, statements, request, code, way) => {
    for (const text of statements) await database.owner(text)
    for (const table of ['app.x', 'app.y']) {
      const isTable = await database.owner(
        "SELECT 1 FROM pg_class WHERE oid = to_regclass($1) AND relkind IN ('r', 'p')",
        [table],
      )
      if (isTable.length > 0 && code !== 'table_owner')
        await database.owner(`ALTER TABLE ${table} OWNER TO holdfast_owner`)
    }
    try {
      await expect(ask('app.x', request)).rejects.toMatchObject({ code, message: expect.stringMatching(way) })
    } finally {
      await database.owner('DROP VIEW IF EXISTS app.x CASCADE').catch(() => undefined)
      await database.owner('DROP MATERIALIZED VIEW IF EXISTS app.x').catch(() => undefined)
      await database.owner('DROP TABLE IF EXISTS app.x, app.y CASCADE').catch(() => undefined)
    }
  })

  test.each(['holdfast.users', 'tenancy.teams', 'pg_catalog.pg_class'])('%s', async (table) => {
    await expect(ask(table)).rejects.toMatchObject({ code: 'table_kind' })
  })

  test('what no manifest can name', async () => {
    await database.owner('CREATE TABLE app."x y" (id INT8)')
    await database.owner('ALTER TABLE app."x y" OWNER TO holdfast_owner')
    await expect(ask('app."x y"')).rejects.toMatchObject({ code: 'table_name' })
    await database.owner('DROP TABLE app."x y"')
  })
})

describe('names', () => {
  test('every word that the server reserves is quoted', async () => {
    const words = await database.owner("SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'")
    expect(words.length).toBeGreaterThan(100)
    expect(words.map(({ word }) => String(word)).filter((word) => !RESERVED.has(word))).toEqual([])
  })

  test.each([
    ['plain', 'plain'],
    ['Capital', '"Capital"'],
    ['order', '"order"'],
    ['a"b; DROP', '"a""b; DROP"'],
  ])('%s is %s', (name, text) => {
    expect(quoted(name)).toBe(text)
  })

  test.each([
    ['invoices', 'invoice'],
    ['Companies', 'company'],
    ['addresses', 'address'],
    ['TeamMembers', 'team_member'],
    ['_1', 'row'],
  ])('%s is about %s', (table, resource) => {
    expect(resourceOf(table)).toBe(resource)
  })

  test('a UNIQUE that goes is said as each database says it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'protect-'))
    writeFileSync(join(directory, '0001-x.sql'), '{{drop_unique app."T" "a ""b"}}')
    const of = async (dialect: 'postgresql' | 'cockroachdb'): Promise<string | undefined> =>
      (await readMigrations(pathToFileURL(`${directory}/`), dialect, 'application'))[0]?.steps[0]?.text
    expect(await of('postgresql')).toBe('ALTER TABLE app."T" DROP CONSTRAINT "a ""b"')
    expect(await of('cockroachdb')).toBe('DROP INDEX app."T"@"a ""b" CASCADE')
    rmSync(directory, { recursive: true })
  })

  test('the verbs are those of permissions', () => {
    expect(Object.keys(PRIVILEGES)).toEqual(all)
  })
})
