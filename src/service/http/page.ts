import { Type } from '@sinclair/typebox'
import { CURSOR_CHARACTERS, type Cursors } from './cursor.ts'

/** Rows of a page where the request says nothing: a screen or two. */
const PAGE_ROWS = 50

/** Before the first id: no generated UUID is nil (RFC 9562 section 5.9). */
export const BEFORE_ALL = '00000000-0000-0000-0000-000000000000'

/** The part of a query string that walks a list; 200 rows at most, for an answer of some 50 KiB (CWE-770). */
export const pageFields = {
  limit: Type.Optional(
    Type.String({
      pattern: '^(?:[1-9]|[1-9][0-9]|1[0-9][0-9]|200)$',
      description: `Rows of a page: 1 to 200, ${PAGE_ROWS} if nothing is said.`,
    }),
  ),
  cursor: Type.Optional(
    Type.String({ minLength: 1, maxLength: CURSOR_CHARACTERS, description: 'The next_cursor of the page before.' }),
  ),
}

/** Where the next page begins; null after the last. */
export const nextCursor = Type.Union([Type.String(), Type.Null()])

/**
 * One page of a list that is ordered by a UUID. One row more than the page is read, which says whether there is a next.
 * @param scope route, tenant and filters: a cursor is good for these alone
 * @throws HttpProblem `cursor_invalid`
 */
export async function readPage<Item>(
  cursors: Cursors,
  scope: readonly string[],
  asked: { readonly limit?: string; readonly cursor?: string },
  read: (page: { after: string; size: number }) => Promise<readonly Item[]>,
  keyOf: (item: Item) => string,
): Promise<{ items: readonly Item[]; nextCursor: string | null }> {
  const limit = limitOf(asked)
  const [after = BEFORE_ALL] = asked.cursor === undefined ? [] : cursors.open(scope, asked.cursor)
  const found = await read({ after, size: limit + 1 })
  return cutPage(cursors, scope, found, limit, keyOf)
}

/** Rows that a page has at most. */
export function limitOf({ limit }: { readonly limit?: string }): number {
  return limit === undefined ? PAGE_ROWS : Number(limit)
}

/** The page of what was found, which is one row more where there is a next page. */
export function cutPage<Item>(
  cursors: Cursors,
  scope: readonly string[],
  found: readonly Item[],
  limit: number,
  keyOf: (item: Item) => string,
): { items: readonly Item[]; nextCursor: string | null } {
  const items = found.slice(0, limit)
  const last = items.at(-1)
  const hasMore = found.length > limit && last !== undefined
  return { items, nextCursor: hasMore ? cursors.seal(scope, [keyOf(last)]) : null }
}
