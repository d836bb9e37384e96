import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Row } from '../../../core/database/statement.ts'
import { can } from '../../../core/guard/access.ts'
import { body as fromBody, caller, sql } from '../../../core/guard/sql.ts'
import { parseName } from '../../identity/name.ts'
import { name, strict, uuid } from '../fields.ts'
import { HttpProblem } from '../problem.ts'

const profile = strict({ id: uuid, display_name: Type.String(), email: Type.String() })
const change = strict({ display_name: name })

/** The caller's own profile in the tenant they work in. */
export function meRoutes(app: FastifyInstance): void {
  app.get(
    '/me',
    {
      config: {
        access: can('profile:read'),
        first: sql`SELECT user_id, display_name, email FROM profiles WHERE user_id = ${caller('userId')}`,
      },
      schema: { summary: 'My profile', tags: ['profile'], response: { 200: profile } },
    },
    async (request) => profileOf(request.first.rows),
  )

  app.patch<{ Body: Static<typeof change> }>(
    '/me',
    {
      config: {
        access: can('profile:read', 'profile:update'),
        idempotent: 'accepted',
        first: sql`UPDATE profiles SET display_name = ${fromBody('display_name')}, updated_at = now()
          WHERE user_id = ${caller('userId')} RETURNING user_id, display_name, email`,
      },
      schema: { summary: 'Change my display name', tags: ['profile'], body: change, response: { 200: profile } },
      preHandler: normaliseName,
    },
    // an update that touched no row is not a success
    async (request) => profileOf(request.first.rows),
  )
}

/** The declared statement takes the name from the body, so it is made what is stored before. */
async function normaliseName(request: FastifyRequest): Promise<void> {
  const body = request.body as Static<typeof change>
  body.display_name = parseName(body.display_name, 'display_name_invalid')
}

/** @throws HttpProblem `not_found`: a service account is a member, and has no profile */
function profileOf([row]: readonly Row[]): Static<typeof profile> {
  if (row === undefined) throw new HttpProblem('not_found')
  return { id: String(row['user_id']), display_name: String(row['display_name']), email: String(row['email']) }
}
