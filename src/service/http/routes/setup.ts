import type { Static } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { open } from '../../../core/guard/access.ts'
import { completeSetup } from '../../identity/setup.ts'
import { email, name, oneTimeToken, password, slug, strict, tenantView, uuid } from '../fields.ts'
import { type RouteContext, traceOf } from './route-context.ts'

const body = strict({
  token: oneTimeToken,
  tenant: strict({ slug, name }),
  owner: strict({ email, password, display_name: name }),
})
const created = strict({ user_id: uuid, email, tenant: tenantView })

/** The first tenant and its owner, by the one-time token that the operator got. */
export function setupRoutes(app: FastifyInstance, { identity }: RouteContext): void {
  app.post<{ Body: Static<typeof body> }>(
    '/setup',
    {
      config: { access: open('the one-time token from the operator is the credential') },
      schema: { summary: 'Make a tenant and its owner', tags: ['start'], body, response: { 201: created } },
    },
    async (request, reply) => {
      const { token, tenant, owner } = request.body
      const input = { token, tenant, owner: { ...owner, displayName: owner.display_name } }
      const done = await completeSetup(identity, input, traceOf(request))
      reply.code(201)
      return { user_id: done.userId, email: done.email, tenant: done.tenant }
    },
  )
}
