import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { signedIn } from '../../../core/guard/access.ts'
import { createTenant, listTenants } from '../../tenancy/tenant.ts'
import { name, slug, strict, tenantView } from '../fields.ts'
import type { RouteContext } from './route-context.ts'

const body = strict({ slug, name })

/** The caller's tenants. */
export function tenantRoutes(app: FastifyInstance, { identity }: RouteContext): void {
  app.get(
    '/tenants',
    {
      config: { access: signedIn(), pool: 'identity' },
      schema: {
        summary: 'List my tenants',
        tags: ['tenant'],
        response: { 200: strict({ tenants: Type.Array(tenantView) }) },
      },
    },
    async (request) => ({ tenants: await listTenants(request.unit) }),
  )

  app.post<{ Body: Static<typeof body> }>(
    '/tenants',
    {
      config: { access: signedIn(), pool: 'identity' },
      schema: {
        summary: 'Found a tenant',
        description: 'Where sign-up is open. The caller becomes its owner.',
        tags: ['tenant'],
        body,
        response: { 201: tenantView },
      },
    },
    async (request, reply) => {
      const tenant = await createTenant(request.unit, identity, request.body)
      reply.code(201)
      return tenant
    },
  )
}
