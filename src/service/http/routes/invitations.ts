import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { can, signedIn } from '../../../core/guard/access.ts'
import { acceptInvitation, createInvitation } from '../../tenancy/invitation.ts'
import { listInvitations, type PendingInvitation, withdrawInvitation } from '../../tenancy/pending-invitation.ts'
import { email, instant, oneTimeToken, role, strict, tenantView, uuid } from '../fields.ts'
import { nextCursor, pageFields, readPage } from '../page.ts'
import type { RouteContext } from './route-context.ts'

const body = strict({ email, role })
const invited = strict({ id: uuid, email, role, expires_at: instant })
const status = Type.Union([Type.Literal('pending'), Type.Literal('expired')])
const params = strict({ id: uuid })
const query = strict({ status: Type.Optional(status), ...pageFields })
const invitation = strict({
  id: uuid,
  email: Type.String(),
  role: Type.String(),
  status,
  invited_by: uuid,
  created_at: instant,
  expires_at: instant,
})
const accepted = strict({ token: oneTimeToken })

/** Invitations into the caller's tenant, and the acceptance of one's own. */
export function invitationRoutes(app: FastifyInstance, { identity, cursors }: RouteContext): void {
  app.get<{ Querystring: Static<typeof query> }>(
    '/invitations',
    {
      config: { access: can('invitation:read'), pool: 'identity' },
      schema: {
        summary: 'List the invitations into my tenant that are not accepted',
        tags: ['tenant'],
        querystring: query,
        response: { 200: strict({ invitations: Type.Array(invitation), next_cursor: nextCursor }) },
      },
    },
    async ({ unit, query: asked }) => {
      const filter = asked.status ?? ''
      const scope = ['invitations', unit.caller.tenantId, filter]
      const read = (page: { after: string; size: number }) => listInvitations(unit, { ...page, status: filter })
      const page = await readPage(cursors, scope, asked, read, ({ id }) => id)
      return { invitations: page.items.map(viewOf), next_cursor: page.nextCursor }
    },
  )

  app.delete<{ Params: Static<typeof params> }>(
    '/invitations/:id',
    {
      config: { access: can('invitation:delete'), pool: 'identity', idempotent: 'accepted' },
      schema: { summary: 'Take an invitation back', tags: ['tenant'], params, response: { 204: Type.Null() } },
    },
    async (request, reply) => {
      await withdrawInvitation(request.unit, request.params.id)
      reply.code(204)
    },
  )

  app.post<{ Body: Static<typeof body> }>(
    '/invitations',
    {
      config: { access: can('invitation:create'), pool: 'identity', idempotent: 'accepted' },
      schema: {
        summary: 'Invite an address into my tenant',
        description: 'The token goes to that address by mail, and to nobody else.',
        tags: ['tenant'],
        body,
        response: { 201: invited },
      },
    },
    async (request, reply) => {
      const { expiresAt, ...invitation } = await createInvitation(request.unit, identity, request.body)
      reply.code(201)
      return { ...invitation, expires_at: expiresAt }
    },
  )

  app.post<{ Body: Static<typeof accepted> }>(
    '/invitations/accept',
    {
      config: { access: signedIn(), pool: 'identity' },
      schema: {
        summary: 'Accept an invitation to my address',
        tags: ['tenant'],
        body: accepted,
        response: { 200: tenantView },
      },
    },
    async (request) => acceptInvitation(request.unit, request.body),
  )
}

function viewOf(pending: PendingInvitation): Static<typeof invitation> {
  const { id, role: offered, invitedBy, createdAt, expiresAt } = pending
  return {
    id,
    email: pending.email,
    role: offered,
    status: pending.status,
    invited_by: invitedBy,
    created_at: createdAt,
    expires_at: expiresAt,
  }
}
