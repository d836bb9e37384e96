import type { FastifyInstance } from 'fastify'
import { body, caller, entityTag, expectedRevision, firstOf, HttpProblem, param, sql } from 'holdfast/fastify'
import { can, type Row } from '../../manifest.ts'
import { fields, idParams, text, uuid } from '../fields.ts'

const byId = sql<Row<'invoices', 'id' | 'number' | 'status' | 'customer_id' | 'revision'>>`
  SELECT id, number, status, customer_id, revision FROM invoices WHERE id = ${param('id')}`

export function invoiceRoutes(app: FastifyInstance): void {
  app.get<{ Querystring: { status?: string } }>(
    '/invoices',
    {
      config: { access: can('invoice:read') },
      schema: {
        querystring: {
          type: 'object',
          properties: { status: { enum: ['draft', 'sent', 'paid'] } },
          additionalProperties: false,
        },
      },
    },
    async ({ db, query }) => {
      const status = query.status ?? null
      const { rows } = await db.last(
        sql`SELECT id, number, status, customer_id FROM invoices
          WHERE ${status}::TEXT IS NULL OR status = ${status}::TEXT ORDER BY number LIMIT 200`,
      )
      return { invoices: rows }
    },
  )
  app.post(
    '/invoices',
    {
      config: {
        access: can('invoice:create', 'invoice:read'),
        first: sql`INSERT INTO invoices (customer_id, number, created_by)
          VALUES (${body('customer_id')}, ${body('number')}, ${caller('userId')}) RETURNING id, number, status`,
      },
      schema: { body: fields({ customer_id: uuid, number: text }) },
    },
    async (request, reply) => {
      reply.code(201)
      return request.first.rows[0]
    },
  )
  app.get(
    '/invoices/:id',
    {
      config: { access: can('invoice:read'), first: byId },
      schema: { params: idParams },
    },
    async (request, reply) => {
      const [invoice] = firstOf(request, byId).rows
      // somebody else's, or nobody's: one answer
      if (invoice === undefined) throw new HttpProblem('not_found')
      reply.header('etag', entityTag(invoice.revision))
      return invoice
    },
  )
  app.patch<{ Params: { id: string }; Body: { status: string } }>(
    '/invoices/:id',
    {
      config: { access: can('invoice:update', 'invoice:read') },
      schema: { params: idParams, body: fields({ status: { enum: ['draft', 'sent', 'paid'] } }) },
    },
    async ({ db, params: { id }, body: { status }, headers }, reply) => {
      // without If-Match 428; compared where it is written, so that nothing comes between
      const expected = expectedRevision(headers)
      const revisions = expected === 'any' ? null : expected
      const { rows } = await db<Row<'invoices', 'id' | 'number' | 'status' | 'revision'>>`
        UPDATE invoices SET status = ${status}, revision = revision + 1
        WHERE id = ${id} AND (${revisions}::INT8[] IS NULL OR revision = ANY (${revisions}::INT8[]))
        RETURNING id, number, status, revision`
      const [invoice] = rows
      if (invoice === undefined) {
        const found = await db.last(sql`SELECT id FROM invoices WHERE id = ${id}`)
        throw new HttpProblem(found.rows.length === 0 ? 'not_found' : 'precondition_failed')
      }
      reply.header('etag', entityTag(invoice.revision))
      return invoice
    },
  )
  app.delete(
    '/invoices/:id',
    {
      config: {
        access: can('invoice:delete', 'invoice:read'),
        first: sql`DELETE FROM invoices WHERE id = ${param('id')} RETURNING id`,
      },
      schema: { params: idParams },
    },
    async ({ first }, reply) => {
      if (first.rows.length === 0) throw new HttpProblem('not_found')
      reply.code(204)
      return undefined
    },
  )
}
