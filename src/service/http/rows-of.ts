import type { FastifyRequest } from 'fastify'
import type { RowStream } from '../../core/database/stream.ts'
import type { Sql } from '../../core/guard/sql.ts'
import { GuardMisuse } from './passage.ts'

/**
 * The rows of the stream that the route declares, with their type: `firstOf` for streams.
 * @throws GuardMisuse when the route declares another statement: the type would be a lie
 */
export function rowsOf<R extends object>(request: FastifyRequest, statement: Sql<R>): RowStream<R> {
  if ((request.routeOptions.config.stream as unknown) !== statement) {
    throw new GuardMisuse('rowsOf() takes the very statement that the route declares as its stream.')
  }
  return request.rows as RowStream<never>
}
