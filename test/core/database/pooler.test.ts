import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import type { Row } from '../../../src/core/database/statement.ts'
import { connect, type ReadySetup } from '../../backends.ts'
import { canKeepNames, startBehindPgbouncer, startLocal } from '../../local-backends.ts'
import { backendState, createTestDatabase, type TestDatabase } from '../../postgres.ts'

const embedded = inject('backends').embedded ?? { skipped: 'it did not start' }
const backend = await startLocal('pgbouncer', embedded)
afterAll(() => backend.stop())
const { isThere, why } = backendState('pgbouncer', backend.setup)

const shown = `SELECT current_setting('search_path') AS path, current_setting('standard_conforming_strings') AS strings,
current_setting('cpu_operator_cost') AS cost, current_setting('transaction_isolation') AS isolation,
current_setting('DateStyle') AS dates, current_setting('statement_timeout') AS time, current_setting('client_encoding') AS encoding`
const pinned = {
  path: '',
  strings: 'on',
  cost: '0',
  isolation: 'serializable',
  dates: expect.stringMatching(/^ISO, /) as unknown,
  time: '4s',
  encoding: 'UTF8',
}

describe.skipIf(!isThere)(`behind PgBouncer in transaction mode${why === '' ? '' : ` – ${why}`}`, () => {
  let database: TestDatabase
  let pool: Pool
  const open = (): Promise<Pool> =>
    createPool({ connection: database.target('app'), size: 4, applicationName: 'pooled' })
  const ask = async (name: string, text: string): Promise<Row[]> =>
    (await pool.transaction((t) => t.send([{ statement: { name, text }, values: [] }], { commit: true })))[0]?.rows ??
    []

  beforeAll(async () => {
    database = await createTestDatabase({ backend: backend.setup as ReadySetup })
    await database.owner('CREATE TABLE public.items (id INT8, note TEXT)')
    await database.owner('GRANT USAGE ON SCHEMA public TO holdfast_app')
    await database.owner('GRANT SELECT ON TABLE public.items TO holdfast_app')
  })
  afterAll(() => database.drop())
  beforeEach(async () => {
    pool = await open()
  })
  afterEach(() => pool.close())

  /** Leaves settings in the server's sessions, and a mark with them. */
  async function litter(): Promise<void> {
    const clients = await Promise.all([1, 2].map(() => connect(database.target('app'))))
    // In transactions at once, so that it is two sessions.
    await Promise.all(clients.map((client) => client.query('BEGIN')))
    for (const client of clients) {
      for (const text of [
        "SET search_path = 'evil'",
        'SET standard_conforming_strings = off',
        'SET cpu_operator_cost = 1',
        "SET default_transaction_isolation = 'read committed'",
        'SET default_transaction_read_only = on',
        "SET DateStyle = 'German, DMY'",
        'SET statement_timeout = 0',
        'SET litter.mark = left',
        'COMMIT',
      ]) {
        await client.query(text)
      }
    }
    await Promise.all(clients.map((client) => client.end()))
  }

  test('what others left in the sessions does not reach a transaction, and stays theirs', async () => {
    await litter()
    const answers = await Promise.all(
      [1, 2, 3, 4].map(() => ask('shown', `${shown}, current_setting('litter.mark', true) AS mark`)),
    )
    expect(answers.flat()).toContainEqual({ ...pinned, mark: 'left' })
    for (const [row] of answers) expect(row).toMatchObject(pinned)
    const other = await connect(database.target('app'))
    const { rows } = await other.query(
      "SELECT current_setting('search_path') AS path, current_setting('litter.mark', true) AS mark",
    )
    if ((rows[0] as Row)['mark'] === 'left') expect(rows[0]).toMatchObject({ path: 'evil' })
    await other.end()
  })

  test('BEGIN and COMMIT are said, in as many round trips', async () => {
    const before = pool.stats.flights
    const [row] = await ask('age', 'SELECT now() = statement_timestamp() AS alone')
    expect([row, pool.stats.flights - before]).toEqual([{ alone: false }, 1])
  })

  test('names are used where they are kept, and only there', async () => {
    const names = (): Promise<Row[]> =>
      ask('names', "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%LIKE%' OR name LIKE 'hf%'")
    await names()
    const rows = await names()
    if (canKeepNames()) expect(rows).toEqual([{ name: expect.stringMatching(/^PGBOUNCER_\d+$/) as unknown }])
    else expect(rows).toEqual([])
  })

  test('a schema change under a prepared statement', async () => {
    const read = (): Promise<Row[]> => ask('read', 'SELECT note FROM public.items')
    for (let round = 0; round < 6; round++) await read()
    await database.owner('ALTER TABLE public.items ALTER note TYPE VARCHAR(50)')
    for (let round = 0; round < 6; round++) expect(await read()).toEqual([])
  })

  test('a role cannot be taken on', async () => {
    const { via } = backend.setup as ReadySetup
    const target = { ...database.target('migrator'), ...via?.app }
    await expect(
      createPool({ connection: target, size: 1, applicationName: 'migrate', role: 'holdfast_owner' }),
    ).rejects.toMatchObject({
      code: 'startup_invariant',
      message: expect.stringContaining('address of the database itself') as unknown,
    })
  })

  test.each([
    ['that drops the start-up settings', ['ignore_startup_parameters = options']],
    ['in session mode', ['pool_mode = session', 'ignore_startup_parameters = options']],
  ])('one %s', async (_, more) => {
    const { setup, stop } = await startBehindPgbouncer(embedded as ReadySetup, more)
    const target = { ...database.target('app'), ...(setup as ReadySetup).via?.app }
    await pool.close()
    pool = await createPool({ connection: target, size: 2, applicationName: 'dropped' })
    const [row] = await ask('shown', shown)
    expect(row).toMatchObject({ path: '', cost: '0', isolation: 'serializable', time: '4s' })
    await pool.close()
    await stop()
  })
  test('one in statement mode is refused', async () => {
    const { setup, stop } = await startBehindPgbouncer(embedded as ReadySetup, ['pool_mode = statement'])
    const target = { ...database.target('app'), ...(setup as ReadySetup).via?.app }
    await expect(createPool({ connection: target, size: 1, applicationName: 'statement' })).rejects.toMatchObject({
      code: 'database_unavailable',
    })
    await stop()
  })
})
