import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { can } from '../../../core/guard/access.ts'
import { body as fromBody, caller, param, sql } from '../../../core/guard/sql.ts'
import { parseName } from '../../identity/name.ts'
import { name, pathSlug, slug, strict, uuid } from '../fields.ts'
import { HttpProblem } from '../problem.ts'

const team = strict({ slug, name })
const teamView = strict({ id: uuid, slug, name })
const params = strict({ slug: pathSlug })
const member = strict({
  user_id: uuid,
  role: Type.Union([Type.Literal('lead'), Type.Literal('member')]),
  display_name: Type.Union([Type.String(), Type.Null()]),
})

/** Teams of the caller's tenant and who is on them. */
export function teamRoutes(app: FastifyInstance): void {
  app.post<{ Body: Static<typeof team> }>(
    '/teams',
    {
      config: {
        access: can('team:create', 'team:read', 'team_member:create'),
        first: sql`INSERT INTO teams (slug, name, created_by)
          VALUES (${fromBody('slug')}, ${fromBody('name')}, ${caller('userId')}) RETURNING id, slug, name`,
        more: true,
      },
      schema: {
        summary: 'Found a team',
        description: 'The caller is its first member and leads it.',
        tags: ['team'],
        body: team,
        response: { 201: teamView },
      },
      async preHandler(request) {
        request.body.name = parseName(request.body.name, 'tenant_name_invalid')
      },
    },
    async (request, reply) => {
      const [row] = request.first.rows
      const { userId } = request.caller
      await request.db.last(
        sql`INSERT INTO team_members (team_id, user_id, role) VALUES (${row?.['id']}, ${userId}, ${'lead'})`,
      )
      reply.code(201)
      return row
    },
  )

  app.get<{ Params: Static<typeof params> }>(
    '/teams/:slug/members',
    {
      config: {
        access: can('team:read', 'team_member:read', 'profile:read'),
        // one row at least where there is the team; `own` is empty for a caller who is not on it, and so is all that follows
        first: sql`SELECT own.user_id AS own, m.user_id, m.role, p.display_name
          FROM teams t
          LEFT JOIN team_members own ON own.team_id = t.id AND own.user_id = ${caller('userId')}
          LEFT JOIN team_members m ON m.team_id = t.id AND own.user_id IS NOT NULL
          LEFT JOIN profiles p ON p.user_id = m.user_id
          WHERE t.slug = ${param('slug')}
          ORDER BY m.created_at, m.user_id`,
      },
      schema: {
        summary: 'Members of a team that I am on',
        description: '403 for a member of the tenant who is not on the team, 404 where the tenant has no such team.',
        tags: ['team'],
        params,
        response: { 200: strict({ members: Type.Array(member) }) },
      },
    },
    async (request) => {
      const { rows } = request.first
      if (rows[0] === undefined) throw new HttpProblem('not_found')
      if (rows[0]['own'] === null) throw new HttpProblem('not_on_team')
      return { members: rows.map(({ user_id, role, display_name }) => ({ user_id, role, display_name })) }
    },
  )
}
