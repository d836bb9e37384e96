import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { open } from '../../../core/guard/access.ts'
import { completeSignUp, signUp } from '../../identity/account.ts'
import { email, name, oneTimeToken, password, strict, tenantView, uuid } from '../fields.ts'
import { type RouteContext, traceOf } from './route-context.ts'

const asked = strict({ email })
const completed = strict({ token: oneTimeToken, password, display_name: name })
const accepted = strict({ status: Type.Literal('accepted') })
const created = strict({ user_id: uuid, email, tenant: Type.Union([tenantView, Type.Null()]) })

/** Signing up: first the address, then – with the mail's token – the password. */
export function signUpRoutes(app: FastifyInstance, { identity }: RouteContext): void {
  app.post<{ Body: Static<typeof asked> }>(
    '/sign-up',
    {
      config: { access: open('whoever signs up has no account yet') },
      schema: {
        summary: 'Ask for an account',
        description: 'The answer is the same for every address; a mail says how to go on.',
        tags: ['account'],
        body: asked,
        response: { 202: accepted },
      },
    },
    async (request, reply) => {
      await signUp(identity, request.body, traceOf(request))
      reply.code(202)
      return { status: 'accepted' as const }
    },
  )

  app.post<{ Body: Static<typeof completed> }>(
    '/sign-up/complete',
    {
      config: { access: open('the token of the mail is the credential') },
      schema: {
        summary: 'Make the account',
        description: 'With the token of a sign-up mail, or of an invitation.',
        tags: ['account'],
        body: completed,
        response: { 201: created },
      },
    },
    async (request, reply) => {
      const { token, password: chosen, display_name: displayName } = request.body
      const done = await completeSignUp(identity, { token, password: chosen, displayName }, traceOf(request))
      reply.code(201)
      return { user_id: done.userId, email: done.email, tenant: done.tenant }
    },
  )
}
