import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adviseOnTls, beginText, readVersion, roleSettings } from '../../../src/core/database/dialect.ts'
import { roleStatements } from '../../../src/core/database/roles.ts'
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
    expect(() => judgeStartup(row, false)).toThrow(
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
    expect(
      judgeStartup((await client.query<Record<string, unknown>>(startupCheck)).rows[0] ?? {}, false),
    ).toMatchObject({
      dialect: 'postgresql',
    })
    await client.query('SELECT set_config($1, $2, false)', [name, value])
    const { rows } = await client.query<Record<string, unknown>>(startupCheck)
    expect(() => judgeStartup(rows[0] ?? {}, false)).toThrow(
      expect.objectContaining({ code: 'startup_invariant', message: expect.stringContaining(name) }),
    )
    await client.end()
  })
})

test.each([
  [{}, 'BEGIN ISOLATION LEVEL SERIALIZABLE'],
  [{ readOnly: true }, 'BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY'],
  [{ isolation: 'read committed', readOnly: false }, 'BEGIN ISOLATION LEVEL READ COMMITTED'],
] as const)('%o begins with %s', (options, text) => {
  expect(beginText(options)).toBe(text)
})

/** As CockroachDB's documentation says that it answers the start-up check; no node was asked. */
const cockroachdb: Readonly<Record<string, unknown>> = {
  version: 'CockroachDB CCL v25.4.7 (x86_64-pc-linux-gnu, built 2026/04/08 10:00:00, go1.25.5)',
  version_number: '130000',
  login: 'holdfast_app',
  default_transaction_isolation: 'serializable',
  default_transaction_read_only: 'off',
  standard_conforming_strings: 'on',
  search_path: '""',
  client_encoding: 'utf8',
  TimeZone: 'UTC',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  cpu_operator_cost: null,
  autocommit_before_ddl: 'off',
  default_transaction_use_follower_reads: 'off',
  enable_durable_locking_for_serializable: 'on',
  ssl: 'on',
}

describe('a session of CockroachDB', () => {
  test('as its roles make it is taken', () => {
    expect(judgeStartup(cockroachdb, true)).toMatchObject({ dialect: 'cockroachdb', supported: true, advice: [] })
  })

  test.each([
    ['autocommit_before_ddl', 'on', 'off'],
    ['default_transaction_use_follower_reads', 'on', 'off'],
    ['enable_durable_locking_for_serializable', 'off', 'on'],
  ])('whose %s is %s, or not known, is refused with the statement that mends it', (name, value, wanted) => {
    for (const found of [value, null]) {
      expect(() => judgeStartup({ ...cockroachdb, [name]: found }, true)).toThrow(
        expect.objectContaining({
          code: 'startup_invariant',
          message: expect.stringContaining(`ALTER ROLE holdfast_app SET ${name} = ${wanted}`),
        }),
      )
    }
  })

  test('is refused where something in between takes the TLS off', () => {
    expect(() => judgeStartup({ ...cockroachdb, ssl: 'off' }, true)).toThrow(/speaks TLS and the node does not/)
    // on this machine, without TLS at both ends
    expect(judgeStartup({ ...cockroachdb, ssl: 'off' }, false).supported).toBe(true)
  })

  test('is refused by a version that is too old, with why', () => {
    expect(() => judgeStartup({ ...cockroachdb, version: 'CockroachDB CCL v25.2.1 (x86_64)' }, true)).toThrow(
      /CockroachDB 25\.2\.2 or later\. .*#147187/,
    )
  })

  test.each([
    ['25.2.2', ['#146952', 'S-26052016']],
    ['25.2.15', ['#146952', 'S-26052016']],
    ['25.2.16', ['#146952']],
    ['25.3.9', ['#146952', 'S-26052016']],
    ['25.4.6', ['S-26052016']],
    ['25.4.7', []],
    ['26.1.0-beta.1', ['S-26052016']],
    ['26.1.1', ['S-26052016']],
    ['26.1.2', []],
    ['26.2.0', []],
    ['27.1.0', []],
  ])('%s: the operator is told of %o', (version, words) => {
    const { advice, supported } = readVersion(`CockroachDB CCL v${version} (x86_64)`, 130_000)
    expect(supported).toBe(true)
    expect(advice.map((sentence) => words.find((word) => sentence.includes(word)))).toEqual(words)
  })

  test('without TLS may be a node that asks nobody for a password', () => {
    expect(adviseOnTls('cockroachdb', false)).toEqual([expect.stringContaining('--insecure')])
    expect([adviseOnTls('cockroachdb', true), adviseOnTls('postgresql', false)]).toEqual([[], []])
  })

  test('has from its role all that it is checked for', () => {
    const { cluster } = roleStatements({ dialect: 'cockroachdb', database: 'holdfast' })
    for (const role of ['holdfast_migrator', 'holdfast_identity', 'holdfast_app']) {
      for (const { name, value } of roleSettings('cockroachdb')) {
        expect(cluster).toContain(`ALTER ROLE ${role} SET ${name} = ${value}`)
      }
    }
    expect(roleSettings('postgresql')).toEqual([])
    expect(roleStatements({ dialect: 'postgresql', database: 'holdfast' }).cluster.join()).not.toMatch(
      /autocommit_before_ddl|follower|durable/,
    )
  })
})
