import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/service/config.ts'
import { createService, type Service } from '../../src/service/service.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import { holdfast } from '../cli/fake-terminal.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { urlOf } from './http/open-service.ts'

const manifest = {
  tables: [
    {
      schema: 'app',
      name: 'notes',
      resource: 'note',
      columns: {
        tenant_id: { type: 'uuid' },
        id: { type: 'uuid' },
        created_by: { type: 'uuid' },
        text: { type: 'text' },
      },
      tenant: 'tenant_id',
      owner: 'created_by',
    },
  ],
  roles: { owner: ['note:read', 'note:create'], clerk: ['note:read@own', 'note:create'] },
}

const migration = `CREATE SCHEMA app
-- next
CREATE TABLE app.notes (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  created_by UUID NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (tenant_id, id)
)
-- next
ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.notes FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
GRANT USAGE ON SCHEMA app TO holdfast_app
-- next
GRANT SELECT, INSERT ON TABLE app.notes TO holdfast_app
`

/** Two files, so that what the second takes of Holdfast is seen to be the same as the first's. */
const routes = `import { body, can, caller, HttpProblem, sql } from 'holdfast/fastify'
import type { FastifyInstance } from 'fastify'
export async function routes(app: FastifyInstance): Promise<void> {
  app.addHook('onSend', async (_request, reply) => void reply.header('x-notes', 'yes'))
  app.setErrorHandler(async (error, _request, reply) => reply.code(error instanceof HttpProblem ? 418 : 500).send({ own: true }))
  app.get('/notes', { config: { access: can('note:read'), first: sql\`SELECT text FROM notes ORDER BY text\` } },
    async (request) => ({ notes: request.first.rows }))
  app.get('/notes/all', { config: { access: can('note:read'), stream: sql\`SELECT text FROM notes\` } }, async ({ rows }) => rows)
  app.get('/notes/none', { config: { access: can('note:read') } }, async () => { throw new HttpProblem('not_found') })
  app.post('/notes', { schema: { body: { type: 'object', required: ['text'], properties: { text: { type: 'string' } } } }, config: { access: can('note:create', 'note:read'),
    first: sql\`INSERT INTO notes (created_by, text) VALUES (\${caller('userId')}, \${body('text')}) RETURNING text\` } },
    async (request, reply) => { reply.code(201); return request.first.rows[0] })
}
`

let database: TestDatabase
let directory: string
let service: Service | undefined
beforeEach(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  directory = mkdtempSync(join(tmpdir(), 'holdfast-hosting-'))
  mkdirSync(join(directory, 'migrations'))
  writeFileSync(join(directory, 'migrations/0001-notes.sql'), migration)
  writeFileSync(join(directory, 'routes.ts'), routes)
  host()
})
afterEach(async () => {
  await service?.stop()
  service = undefined
  await database.drop()
  rmSync(directory, { recursive: true, force: true })
})

/** Writes the configuration. @param own the routes, as TypeScript; those above if left out */
function host(own = 'routes'): void {
  writeFileSync(
    join(directory, 'holdfast.config.ts'),
    `import { can, open, sql } from 'holdfast/fastify'
import { routes } from './routes.ts'
void [can, open, sql]
export default { application: { manifest: ${JSON.stringify(manifest)}, migrations: './migrations', routes: ${own} } }`,
  )
}
const migrator = (): Record<string, string> => ({ HOLDFAST_MIGRATOR_URL: urlOf(database, 'migrator') })
const migrate = () => holdfast(['migrate', '--wait', '30'], migrator(), directory)
async function start(): Promise<Service> {
  const config = await loadConfig({
    directory,
    environment: {
      DATABASE_URL: urlOf(database, 'app'),
      HOLDFAST_IDENTITY_URL: urlOf(database, 'identity'),
      HOLDFAST_KEY: randomBytes(32).toString('base64url'),
      METRICS_PORT: 'off',
      LOG_LEVEL: 'silent',
    },
  })
  service = await createService(config, { print: () => undefined, logTo: { write: () => undefined } })
  return service
}

