import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { signedIn } from '../../../core/guard/access.ts'
import { chooseTenant, listSessions, revokeAll, revokeSession, type SessionView } from '../../identity/session.ts'
import { instant, slugOrId, strict, uuid } from '../fields.ts'
import { endedCookie } from '../session-cookie.ts'
import { signedInView, viewOf } from './session-view.ts'
import { isCookie, transportOf } from './sign-in.ts'

const sessionView = strict({
  id: uuid,
  current: Type.Boolean(),
  tenant_id: Type.Union([uuid, Type.Null()]),
  assurance: Type.Union([Type.Literal('aal1'), Type.Literal('aal2')]),
  authenticated_at: instant,
  created_at: instant,
  last_seen_at: instant,
  expires_at: instant,
  user_agent: Type.String(),
})
const params = strict({ id: uuid })
const choice = strict({ tenant: slugOrId })

/** The caller's own sessions. */
export function sessionRoutes(app: FastifyInstance): void {
  app.get(
    '/sessions',
    {
      config: { access: signedIn(), pool: 'identity' },
      schema: {
        summary: 'List my sessions',
        tags: ['session'],
        response: { 200: strict({ sessions: Type.Array(sessionView) }) },
      },
    },
    async (request) => ({ sessions: (await listSessions(request.unit)).map(rowOf) }),
  )

  app.delete<{ Params: Static<typeof params> }>(
    '/sessions/:id',
    {
      config: { access: signedIn(), pool: 'identity' },
      schema: { summary: 'End one of my sessions', tags: ['session'], params, response: { 204: Type.Null() } },
    },
    async (request, reply) => {
      await revokeSession(request.unit, request.params.id)
      reply.code(204)
    },
  )

  app.delete(
    '/sessions',
    {
      config: { access: signedIn(), pool: 'identity' },
      schema: { summary: 'End all my sessions, this one too', tags: ['session'], response: { 204: Type.Null() } },
    },
    async (request, reply) => {
      await revokeAll(request.unit)
      if (isCookie(request)) reply.header('set-cookie', endedCookie)
      reply.code(204)
    },
  )

  app.post<{ Body: Static<typeof choice> }>(
    '/session/tenant',
    {
      config: { access: signedIn(), pool: 'identity' },
      schema: {
        summary: 'Choose the tenant that I work in',
        description:
          'Gives a new token; the old one ends. This is what a request needs that is answered `tenant_not_selected`.',
        tags: ['session'],
        body: choice,
        response: { 200: signedInView },
      },
    },
    async (request, reply) => {
      const session = await chooseTenant(request.unit, request.body.tenant)
      return viewOf(session, transportOf(request), reply)
    },
  )
}

function rowOf(session: SessionView): Static<typeof sessionView> {
  return {
    id: session.id,
    current: session.current,
    tenant_id: session.tenantId,
    assurance: session.assurance,
    authenticated_at: session.authenticatedAt,
    created_at: session.createdAt,
    last_seen_at: session.lastSeenAt,
    expires_at: session.expiresAt,
    user_agent: session.userAgent,
  }
}
