import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { StatementError } from '../../../core/database/errors.ts'
import { can } from '../../../core/guard/access.ts'
import { param, sql } from '../../../core/guard/sql.ts'
import { pathSlug, strict, uuid } from '../fields.ts'
import { HttpProblem } from '../problem.ts'

const params = strict({ slug: pathSlug, user_id: uuid })
const place = strict({ role: Type.Union([Type.Literal('lead'), Type.Literal('member')]) })
const placed = strict({ user_id: uuid, role: place.properties.role })

/** Putting a member of the tenant onto a team. */
export function teamMemberRoutes(app: FastifyInstance): void {
  app.put<{ Params: Static<typeof params>; Body: Static<typeof place> }>(
    '/teams/:slug/members/:user_id',
    {
      config: {
        access: can('team:read', 'team_member:read', 'team_member:create', 'team_member:update'),
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
        await request.db
          .last(sql`INSERT INTO team_members (team_id, user_id, role) VALUES (${teamId}, ${userId}, ${role})`)
          .catch(refuseStranger)
        reply.code(201)
      }
      return { user_id: userId, role }
    },
  )
}

/** A user of another tenant and one who is nowhere get the same answer (CWE-204). */
function refuseStranger(error: unknown): never {
  if (error instanceof StatementError && error.sqlstate === '23503')
    throw new HttpProblem('not_found', { cause: error })
  throw error
}
