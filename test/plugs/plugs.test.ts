import { eq, sql as dsql, TransactionRollbackError } from 'drizzle-orm'
import { migrate as migrateDrizzle } from 'drizzle-orm/node-postgres/migrator'
import { Migrator, sql } from 'kysely'
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { afterAll, afterEach, describe, expect, expectTypeOf, it } from 'vitest'
import { drizzleOf } from '../../src/drizzle.ts'
import { kyselyOf } from '../../src/kysely.ts'
import { DatabaseError, type ScopedDatabase, ScopeRefusal } from '../../src/index.ts'
import { readConfigFile } from '../../src/service/config-file.ts'
import { openTestHoldfast } from '../../src/testing.ts'
import { ID } from './open-shop.ts'
import { isPg, services } from './services.ts'
import { customers, invoices, manifest, migrations, schema, type Shop } from './shop.ts'

const test = await openTestHoldfast({ manifest, migrations })
afterAll(() => test.close())
afterEach(() => test.rollback())
const failure = async (work: Promise<unknown>): Promise<Error & { code?: string; at?: string }> => {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(Error)
  return error as Error
}

describe.each(Object.entries(services))('the same service by %s', (_, service) => {
  it('gives the same answers', async () => {
    const acme = await test.asCaller({ tenant: 'acme', role: 'owner' })
    const run = <T>(work: (s: ReturnType<typeof service>) => Promise<T>): Promise<T> =>
      acme.unit((db) => work(service(db)))
    const { id, status } = await run((s) => s.add(acme.userId, 'Initech', '1', ['Work', 'Coffee']))
    expect(status).toBe('draft')
    await run((s) => s.add(acme.userId, 'Initrode', '2', []))
    expect(await run((s) => s.list('draft'))).toEqual([
      { number: '2', customer: 'Initrode 2', cents: '0' },
      { number: '1', customer: 'Initech 1', cents: '200' },
    ])
    expect(await run((s) => s.everythingOf(id))).toEqual({
      number: '1',
      lines: [
        { title: 'Work', place: 0 },
        { title: 'Coffee', place: 1 },
      ],
    })
    expect(await run((s) => s.pay(id))).toBe(1)
    expect(await run((s) => s.pay(ID))).toBe(0)
    expect(await run((s) => s.remove(id))).toEqual(['Coffee', 'Work'])
    expect(await run((s) => s.addOneOfTwo(acme.userId, 'Initech', '3'))).toEqual(['1', '2', '3'])
  })

  it('another tenant’s rows are out of reach', async () => {
    const acme = await test.asCaller({ tenant: 'acme', role: 'owner' })
    const { id } = await acme.unit((db) => service(db).add(acme.userId, 'Initech', '1', ['Work']))
    const globex = await test.asCaller({ tenant: 'globex', role: 'owner' })
    const run = <T>(work: (s: ReturnType<typeof service>) => Promise<T>): Promise<T> =>
      globex.unit((db) => work(service(db)))
    expect(await run((s) => s.list('draft'))).toEqual([])
    expect(await run((s) => s.everythingOf(id))).toBeUndefined()
    expect(await run((s) => s.pay(id))).toBe(0)
    expect(await run((s) => s.remove(id))).toEqual([])
    expect(
      await test.asOwner('SELECT status, (SELECT count(*)::INT4 FROM app.lines) AS lines FROM app.invoices'),
    ).toEqual([{ status: 'draft', lines: 1 }])
  })

  it('nor are a colleague’s, for a role that sees its own', async () => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    const { id } = await owner.unit((db) => service(db).add(owner.userId, 'Initech', '1', []))
    const clerk = await test.asCaller({ tenant: 'acme', role: 'clerk' })
    expect(await clerk.unit((db) => service(db).everythingOf(id))).toBeUndefined()
    expect(await failure(clerk.unit((db) => service(db).pay(id)))).toMatchObject({ code: 'grant_missing' })
  })
})

