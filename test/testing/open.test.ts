import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { can, sql } from '../../src/fastify.ts'
import { openTestHoldfast, type TestHoldfast } from '../../src/testing.ts'
import { invoices } from './invoices.ts'

let test: TestHoldfast
beforeAll(async () => {
  test = await openTestHoldfast(invoices)
})
afterEach(() => test.rollback())
afterAll(() => test.close())

const all = (t: TestHoldfast) => t.asOwner('SELECT title FROM app.invoices ORDER BY title')
const seed = (tenantId: string, title: string, userId: string = randomUUID()) =>
  test.asOwner('INSERT INTO app.invoices (tenant_id, created_by, title, total) VALUES ($1, $2, $3, 1)', [
    tenantId,
    userId,
    title,
  ])

it('undoes seeds and what units wrote', async () => {
  const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
  await seed(owner.tenantId, 'seeded')
  await owner.unit((db) =>
    db.query(sql`INSERT INTO invoices (title, total, created_by) VALUES ('made', 2, ${owner.userId})`),
  )
  expect(await all(test)).toEqual([{ title: 'made' }, { title: 'seeded' }])
  await test.rollback()
  expect(await all(test)).toEqual([])
  await expect(owner.unit(async () => 1)).rejects.toMatchObject({ because: 'session_unknown' })
})

it('runs units with the app role’s rights: row-level security holds', async () => {
  const [acme, globex] = [
    await test.asCaller({ tenant: 'acme', role: 'owner' }),
    await test.asCaller({ tenant: 'globex', role: 'owner' }),
  ]
  await seed(acme.tenantId, 'acme')
  await seed(globex.tenantId, 'globex')
  // past the first wall: what the second alone lets through
  const raw = (text: string) => test.pool.transaction((each) => each.query({ name: '', text }))
  const [who] = (await raw('SELECT current_user AS name')).rows
  expect(who).toEqual({ name: 'holdfast_app' })
  expect((await raw('SELECT title FROM app.invoices')).rows).toEqual([])
  await expect(raw('SELECT 1 FROM holdfast.users')).rejects.toMatchObject({ sqlstate: '42501' })
  const [only] = (
    await test.pool.transaction(async (each) => {
      await each.query({ name: '', text: "SELECT set_config('holdfast.tenant_id', $1, true)" }, [acme.tenantId])
      return each.query({ name: '', text: 'SELECT title FROM app.invoices' })
    })
  ).rows
  expect(only).toEqual({ title: 'acme' })
  // and nothing of it stays for the next
  expect((await raw('SELECT title FROM app.invoices')).rows).toEqual([])
  expect((await acme.unit((db) => db.query('SELECT title FROM invoices'))).rows).toEqual([{ title: 'acme' }])
})

it('streams within the test’s transaction, and what it left is free again', async () => {
  const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
  for (const title of ['a', 'b']) await seed(owner.tenantId, title)
  const titles: unknown[] = []
  const rows = await owner.stream<{ title: string }>('SELECT title FROM invoices ORDER BY title')
  for await (const { title } of rows) titles.push(title)
  expect(titles).toEqual(['a', 'b'])
  await (await owner.stream('SELECT title FROM invoices')).return()
  await expect(owner.stream('SELECT 1 / (total - total) AS x FROM invoices')).rejects.toMatchObject({
    sqlstate: '22012',
  })
  expect((await owner.unit((db) => db.query('SELECT title FROM invoices'))).rowCount).toBe(2)
})

it('stays usable after a failure, a denial, and a unit that was read-only', async () => {
  const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
  await expect(owner.unit((db) => db.query('SELECT 1 / (total - total) FROM invoices'))).resolves.toBeDefined()
  await seed(owner.tenantId, 'one')
  await expect(owner.unit((db) => db.query('SELECT total / (total - total) FROM invoices'))).rejects.toMatchObject({
    sqlstate: '22012',
  })
  await expect(owner.unit(async () => 1, { access: can('invoice:fly') })).rejects.toMatchObject({
    because: 'grant_missing',
  })
  await test.pool.transaction((each) => each.query({ name: '', text: 'SELECT 1' }), { readOnly: true })
  await expect(
    test.pool.transaction((each) => each.query({ name: '', text: 'CREATE TABLE app.x ()' }), { readOnly: true }),
  ).rejects.toMatchObject({ sqlstate: '25006' })
  await expect(test.asOwner('SELECT nonsense')).rejects.toThrow('nonsense')
  await owner.unit((db) =>
    db.query(sql`INSERT INTO invoices (title, total, created_by) VALUES ('two', 2, ${owner.userId})`),
  )
  expect(await all(test)).toEqual([{ title: 'one' }, { title: 'two' }])
})

it('lets parallel units wait for one another, and refuses one inside another', async () => {
  const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
  const counts = await Promise.all(
    Array.from({ length: 20 }, () => owner.unit((db) => db.query('SELECT id FROM invoices'))),
  )
  expect(counts).toHaveLength(20)
  await expect(owner.unit(() => owner.unit(async () => 1))).rejects.toThrow('inside a unit')
  await expect(owner.unit(async () => 1)).resolves.toBe(1)
})

it('judges deferred constraints where COMMIT would', async () => {
  const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
  const line = () =>
    owner.unit((db) => db.query(sql`INSERT INTO lines (invoice_id, note) VALUES (${randomUUID()}, 'x')`))
  await expect(line()).rejects.toMatchObject({ sqlstate: '23503', index: 0 })
  await expect(owner.unit(async () => 1)).resolves.toBe(1)
  expect(can('line:create')).toBeDefined()
})

it('names the roles there are', async () => {
  await expect(test.asCaller({ tenant: 'acme', role: 'king' })).rejects.toThrow('owner, clerk')
})

it('undoes a savepoint inside a unit alone', async () => {
  const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
  await test.pool.transaction(async (each) => {
    await each.query({ name: '', text: "SELECT set_config('holdfast.tenant_id', $1, true)" }, [owner.tenantId])
    const insert = (title: string) =>
      each.query(
        { name: '', text: 'INSERT INTO app.invoices (created_by, tenant_id, title, total) VALUES ($1, $2, $3, 1)' },
        [owner.userId, owner.tenantId, title],
      )
    await insert('before')
    await each
      .savepoint(async () => {
        await insert('inside')
        await insert('')
      })
      .catch(() => undefined)
    await insert('after')
  })
  expect(await all(test)).toEqual([{ title: 'after' }, { title: 'before' }])
})

it('knows the manifest’s roles and permissions, for the compiler and at run time', async () => {
  const typed = await openTestHoldfast(invoices)
  // @ts-expect-error the manifest has no such role
  await expect(typed.asCaller({ tenant: 'acme', role: 'clark' })).rejects.toThrow('no role "clark"')
  // @ts-expect-error no role grants it
  expect(() => typed.holdfast.can('invoice:fly')).toThrow('no role')
  const clerk = await typed.asCaller({ tenant: 'acme', role: 'clerk' })
  const access = typed.holdfast.can('invoice:create')
  await expect(clerk.unit((db) => db`SELECT id FROM invoices`)).resolves.toMatchObject({ rows: [] })
  await expect(clerk.unit((db) => db`SELECT id FROM invoices`, { access })).rejects.toMatchObject({
    code: 'grant_missing',
  })
  await typed.close()
})
