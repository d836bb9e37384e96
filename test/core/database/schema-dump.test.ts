import { afterAll, beforeAll, expect, test } from 'vitest'
import { dumpSchema } from '../../../src/core/database/schema-dump.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

const committed = new URL('../../../docs/schema.txt', import.meta.url)

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

test('the dump sees a change of each kind, and only that', async () => {
  const before = await dumpSchema(database.target('app'))
  const changes = [
    ['GRANT SELECT ON TABLE tenancy.profiles TO PUBLIC', '  grant SELECT to PUBLIC'],
    ['ALTER TABLE tenancy.profiles NO FORCE ROW LEVEL SECURITY', '  owner holdfast_owner, row-level security'],
    ['ALTER TABLE tenancy.profiles ADD COLUMN extra INT4 NOT NULL DEFAULT 7', 'extra integer not null default 7'],
    [
      'CREATE POLICY hole ON tenancy.profiles FOR SELECT USING (true)',
      '  policy hole permissive for SELECT to public using true',
    ],
    [
      'CREATE INDEX extra_index ON tenancy.profiles (extra)',
      '  index CREATE INDEX extra_index ON tenancy.profiles USING btree (extra)',
    ],
    [
      'ALTER TABLE tenancy.profiles ADD CONSTRAINT extra_positive CHECK (extra > 0)',
      '  constraint extra_positive CHECK ((extra > 0))',
    ],
    ['GRANT CREATE ON SCHEMA tenancy TO holdfast_app', '  grant CREATE to holdfast_app'],
    [
      "CREATE FUNCTION tenancy.open_door() RETURNS INT8 LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
      'function tenancy.open_door()',
    ],
  ] as const
  for (const [sql, line] of changes) {
    const [was, is] = [
      await dumpSchema(database.target('app')),
      (await database.owner(sql), await dumpSchema(database.target('app'))),
    ]
    expect(was).not.toContain(`${line}\n`)
    expect(`${is}\n`).toMatch(new RegExp(`${line.replaceAll(/[()+*.?[\]]/g, '\\$&')}$`, 'm'))
  }
  const other = await createTestDatabase()
  expect(await dumpSchema(other.target('migrator'))).toBe(before)
  await other.drop()
})

// After a new migration: npx vitest run test/core/database/schema-dump.test.ts --update
test('docs/schema.txt is what the migrations make', async () => {
  const fresh = await createTestDatabase()
  await expect(await dumpSchema(fresh.target('app'))).toMatchFileSnapshot(committed.pathname)
  await fresh.drop()
})
