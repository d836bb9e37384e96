import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { can, signedIn } from '../../../core/guard/access.ts'
import { createTenant, listTenants, type RevisedTenant, readOwnTenant, renameTenant } from '../../tenancy/tenant.ts'
import { conditional, entityTag, expectedRevision } from '../entity-tag.ts'
import { instant, name, slug, strict, tenantView } from '../fields.ts'
import { HttpProblem } from '../problem.ts'
import type { RouteContext } from './route-context.ts'

const body = strict({ slug, name })
const change = strict({ name })
const ownTenant = strict({ ...tenantView.properties, created_at: instant })

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

  app.get(
    '/tenant',
    {
      config: { access: can('tenant:read'), pool: 'identity' },
      schema: { summary: 'The tenant that I work in', tags: ['tenant'], response: { 200: ownTenant } },
    },
    async (request, reply) => {
      const tenant = await readOwnTenant(request.unit)
      reply.header('etag', entityTag(tenant.revision))
      return viewOf(tenant)
    },
  )

  app.patch<{ Body: Static<typeof change>; Headers: Static<typeof conditional> }>(
    '/tenant',
    {
      config: { access: can('tenant:read', 'tenant:update'), pool: 'identity', idempotent: 'accepted' },
      schema: {
        summary: 'Rename the tenant that I work in',
        tags: ['tenant'],
        headers: conditional,
        body: change,
        response: { 200: ownTenant },
      },
    },
    async (request, reply) => {
      const expected = expectedRevision(request.headers)
      const renamed = await renameTenant(request.unit, { name: request.body.name, expected })
      if (renamed === undefined) throw new HttpProblem('precondition_failed')
      reply.header('etag', entityTag(renamed.revision))
      return viewOf(renamed)
    },
  )
}

function viewOf({ id, slug: label, name: shown, role, createdAt }: RevisedTenant): Static<typeof ownTenant> {
  return { id, slug: label, name: shown, role, created_at: createdAt }
}
