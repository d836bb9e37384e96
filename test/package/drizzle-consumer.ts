// Compiled against the packed package, as a user of Drizzle's compiler sees it.
import { eq, relations } from 'drizzle-orm'
import { bigint, pgTable, uuid } from 'drizzle-orm/pg-core'
import type { ScopedDatabase } from 'holdfast'
import { drizzleOf } from 'holdfast/drizzle'

const invoices = pgTable('invoices', { id: uuid('id').notNull(), total: bigint('total', { mode: 'bigint' }).notNull() })
const schema = { invoices, relations: relations(invoices, () => ({})) }

export async function totals(scoped: ScopedDatabase, id: string): Promise<bigint[]> {
  const db = drizzleOf(scoped, { schema })
  const rows = await db.select({ total: invoices.total }).from(invoices).where(eq(invoices.id, id))
  const found = await db.query.invoices.findFirst({ columns: { total: true } })
  // @ts-expect-error only this column was asked for
  void found?.id
  // @ts-expect-error its key would be the same for every tenant
  drizzleOf(scoped, { cache: undefined })
  return rows.map(({ total }) => total)
}
