import { afterAll, beforeAll, expect, it } from 'vitest'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import { connect } from '../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

let database: TestDatabase
let pool: Pool

beforeAll(async () => {
  database = await createTestDatabase()
  for (const text of [
    'CREATE SCHEMA shop',
    'CREATE TABLE shop.docs (id INT8 PRIMARY KEY, tenant_id INT8 NOT NULL, title TEXT, size INT4)',
    "INSERT INTO shop.docs SELECT t * 100 + i, t, 'title ' || t * 100 + i, NULLIF(i, 3) FROM unnest(ARRAY[7, 9]) t, generate_series(1, 20) i",
    'ALTER TABLE shop.docs ENABLE ROW LEVEL SECURITY',
    "CREATE POLICY tenant_isolation ON shop.docs USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::INT8)",
    'GRANT USAGE ON SCHEMA shop TO holdfast_app',
    'GRANT SELECT ON shop.docs TO holdfast_app',
    'ANALYZE shop.docs',
  ]) {
    await database.owner(text)
  }
  pool = await createPool({ connection: database.target('app'), size: 1, applicationName: 'policy first' })
})
afterAll(async () => {
  await pool.close()
  await database.drop()
})

/** Conditions whose error depends on a row, though no column is given to a function that could fail. */
const oracles: [name: string, condition: (found: boolean) => string, values: readonly unknown[]][] = [
  ['a division in a CASE', (found) => `CASE WHEN size IN (${found ? 5 : 55}) THEN 1 / $1::int4 END IS NULL`, [0]],
  [
    'an array of arrays of two lengths',
    (found) =>
      `ARRAY[CASE WHEN title >= ANY (ARRAY['title 90${found ? 5 : 99}']) AND title < ANY (ARRAY['title 905a']) THEN '{1,2}'::int4[] ELSE '{1}'::int4[] END, '{1}'::int4[]] IS NOT NULL`,
    [],
  ],
  [
    'a date that is none, by primary key',
    (found) => `CASE WHEN id = ${found ? 903 : 999} THEN to_date('x', 'YYYY') END IS NULL`,
    [],
  ],
]

it.each(oracles)('no error tells of a row out of reach: %s', async (name, condition, values) => {
  const outcomeOf = (found: boolean): Promise<string> =>
    pool
      .transaction(async (transaction) => {
        await transaction.query({ name: '', text: "SELECT set_config('holdfast.tenant_id', '8', true)" })
        // as it is planned after five times: nothing is computed beforehand
        await transaction.query({ name: '', text: "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)" })
        const text = `SELECT id FROM shop.docs WHERE ${condition(found)}`
        const { rows } = await transaction.query({ name: `${name} ${found}`, text }, values)
        return `${rows.length} rows`
      })
      .catch((error: { sqlstate?: string; code?: string }) => `${error.code} ${error.sqlstate}`)
  expect([await outcomeOf(true), await outcomeOf(false)]).toEqual(['0 rows', '0 rows'])
})

it.each(oracles)('without that an error would: %s', async (_, condition, values) => {
  const client = await connect(database.target('app'))
  try {
    await client.query(
      "SELECT set_config('holdfast.tenant_id', '8', false), set_config('plan_cache_mode', 'force_generic_plan', false)",
    )
    await client.query("SELECT set_config('cpu_operator_cost', '0.0025', false)")
    const ask = (found: boolean): Promise<string> =>
      client.query({ text: `SELECT id FROM shop.docs WHERE ${condition(found)}`, values: [...values] }).then(
        ({ rows }) => `${rows.length} rows`,
        (error: { code?: string }) => `error ${error.code}`,
      )
    expect([await ask(true), await ask(false)]).toEqual([expect.stringMatching(/^error 2/), '0 rows'])
  } finally {
    await client.end()
  }
})

it('holds for whoever signs in as the application, and where the role does not say so', async () => {
  const shown = async (): Promise<unknown> => {
    const client = await connect(database.target('app'))
    const { rows } = await client.query<{ cost: string }>("SELECT current_setting('cpu_operator_cost') AS cost")
    await client.end()
    return rows[0]?.cost
  }
  expect(await shown()).toBe('0')
  await database.owner(`ALTER ROLE holdfast_app IN DATABASE ${database.name} SET cpu_operator_cost = 0.0025`)
  expect(await shown()).toBe('0.0025')
  const late = await createPool({ connection: database.target('app'), size: 1, applicationName: 'late' })
  const { rows } = await late.transaction((transaction) =>
    transaction.query({ name: '', text: "SELECT current_setting('cpu_operator_cost') AS cost" }),
  )
  expect(rows).toEqual([{ cost: '0' }])
  await late.close()
  await database.owner(`ALTER ROLE holdfast_app IN DATABASE ${database.name} RESET ALL`)
})
