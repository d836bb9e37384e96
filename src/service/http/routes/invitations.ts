import type { Static } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { can, signedIn } from '../../../core/guard/access.ts'
import { acceptInvitation, createInvitation } from '../../tenancy/invitation.ts'
import { email, instant, oneTimeToken, role, strict, tenantView, uuid } from '../fields.ts'
import type { RouteContext } from './route-context.ts'

const body = strict({ email, role })
const invited = strict({ id: uuid, email, role, expires_at: instant })
const accepted = strict({ token: oneTimeToken })

/** Invitations into the caller's tenant, and the acceptance of one's own. */
export function invitationRoutes(app: FastifyInstance, { identity }: RouteContext): void {
  app.post<{ Body: Static<typeof body> }>(
    '/invitations',
    {
      config: { access: can('invitation:create'), pool: 'identity' },
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
