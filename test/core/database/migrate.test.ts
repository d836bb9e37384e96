import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Connection } from '../../../src/core/database/connection.ts'
import { migrate, migrationStatus } from '../../../src/core/database/migrate.ts'
import { type Migration, readMigrations } from '../../../src/core/database/migration-file.ts'
import { readSteps } from '../../../src/core/database/migration-ledger.ts'
import { runStepInDoubt } from '../../../src/core/database/migration-step.ts'
import { createPool } from '../../../src/core/database/pool.ts'
import { roleVersion } from '../../../src/core/database/role-seed.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { startWireProxy } from '../../wire-proxy.ts'

const first = `CREATE TABLE tenancy.one (id INT8 PRIMARY KEY, note TEXT)
-- next
INSERT INTO tenancy.one (id, note) VALUES (1, 'a;b -- next')
-- next
CREATE INDEX one_by_note ON tenancy.one (note)
-- next
ALTER TABLE tenancy.one ADD COLUMN more INT8 NOT NULL DEFAULT 0
`
const second = `GRANT CREATE ON SCHEMA tenancy TO holdfast_enter
-- next as holdfast_enter
CREATE FUNCTION tenancy.two() RETURNS INT8 LANGUAGE sql {{pinned_search_path}} AS 'SELECT 2'
-- next
CREATE TABLE tenancy.three (id INT8 PRIMARY KEY)
`

let database: TestDatabase
let folder: string
let directory: URL

beforeEach(async () => {
  database = await createTestDatabase()
  // The house's own migrations are in the template; this suite brings its own.
  await database.owner('DELETE FROM holdfast.migrations')
  folder = mkdtempSync(join(tmpdir(), 'migrations-'))
  directory = pathToFileURL(`${folder}/`)
  write('0001-first', first)
  write('0002-second', second)
})
afterEach(async () => {
  await database.drop()
  rmSync(folder, { recursive: true })
})
const write = (name: string, text: string) => writeFileSync(join(folder, `${name}.sql`), text)
const run = () => migrate({ target: database.target('migrator'), directory, roleGrants: {} })
const counts = async () => {
  const [row] = await database.owner(
    `SELECT (SELECT count(*)::INT4 FROM tenancy.one) AS rows, (SELECT count(*)::INT4 FROM holdfast.migrations) AS files,
     (SELECT count(*)::INT4 FROM holdfast.migration_steps) AS steps, (SELECT count(*)::INT4 FROM holdfast.leases) AS leases`,
  )
  return row
}
const finished = { rows: 1, files: 2, steps: 0, leases: 0 }

