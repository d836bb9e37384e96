import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { open, signedIn } from '../../../core/guard/access.ts'
import { credentialOf } from '../../../core/guard/credential.ts'
import { signOut } from '../../identity/session.ts'
import { signIn } from '../../identity/sign-in.ts'
import { refuseCrossSite } from '../cross-site.ts'
import { email, password, strict } from '../fields.ts'
import { endedCookie } from '../session-cookie.ts'
import { type RouteContext, traceOf } from './route-context.ts'
import { signedInView, viewOf } from './session-view.ts'

const body = strict({
  email,
  password,
  transport: Type.Optional(Type.Union([Type.Literal('bearer'), Type.Literal('cookie')])),
})

/** Beginning and ending a session. */
export function signInRoutes(app: FastifyInstance, { identity, origin }: RouteContext): void {
  app.post<{ Body: Static<typeof body> }>(
    '/sign-in',
    {
      config: { access: open('whoever signs in has no session yet') },
      schema: {
        summary: 'Sign in',
        description: 'The token is in the answer, or – with transport `cookie` – in a cookie.',
        tags: ['session'],
        body,
        response: { 200: signedInView },
      },
    },
    async (request, reply) => {
      const { transport = 'bearer', ...given } = request.body
      // else another site could sign a browser in to an account of its own (CWE-352)
      if (transport === 'cookie') refuseCrossSite(request.raw.rawHeaders, origin)
      const endedTokenHash = transport === 'cookie' ? cookieHash(request) : undefined
      const session = await signIn(identity, { ...given, endedTokenHash }, traceOf(request))
      return viewOf(session, transport, reply)
    },
  )

  app.post(
    '/sign-out',
    {
      config: { access: signedIn(), pool: 'identity' },
      schema: { summary: 'Sign out', tags: ['session'], response: { 204: Type.Null() } },
    },
    async (request, reply) => {
      await signOut(request.unit)
      if (isCookie(request)) reply.header('set-cookie', endedCookie)
      reply.code(204)
    },
  )
}

/** How the caller's credential came. */
export function transportOf(request: FastifyRequest): 'bearer' | 'cookie' {
  return credentialOf(request.raw.rawHeaders).transport
}

/** Whether the caller's browser holds a cookie that is worth nothing from now on. */
export function isCookie(request: FastifyRequest): boolean {
  return transportOf(request) === 'cookie'
}

/** The session whose cookie came along, which the new one replaces; nothing when there is none. */
function cookieHash(request: FastifyRequest): Buffer | undefined {
  try {
    const credential = credentialOf(request.raw.rawHeaders)
    return credential.transport === 'cookie' ? credential.hash : undefined
  } catch {
    return undefined
  }
}
