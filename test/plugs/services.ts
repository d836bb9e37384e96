import { and, asc, desc, eq, sql as dsql, sum } from 'drizzle-orm'
import type pg from 'pg'
import { drizzleOf } from '../../src/drizzle.ts'
import { kyselyOf } from '../../src/kysely.ts'
import type { ScopedDatabase } from '../../src/index.ts'
import { customers, invoices, lines, schema, type Shop } from './shop.ts'

/** What a small service does. Each is written once by hand, once with Kysely, once with Drizzle. */
export type Service = {
  add(by: string, customer: string, number: string, titles: readonly string[]): Promise<{ id: string; status: string }>
  list(status: string): Promise<{ number: string; customer: string; cents: string }[]>
  pay(id: string): Promise<number>
  remove(id: string): Promise<string[]>
  /** Adds two invoices, the second under a savepoint that fails. */
  addOneOfTwo(by: string, customer: string, number: string): Promise<string[]>
  everythingOf(id: string): Promise<{ number: string; lines: { title: string; place: number }[] } | undefined>
}

export const services: Record<string, (db: ScopedDatabase) => Service> = {
  pg: byHand,
  kysely: byKysely,
  drizzle: byDrizzle,
}

/** As much of a `pg` client as the plain service needs: both it and a scoped database have that. */
type Client = {
  query<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<pg.QueryResult<R>>
  query<R extends unknown[]>(config: pg.QueryArrayConfig, values?: unknown[]): Promise<pg.QueryArrayResult<R>>
}
export type TakesPg = (client: Client) => void
export const isPg = (client: pg.Client, take: TakesPg): void => take(client)

function byHand(db: ScopedDatabase): Service {
  return { ...plain(db), addOneOfTwo: (by, customer, number) => twice(db, by, customer, number) }
}

async function twice(db: ScopedDatabase, by: string, customer: string, number: string): Promise<string[]> {
  await plain(db).add(by, customer, number, [])
  await db
    .transaction(async (inner) => {
      await plain(inner).add(by, customer, `${number}-b`, [])
      await plain(inner).add(by, customer, number, [])
    })
    .catch(() => undefined)
  return (await db.query<{ number: string }>('SELECT number FROM invoices ORDER BY number')).rows.map(
    (row) => row.number,
  )
}

function plain(client: Client): Omit<Service, 'addOneOfTwo'> {
  return {
    async add(by, customer, number, titles) {
      const { rows } = await client.query<{ id: string }>(
        'INSERT INTO customers (name, created_by) VALUES ($1, $2) RETURNING id',
        [`${customer} ${number}`, by],
      )
      const { rows: made } = await client.query<{ id: string; status: string }>(
        'INSERT INTO invoices (customer_id, number, created_by) VALUES ($1, $2, $3) RETURNING id, status',
        [rows[0]?.id, number, by],
      )
      const [invoice] = made
      if (invoice === undefined) throw new Error('no row')
      for (const [place, title] of titles.entries()) {
        await client.query(
          'INSERT INTO lines (invoice_id, title, cents, place, created_by) VALUES ($1, $2, $3, $4, $5)',
          [invoice.id, title, 100, place, by],
        )
      }
      return invoice
    },
    async list(status) {
      const { rows } = await client.query<{ number: string; customer: string; cents: string }>(
        `SELECT i.number, c.name AS customer, coalesce(sum(l.cents), 0)::TEXT AS cents
         FROM invoices i JOIN customers c ON c.id = i.customer_id LEFT JOIN lines l ON l.invoice_id = i.id
         WHERE i.status = $1 GROUP BY i.number, c.name ORDER BY i.number DESC`,
        [status],
      )
      return rows
    },
    async pay(id) {
      const { rowCount } = await client.query(`UPDATE invoices SET status = 'paid' WHERE id = $1`, [id])
      return rowCount ?? 0
    },
    async remove(id) {
      const { rows } = await client.query<[string]>({
        text: 'DELETE FROM lines WHERE invoice_id = $1 RETURNING title',
        values: [id],
        rowMode: 'array',
        name: 'remove',
      })
      return rows.map(([title]) => title).sort()
    },
    async everythingOf(id) {
      const { rows } = await client.query<{ number: string; lines: { title: string; place: number }[] }>(
        `SELECT i.number, (SELECT coalesce(json_agg(json_build_object('title', l.title, 'place', l.place) ORDER BY l.place), '[]')
           FROM lines l WHERE l.invoice_id = i.id) AS lines FROM invoices i WHERE i.id = $1`,
        [id],
      )
      return rows[0]
    },
  }
}