describe('a refusal is a ScopeRefusal, with the place of the handler’s call', () => {
  const cases: Record<string, (db: ScopedDatabase) => Promise<unknown>> = {
    pg: (db) => db.query({ text: 'SELECT * FROM pg_catalog.pg_roles' }),
    kysely: async (db) =>
      await kyselyOf<{ pg_roles: { rolname: string } }>(db).selectFrom('pg_roles').selectAll().execute(),
    'kysely, raw': async (db) => await sql`SELECT pg_sleep(1)`.execute(kyselyOf(db)),
    'kysely, in a transaction': (db) =>
      kyselyOf(db)
        .transaction()
        .execute(async (trx) => await sql`SELECT 1; SELECT 2`.execute(trx)),
    drizzle: async (db) => await drizzleOf(db).select({ x: dsql`pg_sleep(1)` }).from(invoices),
    'drizzle, relational': async (db) =>
      await drizzleOf(db, { schema }).query.invoices.findMany({ extras: { x: dsql`pg_sleep(1)`.as('x') } }),
    'drizzle, raw': async (db) => await drizzleOf(db).execute(dsql`SELECT 1; SELECT 2`),
    'drizzle, in a transaction': async (db) =>
      await drizzleOf(db).transaction(async (tx) => await tx.update(customers).set({ name: dsql`current_user` })),
  }
  it.each(Object.entries(cases))('%s', async (_, work) => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    const error = await failure(owner.unit(work))
    expect(error).toBeInstanceOf(ScopeRefusal)
    expect(error.at).toMatch(/^test\/plugs\/plugs\.test\.ts:\d+:\d+$/)
  })

  it('what the database refuses is a DatabaseError, and shows no values', async () => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    const values = { name: 'canary', createdBy: owner.userId }
    const error = await failure(owner.unit((db) => drizzleOf(db).insert(customers).values([values, values])))
    expect(error).toBeInstanceOf(DatabaseError)
    expect(error).toMatchObject({ code: 'statement_failed', sqlstate: '23505' })
    expect(error.message).not.toContain('canary')
  })
})

describe('a scoped database has the shape of pg', () => {
  it('text and values, an object, rows as arrays, type parsers of one’s own, fields, command', async () => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    await owner.unit(async (db) => {
      const insert = 'INSERT INTO customers (name, created_by) VALUES ($1, $2)'
      const made = await db.query({ name: 'one', text: `${insert} RETURNING name`, values: ['a', owner.userId] })
      expect(made).toMatchObject({ command: 'INSERT', rowCount: 1, oid: 0, rows: [{ name: 'a' }] })
      expect(made.fields).toMatchObject([{ name: 'name', dataTypeID: 25, format: 'text' }])
      // the same name for another text: names are ours
      const again = await db.query({ name: 'one', text: insert }, ['b', owner.userId])
      expect([again.command, again.rowCount, again.fields]).toEqual(['INSERT', 1, []])
      const text = 'SELECT name, created_at AS name, 1::INT4 AS one FROM customers ORDER BY customers.name'
      const types = { getTypeParser: (oid: number) => (value: string) => `${oid}:${value.slice(0, 1)}` }
      const arrays = await db.query<[string, string, string]>({ text, rowMode: 'array', types })
      expectTypeOf(arrays.rows).toEqualTypeOf<[string, string, string][]>()
      expect(arrays.rows[0]).toEqual(['25:a', '1184:2', '23:1'])
      const objects = await db.query<{ name: Date; one: number }>(text)
      expect(objects.rows[0]).toMatchObject({ name: expect.any(Date) as unknown, one: 1 })
      expect(JSON.parse(JSON.stringify(made))).toEqual({ rows: [{ name: 'a' }], rowCount: 1 })
      expect((await db.query('DELETE FROM customers')).command).toBe('DELETE')
    })
    expectTypeOf(isPg).toBeCallableWith({} as pg.Client, () => undefined)
  })

  it('what is asked for at once runs one after another', async () => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    const answers = await owner.unit((db) =>
      Promise.all([
        db.query('INSERT INTO customers (name, created_by) VALUES ($1, $2)', ['a', owner.userId]),
        db`SELECT name FROM customers`,
        db.transaction((inner) => inner.query('DELETE FROM customers')),
      ]),
    )
    expect(answers).toMatchObject([{ rowCount: 1 }, { rowCount: 1 }, { rowCount: 1 }])
  })

  it('for query builders too', async () => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    const counts = await owner.unit(async (scoped) => {
      const [kysely, drizzle] = [kyselyOf<Shop>(scoped), drizzleOf(scoped)]
      return await Promise.all([
        drizzle.insert(customers).values({ name: 'a', createdBy: owner.userId }).returning(),
        drizzle.select().from(invoices),
        kysely.selectFrom('customers').selectAll().execute(),
        kysely.selectFrom('invoices').selectAll().execute(),
      ])
    })
    expect(counts.map((rows) => rows.length)).toEqual([1, 0, 1, 0])
  })

  it('what fails fails those behind it', async () => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    const settled = owner.unit((db) =>
      Promise.allSettled([
        db`SELECT 1 / 0 AS never FROM customers`.catch(() => 'x'),
        db`SELECT (1 / (0 * count(*)))::INT4 AS n FROM customers`,
        db`SELECT name FROM customers`,
      ]),
    )
    expect(await failure(settled)).toMatchObject({ sqlstate: '22012' })
  })

  it.each<[string, unknown, unknown]>([
    ['a callback', 'SELECT name FROM customers', () => undefined],
    ['a cursor', { text: 'SELECT name FROM customers', submit: () => undefined }, undefined],
    ['nothing', {}, undefined],
  ])('%s is refused', async (_, statement, values) => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    const error = await failure(owner.unit((db) => db.query(statement as string, values as unknown[])))
    expect(error).toMatchObject({ code: 'unsupported_use' })
  })
})

