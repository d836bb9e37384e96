import type { Static } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { can } from '../../../core/guard/access.ts'
import { body as fromBody, caller, sql } from '../../../core/guard/sql.ts'
import { parseName } from '../../identity/name.ts'
import { name, slug, strict, uuid } from '../fields.ts'
import { HttpProblem } from '../problem.ts'

const team = strict({ slug, name })
const teamView = strict({ id: uuid, slug, name })

/** Teams of the caller's tenant. */
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
        request.body.name = parseTeamName(request.body.name)
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