function byKysely(scoped: ScopedDatabase): Service {
  const db = kyselyOf<Shop>(scoped)
  const add = (on: typeof db, by: string, customer: string, number: string, titles: readonly string[]) =>
    on.transaction().execute(async (trx) => {
      const { id } = await trx
        .insertInto('customers')
        .values({ name: `${customer} ${number}`, created_by: by })
        .returning('id')
        .executeTakeFirstOrThrow()
      const invoice = await trx
        .insertInto('invoices')
        .values({ customer_id: id, number, created_by: by })
        .returning(['id', 'status'])
        .executeTakeFirstOrThrow()
      if (titles.length > 0) {
        await trx
          .insertInto('lines')
          .values(titles.map((title, place) => ({ invoice_id: invoice.id, title, cents: 100, place, created_by: by })))
          .execute()
      }
      return invoice
    })
  return {
    add: (by, customer, number, titles) => add(db, by, customer, number, titles),
    list: (status) =>
      db
        .selectFrom('invoices as i')
        .innerJoin('customers as c', 'c.id', 'i.customer_id')
        .leftJoin('lines as l', 'l.invoice_id', 'i.id')
        .select((eb) => [
          'i.number',
          'c.name as customer',
          eb.cast<string>(eb.fn.coalesce(eb.fn.sum('l.cents'), eb.lit(0)), 'text').as('cents'),
        ])
        .where('i.status', '=', status as 'draft')
        .groupBy(['i.number', 'c.name'])
        .orderBy('i.number', 'desc')
        .execute(),
    async pay(id) {
      const { numUpdatedRows } = await db
        .updateTable('invoices')
        .set({ status: 'paid' })
        .where('id', '=', id)
        .executeTakeFirst()
      return Number(numUpdatedRows)
    },
    async remove(id) {
      const rows = await db.deleteFrom('lines').where('invoice_id', '=', id).returning('title').execute()
      return rows.map(({ title }) => title).sort()
    },
    async addOneOfTwo(by, customer, number) {
      await add(db, by, customer, number, [])
      const trx = await db.startTransaction().execute()
      const inner = await trx.savepoint('second').execute()
      const made = async (name: string): Promise<void> => {
        const customers = await trx.selectFrom('customers').select('id').executeTakeFirstOrThrow()
        await inner.insertInto('invoices').values({ customer_id: customers.id, number: name, created_by: by }).execute()
      }
      try {
        await made(`${number}-b`)
        await made(number)
      } catch {
        await inner.rollbackToSavepoint('second').execute()
      }
      await trx.commit().execute()
      return (await db.selectFrom('invoices').select('number').orderBy('number').execute()).map((row) => row.number)
    },
    async everythingOf(id) {
      const { jsonArrayFrom } = await import('kysely/helpers/postgres')
      return await db
        .selectFrom('invoices as i')
        .select((eb) => [
          'i.number',
          jsonArrayFrom(
            eb
              .selectFrom('lines as l')
              .select(['l.title', 'l.place'])
              .whereRef('l.invoice_id', '=', 'i.id')
              .orderBy('l.place'),
          ).as('lines'),
        ])
        .where('i.id', '=', id)
        .executeTakeFirst()
    },
  }
}

function byDrizzle(scoped: ScopedDatabase): Service {
  const db = drizzleOf(scoped, { schema })
  type Database = Pick<typeof db, 'transaction' | 'insert'>
  const add = (on: Database, by: string, customer: string, number: string, titles: readonly string[]) =>
    on.transaction(async (tx) => {
      const [made] = await tx
        .insert(customers)
        .values({ name: `${customer} ${number}`, createdBy: by })
        .returning({ id: customers.id })
      const [invoice] = await tx
        .insert(invoices)
        .values({ customerId: String(made?.id), number, createdBy: by })
        .returning({ id: invoices.id, status: invoices.status })
      if (invoice === undefined) throw new Error('no row')
      const rows = titles.map((title, place) => ({ invoiceId: invoice.id, title, cents: 100, place, createdBy: by }))
      if (rows.length > 0) await tx.insert(lines).values(rows)
      return invoice
    })
  return {
    add: (by, customer, number, titles) => add(db, by, customer, number, titles),
    list: (status) =>
      db
        .select({
          number: invoices.number,
          customer: customers.name,
          cents: dsql<string>`coalesce(${sum(lines.cents)}, 0)::text`,
        })
        .from(invoices)
        .innerJoin(customers, eq(customers.id, invoices.customerId))
        .leftJoin(lines, eq(lines.invoiceId, invoices.id))
        .where(and(eq(invoices.status, status as 'draft')))
        .groupBy(invoices.number, customers.name)
        .orderBy(desc(invoices.number)),
    async pay(id) {
      const { rowCount } = await db.update(invoices).set({ status: 'paid' }).where(eq(invoices.id, id))
      return rowCount ?? 0
    },
    async remove(id) {
      const rows = await db.delete(lines).where(eq(lines.invoiceId, id)).returning({ title: lines.title })
      return rows.map(({ title }) => title).sort()
    },
    async addOneOfTwo(by, customer, number) {
      await db.transaction(async (tx) => {
        await add(tx, by, customer, number, [])
        await tx
          .transaction(async (inner) => {
            await add(inner, by, customer, `${number}-b`, [])
            await add(inner, by, customer, number, [])
          })
          .catch(() => undefined)
      })
      return (await db.select({ number: invoices.number }).from(invoices).orderBy(asc(invoices.number))).map(
        (row) => row.number,
      )
    },
    everythingOf: (id) =>
      db.query.invoices.findFirst({
        columns: { number: true },
        where: eq(invoices.id, id),
        with: { lines: { columns: { title: true, place: true }, orderBy: asc(lines.place) } },
      }),
  }
}