describe('transactions of Kysely', () => {
  const names = (db: ScopedDatabase) =>
    kyselyOf<Shop>(db).selectFrom('customers').select('name').orderBy('name').execute()
  const namesOf = async (work: (db: ReturnType<typeof kyselyOf<Shop>>, by: string) => Promise<unknown>) => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    return await owner.unit(async (db) => {
      await work(kyselyOf<Shop>(db), owner.userId)
      return (await names(db)).map(({ name }) => name)
    })
  }
  const add = (on: ReturnType<typeof kyselyOf<Shop>>, name: string, by: string) =>
    on.insertInto('customers').values({ name, created_by: by }).execute()

  it('one that throws is undone, the unit goes on', async () => {
    const found = await namesOf(async (db, by) => {
      await add(db, 'a', by)
      const undone = db.transaction().execute(async (trx) => {
        await add(trx, 'b', by)
        throw new Error('mine')
      })
      expect((await failure(undone)).message).toBe('mine')
      await db
        .transaction()
        .setIsolationLevel('serializable')
        .execute((trx) => add(trx, 'c', by))
    })
    expect(found).toEqual(['a', 'c'])
  })

  it('savepoints: back to one as often as wanted, released with what is in it', async () => {
    const found = await namesOf(async (db, by) => {
      const trx = await db.startTransaction().execute()
      await add(trx, 'a', by)
      const one = await trx.savepoint('one').execute()
      await add(one, 'b', by)
      const two = await one.savepoint('two').execute()
      await add(two, 'c', by)
      await two.rollbackToSavepoint('one').execute()
      await add(one, 'd', by)
      await one.rollbackToSavepoint('one').execute()
      await add(one, 'e', by)
      await one.savepoint('three').execute()
      await add(one, 'f', by)
      await one.releaseSavepoint('one').execute()
      await trx.commit().execute()
    })
    expect(found).toEqual(['a', 'e', 'f'])
  })

  it('a failed statement cannot be committed', async () => {
    const found = namesOf(async (db, by) => {
      const trx = await db.startTransaction().execute()
      await add(trx, 'a', by)
      await failure(add(trx, 'a', by))
      await trx.commit().execute()
    })
    expect(await failure(found)).toMatchObject({ sqlstate: '23505' })
  })

  it('one that is not ended makes its unit fail', async () => {
    const found = namesOf(async (db) => void (await db.startTransaction().execute()))
    expect(await failure(found)).toMatchObject({ code: 'transaction_state' })
  })

  it('the outer database is not for use meanwhile', async () => {
    const found = namesOf((db, by) => db.transaction().execute(() => add(db, 'a', by)))
    expect(await failure(found)).toMatchObject({ code: 'transaction_state' })
  })

  it.each<[string, (db: ReturnType<typeof kyselyOf<Shop>>) => Promise<unknown>]>([
    ['a stream', async (db) => await db.selectFrom('customers').selectAll().stream().next()],
    [
      'a read-only transaction',
      (db) =>
        db
          .transaction()
          .setAccessMode('read only')
          .execute(async () => 1),
    ],
    ['tables', (db) => db.introspection.getTables()],
    ['schemas', (db) => db.introspection.getSchemas()],
    ['metadata', (db) => db.introspection.getMetadata()],
    [
      'migrations',
      async (db) => {
        const migrator = new Migrator({ db, provider: { getMigrations: async () => ({}) } })
        throw (await migrator.migrateToLatest()).error
      },
    ],
  ])('%s: refused, and says so', async (_, work) => {
    expect(await failure(namesOf(work))).toMatchObject({ code: 'unsupported_use' })
  })
})

