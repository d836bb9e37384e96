import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import type { SignedIn } from '../../identity/session.ts'
import { instant, strict, tenantView, uuid } from '../fields.ts'
import { sessionCookie } from '../session-cookie.ts'

/** A session that has just begun. Its token is in the body or in the cookie, never in both. */
export const signedInView = strict({
  token: Type.Optional(Type.String()),
  token_type: Type.Optional(Type.Literal('Bearer')),
  expires_at: instant,
  user_id: uuid,
  tenant: Type.Union([tenantView, Type.Null()]),
  tenants: Type.Array(tenantView),
})

/** The answer to a session that has begun, by the transport that its owner asked for. */
export function viewOf(session: SignedIn, transport: 'bearer' | 'cookie', reply: FastifyReply) {
  if (transport === 'cookie') reply.header('set-cookie', sessionCookie(session.token, session.expiresAt))
  return {
    ...(transport === 'bearer' ? { token: session.token, token_type: 'Bearer' as const } : {}),
    expires_at: session.expiresAt,
    user_id: session.userId,
    tenant: session.tenant,
    tenants: [...session.tenants],
  }
}