describe('migrate', () => {
  test('applies what is new, once, and tells', async () => {
    expect(await migrationStatus(database.target('identity'), directory)).toEqual({
      current: false,
      applied: [],
      pending: ['0001-first', '0002-second'],
    })
    expect(await run()).toEqual({ applied: ['0001-first', '0002-second'], total: 2, roles: undefined })
    expect(await counts()).toEqual(finished)
    expect(await run()).toEqual({ applied: [], total: 2, roles: undefined })
    const pool = await createPool({ connection: database.target('identity'), size: 1, applicationName: 'status' })
    expect(await migrationStatus(pool, directory)).toMatchObject({ current: true, pending: [] })
    await pool.close()
    const [made] = await database.owner(
      "SELECT pg_get_userbyid(proowner) AS owner, proconfig FROM pg_proc WHERE proname = 'two'",
    )
    expect(made).toEqual({ owner: 'holdfast_enter', proconfig: ['search_path=""'] })
    expect(
      await database.owner(
        "SELECT tableowner FROM pg_tables WHERE schemaname = 'tenancy' AND tablename IN ('one', 'three')",
      ),
    ).toEqual([{ tableowner: 'holdfast_owner' }, { tableowner: 'holdfast_owner' }])
  })

  test('a database that was never migrated has everything pending', async () => {
    await database.owner('DROP SCHEMA holdfast CASCADE')
    expect(await migrationStatus(database.target('app'), directory)).toMatchObject({ current: false, applied: [] })
  })

  test('several at once: each statement once, all end well', async () => {
    const reports = await Promise.all([run(), run(), run(), run()])
    expect(reports.flatMap(({ applied }) => applied).toSorted()).toEqual(['0001-first', '0002-second'])
    expect(await counts()).toEqual(finished)
  })

  test('an applied file that was changed is refused; other line ends are no change', async () => {
    await run()
    write('0001-first', first.replaceAll('\n', '\r\n'))
    await run()
    write('0001-first', first.replace('note TEXT', 'note  TEXT'))
    await expect(run()).rejects.toMatchObject({ code: 'migration_changed' })
    await expect(migrationStatus(database.target('identity'), directory)).rejects.toMatchObject({
      code: 'migration_changed',
    })
  })

  test('a database that is ahead: migrate refuses, status is content', async () => {
    await run()
    rmSync(join(folder, '0002-second.sql'))
    await expect(run()).rejects.toMatchObject({ code: 'migration_unknown' })
    expect(await migrationStatus(database.target('identity'), directory)).toMatchObject({ current: true })
  })

  test.each([
    ['a gap in the numbers', '0004-late', 'SELECT 1'],
    ['a number used twice', '0002-again', 'SELECT 1'],
    ['a name of another form', 'third', 'SELECT 1'],
    ['an empty statement', '0003-empty', 'SELECT 1\n-- next\n-- only a comment\n'],
  ])('%s is refused before anything is done', async (_, name, text) => {
    write(name, text)
    await expect(run()).rejects.toMatchObject({ code: 'migration_file_invalid' })
    expect(await database.owner('SELECT 1 FROM holdfast.migrations')).toEqual([])
  })

  test('a statement that fails is told; mended, it goes on from there', async () => {
    write('0002-second', second.replace('tenancy.three', 'tenancy.one'))
    await expect(run()).rejects.toMatchObject({
      code: 'migration_failed',
      message: expect.stringContaining('Statement 3 of "0002-second"'),
    })
    expect(await database.owner('SELECT step::INT4 AS step FROM holdfast.migration_steps ORDER BY step')).toEqual([
      { step: 0 },
      { step: 1 },
    ])
    // What has run may not be changed even now.
    write('0002-second', second.replace("'SELECT 2'", "'SELECT 3'"))
    await expect(run()).rejects.toMatchObject({ code: 'migration_changed' })
    write('0002-second', second)
    expect((await run()).applied).toEqual(['0002-second'])
    expect(await counts()).toEqual(finished)
  })

  test('whoever has lost the lease cannot go on', async () => {
    write(
      '0002-second',
      `${second}-- next\nUPDATE holdfast.leases SET holder = 'thief'\n-- next\nCREATE TABLE tenancy.four (id INT8)\n`,
    )
    await expect(run()).rejects.toMatchObject({ code: 'lease_lost' })
    expect(await database.owner("SELECT to_regclass('tenancy.four') AS four")).toEqual([{ four: null }])
  })
})

test('a crash at each commit, before and after it: the next run finishes what was begun', async () => {
  // Where the runner has no tables yet, its own first steps are tried too.
  const reset = async (): Promise<void> => {
    await database.owner('DROP SCHEMA tenancy CASCADE')
    await database.owner('DROP SCHEMA holdfast CASCADE')
  }
  const proxy = await startWireProxy(database.target('migrator'))
  const throughProxy = () => migrate({ target: proxy.address, directory, roleGrants: {} })
  await reset()
  await throughProxy()
  const points = proxy.counts.commits
  expect(points).toBeGreaterThan(5 + 7 + 2)
  let crashes = 0
  for (let point = 0; point < points; point++) {
    for (const when of ['before commit', 'after commit'] as const) {
      await reset()
      proxy.cutNext(when, point)
      await throughProxy().catch(() => crashes++)
      expect(proxy.isArmed, `${when} ${point}`).toBe(false)
      // Nobody can release the dead runner's lease: it runs out.
      await database.owner("UPDATE holdfast.leases SET expires_at = now() - INTERVAL '1 second'").catch(() => undefined)
      await run()
      expect(await counts(), `${when} ${point}`).toEqual(finished)
    }
  }
  // All but those that hit the release of the lease at the end.
  expect(crashes).toBeGreaterThanOrEqual(2 * points - 4)
  await proxy.close()
})

