import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { createPool, type Pool } from '../../src/core/database/pool.ts'
import { createGuard } from '../../src/core/guard/guard.ts'
import { createScope, loadKernel, type Scope } from '../../src/core/scope/scope.ts'
import { createServer, type Server } from '../../src/service/http/server.ts'
import type { Identity } from '../../src/service/identity/identity.ts'
import { deriveKeys } from '../../src/service/identity/keys.ts'
import { createLane } from '../../src/service/identity/lane.ts'
import { createPasswords } from '../../src/service/identity/password.ts'
import { parseIdentitySettings } from '../../src/service/identity/settings.ts'
import { joining } from '../../src/service/tenancy/joining.ts'
import { defaultRoles, serviceManifest } from '../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { CHEAP } from '../service/room.ts'
import { seedTwoTenants, type TwoTenants } from '../two-tenants.ts'

/** Which of the two walls stand. Only a test can take one away. */
export type Walls = { readonly first: boolean; readonly second: boolean }

/** The whole service on a database of its own, with two tenants, listening on loopback. */
export type House = {
  readonly database: TestDatabase
  readonly tenants: TwoTenants
  readonly server: Server
  readonly identity: Identity
  readonly pools: Readonly<Record<'app' | 'identity', Pool>>
  readonly origin: string
  close(): Promise<void>
}

export type HouseOptions = {
  readonly walls?: Walls
  /** puts something between the pools and the database, such as a proxy that counts */
  readonly connect?: (target: ReturnType<TestDatabase['target']>) => Parameters<typeof createPool>[0]['connection']
  readonly signUp?: 'open' | 'closed'
  /** roles besides the default ones, each with its grants */
  readonly roles?: Readonly<Record<string, readonly string[]>>
  /** puts another kernel in the kernel's place */
  readonly scope?: (scope: Scope) => Scope
  /** idempotency keys that one caller may have */
  readonly keysPerCaller?: number
  /** adds routes before the application is ready */
  readonly extend?: (app: Server['app']) => void | Promise<void>
}

export async function openHouse(options: HouseOptions = {}): Promise<House> {
  const { walls = { first: true, second: true }, connect = (target) => target, signUp = 'open' } = options
  const database = await createTestDatabase({ roleGrants: { ...defaultRoles, ...options.roles } })
  const tenants = await seedTwoTenants(database)
  if (!walls.second) await takeSecondWall(database)
  const [app, identity] = await Promise.all([
    createPool({ connection: connect(database.target('app')), size: 6, applicationName: 'app' }),
    createPool({ connection: connect(database.target('identity')), size: 6, applicationName: 'identity' }),
  ])
  await loadKernel()
  const manifest = { ...serviceManifest, roles: { ...defaultRoles, ...options.roles } }
  const kernel = createScope({ manifest, dialect: 'postgresql' })
  const scope = options.scope?.(kernel) ?? kernel
  const pools = { app, identity }
  const rooms: Identity = {
    pool: identity,
    passwords: await createPasswords(createLane(), CHEAP),
    keys: deriveKeys(randomBytes(32)),
    settings: parseIdentitySettings({ public_origin: 'http://localhost:7070', sign_up: signUp }),
    joining,
  }
  const server = await createServer({
    guard: createGuard({
      pools,
      scope: walls.first ? scope : withoutFirstWall(scope),
      ...(options.keysPerCaller === undefined ? {} : { keysPerCaller: options.keysPerCaller }),
    }),
    identity: rooms,
    ready: async () => true,
    origin: 'http://localhost:7070',
    tenantSources: {},
    trustedProxies: [],
    logLevel: 'silent',
    logTo: { write: () => undefined },
  })
  await options.extend?.(server.app)
  await server.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = server.app.server.address() as AddressInfo
  return {
    database,
    tenants,
    server,
    identity: rooms,
    pools,
    origin: `http://127.0.0.1:${port}`,
    async close() {
      await server.app.close()
      await Promise.all([app.close(), identity.close()])
      await database.drop()
    },
  }
}

/** The kernel's texts without their tenant: what would be sent if it scoped nothing. */
function withoutFirstWall(scope: Scope): Scope {
  return {
    ...scope,
    scope(text, grants) {
      const scoped = scope.scope(text, grants)
      const open = scoped.text.replaceAll(
        /"\w+"\."tenant_id" OPERATOR\(pg_catalog\.=\) (\$\d+::uuid)/g,
        '$1 IS NOT NULL',
      )
      return { ...scoped, text: open, name: `${scoped.name}_open` }
    },
  }
}

async function takeSecondWall({ owner }: TestDatabase): Promise<void> {
  const tables = await owner(`SELECT n.nspname || '.' || c.relname AS name FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relrowsecurity`)
  for (const { name } of tables) {
    await owner(`ALTER TABLE ${String(name)} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY`)
  }
}
