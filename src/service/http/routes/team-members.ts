import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { StatementError } from '../../../core/database/errors.ts'
import { can } from '../../../core/guard/access.ts'
import { caller, param, query, sql } from '../../../core/guard/sql.ts'
import { pathSlug, strict, uuid } from '../fields.ts'
import { createList } from '../list.ts'
import { BEFORE_ALL, nextCursor, pageFields } from '../page.ts'
import { HttpProblem } from '../problem.ts'
import type { RouteContext } from './route-context.ts'

const teamParams = strict({ slug: pathSlug })
const listQuery = strict(pageFields)
const params = strict({ slug: pathSlug, user_id: uuid })
const place = strict({ role: Type.Union([Type.Literal('lead'), Type.Literal('member')]) })
const placed = strict({ user_id: uuid, role: place.properties.role })
const member = strict({
  user_id: uuid,
  role: place.properties.role,
  display_name: Type.Union([Type.String(), Type.Null()]),
})

/** Who is on a team. */
export function teamMemberRoutes(app: FastifyInstance, { cursors }: RouteContext): void {
  const list = createList(cursors, {
    route: 'team members',
    key: 'user_id',
    before: BEFORE_ALL,
    shape: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  })

  app.get<{ Params: Static<typeof teamParams> }>(
    '/teams/:slug/members',
    {
      config: {
        access: can('team:read', 'team_member:read', 'profile:read'),
        // one row at least where there is the team; `own` is empty for a caller who is not on it, and so is all that follows
        first: sql`SELECT own.user_id AS own, m.user_id, m.role, p.display_name
          FROM teams t
          LEFT JOIN team_members own ON own.team_id = t.id AND own.user_id = ${caller('userId')}
          LEFT JOIN team_members m ON m.team_id = t.id AND own.user_id IS NOT NULL AND m.user_id > ${query('after')}
          LEFT JOIN profiles p ON p.user_id = m.user_id
          WHERE t.slug = ${param('slug')}
          ORDER BY m.user_id LIMIT ${query('take')}`,
      },
      schema: {
        summary: 'Members of a team that I am on, by id',
        description: '403 for a member of the tenant who is not on the team, 404 where the tenant has no such team.',
        tags: ['team'],
        params: teamParams,
        querystring: listQuery,
        response: { 200: strict({ members: Type.Array(member), next_cursor: nextCursor }) },
      },
      async preHandler(request) {
        await list.prepare(request)
      },
    },
    async (request) => {
      const { rows } = request.first
      if (rows[0] === undefined) throw new HttpProblem('not_found')
      if (rows[0]['own'] === null) throw new HttpProblem('not_on_team')
      // a page behind the last member has the team's row, and nobody in it
      const members = rows.filter((row) => row['user_id'] !== null)
      const page = list.page(request, members, [request.params.slug])
      return {
        members: page.rows.map(({ user_id, role, display_name }) => ({ user_id, role, display_name })),
        next_cursor: page.next_cursor,
      }
    },
  )

  app.put<{ Params: Static<typeof params>; Body: Static<typeof place> }>(
    '/teams/:slug/members/:user_id',
    {
      config: {
        access: can('team:read', 'team_member:read', 'team_member:create', 'team_member:update'),
        idempotent: 'accepted',
        first: sql`SELECT id FROM teams WHERE slug = ${param('slug')}`,
        more: true,
      },
      schema: {
        summary: 'Put a member of the tenant onto a team, or give them another role there',
        tags: ['team'],
        params,
        body: place,
        response: { 200: placed, 201: placed },
      },
    },
    async (request, reply) => {
      const teamId = request.first.rows[0]?.['id']
      if (teamId === undefined) throw new HttpProblem('not_found')
      const { user_id: userId } = request.params
      const { role } = request.body
      const { rowCount } = await request.db.query(
        sql`UPDATE team_members SET role = ${role} WHERE team_id = ${teamId} AND user_id = ${userId}`,
      )
      if (rowCount === 0) {
        // somebody else may add them at this moment: whoever comes second collides, comes again, and finds them there
        await request.db
          .last(
            sql`INSERT INTO team_members (team_id, user_id, role) VALUES (${teamId}, ${userId}, ${role})
              ON CONFLICT (tenant_id, team_id, user_id) DO UPDATE SET role = ${role}`,
          )
          .catch(refuseStranger)
        reply.code(201)
      }
      return { user_id: userId, role }
    },
  )

  app.delete<{ Params: Static<typeof params> }>(
    '/teams/:slug/members/:user_id',
    {
      config: {
        access: can('team:read', 'team_member:read', 'team_member:delete'),
        idempotent: 'accepted',
        first: sql`DELETE FROM team_members WHERE user_id = ${param('user_id')}
          AND team_id = (SELECT id FROM teams WHERE slug = ${param('slug')}) RETURNING user_id`,
      },
      schema: {
        summary: 'Take a member off a team, or leave it',
        description: 'A role that reaches only its own place can leave; others on the team are 404 to it.',
        tags: ['team'],
        params,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      if (request.first.rows.length === 0) throw new HttpProblem('not_found')
      reply.code(204)
    },
  )
}

/** A user of another tenant and one who is nowhere get the same answer (CWE-204). */
function refuseStranger(error: unknown): never {
  if (error instanceof StatementError && error.sqlstate === '23503')
    throw new HttpProblem('not_found', { cause: error })
  throw error
}
