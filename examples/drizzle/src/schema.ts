import { relations } from 'drizzle-orm'
import { pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

const created = timestamp('created_at', { withTimezone: true }).notNull().defaultNow()

/** The tables as Drizzle wants them: no tenant in sight. */
export const tickets = pgTable('tickets', {
  id: uuid('id').notNull().defaultRandom(),
  reportedBy: uuid('reported_by').notNull(),
  title: text('title').notNull(),
  status: text('status', { enum: ['open', 'closed'] })
    .notNull()
    .default('open'),
  createdAt: created,
})
export const comments = pgTable('comments', {
  id: uuid('id').notNull().defaultRandom(),
  writtenBy: uuid('written_by').notNull(),
  ticketId: uuid('ticket_id').notNull(),
  body: text('body').notNull(),
  createdAt: created,
})

export const schema = {
  tickets,
  comments,
  ticketRelations: relations(tickets, ({ many }) => ({ comments: many(comments) })),
  commentRelations: relations(comments, ({ one }) => ({
    ticket: one(tickets, { fields: [comments.ticketId], references: [tickets.id] }),
  })),
}