describe('transactions and prepared statements of Drizzle', () => {
  const namesOf = async (work: (db: ReturnType<typeof drizzleOf<typeof schema>>, by: string) => Promise<unknown>) => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    return await owner.unit(async (scoped) => {
      const db = drizzleOf(scoped, { schema })
      await work(db, owner.userId)
      return (await db.select({ name: customers.name }).from(customers).orderBy(customers.name)).map(({ name }) => name)
    })
  }

  it('nested ones are undone alone, and tx.rollback() undoes its own', async () => {
    const found = await namesOf(async (db, createdBy) => {
      await db.transaction(
        async (tx) => {
          await tx.insert(customers).values({ name: 'a', createdBy })
          for (let round = 0; round < 10; round++) {
            const undone = tx.transaction(async (inner) => {
              await inner.insert(customers).values({ name: `b${round}`, createdBy })
              inner.rollback()
            })
            expect(await failure(undone)).toBeInstanceOf(TransactionRollbackError)
          }
          await tx.transaction((inner) => inner.insert(customers).values({ name: 'c', createdBy }))
        },
        { isolationLevel: 'read committed' },
      )
    })
    expect(found).toEqual(['a', 'c'])
  })

  it('a prepared statement takes its placeholders', async () => {
    await namesOf(async (db, createdBy) => {
      await db.insert(customers).values({ name: 'a', createdBy })
      const byName = db
        .select({ id: customers.id })
        .from(customers)
        .where(eq(customers.name, dsql.placeholder('name')))
        .prepare('by_name')
      expect(await byName.execute({ name: 'a' })).toHaveLength(1)
      expect(await byName.execute({ name: 'b' })).toHaveLength(0)
    })
  })

  it('it logs, and takes camel case', async () => {
    const owner = await test.asCaller({ tenant: 'acme', role: 'owner' })
    const logged: string[] = []
    await owner.unit(async (db) => {
      await drizzleOf(db, { casing: 'snake_case', logger: { logQuery: (text) => void logged.push(text) } })
        .select()
        .from(customers)
    })
    expect(logged).toEqual([expect.stringMatching(/^select .* from "customers"$/)])
  })

  it('a read-only transaction and a change of settings are refused', async () => {
    expect(await failure(namesOf((db) => db.transaction(async () => 1, { accessMode: 'read only' })))).toMatchObject({
      code: 'unsupported_use',
    })
    const set = namesOf((db) => db.transaction((tx) => tx.setTransaction({ isolationLevel: 'read committed' })))
    expect(await failure(set)).toMatchObject({ code: 'statement_not_accepted' })
  })

  it('migrations are refused', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-drizzle-'))
    try {
      mkdirSync(join(folder, 'meta'))
      writeFileSync(join(folder, 'meta/_journal.json'), JSON.stringify({ entries: [] }))
      const attempt = namesOf((db) => migrateDrizzle(db, { migrationsFolder: folder }))
      expect(await failure(attempt)).toMatchObject({ code: 'statement_not_accepted' })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

it('a configuration file gets the very plugs that host it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-config-'))
  try {
    const text = `import { kyselyOf } from 'holdfast/kysely'\nimport { drizzleOf } from 'holdfast/drizzle'\nexport default { kyselyOf, drizzleOf }`
    writeFileSync(join(directory, 'holdfast.config.ts'), text)
    expect((await readConfigFile(directory, undefined))?.value).toEqual({ kyselyOf, drizzleOf })
  } finally {
    rmSync(directory, { recursive: true })
  }
})
