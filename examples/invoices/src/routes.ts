import type { FastifyInstance } from 'fastify'
import { customerRoutes } from './routes/customers.ts'
import { invoiceRoutes } from './routes/invoices.ts'
import { lineRoutes } from './routes/lines.ts'
import { paymentRoutes } from './routes/payments.ts'

/** All routes of the application; Holdfast mounts them under its guard. */
export async function routes(app: FastifyInstance): Promise<void> {
  customerRoutes(app)
  invoiceRoutes(app)
  lineRoutes(app)
  paymentRoutes(app)
}
