import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { StatementError } from '../../../core/database/errors.ts'
import type { Row } from '../../../core/database/statement.ts'
import { can } from '../../../core/guard/access.ts'
import { body as fromBody, caller, param, query, sql } from '../../../core/guard/sql.ts'
import { IdentityError } from '../../identity/errors.ts'
import { parseName } from '../../identity/name.ts'
import { conditional, entityTag, expectedRevision } from '../entity-tag.ts'
import { name, pathSlug, slug, strict, uuid } from '../fields.ts'
import { createList } from '../list.ts'
import { nextCursor, pageFields } from '../page.ts'
import { HttpProblem } from '../problem.ts'
import type { RouteContext } from './route-context.ts'

const team = strict({ slug, name })
const change = Type.Partial(team, { additionalProperties: false, minProperties: 1 })
const teamView = strict({ id: uuid, slug, name })
const params = strict({ slug: pathSlug })
const listQuery = strict({
  name: Type.Optional(Type.String({ maxLength: 200, description: 'Part of the name, in capitals or not' })),
  ...pageFields,
})

/** Teams of the caller's tenant. */
export function teamRoutes(app: FastifyInstance, { cursors }: RouteContext): void {
  const list = createList(cursors, { route: 'teams', key: 'slug', before: '', shape: /^[a-z0-9-]{1,32}$/ })

  app.get<{ Querystring: Static<typeof listQuery> & { pattern?: string } }>(
    '/teams',
    {
      config: {
        access: can('team:read'),
        first: sql`SELECT id, slug, name FROM teams
          WHERE slug > ${query('after')} AND name ILIKE ${query('pattern')}
          ORDER BY slug LIMIT ${query('take')}`,
      },
      schema: {
        summary: 'Teams of the tenant, by slug',
        tags: ['team'],
        querystring: listQuery,
        response: { 200: strict({ teams: Type.Array(teamView), next_cursor: nextCursor }) },
      },
      async preHandler(request) {
        await list.prepare(request)
        request.query.pattern = `%${literally(request.query.name ?? '')}%`
      },
    },
    async (request) => {
      const { rows, next_cursor } = list.page(request, request.first.rows, [request.query.name ?? ''])
      return { teams: rows.map(teamOf), next_cursor }
    },
  )

  app.get<{ Params: Static<typeof params> }>(
    '/teams/:slug',
    {
      config: {
        access: can('team:read'),
        first: sql`SELECT id, slug, name, revision FROM teams WHERE slug = ${param('slug')}`,
      },
      schema: {
        summary: 'A team, with its ETag',
        tags: ['team'],
        params,
        response: { 200: teamView },
      },
    },
    async (request, reply) => {
      const [row] = request.first.rows
      if (row === undefined) throw new HttpProblem('not_found')
      reply.header('etag', entityTag(row['revision']))
      return teamOf(row)
    },
  )

  app.post<{ Body: Static<typeof team> }>(
    '/teams',
    {
      config: {
        access: can('team:create', 'team:read', 'team_member:create'),
        idempotent: 'accepted',
        first: sql`INSERT INTO teams (slug, name, created_by)
          VALUES (${fromBody('slug')}, ${fromBody('name')}, ${caller('userId')}) RETURNING id, slug, name, revision`,
        more: true,
      },
      schema: {
        summary: 'Found a team',
        description: 'The caller is its first member and leads it. 409 where the tenant has the slug already.',
        tags: ['team'],
        body: team,
        response: { 201: teamView },
      },
      async preHandler(request) {
        request.body.name = parseTeamName(request.body.name)
      },
      errorHandler: tellTaken,
    },
    async (request, reply) => {
      const [row = {}] = request.first.rows
      const { userId } = request.caller
      await request.db.last(
        sql`INSERT INTO team_members (team_id, user_id, role) VALUES (${row['id']}, ${userId}, ${'lead'})`,
      )
      reply.code(201).header('etag', entityTag(row['revision']))
      return teamOf(row)
    },
  )

  app.patch<{ Params: Static<typeof params>; Body: Static<typeof change> }>(
    '/teams/:slug',
    {
      config: {
        access: can('team:read', 'team:update'),
        idempotent: 'accepted',
        // what is compared and what is written is one row of one moment (CWE-362)
        first: sql`UPDATE teams SET revision = revision + 1,
            slug = COALESCE(${fromBody('slug')}, slug), name = COALESCE(${fromBody('name')}, name)
          WHERE slug = ${param('slug')}
            AND (${fromBody('revisions')}::INT8[] IS NULL OR revision = ANY (${fromBody('revisions')}::INT8[]))
          RETURNING id, slug, name, revision`,
        more: true,
      },
      schema: {
        summary: 'Name a team otherwise, or give it another slug',
        description:
          'A role that reaches only its own teams changes those that it founded; others are 404. After a change of the slug the old one is 404, and free: nothing leads from it to the new one.',
        tags: ['team'],
        params,
        headers: conditional,
        body: change,
        response: { 200: teamView },
      },
      async preHandler(request) {
        const expected = expectedRevision(request.headers)
        const { name: to, slug: toSlug = null } = request.body
        Object.assign(request.body, {
          slug: toSlug,
          name: to === undefined ? null : parseTeamName(to),
          revisions: expected === 'any' ? null : expected,
        })
      },
      errorHandler: tellTaken,
    },
    async (request, reply) => {
      const [row] = request.first.rows
      if (row === undefined) {
        // locking a row asks for the reach of update: who cannot change it is not told that it has changed
        const there = await request.db.query(sql`SELECT id FROM teams WHERE slug = ${request.params.slug} FOR UPDATE`)
        throw new HttpProblem(there.rows.length === 0 ? 'not_found' : 'precondition_failed')
      }
      reply.header('etag', entityTag(row['revision']))
      return teamOf(row)
    },
  )

  app.delete<{ Params: Static<typeof params> }>(
    '/teams/:slug',
    {
      config: {
        access: can('team:read', 'team:delete'),
        idempotent: 'accepted',
        first: sql`DELETE FROM teams WHERE slug = ${param('slug')}
          AND (${query('revisions')}::INT8[] IS NULL OR revision = ANY (${query('revisions')}::INT8[])) RETURNING id`,
        more: true,
      },
      schema: {
        summary: 'Dissolve a team',
        description: 'Who was on it stays in the tenant.',
        tags: ['team'],
        params,
        headers: conditional,
        response: { 204: Type.Null() },
      },
      async preHandler(request) {
        const expected = expectedRevision(request.headers, { optional: true })
        Object.assign(request.query as object, { revisions: expected === 'any' ? null : (expected ?? null) })
      },
    },
    async (request, reply) => {
      if (request.first.rows.length === 0) {
        // asked under the reach of delete, and undone by what is thrown
        const there = await request.db.query(sql`DELETE FROM teams WHERE slug = ${request.params.slug} RETURNING id`)
        throw new HttpProblem(there.rows.length === 0 ? 'not_found' : 'precondition_failed')
      }
      reply.code(204)
    },
  )
}

function teamOf(row: Row): Static<typeof teamView> {
  return { id: String(row['id']), slug: String(row['slug']), name: String(row['name']) }
}

/** A text as LIKE takes it for itself: its wildcards are letters (CWE-155). */
function literally(text: string): string {
  return text.replace(/[\\%_]/g, String.raw`\$&`)
}

/** The slug is the only thing of a team that two cannot have. */
function tellTaken(error: Error): never {
  if (error instanceof StatementError && error.sqlstate === '23505')
    throw new IdentityError('slug_taken', { cause: error })
  throw error
}

/** @throws HttpProblem `team_name_invalid` */
function parseTeamName(text: string): string {
  try {
    // the same rules as for a tenant's
    return parseName(text, 'tenant_name_invalid')
  } catch (cause) {
    throw new HttpProblem('team_name_invalid', { cause })
  }
}
