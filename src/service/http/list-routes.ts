import type { ApplicationRoutes } from './application-routes.ts'
import type { Identity } from '../identity/identity.ts'
import type { DeclaredRoute } from './route-declaration.ts'
import { createServer } from './server.ts'

/** The service's routes as they declare themselves, from an application that answers nothing and has no database. */
export async function listRoutes(applicationRoutes?: ApplicationRoutes): Promise<readonly DeclaredRoute[]> {
  const { app, routes } = await createServer({
    guard: { run: () => Promise.reject(new TypeError('this application only lists its routes')) },
    identity: { keys: { cursor: Buffer.alloc(32) } } as Identity,
    ready: async () => false,
    origin: 'http://localhost',
    tenantSources: {},
    trustedProxies: [],
    logLevel: 'silent',
    logTo: { write: () => undefined },
    ...(applicationRoutes === undefined ? {} : { applicationRoutes }),
  })
  await app.ready()
  await app.close()
  return routes()
}
