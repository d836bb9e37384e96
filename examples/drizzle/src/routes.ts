import { asc, count, desc, eq } from 'drizzle-orm'
import type { FastifyInstance } from 'fastify'
import { drizzleOf } from 'holdfast/drizzle'
import { HttpProblem } from 'holdfast/fastify'
import { can } from '../manifest.ts'
import { fields, idParams, text } from './fields.ts'
import { comments, schema, tickets } from './schema.ts'

/** All routes of the application; Holdfast mounts them under its guard. */
export async function routes(app: FastifyInstance): Promise<void> {
  app.get('/tickets', { config: { access: can('ticket:read') } }, async ({ db }) => {
    const found = await drizzleOf(db)
      .select({ id: tickets.id, title: tickets.title, status: tickets.status })
      .from(tickets)
      .orderBy(desc(tickets.createdAt), asc(tickets.id))
      .limit(200)
    return { tickets: found }
  })

  app.get<{ Params: { id: string } }>(
    '/tickets/:id',
    { config: { access: can('ticket:read', 'comment:read') }, schema: { params: idParams } },
    async ({ db, params }) => {
      const ticket = await drizzleOf(db, { schema }).query.tickets.findFirst({
        columns: { id: true, title: true, status: true },
        where: eq(tickets.id, params.id),
        with: { comments: { columns: { body: true }, orderBy: [asc(comments.createdAt)], limit: 100 } },
      })
      // somebody else's, or nobody's: one answer
      if (ticket === undefined) throw new HttpProblem('not_found')
      return ticket
    },
  )

  app.post<{ Body: { title: string; body: string } }>(
    '/tickets',
    {
      config: { access: can('ticket:create', 'ticket:read', 'comment:create') },
      schema: { body: fields({ title: text, body: text }) },
    },
    async ({ db, body: { title, body }, caller }, reply) => {
      const drizzle = drizzleOf(db)
      const [ticket] = await drizzle
        .insert(tickets)
        .values({ title, reportedBy: caller.userId })
        .returning({ id: tickets.id, status: tickets.status })
      if (ticket === undefined) throw new Error('INSERT gave no row')
      await drizzle.insert(comments).values({ ticketId: ticket.id, body, writtenBy: caller.userId })
      reply.code(201)
      return ticket
    },
  )

  app.post<{ Params: { id: string } }>(
    '/tickets/:id/close',
    { config: { access: can('ticket:read', 'ticket:update', 'comment:read') }, schema: { params: idParams } },
    async ({ db, params }) => {
      const drizzle = drizzleOf(db)
      // either both or neither
      return await drizzle.transaction(async (tx) => {
        const [ticket] = await tx
          .update(tickets)
          .set({ status: 'closed' })
          .where(eq(tickets.id, params.id))
          .returning({ id: tickets.id, status: tickets.status })
        if (ticket === undefined) throw new HttpProblem('not_found')
        const [told] = await tx.select({ comments: count() }).from(comments).where(eq(comments.ticketId, ticket.id))
        if (told?.comments === 0) throw new HttpProblem('conflict')
        return ticket
      })
    },
  )
}
