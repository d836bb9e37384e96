import fastify, { type FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import { can, signedIn } from '../../../src/core/guard/access.ts'
import { createGuard, type Unit } from '../../../src/core/guard/guard.ts'
import { transactionOf } from '../../../src/core/guard/identity-unit.ts'
import { caller, param, sql } from '../../../src/core/guard/sql.ts'
import { createScope, loadKernel } from '../../../src/core/scope/scope.ts'
import { answerProblems } from '../../../src/service/http/answer-problems.ts'
import { guardPlugin } from '../../../src/service/http/guard-plugin.ts'
import { defaultRoles, serviceManifest } from '../../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { seedTwoTenants, type TwoTenants } from '../../two-tenants.ts'

let database: TestDatabase
let tenants: TwoTenants
let pools: { app: Pool; identity: Pool }
let app: FastifyInstance
let headers: Record<string, string>
const log: string[] = []

beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  tenants = await seedTwoTenants(database)
  await loadKernel()
  const pool = (role: 'app' | 'identity') =>
    createPool({ connection: database.target(role), size: 2, applicationName: role })
  pools = { app: await pool('app'), identity: await pool('identity') }
})
afterAll(async () => {
  await Promise.all([pools.app.close(), pools.identity.close()])
  await database.drop()
})
beforeEach(async () => {
  log.length = 0
  const guard = createGuard({ pools, scope: createScope({ manifest: serviceManifest, dialect: 'postgresql' }) })
  app = fastify({ logger: { level: 'error', stream: { write: (line: string) => void log.push(line) } } })
  answerProblems(app, { routes: () => [] })
  await app.register(guardPlugin, { guard, origin: 'http://localhost' })
  headers = { authorization: `Bearer ${await tenants.session(tenants.acme.users.owner.id, tenants.acme.id)}` }
})
afterEach(() => app.close())

/** Every property, own or inherited, at any depth, that looks as if it ran a statement. */
function runners(value: unknown, path: string, seen: Set<unknown>): string[] {
  if (typeof value !== 'object' || value === null || seen.has(value)) return []
  seen.add(value)
  const names = new Set<string>()
  for (let part: unknown = value; part !== null && part !== Object.prototype; part = Object.getPrototypeOf(part)) {
    for (const name of Reflect.ownKeys(part as object)) names.add(String(name))
  }
  return [...names].flatMap((name) => [
    ...(/^(query|send|begin|transaction)$/.test(name) ? [`${path}.${name}`] : []),
    ...runners((value as Record<string, unknown>)[name], `${path}.${name}`, seen),
  ])
}

const teams = async (slug: string): Promise<number> =>
  (await database.owner('SELECT 1 FROM tenancy.teams WHERE slug = $1', [slug])).length
const make = (slug: string) =>
  sql`INSERT INTO teams (slug, name, created_by) VALUES (${slug}, 'x', ${tenants.acme.users.owner.id})`
const access = () => can('team:create', 'team:read')

describe('a guarded handler on a real database', () => {
  it('has written when its answer is there', async () => {
    app.post('/x', { config: { access: access() } }, async (request) => {
      await request.db.query(make('written'))
      return { ok: true }
    })
    expect((await app.inject({ url: '/x', method: 'POST', headers })).statusCode).toBe(200)
    expect(await teams('written')).toBe(1)
  })

  it('has written nothing when it throws', async () => {
    app.post('/x', { config: { access: access() } }, async (request) => {
      await request.db.query(make('thrown'))
      throw new Error('canary')
    })
    const answer = await app.inject({ url: '/x', method: 'POST', headers })
    expect([answer.statusCode, answer.body.includes('canary'), await teams('thrown')]).toEqual([500, false, 0])
  })

  it('has written nothing when it sends its answer itself, and the developer is told', async () => {
    app.post('/x', { config: { access: access() } }, async (request, reply) => {
      await request.db.query(make('sent'))
      return reply.send({ id: 'leaked' })
    })
    const answer = await app.inject({ url: '/x', method: 'POST', headers })
    expect([answer.statusCode, answer.body.includes('leaked')]).toEqual([500, false])
    await expect.poll(() => pools.app.stats.idle).toBe(pools.app.stats.size)
    expect(await teams('sent')).toBe(0)
    expect(log.join('')).toContain('must return its payload')
  })

  it('cannot write on a reading route, nor beyond what the route declares', async () => {
    app.get('/x', { config: { access: access() } }, async (request) => request.db.query(make('get')))
    app.delete('/x', { config: { access: access() } }, async (request) => request.db.query('DELETE FROM teams'))
    for (const method of ['GET', 'DELETE'] as const) {
      expect((await app.inject({ url: '/x', method, headers })).statusCode).toBe(500)
    }
    expect(log.join('')).toMatch(/read_only_route[\s\S]*grant_missing/)
    expect(await teams('core')).toBe(2)
  })

  it('runs again after a serialization failure, and answers for the run that was committed', async () => {
    let runs = 0
    app.post('/x', { config: { access: access() } }, async (request, reply) => {
      const run = ++runs
      await request.db.query(sql`SELECT count(*) FROM teams WHERE name = ${'contended'}`)
      if (run === 1) {
        reply.code(202).header('x-run', '1')
        // another request reads the same and writes first
        const other = await app.inject({ url: '/x', method: 'POST', headers })
        expect(other.statusCode).toBe(200)
      }
      await request.db.query(
        sql`INSERT INTO teams (slug, name, created_by) VALUES (${`again-${run}`}, 'contended', ${request.caller.userId})`,
      )
      return { run }
    })
    const answer = await app.inject({ url: '/x', method: 'POST', headers })
    expect(runs).toBe(3)
    expect([answer.statusCode, answer.json(), answer.headers['x-run']]).toEqual([200, { run: 3 }, undefined])
    expect([await teams('again-1'), await teams('again-2'), await teams('again-3')]).toEqual([0, 1, 1])
  })

  it('gets its declared statement’s rows, of its own tenant alone', async () => {
    const config = {
      access: access(),
      first: sql`SELECT id FROM teams WHERE slug = ${param('slug')} AND created_by = ${caller('userId')}`,
    }
    app.get('/x/:slug', { config }, async (request) => request.first.rows)
    for (let again = 0; again < 3; again++) {
      expect((await app.inject({ url: '/x/core', headers })).json()).toEqual([{ id: tenants.acme.teamId }])
    }
  })

  it('reaches no statement but through its scoped database', async () => {
    let run: Unit | undefined
    const found: string[] = []
    app.get('/x', { config: { access: access(), first: sql`SELECT id FROM teams`, more: true } }, async (request) => {
      run = request.unit
      found.push(...runners(request.unit, 'unit', new Set([request.db])))
      return null
    })
    expect((await app.inject({ url: '/x', headers })).statusCode).toBe(200)
    expect(found).toEqual([])
    expect(() => transactionOf(run as Unit)).toThrow('identity pool')
    // what runs statements is recognised
    expect(runners({ deep: Object.create({ query: () => 1 }) }, 'unit', new Set())).toEqual(['unit.deep.query'])
  })

  it('holds nothing of the app’s without a tenant', async () => {
    app.get('/x', { config: { access: signedIn() } }, async (request) => request.db.query('SELECT id FROM teams'))
    expect((await app.inject({ url: '/x', headers })).statusCode).toBe(500)
    expect(log.join('')).toContain('grant_missing')
  })
})
