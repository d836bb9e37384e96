import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { can } from '../../../core/guard/access.ts'
import { changeMember, listMembers, type Member, readMember, removeMember } from '../../tenancy/member.ts'
import { conditional, entityTag, expectedRevision } from '../entity-tag.ts'
import { instant, role, strict, uuid } from '../fields.ts'
import { nextCursor, pageFields, readPage } from '../page.ts'
import { HttpProblem } from '../problem.ts'
import type { RouteContext } from './route-context.ts'

const params = strict({ user_id: uuid })
const query = strict({ role: Type.Optional(role), ...pageFields })
const change = strict({ role })
const member = strict({
  user_id: uuid,
  kind: Type.Union([Type.Literal('person'), Type.Literal('service')]),
  role: Type.String(),
  display_name: Type.String(),
  email: Type.Union([Type.String(), Type.Null()]),
  joined_at: instant,
})

/** Members of the caller's tenant. */
export function memberRoutes(app: FastifyInstance, { cursors }: RouteContext): void {
  app.get<{ Querystring: Static<typeof query> }>(
    '/members',
    {
      config: { access: can('member:read'), pool: 'identity' },
      schema: {
        summary: 'List the members of my tenant',
        tags: ['tenant'],
        querystring: query,
        response: { 200: strict({ members: Type.Array(member), next_cursor: nextCursor }) },
      },
    },
    async ({ unit, query: asked }) => {
      const filter = asked.role ?? ''
      const scope = ['members', unit.caller.tenantId, filter]
      const read = (page: { after: string; size: number }) => listMembers(unit, { ...page, role: filter })
      const page = await readPage(cursors, scope, asked, read, ({ userId }) => userId)
      return { members: page.items.map(viewOf), next_cursor: page.nextCursor }
    },
  )

  app.get<{ Params: Static<typeof params> }>(
    '/members/:user_id',
    {
      config: { access: can('member:read'), pool: 'identity' },
      schema: { summary: 'A member of my tenant', tags: ['tenant'], params, response: { 200: member } },
    },
    async (request, reply) => {
      const found = await readMember(request.unit, request.params.user_id)
      reply.header('etag', entityTag(found.revision))
      return viewOf(found)
    },
  )

  app.patch<{ Params: Static<typeof params>; Body: Static<typeof change>; Headers: Static<typeof conditional> }>(
    '/members/:user_id',
    {
      config: { access: can('member:read', 'member:update'), pool: 'identity', idempotent: 'accepted' },
      schema: {
        summary: 'Give a member another role',
        description:
          'Nobody gives a role above their own, or changes a member who is above them. The last owner stays one.',
        tags: ['tenant'],
        params,
        headers: conditional,
        body: change,
        response: { 200: member },
      },
    },
    async (request, reply) => {
      const expected = expectedRevision(request.headers)
      const { user_id: userId } = request.params
      const changed = await changeMember(request.unit, { userId, role: request.body.role, expected })
      if (changed === undefined) throw new HttpProblem('precondition_failed')
      reply.header('etag', entityTag(changed.revision))
      return viewOf(changed)
    },
  )

  app.delete<{ Params: Static<typeof params>; Headers: Static<typeof conditional> }>(
    '/members/:user_id',
    {
      config: { access: can('member:delete'), pool: 'identity', idempotent: 'accepted' },
      schema: {
        summary: 'Remove a member from my tenant',
        description: 'Their profile and places on teams go with it. The last owner cannot be removed.',
        tags: ['tenant'],
        params,
        headers: conditional,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const expected = expectedRevision(request.headers, { optional: true }) ?? 'any'
      const { user_id: userId } = request.params
      if (!(await removeMember(request.unit, { userId, expected }))) throw new HttpProblem('precondition_failed')
      reply.code(204)
    },
  )
}

function viewOf({ userId, kind, role: held, displayName, email, joinedAt }: Member): Static<typeof member> {
  return { user_id: userId, kind, role: held, display_name: displayName, email, joined_at: joinedAt }
}
