import type { FastifyInstance } from 'fastify'
import { HttpProblem, param, sql } from 'holdfast/fastify'
import { can } from '../../manifest.ts'
import { cents, fields, idParams, text } from '../fields.ts'

export function lineRoutes(app: FastifyInstance): void {
  app.get(
    '/invoices/:id/lines',
    {
      config: {
        access: can('line:read', 'invoice:read'),
        first: sql`SELECT l.id, l.title, l.cents FROM lines l JOIN invoices i ON i.id = l.invoice_id
          WHERE i.id = ${param('id')} ORDER BY l.title, l.id LIMIT 200`,
      },
      schema: { params: idParams },
    },
    async ({ first }) => ({ lines: first.rows }),
  )
  app.post<{ Params: { id: string }; Body: { title: string; cents: number } }>(
    '/invoices/:id/lines',
    {
      config: {
        access: can('line:create', 'line:read', 'invoice:read'),
        // under reach own only one's own invoice is found: the foreign key alone would take a colleague's
        first: sql`SELECT id FROM invoices WHERE id = ${param('id')}`,
        more: true,
      },
      schema: { params: idParams, body: fields({ title: text, cents }) },
    },
    async ({ first, db, body: { title, cents: amount }, params, caller }, reply) => {
      if (first.rows.length === 0) throw new HttpProblem('not_found')
      reply.code(201)
      const { rows } = await db.last(
        sql`INSERT INTO lines (invoice_id, title, cents, created_by)
          VALUES (${params.id}, ${title}, ${amount}, ${caller.userId}) RETURNING id, title, cents`,
      )
      return rows[0]
    },
  )
}
