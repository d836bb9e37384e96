import type { FastifyInstance } from 'fastify'
import { body, caller, sql } from 'holdfast/fastify'
import { can } from '../../manifest.ts'
import { fields, text } from '../fields.ts'

export function customerRoutes(app: FastifyInstance): void {
  app.get(
    '/customers',
    {
      config: {
        access: can('customer:read'),
        first: sql`SELECT id, name, email FROM customers ORDER BY name, id LIMIT 200`,
      },
    },
    async (request) => ({ customers: request.first.rows }),
  )
  app.post(
    '/customers',
    {
      config: {
        access: can('customer:create', 'customer:read'),
        first: sql`INSERT INTO customers (name, email, created_by)
          VALUES (${body('name')}, ${body('email')}, ${caller('userId')}) RETURNING id, name, email`,
      },
      schema: { body: fields({ name: text, email: text }) },
    },
    async (request, reply) => {
      reply.code(201)
      return request.first.rows[0]
    },
  )
}
