import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { optionalSets, optionalSetsOf } from '../../../src/core/database/dialect.ts'
import { migrate, migrationStatus } from '../../../src/core/database/migrate.ts'
import { type MigrationSet, ownMigrations, readSets } from '../../../src/core/database/migration-file.ts'
import { holdfast } from '../../cli/fake-terminal.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

/**
 * The forms that CockroachDB documents, each of which may be run twice: "Row-Level TTL" (ALTER TABLE … SET),
 * "Hash-sharded Indexes" and "DROP INDEX", "ALTER TABLE" (SET LOCALITY; SET schema_locked). They are read here, not run:
 * there is no CockroachDB.
 */
const expiry = String.raw`(?:'[a-z_]+'|\$\$\((?:[a-z_]+ \+ '\d+ days?'|COALESCE\([a-z_]+ \+ '\d+ days?', [a-z_]+ \+ '\d+ days?'\))\)\$\$)`
const forms: Readonly<Record<string, readonly RegExp[]>> = {
  ttl: [
    new RegExp(
      String.raw`^ALTER TABLE (\w+\.\w+) SET \(ttl_expiration_expression = ${expiry}, ttl_job_cron = '@hourly'\);$`,
    ),
  ],
  'hash-sharded': [
    /^CREATE INDEX IF NOT EXISTS \w+_sharded ON (\w+\.\w+) \(\w+\) USING HASH;$/,
    /^DROP INDEX IF EXISTS (\w+\.\w+)@\w+;$/,
  ],
  regional: [
    /^ALTER TABLE (\w+\.\w+) SET \(schema_locked = false\);$/,
    /^ALTER TABLE (\w+\.\w+) SET LOCALITY (?:REGIONAL BY ROW|GLOBAL);$/,
  ],
}

const read = (dialect: 'postgresql' | 'cockroachdb', ...optional: string[]): Promise<MigrationSet[]> =>
  readSets({ own: ownMigrations, dialect, optional: new Set(optional) })
const bare = (text: string): string => text.replaceAll(/^--.*\n/gm, '')

describe('the files', () => {
  const own = readdirSync(ownMigrations)
    .filter((name) => name.endsWith('.sql'))
    .map((name) => readFileSync(new URL(name, ownMigrations), 'utf8'))
    .join('\n')

  test('a folder is a set, and a set is a folder', () => {
    expect(readdirSync(new URL('cockroachdb/', ownMigrations)).toSorted()).toEqual([...optionalSets].toSorted())
    expect(Object.keys(forms).toSorted()).toEqual([...optionalSets].toSorted())
  })

  test.each(optionalSets)('%s: one statement of a documented form a step, over tables that there are', async (name) => {
    const [, set] = await read('cockroachdb', name)
    const steps = set?.files.flatMap((file) => file.steps) ?? []
    expect(steps.length).toBeGreaterThan(2)
    for (const { text, role } of steps) {
      const table = forms[name]?.map((form) => form.exec(bare(text))?.[1]).find((each) => each !== undefined)
      expect(table, text).toBeDefined()
      const definition = new RegExp(String.raw`CREATE TABLE ${table?.replace('.', '\\.')} \(\n([^]*?)\n\);`).exec(
        own,
      )?.[1]
      expect(definition, text).toBeDefined()
      expect(role).toBe('holdfast_owner')
      const columns = [...bare(text).matchAll(/\b(\w+_at)\b/g)].map(([, column]) => column)
      for (const column of columns) expect(definition).toMatch(new RegExp(`^ {2}${column} TIMESTAMPTZ`, 'm'))
      const dropped = /\w@(\w+);/.exec(text)?.[1]
      if (dropped !== undefined) expect(own).toContain(`CREATE INDEX ${dropped} ON ${table} (`)
    }
  })

  test('a planted statement of another form is seen', () => {
    for (const text of [
      'ALTER TABLE holdfast.sessions SET LOCALITY GLOBAL; DROP TABLE holdfast.users;',
      'CREATE INDEX journal_by_time_sharded ON holdfast.journal (at) USING HASH;',
      'ALTER TABLE sessions SET LOCALITY GLOBAL;',
    ]) {
      expect(
        Object.values(forms)
          .flat()
          .some((form) => form.test(text)),
        text,
      ).toBe(false)
    }
  })

  test('an index is there before the one that it replaces goes', async () => {
    const [, set] = await read('cockroachdb', 'hash-sharded')
    const texts = set?.files.flatMap((file) => file.steps).map(({ text }) => bare(text)) ?? []
    for (const [index, text] of texts.entries()) {
      const [, table, old] = /^DROP INDEX IF EXISTS (\S+)@(\w+);/.exec(text) ?? []
      if (table === undefined) continue
      const [, , columns] = new RegExp(`CREATE INDEX (${old}) ON ${table} (\\([^)]*\\))`).exec(own) ?? []
      expect(texts[index - 1]).toBe(`CREATE INDEX IF NOT EXISTS ${old}_sharded ON ${table} ${columns} USING HASH;`)
    }
  })
})

describe('the choice', () => {
  test("none unless asked for; the package's own first, in one order", async () => {
    expect((await read('cockroachdb')).map(({ source }) => source)).toEqual(['holdfast'])
    const all = await readSets({
      own: ownMigrations,
      application: ownApplication,
      dialect: 'cockroachdb',
      optional: new Set(['regional', 'ttl']),
    })
    expect(all.map(({ source }) => source)).toEqual(['holdfast', 'ttl', 'regional', 'application'])
    expect(all[1]?.files[0]).toMatchObject({ source: 'ttl', version: 1, name: '0001-expiry' })
  })

  test('PostgreSQL has none, and is told so', async () => {
    expect(optionalSetsOf('postgresql')).toEqual([])
    for (const name of optionalSets) {
      await expect(read('postgresql', name)).rejects.toMatchObject({ code: 'migration_file_invalid' })
    }
  })
})

describe('on PostgreSQL', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createTestDatabase()
  })
  afterAll(() => database.drop())

  test('migrate refuses before it does anything', async () => {
    const before = await database.owner('SELECT source, version FROM holdfast.migrations')
    await expect(
      migrate({ target: database.target('migrator'), optional: ['ttl'], roleGrants: { viewer: ['team:read'] } }),
    ).rejects.toMatchObject({
      code: 'migration_file_invalid',
      message: 'There is no set "ttl" for PostgreSQL.',
    })
    expect(await database.owner('SELECT source, version FROM holdfast.migrations')).toEqual(before)
    expect(await database.owner('SELECT version FROM holdfast.role_versions')).toEqual([])
  })

  test('a set that only a newer version knows is no matter', async () => {
    await database.owner(
      `INSERT INTO holdfast.migrations (source, version, name, digest) VALUES ('later', 1, '0001-x', 'x')`,
    )
    expect(await migrationStatus(database.target('identity'))).toMatchObject({ current: true, pending: [] })
  })
})

test.each([
  [['--with', 'ttl,hash-shard'], /--with takes of ttl, hash-sharded, regional; not "hash-shard"/],
  [['--with', 'ttl', '--status'], /--status takes no --with/],
])('holdfast migrate %o is wrong usage', async (flags, message) => {
  const { code, err } = await holdfast(['migrate', '--url', 'postgresql://nobody@localhost/none', ...flags])
  expect([code, err]).toEqual([2, expect.stringMatching(message)])
})

const ownApplication = new URL('../../../examples/invoices/migrations/', import.meta.url)
