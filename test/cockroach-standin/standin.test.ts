import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../backends.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { installStandin } from './install.ts'
import { type Standin, startStandin } from './standin.ts'

let database: TestDatabase
let standin: Standin
let client: pg.Client
let notices: string[]

beforeAll(async () => {
  database = await createTestDatabase({ backend: 'embedded' })
  await installStandin(database.target('superuser'))
  await database.owner('CREATE TABLE public.items (id INT8 PRIMARY KEY, note TEXT)')
  await database.owner('GRANT USAGE ON SCHEMA public TO holdfast_app')
  await database.owner(`GRANT TEMPORARY ON DATABASE ${database.name} TO holdfast_app`)
  await database.owner('GRANT SELECT, INSERT, DELETE ON TABLE public.items TO holdfast_app')
  standin = await startStandin(database.target('app'))
})
afterAll(async () => {
  await standin.close()
  await database.drop()
})
beforeEach(async () => {
  standin.faults.reset()
  await database.owner('DELETE FROM public.items')
  client = await connect(standin.address)
  notices = []
  client.on('notice', ({ message }) => notices.push(message ?? ''))
})
afterEach(() => client.end())

const stored = async (): Promise<number> => (await database.owner('SELECT id FROM public.items')).length
const insert = (id: number): Promise<unknown> => client.query('INSERT INTO public.items (id) VALUES ($1::INT8)', [id])
const setting = async (name: string): Promise<unknown> =>
  (await client.query<{ value: unknown }>('SELECT current_setting($1::TEXT, true) AS value', [name])).rows[0]?.value
/** After whatever is still to come. */
const status = async (): Promise<string | null> => {
  await client.query('')
  return client.getTransactionStatus()
}
/** As a simple query, and by the extended protocol. */
const ways: [string, (text: string) => Promise<pg.QueryResult>][] = [
  ['simple', (text) => client.query(text)],
  ['extended', (text) => client.query({ text, queryMode: 'extended' } as pg.QueryConfig)],
  ['named', (text) => client.query({ name: text.slice(0, 60), text })],
]

describe('what it says it is', () => {
  test.each(ways)('version(), %s', async (_, run) => {
    expect((await run('SELECT pg_catalog.version() AS version')).rows).toEqual([
      { version: expect.stringMatching(/^CockroachDB CCL v25\.4\.3 /) },
    ])
    expect((await run('SHOW crdb_version')).rows[0]).toHaveProperty('crdb_version')
  })
  test('another version, over TCP', async () => {
    const old = await startStandin(database.target('app'), { version: 'CockroachDB CCL v25.2.1 (old)', tcp: true })
    const other = await connect(old.address)
    expect((await other.query('SELECT version()')).rows).toEqual([{ version: 'CockroachDB CCL v25.2.1 (old)' }])
    await other.end()
    await old.close()
  })
  test('server_version is 13.0.0', async () => {
    expect((await client.query('SHOW server_version')).rows).toEqual([{ server_version: '13.0.0' }])
    expect((await client.query("SELECT current_setting('server_version') AS v")).rows).toEqual([{ v: '13.0.0' }])
    expect((await client.query("SELECT current_setting('server_version_num') AS v")).rows).toEqual([{ v: '130000' }])
    const told = new Promise((resolve) => {
      const next = new pg.Client(standin.address)
      next.connection.on('parameterStatus', ({ parameterName, parameterValue }: Record<string, string>) => {
        if (parameterName === 'server_version') resolve(parameterValue)
      })
      void next.connect().then(() => next.end())
    })
    expect(await told).toBe('13.0.0')
  })
})

