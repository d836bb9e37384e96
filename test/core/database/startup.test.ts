import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { beginText, readVersion } from '../../../src/core/database/dialect.ts'
import { createPool } from '../../../src/core/database/pool.ts'
import { judgeStartup, startupCheck, startupOptions } from '../../../src/core/database/startup.ts'
import { connect } from '../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

describe('the server', () => {
  test.each([
    ['PostgreSQL 14.11 on x86_64', 140_011, 'postgresql', false],
    ['PostgreSQL 15.0 on x86_64', 150_000, 'postgresql', true],
    ['PostgreSQL 18.4 on x86_64', 180_004, 'postgresql', true],
    ['CockroachDB CCL v25.2.1 (x86_64)', 130_000, 'cockroachdb', false],
    ['CockroachDB CCL v24.3.15 (x86_64)', 130_000, 'cockroachdb', false],
    ['CockroachDB CCL v25.2.2 (x86_64)', 130_000, 'cockroachdb', true],
    ['CockroachDB CCL v25.4.0-beta.1 (x86_64)', 130_000, 'cockroachdb', true],
    ['CockroachDB CCL v26.1.0 (x86_64)', 130_000, 'cockroachdb', true],
    ['CockroachDB of no known version', 130_000, 'cockroachdb', false],
  ])('%s', (version, number, dialect, supported) => {
    expect(readVersion(version, number)).toMatchObject({ dialect, supported })
  })

  test('too old a one is refused, naming the floor', () => {
    const row = { version: 'PostgreSQL 14.11', version_number: '140011' }
    expect(() => judgeStartup(row)).toThrow(
      expect.objectContaining({ code: 'database_unsupported', message: expect.stringContaining('PostgreSQL 15') }),
    )
  })
})

describe('a session', () => {
  test('has every pinned setting, whatever the role or database say', async () => {
    await database.owner(`ALTER DATABASE ${database.name} SET standard_conforming_strings = off`)
    await database.owner(`ALTER ROLE holdfast_app IN DATABASE ${database.name} SET search_path = 'evil'`)
    await database.owner(
      `ALTER ROLE holdfast_app IN DATABASE ${database.name} SET default_transaction_isolation = 'read committed'`,
    )
    await database.owner(`ALTER ROLE holdfast_app IN DATABASE ${database.name} SET "DateStyle" = 'German'`)
    const bare = await connect(database.target('app'))
    expect((await bare.query('SHOW search_path')).rows).toEqual([{ search_path: 'evil' }])
    await bare.end()
    const pool = await createPool({
      connection: database.target('app'),
      size: 1,
      applicationName: 'startup',
      statementTimeoutMs: 1_234,
    })
    const { rows } = await pool.transaction((transaction) =>
      transaction.query({
        name: '',
        text: "SELECT current_setting('search_path') AS path, current_setting('statement_timeout') AS time, current_setting('transaction_isolation') AS isolation",
      }),
    )
    expect(rows).toEqual([{ path: '', time: '1234ms', isolation: 'serializable' }])
    await pool.close()
    await database.owner(`ALTER ROLE holdfast_app IN DATABASE ${database.name} RESET ALL`)
    await database.owner(`ALTER DATABASE ${database.name} RESET ALL`)
  })

  test.each([
    ['default_transaction_isolation', 'read committed'],
    ['default_transaction_read_only', 'on'],
    ['standard_conforming_strings', 'off'],
    ['search_path', '"$user", public'],
    ['client_encoding', 'SQL_ASCII'],
    ['TimeZone', 'Europe/Warsaw'],
    ['DateStyle', 'German, DMY'],
    ['IntervalStyle', 'iso_8601'],
    ['bytea_output', 'escape'],
  ])('whose %s is %s is refused, naming it', async (name, value) => {
    const client = await connect(database.target('app'))
    // As a proxy would leave it that drops the start-up options and keeps its own.
    for (const part of startupOptions({ statementTimeoutMs: 0, idleInTransactionTimeoutMs: 0 }).split('-c ').slice(1)) {
      const [setting = '', start = ''] = part.trim().split('=')
      await client.query('SELECT set_config($1, $2, false)', [setting, start])
    }
    expect(judgeStartup((await client.query<Record<string, unknown>>(startupCheck)).rows[0] ?? {})).toMatchObject({
      dialect: 'postgresql',
    })
    await client.query('SELECT set_config($1, $2, false)', [name, value])
    const { rows } = await client.query<Record<string, unknown>>(startupCheck)
    expect(() => judgeStartup(rows[0] ?? {})).toThrow(
      expect.objectContaining({ code: 'startup_invariant', message: expect.stringContaining(name) }),
    )
    await client.end()
  })
})

test.each([
  [{}, 'BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE'],
  [{ readOnly: true }, 'BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY'],
  [{ isolation: 'read committed', readOnly: false }, 'BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE'],
] as const)('%o begins with %s', (options, text) => {
  expect(beginText(options)).toBe(text)
})
