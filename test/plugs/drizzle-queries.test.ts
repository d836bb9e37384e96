import {
  and,
  asc,
  avg,
  between,
  count,
  countDistinct,
  desc,
  eq,
  exists,
  gt,
  ilike,
  inArray,
  isNull,
  like,
  max,
  not,
  or,
  sql as dsql,
  sum,
  arrayContains,
  getTableColumns,
  notInArray,
} from 'drizzle-orm'
import { alias, except, intersect, pgSchema, pgTable, text, union, uuid } from 'drizzle-orm/pg-core'
import { describe, expect, it } from 'vitest'
import { drizzleOf } from '../../src/drizzle.ts'
import { ID, openShop } from './open-shop.ts'
import { customers, invoices, lines, schema } from './shop.ts'

const { answerOf, caller } = await openShop()
type D = ReturnType<typeof drizzleOf<typeof schema>>

/** With the tenant column, as an ON CONFLICT needs it: unique keys begin with it. */
const withTenant = pgTable('customers', {
  tenantId: uuid('tenant_id').notNull().default(dsql`NULL`),
  id: uuid('id').defaultRandom(),
  createdBy: uuid('created_by').notNull(),
  name: text('name').notNull(),
})
/** In a schema, as `pgSchema` names them: its columns then come with schema and table. */
const app = pgSchema('app')
const inSchema = {
  invoices: app.table('invoices', {
    id: uuid('id').defaultRandom(),
    customerId: uuid('customer_id').notNull(),
    status: text('status').default('draft'),
  }),
  customers: app.table('customers', { id: uuid('id').defaultRandom(), name: text('name').notNull() }),
}

