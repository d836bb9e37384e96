import type { FastifyRequest } from 'fastify'
import type { Result } from '../../core/database/statement.ts'
import type { Sql } from '../../core/guard/sql.ts'
import { GuardMisuse } from './passage.ts'

/**
 * The result of the statement that the route declares, with the type of its rows. Fastify's own types lose it on the way
 * from `config` to the request as soon as a route names one type of its own.
 * @throws GuardMisuse when the route declares another statement: the type would be a lie
 * @example
 * const byId = sql<Invoice>`SELECT id, total FROM invoices WHERE id = ${param('id')}`
 * app.get('/invoices/:id', { config: { access, first: byId } }, async (request) => firstOf(request, byId).rows[0])
 */
export function firstOf<R extends object>(request: FastifyRequest, statement: Sql<R>): Result<R> {
  if ((request.routeOptions.config.first as unknown) !== statement) {
    throw new GuardMisuse('firstOf() takes the very statement that the route declares as its first.')
  }
  return request.first as Result<never>
}
