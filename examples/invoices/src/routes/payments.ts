import type { FastifyInstance } from 'fastify'
import { body, caller, param, sql } from 'holdfast/fastify'
import { can } from '../../manifest.ts'
import { cents, fields, idParams } from '../fields.ts'

export function paymentRoutes(app: FastifyInstance): void {
  app.post(
    '/invoices/:id/payments',
    {
      config: {
        access: can('payment:create', 'payment:read', 'invoice:read'),
        first: sql`INSERT INTO payments (invoice_id, cents, paid_on, created_by)
          VALUES (${param('id')}, ${body('cents')}, ${body('paid_on')}, ${caller('userId')}) RETURNING id, cents`,
      },
      schema: { params: idParams, body: fields({ cents, paid_on: { type: 'string', format: 'date' } }) },
    },
    async ({ first }, reply) => {
      reply.code(201)
      return first.rows[0]
    },
  )
}