describe('an application in holdfast.config.ts', () => {
  it('is told what to run, is migrated, and serves its routes under the guard', async () => {
    await expect(start()).rejects.toThrow(/lacks 1 migrations \(application\/0001-notes\).*holdfast migrate/s)
    expect((await holdfast(['migrate', '--status'], migrator(), directory)).out).toContain(
      'pending  application/0001-notes',
    )
    // two at once: each statement once
    const runs = await Promise.all([migrate(), migrate()])
    expect(runs.map(({ code }) => code)).toEqual([0, 0])
    expect(
      runs
        .map(({ err }) => err)
        .join('\n')
        .match(/applying application\/0001-notes/g),
    ).toHaveLength(1)

    const running = await start()
    const { app } = running.server
    expect((await app.inject('/ready')).statusCode).toBe(200)
    const owner = { email: 'ann@acme.example', password: 'a long enough passphrase', display_name: 'Ann' }
    const made = await app.inject({
      method: 'POST',
      url: '/v1/setup',
      payload: { token: await running.setupToken(), tenant: { slug: 'acme', name: 'Acme' }, owner },
    })
    expect(made.statusCode).toBe(201)
    const signedIn = await app.inject({
      method: 'POST',
      url: '/v1/sign-in',
      payload: { email: owner.email, password: owner.password },
    })
    const headers = { authorization: `Bearer ${signedIn.json<{ token: string }>().token}` }
    const added = await app.inject({ method: 'POST', url: '/notes', headers, payload: { text: 'hello' } })
    expect([added.statusCode, added.json()]).toEqual([201, { text: 'hello' }])
    expect((await app.inject({ url: '/notes/all', headers })).body).toBe('{"text":"hello"}\n["end",1]\n')
    const listed = await app.inject({ url: '/notes', headers })
    expect([listed.json(), listed.headers['x-notes'], listed.headers['cache-control']]).toEqual([
      { notes: [{ text: 'hello' }] },
      'yes',
      'no-store',
    ])
    expect((await app.inject('/notes')).json()).toEqual({ own: true })
    expect((await app.inject({ url: '/notes/none', headers })).json()).toEqual({ own: true })

    // nothing of it reaches the service's own routes
    const me = await app.inject('/v1/me')
    expect([me.statusCode, me.headers['x-notes']]).toEqual([401, undefined])
    expect(me.json()).toMatchObject({ code: 'unauthenticated' })
    expect((await app.inject('/notes/at/all')).json()).toMatchObject({ code: 'not_found' })
    const document = (await app.inject('/openapi.json')).json<{ paths: object }>()
    expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/notes', '/v1/me']))
    expect(
      await database.owner("SELECT role FROM holdfast.role_grants WHERE permission = 'note:read' ORDER BY 1"),
    ).toEqual([{ role: 'clerk' }, { role: 'owner' }])
  })

  it('a file that was changed after it was run is refused', async () => {
    await migrate()
    writeFileSync(join(directory, 'migrations/0001-notes.sql'), `${migration}-- x\n`)
    expect(await migrate()).toMatchObject({ code: 1, err: expect.stringContaining('application/0001-notes') })
    await expect(start()).rejects.toMatchObject({ code: 'migration_changed' })
  })

  it('a file of the application runs as no other role', async () => {
    writeFileSync(join(directory, 'migrations/0001-notes.sql'), 'SELECT 1\n-- next as holdfast_enter\nSELECT 2\n')
    expect(await migrate()).toMatchObject({ code: 1, err: expect.stringContaining("statements are the owner's") })
  })

  it('is in `holdfast routes` and `holdfast explain`', async () => {
    expect((await holdfast(['routes'], {}, directory)).out).toMatch(/GET\s+\/notes\s+can\(note:read\)/)
    const explained = await holdfast(['explain', '--role', 'clerk', 'SELECT text FROM notes'], {}, directory)
    expect([explained.code, explained.out]).toEqual([0, expect.stringContaining('created_by')])
  })

  const trespassing: [string, string, RegExp][] = [
    [
      'the identity pool',
      "'/x', { config: { access: can('note:read'), pool: 'identity' } }",
      /\/x: an application's route runs/,
    ],
    ['no access', "'/x', {}", /\/x: the route does not say who may use it/],
    [
      "the service's paths",
      "'/v1/mine', { config: { access: open('a test of it') } }",
      /under \/v1 are the service's own/,
    ],
    ['the same in capitals', "'/V1/mine', { config: { access: open('a test of it') } }", /service's own/],
    ['its documentation', "'/docs', { config: { access: open('a test of it') } }", /service's own/],
    ['a probe', "'/health', { config: { access: open('a test of it') } }", /service's own/],
    ['any path', "'/*', { config: { access: open('a test of it') } }", /begins with a fixed part/],
    [
      'a first part that is not fixed',
      "'/:any/me', { config: { access: open('a test of it') } }",
      /begins with a fixed part/,
    ],
  ]
  it.each(trespassing)('may not have a route with %s', async (_, route, message) => {
    host(`async (app: any) => { app.get(${route}, async () => ({})) }`)
    const { code, err } = await holdfast(['routes'], {}, directory)
    expect([code, err]).toEqual([1, expect.stringMatching(message)])
  })

  it.each<[string, string, RegExp]>([
    [
      'a 404 handler for all below /v1',
      "await app.register(async (own: any) => own.setNotFoundHandler(async () => ({})), { prefix: '/v1' })",
      /a context at \/v1: paths under \/v1 are the service's own/,
    ],
    [
      'a hook that moves a route',
      `app.addHook('onRoute', (route: any) => { if (route.url === '/x/me') { route.url = '/v1/me'; route.constraints = { host: /.*/ } } })
       app.get('/x/me', { config: { access: open('a test of it') } }, async () => ({}))`,
      /\/x\/me: a hook has changed the route's path or method/,
    ],
    [
      'a route for one host alone',
      "app.get('/x', { constraints: { host: 'a.example' }, config: { access: open('a test of it') } }, async () => ({}))",
      /\/x: an application's route has no constraints/,
    ],
    [
      'a strategy that judges all routes',
      "app.addConstraintStrategy({ name: 'x', storage: () => ({}), deriveConstraint: () => 'x', mustMatchWhenDerived: true })",
      /adds no constraint strategy/,
    ],
  ])('may not have %s', async (_, code, message) => {
    host(`async (app: any) => { ${code} }`)
    const ran = await holdfast(['routes'], {}, directory)
    expect([ran.code, ran.err]).toEqual([1, expect.stringMatching(message)])
  })

  it('does not start with a permission that no role has', async () => {
    host("async (app: any) => { app.get('/x', { config: { access: can('note:raed') } }, async () => ({})) }")
    await migrate()
    await expect(start()).rejects.toThrow('GET /x: no role of the manifest grants note:raed')
  })

  it('a plugin that breaks out of its context comes no further than the application', async () => {
    host(`Object.assign(async (app: any) => {
      app.addHook('onRequest', async () => { throw new Error('not here') })
      app.setErrorHandler(async () => ({ replaced: true }))
    }, { [Symbol.for('skip-override')]: true })`)
    await migrate()
    const { server } = await start()
    expect((await server.app.inject('/health')).statusCode).toBe(200)
    expect((await server.app.inject('/v1/me')).json()).toMatchObject({ code: 'unauthenticated' })
  })
})
