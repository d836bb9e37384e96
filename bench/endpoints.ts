import type { AddressInfo } from 'node:net'
import fastify, { type FastifyInstance } from 'fastify'
import pg from 'pg'
import type { ConnectionAddress } from '../src/core/database/connection-target.ts'
import { createPool } from '../src/core/database/pool.ts'
import { can } from '../src/core/guard/access.ts'
import { createGuard } from '../src/core/guard/guard.ts'
import { body, param, sql } from '../src/core/guard/sql.ts'
import { createScope, loadKernel } from '../src/core/scope/scope.ts'
import { guardPlugin } from '../src/fastify.ts'
import { serviceManifest } from '../src/service/tenancy/manifest.ts'

/** Connections of each endpoint's pool. */
const POOL = 10

/** An application on loopback. */
export type Endpoint = { readonly origin: string; close(): Promise<void> }

const schema = {
  body: { type: 'object', required: ['name'], properties: { name: { type: 'string' } }, additionalProperties: false },
} as const

/** Both walls, a fresh session, membership and role at each request. */
export async function openGuarded(app: ConnectionAddress, identity: ConnectionAddress): Promise<Endpoint> {
  await loadKernel()
  const pools = {
    app: await createPool({ connection: app, size: POOL, applicationName: 'bench' }),
    identity: await createPool({ connection: identity, size: 1, applicationName: 'bench' }),
  }
  const server = fastify()
  const guard = createGuard({ pools, scope: createScope({ manifest: serviceManifest, dialect: 'postgresql' }) })
  await server.register(guardPlugin, { guard, origin: 'http://localhost' })
  server.get(
    '/teams/:slug',
    {
      config: { access: can('team:read'), first: sql`SELECT id, slug, name FROM teams WHERE slug = ${param('slug')}` },
    },
    async (request) => request.first.rows[0],
  )
  server.patch(
    '/teams/:slug',
    {
      config: {
        access: can('team:read', 'team:update'),
        first: sql`UPDATE teams SET name = ${body('name')} WHERE slug = ${param('slug')} RETURNING id, slug, name`,
      },
      schema,
    },
    async (request) => request.first.rows[0],
  )
  return listening(server, () => Promise.all([pools.app.close(), pools.identity.close()]))
}

/**
 * The same with nothing in front: no credential looked at, no role, no row-level security.
 * @param isNamed - whether the statement is prepared under a name, once a connection, or parsed and planned at each request
 */
export async function openPlain(database: ConnectionAddress, tenantId: string, isNamed: boolean): Promise<Endpoint> {
  const pool = new pg.Pool({ ...database, ssl: false, max: POOL })
  // the server may end before it, when a round has failed: that failure is what is to be seen
  pool.on('error', () => undefined)
  const first = async (name: string, text: string, values: unknown[]): Promise<unknown> => {
    const { rows } = await pool.query(isNamed ? { name, text, values } : { text, values })
    return rows[0]
  }
  const server = fastify()
  server.get<{ Params: { slug: string } }>('/teams/:slug', (request) =>
    first('read', 'SELECT id, slug, name FROM tenancy.teams WHERE tenant_id = $1 AND slug = $2', [
      tenantId,
      request.params.slug,
    ]),
  )
  server.patch<{ Params: { slug: string }; Body: { name: string } }>('/teams/:slug', { schema }, (request) =>
    first('write', 'UPDATE tenancy.teams SET name = $3 WHERE tenant_id = $1 AND slug = $2 RETURNING id, slug, name', [
      tenantId,
      request.params.slug,
      request.body.name,
    ]),
  )
  return listening(server, () => pool.end())
}

async function listening(server: FastifyInstance, closePools: () => Promise<unknown>): Promise<Endpoint> {
  await server.listen({ port: 0, host: '127.0.0.1' })
  return {
    origin: `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`,
    async close() {
      await server.close()
      await closePools()
    },
  }
}
