import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { Connection } from '../../../src/core/database/connection.ts'
import { type MigrationProgress, migrate, migrationStatus } from '../../../src/core/database/migrate.ts'
import type { MigrationError } from '../../../src/core/database/migration-error.ts'
import { type Migration, readMigrations } from '../../../src/core/database/migration-file.ts'
import { bootstrapStatements, readSteps } from '../../../src/core/database/migration-ledger.ts'
import { planMigration } from '../../../src/core/database/migration-plan.ts'
import { runStep } from '../../../src/core/database/migration-step.ts'
import { createPool } from '../../../src/core/database/pool.ts'
import { roleVersion } from '../../../src/core/database/role-seed.ts'
import { connect } from '../../backends.ts'
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
  const house = `CREATE TABLE tenancy.one (id INT8 PRIMARY KEY, note TEXT)
-- next
INSERT INTO tenancy.one (id, note) VALUES (1, 'a')
-- next
CREATE INDEX one_by_note ON tenancy.one (note)
-- next
ALTER TABLE tenancy.one ADD COLUMN tenant_id INT8 NOT NULL DEFAULT 0
-- next
ALTER TABLE tenancy.one DROP CONSTRAINT one_pkey, ADD CONSTRAINT one_pkey PRIMARY KEY (tenant_id, id)
-- next
CREATE POLICY tenant_isolation ON tenancy.one FOR ALL TO PUBLIC USING (true)
-- next
CREATE FUNCTION tenancy.two() RETURNS INT8 LANGUAGE sql AS 'SELECT 2'
-- next
UPDATE tenancy.one SET note = note || 'b'
-- next
DROP FUNCTION tenancy.two()
-- next
GRANT SELECT ON TABLE tenancy.one TO holdfast_app
`
  let connection: Connection
  beforeEach(async () => {
    connection = await openAs('holdfast_owner')
    await database.owner(
      "INSERT INTO holdfast.leases (name, holder, expires_at) VALUES ('migrate', 'me', now() + INTERVAL '1 hour')",
    )
  })
  afterEach(() => connection.close())

  /** A connection that takes the database for a CockroachDB: what is tried is the order of messages, not the database. */
  async function openAs(role: 'holdfast_owner'): Promise<Connection> {
    const opened = await Connection.open(
      {
        address: database.target('migrator'),
        applicationName: 'doubt',
        connectTimeoutMs: 5_000,
        statementLimit: 8,
        statementTimeoutMs: 0,
        idleInTransactionTimeoutMs: 0,
        role,
      },
      () => undefined,
    )
    return Object.assign(opened, { dialect: 'cockroachdb' })
  }
  async function only(text: string): Promise<Migration> {
    rmSync(join(folder, '0002-second.sql'), { force: true })
    write('0001-first', text)
    const [migration] = await readMigrations(directory, 'cockroachdb')
    return migration as Migration
  }
  async function applyFrom(migration: Migration, holder = 'me'): Promise<void> {
    const recorded = await readSteps(connection, migration)
    for (const [index, step] of migration.steps.entries()) {
      if (recorded.get(index)?.done === true) continue
      await runStep({ connection, migration, index, step, recorded: recorded.get(index), holder })
    }
  }
  /** The so-manieth message is lost, or its answer. */
  function crashAt(message: number, isApplied: boolean): { hit: () => boolean; mend: () => void } {
    const client = connection.client as unknown as { query(...parts: unknown[]): Promise<unknown> }
    const original = client.query.bind(connection.client)
    let count = 0
    client.query = async (...parts) => {
      // a flight is no message of this kind: it is whole or not at all
      if (typeof parts[0] !== 'string') return original(...parts)
      const isHere = count++ === message
      if (count > message + 1 || (isHere && !isApplied)) throw new Error('crash')
      const answer = await original(...parts)
      if (isHere) throw new Error('crash')
      return answer
    }
    return { hit: () => count > message, mend: () => (client.query = original) }
  }

  test('a crash before and after each message: the next run finishes what was begun, each statement once', async () => {
    const migration = await only(house)
    let message = 0
    for (let wasHit = true; wasHit; message++) {
      for (const isApplied of [false, true]) {
        await database.owner('DROP TABLE IF EXISTS tenancy.one')
        await database.owner('DROP FUNCTION IF EXISTS tenancy.two()')
        await database.owner('DELETE FROM holdfast.migration_steps')
        const crash = crashAt(message, isApplied)
        const end = applyFrom(migration)
        await end.catch(() => undefined)
        wasHit = crash.hit()
        crash.mend()
        if (wasHit) await expect(end, `${message} ${isApplied}`).rejects.toThrow()
        await connection.client.query('SET ROLE holdfast_owner')
        await applyFrom(migration)
        expect(
          await database.owner(`SELECT note, (SELECT count(*)::INT4 FROM holdfast.migration_steps WHERE done) AS done,
            (SELECT count(*)::INT4 FROM pg_policies WHERE schemaname = 'tenancy' AND tablename = 'one') AS policies,
            pg_get_constraintdef((SELECT oid FROM pg_constraint WHERE conname = 'one_pkey')) AS key,
            to_regprocedure('tenancy.two()') IS NULL AS gone FROM tenancy.one`),
          `${message} ${isApplied}`,
        ).toEqual([{ note: 'ab', done: 10, policies: 1, key: 'PRIMARY KEY (tenant_id, id)', gone: true }])
      }
    }
    // 8 statements of DDL, each with two records besides
    expect(message).toBeGreaterThan(8 * 3)
  })

  test('what was there before is not taken for its own work', async () => {
    const migration = await only(
      "CREATE TABLE tenancy.one (id INT8)\n-- next\nCREATE FUNCTION tenancy.two() RETURNS INT8 LANGUAGE sql AS 'SELECT 2'",
    )
    await database.owner('CREATE TABLE tenancy.one (other TEXT)')
    for (const _ of [1, 2]) {
      await expect(applyFrom(migration)).rejects.toMatchObject({ code: 'migration_failed', statement: 1 })
      expect(await database.owner('SELECT 1 FROM holdfast.migration_steps')).toEqual([])
    }
    await database.owner('DROP TABLE tenancy.one')
    await database.owner("CREATE FUNCTION tenancy.two() RETURNS INT8 LANGUAGE sql AS 'SELECT 3'")
    for (const _ of [1, 2]) {
      await expect(applyFrom(migration)).rejects.toMatchObject({ code: 'migration_failed', statement: 2 })
    }
  })

  test.each([
    ['what the grammar cannot read', 'ALTER TABLE tenancy.one SET LOCALITY GLOBAL'],
    ['what leaves no trace', 'ALTER TABLE tenancy.one RENAME COLUMN id TO other'],
    ['what was applied by half', 'ALTER TABLE tenancy.one ADD COLUMN x INT8, ADD COLUMN y INT8'],
  ])("%s, begun and never ended, is a person's to judge: the error says how", async (_, text) => {
    const migration = await only(`CREATE TABLE tenancy.one (id INT8)\n-- next\n${text}`)
    await database.owner('CREATE TABLE tenancy.one (id INT8, x INT8)')
    await database.owner(`INSERT INTO holdfast.migration_steps (source, version, step, digest, done)
      VALUES ('holdfast', 1, 0, 'x', true), ('holdfast', 1, 1, 'x', false)`)
    const error = (await applyFrom(migration).catch((thrown: unknown) => thrown)) as MigrationError
    expect(error).toMatchObject({ code: 'migration_in_doubt', statement: 2 })
    expect(error.message).toContain(text)
    // what it says to run is what helps
    const statements = error.next.filter((line) => line.startsWith('  ')).map((line) => line.replace(/;$/, ''))
    expect(statements).toHaveLength(2)
    await database.owner(String(statements[0]))
    await applyFrom(migration)
    expect(await database.owner('SELECT 1 FROM holdfast.migration_steps WHERE NOT done')).toEqual([])
  })

  test('an answer that leaves it open is in doubt; a refusal is not', async () => {
    const migration = await only('CREATE TABLE tenancy.one (id INT8)')
    const client = connection.client as unknown as { query(...parts: unknown[]): Promise<unknown> }
    const original = client.query.bind(connection.client)
    client.query = (...parts) =>
      String(parts[0]).startsWith('CREATE')
        ? Promise.reject(Object.assign(new Error('half of it'), { code: 'XXA00', severity: 'ERROR' }))
        : original(...parts)
    await expect(applyFrom(migration)).rejects.toMatchObject({ code: 'migration_in_doubt' })
    client.query = original
    expect(await database.owner('SELECT done FROM holdfast.migration_steps')).toEqual([{ done: false }])
    await applyFrom(migration)
  })

  test('nothing is begun without the lease', async () => {
    const migration = await only(house)
    await expect(applyFrom(migration, 'somebody else')).rejects.toMatchObject({ code: 'lease_lost' })
    expect(await database.owner("SELECT to_regclass('tenancy.one') AS one")).toEqual([{ one: null }])
  })
})