describe('where DDL commits by itself', () => {
  let connection: Connection
  let migrations: Migration[]
  beforeEach(async () => {
    const address = database.target('migrator')
    connection = await Connection.open(
      {
        address,
        applicationName: 'doubt',
        connectTimeoutMs: 1_000,
        statementLimit: 8,
        statementTimeoutMs: 0,
        idleInTransactionTimeoutMs: 0,
        role: 'holdfast_owner',
      },
      () => undefined,
    )
    migrations = await readMigrations(directory, 'cockroachdb')
  })
  afterEach(() => connection.close())

  async function applyFrom(migration: Migration): Promise<void> {
    const recorded = await readSteps(connection, migration)
    for (const [index, step] of migration.steps.entries()) {
      if (recorded.get(index)?.done === true) continue
      await runStepInDoubt({ connection, migration, index, step, recorded: recorded.get(index), holder: '' })
    }
  }

  const points = [0, 1, 2, 3].flatMap((step) => [1, 2, 3].map((query) => ({ step, query })))
  test.each(points)('a crash at statement $step, after message $query of its three', async ({ step, query }) => {
    const [migration] = migrations as [Migration]
    const client = connection.client as unknown as { query(...parts: unknown[]): Promise<unknown> }
    const original = client.query.bind(connection.client)
    let count = 0
    client.query = async (...parts) => {
      // The first message reads how far it has come; the statement itself may have been done when the crash comes.
      const answer = await original(...parts)
      if (count++ === step * 3 + query) throw new Error('crash')
      return answer
    }
    await expect(applyFrom(migration)).rejects.toThrow()
    client.query = original
    await applyFrom(migration)
    expect(await database.owner('SELECT count(*)::INT4 AS n FROM tenancy.one')).toEqual([{ n: 1 }])
    expect(await database.owner('SELECT count(*)::INT4 AS n FROM holdfast.migration_steps WHERE done')).toEqual([
      { n: 4 },
    ])
  })

  test('an interrupted statement that fails for another reason needs a person', async () => {
    const [migration] = migrations as [Migration]
    await database.owner(
      "INSERT INTO holdfast.migration_steps (source, version, step, digest, done) VALUES ('holdfast', 1, 3, 'x', false)",
    )
    const [, , , step] = migration.steps
    const work = {
      connection,
      migration,
      index: 3,
      step: step as Migration['steps'][number],
      recorded: { digest: 'x', done: false },
      holder: '',
    }
    await expect(runStepInDoubt(work)).rejects.toMatchObject({ code: 'migration_in_doubt' })
  })
})

describe('role definitions', () => {
  const seed = (roleGrants: Record<string, string[]>) => migrate({ target: seeded.target('migrator'), roleGrants })
  let seeded: TestDatabase
  beforeAll(async () => {
    seeded = await createTestDatabase()
  })
  afterAll(() => seeded.drop())

  test('become a version that is current; the old one stays', async () => {
    const one = await seed({ viewer: ['team:read'], member: ['profile:update@own', 'team:read'] })
    expect(one.roles?.changed).toBe(true)
    expect(
      (await seed({ member: ['team:read', 'profile:update@own'], viewer: ['team:read', 'team:read@own'] })).roles,
    ).toEqual({ version: one.roles?.version, changed: false })
    const two = await seed({ viewer: [] })
    expect(two.roles).toMatchObject({ changed: true })
    expect(await seeded.owner('SELECT version FROM holdfast.current_roles')).toEqual([{ version: two.roles?.version }])
    expect(
      await seeded.owner(
        'SELECT role, permission, reach FROM holdfast.role_grants WHERE version = $1 ORDER BY role, permission',
        [one.roles?.version],
      ),
    ).toEqual([
      { role: 'member', permission: 'profile:update', reach: 'own' },
      { role: 'member', permission: 'team:read', reach: 'tenant' },
      { role: 'viewer', permission: 'team:read', reach: 'tenant' },
    ])
    // And back again, to a version that is there already.
    expect((await seed({ viewer: ['team:read'], member: ['profile:update@own', 'team:read'] })).roles).toEqual({
      version: one.roles?.version,
      changed: true,
    })
  })

  test.each([
    { what: 'a permission more', other: { viewer: ['team:read', 'team:update'] } },
    { what: 'a narrower reach', other: { viewer: ['team:read@own'] } },
    { what: 'another name', other: { reader: ['team:read'] } },
    { what: 'an empty role more', other: { viewer: ['team:read'], nobody: [] } },
  ])('$what is another version', ({ other }) => {
    expect(roleVersion(other).version).not.toBe(roleVersion({ viewer: ['team:read'] }).version)
  })
})
