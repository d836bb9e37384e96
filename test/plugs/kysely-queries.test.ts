import { sql } from 'kysely'
import { jsonArrayFrom, jsonBuildObject, jsonObjectFrom } from 'kysely/helpers/postgres'
import { describe, expect, it } from 'vitest'
import { kyselyOf } from '../../src/kysely.ts'
import { ID, openShop } from './open-shop.ts'
import type { Shop } from './shop.ts'

const { answerOf, caller } = await openShop()
type K = ReturnType<typeof kyselyOf<Shop>>

/** What Kysely's users write every day. */
const kyselyQueries: Record<string, (k: K, u: string, tenant: string) => { execute(): Promise<unknown> }> = {
  selectAll: (k) => k.selectFrom('invoices').selectAll(),
  selectAllTable: (k) => k.selectFrom('invoices').selectAll('invoices'),
  alias: (k) =>
    k
      .selectFrom('invoices as i')
      .select(['i.id', 'i.number as n'])
      .where('i.status', '=', 'draft')
      .orderBy('i.number', 'desc')
      .limit(3)
      .offset(1),
  innerJoin: (k) =>
    k
      .selectFrom('invoices')
      .innerJoin('customers', 'customers.id', 'invoices.customer_id')
      .select(['invoices.id', 'customers.name']),
  leftJoinGroup: (k) =>
    k
      .selectFrom('customers as c')
      .leftJoin('invoices as i', 'i.customer_id', 'c.id')
      .select((eb) => ['c.name', eb.fn.count('i.id').as('n'), eb.fn.sum('i.total').as('s'), eb.fn.countAll().as('all')])
      .groupBy('c.name')
      .having((eb) => eb.fn.count('i.id'), '>=', 0),
  in: (k) => k.selectFrom('invoices').select('id').where('id', 'in', [ID, ID]),
  between: (k) =>
    k
      .selectFrom('lines')
      .select('id')
      .where((eb) => eb.between('cents', 1, 5)),
  ilike: (k) => k.selectFrom('customers').select('id').where('name', 'ilike', '%a%'),
  isNull: (k) => k.selectFrom('customers').select('id').where('email', 'is', null).where('email', 'is not', null),
  isDistinct: (k) => k.selectFrom('customers').select('id').where('email', 'is distinct from', 'x'),
  exists: (k) =>
    k
      .selectFrom('customers as c')
      .select('c.id')
      .where((eb) => eb.exists(eb.selectFrom('invoices as i').select('i.id').whereRef('i.customer_id', '=', 'c.id'))),
  notExists: (k) =>
    k
      .selectFrom('customers as c')
      .select('c.id')
      .where((eb) =>
        eb.not(eb.exists(eb.selectFrom('invoices as i').select('i.id').whereRef('i.customer_id', '=', 'c.id'))),
      ),
  or: (k) =>
    k
      .selectFrom('customers')
      .select('id')
      .where((eb) => eb.or([eb('name', '=', 'a'), eb.and({ email: 'x', name: 'b' })])),
  case: (k) =>
    k.selectFrom('invoices').select((eb) => eb.case().when('status', '=', 'paid').then('yes').else('no').end().as('p')),
  coalesce: (k) => k.selectFrom('customers').select((eb) => eb.fn.coalesce('email', eb.val('none')).as('e')),
  lit: (k) => k.selectFrom('customers').select((eb) => [eb.lit(1).as('one'), eb.val('x').as('x')]),
  cast: (k) => k.selectFrom('lines').select((eb) => eb.cast<string>('cents', 'text').as('t')),
  jsonArray: (k) =>
    k
      .selectFrom('invoices as i')
      .select((eb) => [
        'i.id',
        jsonArrayFrom(
          eb
            .selectFrom('lines as l')
            .select(['l.id', 'l.title'])
            .whereRef('l.invoice_id', '=', 'i.id')
            .orderBy('l.place'),
        ).as('lines'),
      ]),
  jsonObject: (k) =>
    k
      .selectFrom('invoices as i')
      .select((eb) => [
        'i.id',
        jsonObjectFrom(
          eb.selectFrom('customers as c').select(['c.id', 'c.name']).whereRef('c.id', '=', 'i.customer_id'),
        ).as('customer'),
      ]),
  jsonNested: (k) =>
    k.selectFrom('customers as c').select((eb) => [
      'c.id',
      jsonArrayFrom(
        eb
          .selectFrom('invoices as i')
          .select((e2) => [
            'i.id',
            jsonArrayFrom(e2.selectFrom('lines as l').selectAll('l').whereRef('l.invoice_id', '=', 'i.id')).as('lines'),
          ])
          .whereRef('i.customer_id', '=', 'c.id'),
      ).as('invoices'),
    ]),
  jsonBuild: (k) =>
    k.selectFrom('customers as c').select((eb) => jsonBuildObject({ id: eb.ref('c.id'), n: eb.ref('c.name') }).as('o')),
  jsonAgg: (k) => k.selectFrom('customers as c').select((eb) => eb.fn.jsonAgg('c').as('all')),
  jsonAggCol: (k) => k.selectFrom('customers as c').select((eb) => eb.fn.jsonAgg(eb.ref('c.name')).as('all')),
  toJson: (k) => k.selectFrom('customers as c').select((eb) => eb.fn.toJson('c').as('o')),
  jsonRef: (k) => k.selectFrom('customers').select((eb) => eb.ref('settings', '->').key('net').as('n')),
  jsonRef2: (k) => k.selectFrom('customers').select((eb) => eb.ref('settings', '->>').key('lang').as('l')),
  distinct: (k) => k.selectFrom('invoices').select('status').distinct(),
  distinctOn: (k) =>
    k
      .selectFrom('invoices')
      .select(['customer_id', 'number'])
      .distinctOn('customer_id')
      .orderBy('customer_id')
      .orderBy('number'),
  window: (k) =>
    k.selectFrom('lines').select((eb) => [
      'id',
      eb.fn
        .agg<number>('row_number')
        .over((ob) => ob.partitionBy('invoice_id').orderBy('place'))
        .as('r'),
    ]),
  filter: (k) => k.selectFrom('invoices').select((eb) => eb.fn.countAll().filterWhere('status', '=', 'paid').as('n')),
  aggOrder: (k) =>
    k.selectFrom('lines').select((eb) =>
      eb.fn
        .agg<string>('string_agg', ['title', sql.lit(',')])
        .orderBy('place')
        .as('t'),
    ),
  cte: (k) =>
    k
      .with('late', (q) => q.selectFrom('invoices').select(['id', 'number']).where('status', '=', 'sent'))
      .selectFrom('late')
      .selectAll(),
  cteRec: (k) =>
    k
      .withRecursive('r(n)', (q) =>
        q
          .selectFrom('lines')
          .select('place as n')
          .unionAll(
            q
              .selectFrom('r')
              .select((eb) => eb('r.n', '+', 1).as('n'))
              .where('r.n', '<', 5),
          ),
      )
      .selectFrom('r')
      .selectAll(),
  union: (k) => k.selectFrom('customers').select('id').union(k.selectFrom('invoices').select('id')),
  unionOrder: (k) =>
    k
      .selectFrom('customers')
      .select('name as n')
      .unionAll(k.selectFrom('invoices').select('number as n'))
      .orderBy('n')
      .limit(2),
  lateral: (k) =>
    k
      .selectFrom('customers as c')
      .leftJoinLateral(
        (eb) =>
          eb
            .selectFrom('invoices as i')
            .select('i.number')
            .whereRef('i.customer_id', '=', 'c.id')
            .orderBy('i.number')
            .limit(1)
            .as('last'),
        (j) => j.onTrue(),
      )
      .select(['c.name', 'last.number']),
  innerLateral: (k) =>
    k
      .selectFrom('customers as c')
      .innerJoinLateral(
        (eb) => eb.selectFrom('invoices as i').select('i.number').whereRef('i.customer_id', '=', 'c.id').as('x'),
        (j) => j.onTrue(),
      )
      .selectAll(),
  crossJoin: (k) => k.selectFrom('customers as c').crossJoin('lines as l').select(['c.id', 'l.title']),
  fullJoin: (k) =>
    k.selectFrom('customers as c').fullJoin('invoices as i', 'i.customer_id', 'c.id').select(['c.id', 'i.number']),
  derived: (k) => k.selectFrom((eb) => eb.selectFrom('invoices').select(['id', 'number']).as('t')).selectAll('t'),
  scalar: (k) =>
    k.selectFrom('customers as c').select((eb) => [
      'c.id',
      eb
        .selectFrom('invoices as i')
        .select((e) => e.fn.countAll().as('n'))
        .whereRef('i.customer_id', '=', 'c.id')
        .as('n'),
    ]),
  forUpdate: (k) => k.selectFrom('invoices').select('id').forUpdate(),
  skipLocked: (k) => k.selectFrom('invoices').select('id').forUpdate().skipLocked(),
  noKey: (k) => k.selectFrom('invoices').select('id').forNoKeyUpdate().noWait(),
  insert: (k, u) => k.insertInto('customers').values({ name: 'n1', created_by: u }).returning('id'),
  insertMany: (k, u) =>
    k
      .insertInto('customers')
      .values([
        { name: 'n2', created_by: u },
        { name: 'n3', created_by: u, email: 'x' },
      ])
      .returningAll(),
  insertNoRet: (k, u) =>
    k
      .insertInto('customers')
      .values({ name: 'n4', created_by: u, tags: ['a'], settings: JSON.stringify({ net: 1 }) as never }),
  insertSelect: (k) =>
    k
      .insertInto('customers')
      .columns(['name', 'created_by'])
      .expression((eb) => eb.selectFrom('customers').select([sql<string>`name || 'x'`.as('name'), 'created_by'])),
  conflictNothingBare: (k, u) =>
    k
      .insertInto('customers')
      .values({ name: 'c1', created_by: u })
      .onConflict((oc) => oc.doNothing()),
  conflictUpdate: (k, u) =>
    k
      .insertInto('customers')
      .values({ name: 'c1', created_by: u })
      .onConflict((oc) =>
        oc.columns(['tenant_id' as never, 'name']).doUpdateSet({ email: (eb) => eb.ref('excluded.email') }),
      )
      .returning('id'),
  conflictUpdate2: (k, u) =>
    k
      .insertInto('customers')
      .values({ name: 'c1', created_by: u })
      .onConflict((oc) =>
        oc
          .columns(['tenant_id' as never, 'name'])
          .doUpdateSet({ email: 'z' })
          .where('customers.email', 'is', null),
      )
      .returning('id'),
  update: (k) => k.updateTable('invoices').set({ status: 'sent' }).where('id', '=', ID),
  updateExpr: (k) =>
    k
      .updateTable('lines')
      .set((eb) => ({ place: eb('place', '+', 1) }))
      .where('id', '=', ID)
      .returning(['id', 'place']),
  updateFrom: (k) =>
    k
      .updateTable('invoices')
      .from('customers')
      .set({ status: 'paid' })
      .whereRef('customers.id', '=', 'invoices.customer_id')
      .where('customers.name', '=', 'x')
      .returning('invoices.id'),
  updateAlias: (k) => k.updateTable('invoices as i').set({ status: 'paid' }).where('i.id', '=', ID).returningAll(),
  updateSub: (k) =>
    k
      .updateTable('invoices')
      .set({
        total: (eb) =>
          eb
            .selectFrom('lines')
            .select((e) => e.fn.coalesce(e.fn.sum<string>('cents'), e.lit(0)).as('s'))
            .whereRef('lines.invoice_id', '=', 'invoices.id') as never,
      })
      .where('id', '=', ID),
  delete: (k) => k.deleteFrom('lines').where('id', '=', ID),
  deleteUsing: (k) =>
    k
      .deleteFrom('lines')
      .using('invoices')
      .whereRef('invoices.id', '=', 'lines.invoice_id')
      .where('invoices.status', '=', 'draft')
      .returningAll('lines'),
  deleteRet: (k) => k.deleteFrom('lines').where('id', '=', ID).returning(['id', 'title']),
  cteWrite: (k, u) =>
    k
      .with('made', (q) => q.insertInto('customers').values({ name: 'cte', created_by: u }).returning(['id', 'name']))
      .selectFrom('made')
      .selectAll(),
  conflictConstraint: (k, u) =>
    k
      .insertInto('customers')
      .values({ name: 'c1', created_by: u })
      .onConflict((oc) => oc.constraint('customers_tenant_id_name_key').doNothing()),
  schemaJoin: (k) =>
    k
      .withSchema('app')
      .selectFrom('invoices')
      .innerJoin('customers', 'customers.id', 'invoices.customer_id')
      .select(['invoices.number', 'customers.name'])
      .where('invoices.status', '=', 'draft'),
  schemaUpdate: (k) =>
    k
      .withSchema('app')
      .updateTable('invoices')
      .set({ status: 'sent' })
      .where('invoices.id', '=', ID)
      .returning('invoices.id'),
  withSchema: (k) => k.withSchema('app').selectFrom('invoices').select('id'),
  schemaName: (k) => k.selectFrom('app.invoices' as 'invoices').select('id'),
  rawFragment: (k) =>
    k
      .selectFrom('invoices')
      .select(sql<string>`upper(${sql.ref('number')})`.as('u'))
      .where(sql<boolean>`length(number) > ${1}`),
  dateTrunc: (k) =>
    k
      .selectFrom('customers')
      .select([sql`date_trunc('month', created_at)`.as('m'), (eb) => eb.fn.countAll().as('n')])
      .groupBy('m')
      .orderBy('m'),
  now: (k) => k.selectFrom('customers').select('id').where('created_at', '>', sql<Date>`now() - interval '1 day'`),
  tuple: (k) =>
    k
      .selectFrom('customers')
      .select('id')
      .where((eb) => eb(eb.refTuple('name', 'email'), 'in', [eb.tuple('a', 'b')])),
  nullsLast: (k) =>
    k
      .selectFrom('customers')
      .select('id')
      .orderBy('email', (ob) => ob.desc().nullsLast()),
  groupAll: (k) =>
    k
      .selectFrom('lines')
      .select((eb) => [
        'invoice_id',
        eb.fn.avg('cents').as('a'),
        eb.fn.max('cents').as('m'),
        eb.fn.min('cents').as('mi'),
      ])
      .groupBy('invoice_id'),
  fetch: (k) => k.selectFrom('lines').select('id').fetch(5),
  selectNoFrom: (k) =>
    k.selectNoFrom((eb) =>
      eb
        .selectFrom('lines')
        .select((e) => e.fn.countAll().as('n'))
        .as('n'),
    ),
  not: (k) =>
    k
      .selectFrom('lines')
      .select('id')
      .where((eb) => eb.not(eb('place', '=', 1))),
  regexp: (k) => k.selectFrom('customers').select('id').where('name', '~*', 'a'),
  arr: (k) =>
    k
      .selectFrom('customers')
      .select('id')
      .where('tags', '@>', sql<string[]>`${['a']}`),
  jsonContains: (k) =>
    k
      .selectFrom('customers')
      .select('id')
      .where('settings', '@>', sql<never>`${JSON.stringify({ net: 1 })}`),
}
describe('Kysely, as it is', () => {
  it.each(Object.entries(kyselyQueries))('%s', async (_, query) => {
    const answer = await answerOf((db) => query(kyselyOf<Shop>(db), caller().userId, caller().tenantId).execute())
    expect(answer).not.toContain('globex')
  })

  it('finds what is there', async () => {
    expect(await answerOf((db) => kyselyOf<Shop>(db).selectFrom('lines').select(['title', 'cents']).execute())).toBe(
      `[ { title: 'work for acme', cents: '5' } ]`,
    )
  })
})