describe('two at once, and what is told', () => {
  let gate: Awaited<ReturnType<typeof connect>>
  beforeEach(async () => {
    write('0002-second', `${second}-- next\nINSERT INTO tenancy.one (id) SELECT 2 + count(*) FROM public.gate\n`)
    await database.owner('CREATE TABLE public.gate (id INT8)')
    await database.owner('GRANT USAGE ON SCHEMA public TO holdfast_owner')
    await database.owner('GRANT SELECT ON public.gate TO holdfast_owner')
    gate = await connect(database.target('superuser'))
    await gate.query('BEGIN')
    await gate.query('LOCK TABLE public.gate IN ACCESS EXCLUSIVE MODE')
  })
  afterEach(() => gate.end())
  const isWaiting = async (): Promise<void> => {
    for (let look = 0; look < 400; look++) {
      const rows = await database.owner(
        "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'public.gate'::regclass",
      )
      if (rows.length > 0) return
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    throw new Error('no statement waits')
  }

  test('the second says who is at it, or waits', async () => {
    const told: MigrationProgress[] = []
    const firstRun = run()
    await isWaiting()
    await expect(
      migrate({ target: database.target('migrator'), directory, roleGrants: {}, waitMs: 0 }),
    ).rejects.toMatchObject({ code: 'lease_held', message: expect.stringContaining(`process ${process.pid} on `) })
    const secondRun = migrate({
      target: database.target('migrator'),
      directory,
      roleGrants: {},
      progress: (progress) => told.push(progress),
    })
    while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    await gate.query('COMMIT')
    expect((await firstRun).applied).toHaveLength(2)
    expect((await secondRun).applied).toEqual([])
    expect(told).toEqual([
      { kind: 'waiting', for: expect.stringContaining(`process ${process.pid} on `), secondsLeft: expect.any(Number) },
    ])
  })

  test('a statement that outlives its lease is not committed', async () => {
    const end = run()
    const judged = expect(end).rejects.toMatchObject({ code: 'lease_lost', statement: 4 })
    await isWaiting()
    await database.owner("UPDATE holdfast.leases SET holder = 'another'")
    await gate.query('COMMIT')
    await judged
    expect(await database.owner('SELECT id::INT4 AS id FROM tenancy.one')).toEqual([{ id: 1 }])
    await database.owner('DELETE FROM holdfast.leases')
    await run()
    expect(await database.owner('SELECT id::INT4 AS id FROM tenancy.one ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }])
  })

  test('statement by statement', async () => {
    await gate.query('COMMIT')
    const told: string[] = []
    await migrate({
      target: database.target('migrator'),
      directory,
      roleGrants: {},
      progress: (p) =>
        told.push(
          p.kind === 'statement' ? `${p.migration} ${p.file}/${p.files} ${p.statement}/${p.statements}` : p.kind,
        ),
    })
    expect(told).toEqual([
      ...[1, 2, 3, 4].map((n) => `0001-first 1/2 ${n}/4`),
      'applied',
      ...[1, 2, 3, 4].map((n) => `0002-second 2/2 ${n}/4`),
      'applied',
    ])
  })
})

describe('the plan', () => {
  const planned = async () => {
    const pool = await createPool({
      connection: database.target('migrator'),
      size: 1,
      applicationName: 'plan',
      role: 'holdfast_owner',
    })
    return planMigration({ pool, directory, roleGrants: {} }).finally(() => pool.close())
  }

  test('is what apply then runs, as whom', async () => {
    await database.owner('DROP SCHEMA tenancy CASCADE')
    await database.owner('DROP SCHEMA holdfast CASCADE')
    const plan = await planned()
    expect(plan.runner).toEqual(bootstrapStatements)
    const texts = plan.files.flatMap(({ statements }) => statements.map(({ text }) => text))
    const sent: string[] = []
    const fly = vi.spyOn(Connection.prototype, 'fly')
    await run()
    for (const [queries] of fly.mock.calls) sent.push(...queries.map(({ statement }) => statement.text))
    fly.mockRestore()
    expect(sent.filter((text) => texts.includes(text))).toEqual(texts)
    expect(plan.files.map(({ name, total }) => [name, total])).toEqual([
      ['0001-first', 4],
      ['0002-second', 3],
    ])
    expect(plan.files[1]?.statements.map(({ role }) => role)).toEqual([
      'holdfast_owner',
      'holdfast_enter',
      'holdfast_owner',
    ])
    expect(await planned()).toMatchObject({ runner: [], files: [] })
  })

  test('goes on where a failure left off; what it would refuse is refused', async () => {
    write('0002-second', second.replace('tenancy.three', 'tenancy.one'))
    await expect(run()).rejects.toThrow()
    const before = await database.owner('SELECT step FROM holdfast.migration_steps ORDER BY step')
    expect(
      (await planned()).files.map(({ name, statements }) => [name, statements.map(({ number }) => number)]),
    ).toEqual([['0002-second', [3]]])
    // it changes nothing
    expect(await database.owner('SELECT step FROM holdfast.migration_steps ORDER BY step')).toEqual(before)
    write('0002-second', second.replace("'SELECT 2'", "'SELECT 3'"))
    await expect(planned()).rejects.toMatchObject({ code: 'migration_changed', statement: 2 })
    rmSync(join(folder, '0001-first.sql'))
    await expect(planned()).rejects.toMatchObject({ code: 'migration_file_invalid' })
  })

  test('a full disk is told as one', async () => {
    write('0002-second', "DO $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$")
    const error = (await run().catch((thrown: unknown) => thrown)) as MigrationError
    expect(error).toMatchObject({ code: 'migration_failed', sqlstate: '53100', statement: 1 })
    expect(error.message).toContain('Make room')
    expect(error.message.split('\n').length).toBeLessThan(12)
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