/** What Drizzle's users write every day. */
const drizzleQueries: Record<string, (d: D, u: string, tenant: string) => PromiseLike<unknown>> = {
  select: (d) => d.select().from(invoices),
  where: (d) =>
    d
      .select({ id: invoices.id, n: invoices.number })
      .from(invoices)
      .where(and(eq(invoices.status, 'draft'), or(gt(invoices.total, '1'), isNull(invoices.due))))
      .orderBy(desc(invoices.number))
      .limit(2)
      .offset(1),
  in: (d) =>
    d
      .select()
      .from(invoices)
      .where(inArray(invoices.id, [ID])),
  notIn: (d) =>
    d
      .select()
      .from(invoices)
      .where(notInArray(invoices.id, [ID])),
  like: (d) =>
    d
      .select()
      .from(customers)
      .where(or(like(customers.name, 'a%'), ilike(customers.name, 'b%'), not(eq(customers.name, 'c')))),
  between: (d) =>
    d
      .select()
      .from(lines)
      .where(between(lines.cents, 1, 5)),
  arrContains: (d) =>
    d
      .select()
      .from(customers)
      .where(arrayContains(customers.tags, ['a'])),
  join: (d) => d.select().from(invoices).innerJoin(customers, eq(customers.id, invoices.customerId)),
  left: (d) => d.select().from(customers).leftJoin(invoices, eq(customers.id, invoices.customerId)),
  full: (d) => d.select().from(customers).fullJoin(invoices, eq(customers.id, invoices.customerId)),
  right: (d) => d.select().from(customers).rightJoin(invoices, eq(customers.id, invoices.customerId)),
  alias: (d) => {
    const o = alias(customers, 'other')
    return d.select().from(customers).leftJoin(o, eq(o.id, customers.id))
  },
  agg: (d) =>
    d
      .select({
        s: invoices.status,
        n: count(),
        dn: countDistinct(invoices.customerId),
        t: sum(invoices.total),
        m: max(invoices.total),
        a: avg(invoices.total),
      })
      .from(invoices)
      .groupBy(invoices.status)
      .having(({ n }) => gt(n, 0)),
  exists: (d) =>
    d
      .select()
      .from(customers)
      .where(exists(d.select().from(invoices).where(eq(invoices.customerId, customers.id)))),
  sub: (d) => {
    const s = d
      .select({ c: invoices.customerId, n: count().as('n') })
      .from(invoices)
      .groupBy(invoices.customerId)
      .as('s')
    return d.select({ name: customers.name, n: s.n }).from(customers).leftJoin(s, eq(s.c, customers.id))
  },
  lateral: (d) => {
    const s = d
      .select({ number: invoices.number })
      .from(invoices)
      .where(eq(invoices.customerId, customers.id))
      .limit(1)
      .as('s')
    return d.select().from(customers).leftJoinLateral(s, dsql`true`)
  },
  with: (d) => {
    const w = d.$with('w').as(d.select().from(invoices).where(eq(invoices.status, 'sent')))
    return d.with(w).select().from(w)
  },
  distinct: (d) => d.selectDistinct({ s: invoices.status }).from(invoices),
  distinctOn: (d) =>
    d.selectDistinctOn([invoices.customerId]).from(invoices).orderBy(invoices.customerId, asc(invoices.number)),
  union: (d) => union(d.select({ id: customers.id }).from(customers), d.select({ id: invoices.id }).from(invoices)),
  unionOrderCol: (d) =>
    d
      .select({ n: customers.name })
      .from(customers)
      .unionAll(d.select({ n: invoices.number }).from(invoices))
      .orderBy(asc(customers.name))
      .limit(2),
  intersect: (d) =>
    intersect(d.select({ id: customers.id }).from(customers), d.select({ id: invoices.id }).from(invoices)),
  except: (d) => except(d.select({ id: customers.id }).from(customers), d.select({ id: invoices.id }).from(invoices)),
  for: (d) => d.select().from(invoices).for('update', { skipLocked: true }),
  forOf: (d) =>
    d
      .select()
      .from(invoices)
      .innerJoin(customers, eq(customers.id, invoices.customerId))
      .for('update', { of: invoices }),
  count: (d) => d.$count(invoices, eq(invoices.status, 'draft')),
  countCol: (d) =>
    d
      .select({ ...getTableColumns(customers), n: d.$count(invoices, eq(invoices.customerId, customers.id)) })
      .from(customers),
  insert: (d, u) => d.insert(customers).values({ name: 'd1', createdBy: u }).returning(),
  insertMany: (d, u) =>
    d
      .insert(customers)
      .values([
        { name: 'd2', createdBy: u, tags: ['a', 'b'], settings: { net: 3 } },
        { name: 'd3', createdBy: u, email: 'x' },
      ])
      .returning({ id: customers.id }),
  insertNoRet: (d, u) => d.insert(customers).values({ name: 'd4', createdBy: u }),
  conflictNothing: (d, u) => d.insert(customers).values({ name: 'd4', createdBy: u }).onConflictDoNothing(),
  insertSelect: (d) =>
    d.insert(lines).select(
      d
        .select({
          id: lines.id,
          createdBy: lines.createdBy,
          invoiceId: lines.invoiceId,
          title: lines.title,
          cents: lines.cents,
          place: lines.place,
        })
        .from(lines)
        .where(eq(lines.id, ID)),
    ),
  tenantLeftOut: (d, createdBy) => d.insert(withTenant).values({ name: 'd6', createdBy }).returning(),
  upsert: (d, createdBy) =>
    d
      .insert(withTenant)
      .values({ name: 'd7', createdBy })
      .onConflictDoUpdate({ target: [withTenant.tenantId, withTenant.name], set: { name: dsql`excluded.name` } }),
  withWrite: (d, createdBy) => {
    const w = d.$with('w').as(d.insert(customers).values({ name: 'w', createdBy }).returning())
    return d.with(w).select().from(w)
  },
  schemaSelect: (d) => d.select().from(inSchema.invoices).where(eq(inSchema.invoices.status, 'draft')),
  schemaJoin: (d) =>
    d
      .select()
      .from(inSchema.invoices)
      .innerJoin(inSchema.customers, eq(inSchema.customers.id, inSchema.invoices.customerId)),
  schemaUpdate: (d) =>
    d.update(inSchema.invoices).set({ status: 'sent' }).where(eq(inSchema.invoices.id, ID)).returning(),
  schemaDelete: (d) => d.delete(inSchema.invoices).where(eq(inSchema.invoices.id, ID)).returning(),
  selectTenant: (d) => d.select().from(withTenant),
  conflictUpdate: (d, u, tenantId) =>
    d
      .insert(withTenant)
      .values({ tenantId, name: 'd5', createdBy: u })
      .onConflictDoUpdate({ target: [withTenant.tenantId, withTenant.name], set: { name: dsql`excluded.name` } })
      .returning(),
  update: (d) => d.update(invoices).set({ status: 'sent' }).where(eq(invoices.id, ID)).returning(),
  updateSql: (d) =>
    d
      .update(lines)
      .set({ place: dsql`${lines.place} + 1` })
      .where(eq(lines.id, ID)),
  updateFrom: (d) =>
    d
      .update(invoices)
      .set({ status: 'paid' })
      .from(customers)
      .where(and(eq(customers.id, invoices.customerId), eq(customers.name, 'x')))
      .returning({ id: invoices.id }),
  delete: (d) => d.delete(lines).where(eq(lines.id, ID)).returning(),
  deleteAll: (d) => d.delete(lines),
  rqb: (d) => d.query.invoices.findMany(),
  rqbWith: (d) => d.query.invoices.findMany({ with: { lines: true, customer: true } }),
  rqbNested: (d) =>
    d.query.customers.findMany({
      columns: { id: true, name: true },
      with: {
        invoices: { with: { lines: { orderBy: asc(lines.place), limit: 2 } }, where: eq(invoices.status, 'draft') },
      },
      orderBy: [desc(customers.name)],
      limit: 5,
    }),
  rqbFirst: (d) =>
    d.query.invoices.findFirst({
      where: (t, { eq: e }) => e(t.id, ID),
      with: { customer: { columns: { name: true } } },
    }),
  rqbExtras: (d) =>
    d.query.customers.findMany({ extras: { lower: dsql<string>`lower(${customers.name})`.as('lower') } }),
  rqbLine: (d) => d.query.lines.findMany({ with: { invoice: { with: { customer: true } } } }),
  raw: (d) => d.execute(dsql`select ${customers.name} from ${customers} where ${customers.id} = ${ID}`) as never,
}

describe('Drizzle, as it is', () => {
  it.each(Object.entries(drizzleQueries))('%s', async (_, query) => {
    const answer = await answerOf((db) => query(drizzleOf(db, { schema }), caller().userId, caller().tenantId))
    expect(answer).not.toContain('globex')
  })

  it('finds what is there', async () => {
    const found = await answerOf((db) =>
      drizzleOf(db, { schema }).query.customers.findMany({
        columns: { name: true },
        with: { invoices: { columns: { number: true }, with: { lines: { columns: { title: true, cents: true } } } } },
      }),
    )
    expect(found).toBe(
      `[ { name: 'acme Inc', invoices: [ { number: 'acme-1', lines: [ { title: 'work for acme', cents: 5 } ] } ] } ]`,
    )
  })
})
