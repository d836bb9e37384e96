import type { FastifyInstance } from 'fastify'
import { can } from '../../src/core/guard/access.ts'
import { body, param, sql } from '../../src/core/guard/sql.ts'

const name = {
  type: 'object',
  required: ['name'],
  additionalProperties: false,
  properties: { name: { type: 'string' } },
}

/**
 * Routes as a hurried developer writes them: rows by the client's id, and no tenant anywhere. Between the walls they must
 * be harmless; without walls they must not, or the table of routes could see nothing.
 */
export function carelessRoutes(app: FastifyInstance): void {
  app.get(
    '/careless/profiles/:user_id',
    {
      config: {
        access: can('profile:read'),
        first: sql`SELECT display_name, email FROM profiles WHERE user_id = ${param('user_id')}`,
      },
    },
    async (request) => request.first.rows,
  )
  app.get(
    '/careless/teams',
    { config: { access: can('team:read') } },
    async (request) => (await request.db.last('SELECT name FROM teams')).rows,
  )
  app.patch(
    '/careless/teams/:slug',
    { config: { access: can('team:read', 'team:update') }, schema: { body: name } },
    async (request) => {
      const { slug } = request.params as { slug: string }
      const { name: to } = request.body as { name: string }
      return { count: (await request.db.last(sql`UPDATE teams SET name = ${to} WHERE slug = ${slug}`)).rowCount }
    },
  )
  app.delete(
    '/careless/members/:user_id',
    { config: { access: can('team_member:read', 'team_member:delete') } },
    async (request) => {
      const { user_id: userId } = request.params as { user_id: string }
      return { count: (await request.db.last(sql`DELETE FROM team_members WHERE user_id = ${userId}`)).rowCount }
    },
  )
  app.post(
    '/careless/search',
    { config: { access: can('team:read', 'team_member:read', 'profile:read') }, schema: { body: name } },
    async (request) => {
      // text from the client in the statement: what is proven is the final text (CWE-89)
      const { name: fragment } = request.body as { name: string }
      return (await request.db.last(`(SELECT slug FROM teams WHERE slug = '' OR ${fragment})`)).rows
    },
  )
  app.put(
    '/careless/declared/:slug',
    {
      config: {
        access: can('team:read', 'team:update'),
        first: sql`UPDATE teams SET name = ${body('name')} WHERE slug = ${param('slug')} RETURNING name`,
      },
      schema: { body: name },
    },
    async (request) => request.first.rows,
  )
}