describe.each(ways)('transactions, %s', (_, run) => {
  test('BEGIN inside one is an error and aborts it', async () => {
    await run('BEGIN')
    await insert(1)
    await expect(run('BEGIN')).rejects.toMatchObject({ code: '25001' })
    expect(await status()).toBe('E')
    await expect(insert(2)).rejects.toMatchObject({ code: '25P02' })
    await run('ROLLBACK')
    expect([await status(), await stored()]).toEqual(['I', 0])
    await run('BEGIN')
    await run('COMMIT')
  })

  test('a local setting outside BEGIN … COMMIT does nothing and warns', async () => {
    for (const text of ["SELECT set_config('holdfast.x', 'a', true)", 'SET LOCAL holdfast.x = a']) {
      notices = []
      await run(text)
      expect(notices).toEqual(['SET LOCAL can only be used in transaction blocks'])
    }
    await run('BEGIN')
    await run("SELECT pg_catalog.set_config('holdfast.x', 'a', true)")
    await run('SET LOCAL holdfast.y TO "b"'.replaceAll('"', "'"))
    expect([await setting('holdfast.x'), await setting('holdfast.y')]).toEqual(['a', 'b'])
    await run('COMMIT')
    expect([await setting('holdfast.x'), await setting('holdfast.y')]).toEqual(['', ''])
  })

  test.each(['SET holdfast.x = kept', "SELECT set_config('holdfast.x', 'kept', false)"])(
    'a setting of the session survives ROLLBACK: %s',
    async (text) => {
      await run('BEGIN')
      await run(text)
      await run('ROLLBACK')
      expect(await setting('holdfast.x')).toBe('kept')
      expect(notices).toEqual([])
    },
  )

  test('40001 at a statement: the transaction has failed', async () => {
    await run('BEGIN')
    standin.faults.fail('40001', 1)
    await run('SELECT 1')
    await expect(run('SELECT 2')).rejects.toMatchObject({ code: '40001' })
    expect([await status(), standin.faults.isArmed]).toEqual(['E', false])
    await run('ROLLBACK')
  })

  test.each(['40001', '40003'])('%s at COMMIT, not applied: no transaction is left', async (sqlstate) => {
    standin.faults.fail(sqlstate, 'commit')
    await run('BEGIN')
    await insert(1)
    await expect(run('COMMIT')).rejects.toMatchObject({ code: sqlstate })
    expect([await status(), await stored()]).toEqual(['I', 0])
  })

  test('40003 at COMMIT, applied', async () => {
    standin.faults.fail('40003', 'commit', { isApplied: true })
    await run('BEGIN')
    await insert(1)
    await expect(run('COMMIT')).rejects.toMatchObject({ code: '40003' })
    expect([await status(), await stored()]).toEqual(['I', 1])
  })

  test('DDL commits what is open, unless autocommit_before_ddl is off', async () => {
    await run('BEGIN')
    await insert(1)
    await run("SELECT set_config('holdfast.x', 'a', true)")
    await run('CREATE TEMP TABLE one (id INT8)')
    expect([await status(), await stored(), await setting('holdfast.x')]).toEqual(['I', 1, ''])
    await run('SET autocommit_before_ddl = off')
    await run('BEGIN')
    await insert(2)
    await run('CREATE TEMP TABLE two (id INT8)')
    expect(await status()).toBe('T')
    await run('ROLLBACK')
    expect(await stored()).toBe(1)
  })

  test.each([
    ['SELECT pg_advisory_lock(1)', '42883'],
    ['SELECT pg_catalog.pg_try_advisory_xact_lock(1)', '42883'],
    ['LISTEN news', '0A000'],
    ['NOTIFY news', '0A000'],
    ["SELECT set_config('cpu_operator_cost', '0', false)", '42704'],
  ])('%s is not there', async (text, code) => {
    await expect(run(text)).rejects.toMatchObject({ code })
    expect((await run(`SELECT 'pg_advisory_lock(1)' AS text -- LISTEN`)).rows).toEqual([
      { text: 'pg_advisory_lock(1)' },
    ])
  })
})

test('autocommit_before_ddl may be set for a role', async () => {
  const superuser = await startStandin(database.target('superuser'))
  const admin = await connect(superuser.address)
  const alter = `ALTER ROLE holdfast_app IN DATABASE ${database.name}`
  await admin.query(`${alter} SET autocommit_before_ddl = off`)
  const next = await connect(standin.address)
  await next.query('BEGIN')
  await next.query('CREATE TEMP TABLE three (id INT8)')
  expect(next.getTransactionStatus()).toBe('T')
  await next.end()
  await admin.query(`${alter} RESET ALL`)
  await admin.end()
  await superuser.close()
})

