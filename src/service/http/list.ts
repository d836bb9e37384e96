import type { FastifyRequest } from 'fastify'
import type { Row } from '../../core/database/statement.ts'
import type { Cursors } from './cursor.ts'
import { cutPage, limitOf } from './page.ts'

/** A list that goes on behind the last row's key, never by counting rows. */
export type List = {
  /**
   * For `preHandler`: the declared statement then takes `query('after')`, the key that it begins behind, and
   * `query('take')`, one row more than the page has. The caller is not judged yet, so the cursor is only peeked at.
   */
  prepare(request: FastifyRequest): Promise<void>
  /**
   * The page of a judged caller.
   * @param rows what the statement gave
   * @param filters what else it was narrowed by: the cursor is good for no other
   * @throws HttpProblem `cursor_invalid`
   */
  page(request: FastifyRequest, rows: readonly Row[], filters: readonly string[]): Page
}

type Page = { readonly rows: readonly Row[]; readonly next_cursor: string | null }
type ListQuery = { limit?: string; cursor?: string; after?: string; take?: number }

/**
 * A route's list.
 * @param options `route` names it in its cursors; `key` is the column that it is ordered by, unique inside the list;
 * `before` sorts before every key; `shape` is that of a key, so that nothing else reaches the database
 */
export function createList(
  cursors: Cursors,
  options: { readonly route: string; readonly key: string; readonly before: string; readonly shape: RegExp },
): List {
  const { route, key, before, shape } = options
  return {
    async prepare(request) {
      const query = request.query as ListQuery
      const [said = ''] = (query.cursor === undefined ? undefined : cursors.peek(query.cursor)) ?? []
      query.after = shape.test(said) ? said : before
      query.take = limitOf(query) + 1
    },
    page(request, rows, filters) {
      const query = request.query as ListQuery
      const scope = [route, request.caller.tenantId, ...filters]
      if (query.cursor !== undefined) cursors.open(scope, query.cursor)
      const { items, nextCursor } = cutPage(cursors, scope, rows, limitOf(query), (row) => String(row[key]))
      return { rows: items, next_cursor: nextCursor }
    },
  }
}
