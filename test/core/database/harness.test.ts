import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPool } from '../../../src/core/database/pool.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: { owner: ['team:read'] } })
})
afterAll(() => database.drop())

test('a test database is migrated, seeded, and the roles are least-privileged', async () => {
  expect(await database.owner('SELECT role, permission, reach FROM holdfast.role_grants')).toEqual([
    { role: 'owner', permission: 'team:read', reach: 'tenant' },
  ])
  const pool = await createPool({ connection: database.target('app'), size: 1, applicationName: 'test' })
  const who = await pool.transaction((transaction) =>
    transaction.query({
      name: '',
      text: 'SELECT current_user::TEXT AS role, rolsuper, rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user',
    }),
  )
  expect(who.rows).toEqual([{ role: 'holdfast_app', rolsuper: false, rolbypassrls: false }])
  await expect(
    pool.transaction((transaction) => transaction.query({ name: '', text: 'SELECT 1 FROM holdfast.users' })),
  ).rejects.toMatchObject({ code: 'statement_failed', sqlstate: '42501' })
  await pool.close()
})

test('the owner runs one statement at a time, in the order asked, past failures', async () => {
  const warnings: string[] = []
  const note = (warning: Error): void => void warnings.push(warning.message)
  process.on('warning', note)
  const asked = ['SELECT 1 AS n', 'SELECT nonsense', 'SELECT 3 AS n'].map((text) => database.owner(text))
  const answers = await Promise.allSettled(asked)
  // Warnings are told on the next tick.
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', note)
  expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(warnings).toEqual([])
})

test('two databases made at once do not see each other', async () => {
  const [one, two] = await Promise.all([createTestDatabase(), createTestDatabase()])
  await one.owner('CREATE TABLE public.mark (n INT8)')
  expect(await two.owner("SELECT to_regclass('public.mark') AS mark")).toEqual([{ mark: null }])
  await Promise.all([one.drop(), two.drop()])
})