test.each<[string, unknown[], string]>([
  ['SELECT $1 AS v', ['a'], 'refused'],
  ['SELECT pg_catalog.length($1)', ['a'], 'refused'],
  ['SELECT id, $1 FROM public.items WHERE id = $2', ['a', 1], 'refused'],
  ['INSERT INTO public.items (id, note) VALUES ($1, $2)', [1, 'a'], 'taken'],
  ['SELECT 1 WHERE 1 OPERATOR(pg_catalog.=) $1 LIMIT $2', [1, 1], 'taken'],
  ['SELECT $1 ::INT8 + CAST( $2 AS INT8) AS v', [1, 2], 'taken'],
  [`SELECT $1::TEXT || '$2' || $$ $3 $$ AS v -- $4`, ['a'], 'taken'],
])('placeholders need a type: %s', async (text, values, outcome) => {
  const answer = client.query(text, values)
  if (outcome === 'taken') expect((await answer).rowCount).toBe(1)
  else await expect(answer).rejects.toMatchObject({ code: '42P18' })
})

test('a schema change makes a prepared statement stale, and no routine of PostgreSQL tells so', async () => {
  const ask = (): Promise<unknown> => client.query({ name: 'stale', text: 'SELECT note FROM public.items' })
  await ask()
  await database.owner('ALTER TABLE public.items ALTER note TYPE VARCHAR(10)')
  await expect(ask()).rejects.toMatchObject({ code: '0A000', message: 'cached plan must not change result type' })
  await expect(ask()).rejects.not.toHaveProperty('routine', 'RevalidateCachedQuery')
})

describe('one portal at a time', () => {
  /** Messages as they are, up to Sync; resolves with what the server said. */
  const raw = (send: (wire: pg.Connection) => void): Promise<string[]> =>
    new Promise((resolve) => {
      const said: string[] = []
      const wire = client.connection
      const note = (name: string) => (message: { code?: string }) => void said.push(message.code ?? name)
      const events = ['dataRow', 'portalSuspended', 'commandComplete', 'errorMessage'] as const
      const listeners = events.map((name) => [name, note(name)] as const)
      wire.removeAllListeners('errorMessage')
      for (const [name, listener] of listeners) wire.on(name, listener)
      wire.once('readyForQuery', () => {
        for (const [name, listener] of listeners) wire.off(name, listener)
        resolve(said)
      })
      send(wire)
      wire.sync()
    })
  const open = (wire: pg.Connection, portal: string, text: string): void => {
    wire.parse({ name: '', text, types: [] }, true)
    wire.bind({ portal, statement: '', values: [] }, true)
  }
  beforeEach(async () => {
    await client.query('BEGIN')
    for (const name of ['dataRow', 'commandComplete', 'portalSuspended']) client.connection.removeAllListeners(name)
  })
  const series = 'SELECT * FROM generate_series(1, 3)'
  const suspend = (): Promise<string[]> =>
    raw((wire) => {
      open(wire, 'one', series)
      wire.execute({ portal: 'one', rows: '2' }, true)
    })

  test('it may be read to its end', async () => {
    expect(await suspend()).toEqual(['dataRow', 'dataRow', 'portalSuspended'])
    expect(await raw((wire) => wire.execute({ portal: 'one', rows: '2' }, true))).toEqual([
      'dataRow',
      'commandComplete',
    ])
    expect(
      await raw((wire) => (open(wire, 'two', series), wire.execute({ portal: 'two', rows: '0' }, true))),
    ).toHaveLength(4)
  })
  test('another one beside it is refused', async () => {
    await suspend()
    expect(await raw((wire) => open(wire, 'two', series))).toEqual(['0A000'])
  })
  test('it may be closed, or committed over', async () => {
    await suspend()
    expect(await raw((wire) => wire.close({ type: 'P', name: 'one' }, true))).toEqual([])
    await suspend()
    expect(await raw((wire) => (open(wire, '', 'COMMIT'), wire.execute({ portal: '', rows: '0' }, true)))).toEqual([
      'commandComplete',
    ])
  })
})

describe('a cut', () => {
  const lost = async (o: { message: number; arrives: boolean; side?: 'client' | 'server' }): Promise<number> => {
    await client.query('BEGIN')
    await insert(1)
    standin.faults.cut({ side: 'client', ...o })
    await expect(client.query('COMMIT')).rejects.toThrow(/terminated/)
    await standin.quiet()
    return stored()
  }
  test('before a message: the server never gets it', async () => {
    expect(await lost({ message: 0, arrives: false })).toBe(0)
  })
  test('after it: the server does, the client never hears', async () => {
    expect(await lost({ message: 0, arrives: true })).toBe(1)
  })
  test('amid the answer', async () => {
    expect(await lost({ side: 'server', message: 1, arrives: false })).toBe(1)
  })
})
