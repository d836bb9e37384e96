import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import { can, type GuardedAccess, minutes, signedIn } from '../../../src/core/guard/access.ts'
import { type Credential, hashSessionToken, newSessionToken } from '../../../src/core/guard/credential.ts'
import { Denial } from '../../../src/core/guard/denial.ts'
import { createGuard, type Guard, type UnitRequest } from '../../../src/core/guard/guard.ts'
import { caller, sql } from '../../../src/core/guard/sql.ts'
import { ScopeRefusal } from '../../../src/core/scope/refusals.ts'
import { createScope, loadKernel, type Scope } from '../../../src/core/scope/scope.ts'
import { defaultRoles, serviceManifest } from '../../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { seedTwoTenants, type TwoTenants } from '../../two-tenants.ts'

let database: TestDatabase
let tenants: TwoTenants
let pools: Record<'app' | 'identity', Pool>
let guard: Guard
const touched: string[] = []

beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  tenants = await seedTwoTenants(database)
  await loadKernel()
  pools = {
    app: await createPool({ connection: database.target('app'), size: 4, applicationName: 'app' }),
    identity: await createPool({ connection: database.target('identity'), size: 2, applicationName: 'identity' }),
  }
  guard = newGuard()
})
afterAll(async () => {
  await Promise.all([pools.app.close(), pools.identity.close()])
  await database.drop()
})

const newGuard = (): Guard =>
  createGuard({
    pools,
    scope: createScope({ manifest: serviceManifest, dialect: 'postgresql' }),
    onTouch: ({ sessionId }) => touched.push(sessionId),
  })

const credential = (token: string): Credential => ({
  kind: 'session',
  transport: 'bearer',
  hash: hashSessionToken(token) ?? Buffer.alloc(0),
})
const request = (token: string, access: GuardedAccess, more: Partial<UnitRequest> = {}): UnitRequest => ({
  credential: credential(token),
  selectors: [],
  access,
  readOnly: false,
  strict: false,
  pool: 'app',
  ...more,
})
const reasonOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
    return 'admitted'
  } catch (error) {
    if (error instanceof Denial) return error.because
    throw error
  }
}
const nothing = async (): Promise<void> => undefined

describe('enter', () => {
  it('tells who the caller is', async () => {
    const { acme } = tenants
    const token = await tenants.session(acme.users.viewer.id, acme.id)
    const seen = await guard.run(request(token, can('team:read')), async (unit) => unit.caller)
    expect(seen).toMatchObject({ userId: acme.users.viewer.id, tenantId: acme.id, role: 'viewer', assurance: 'aal1' })
    expect(seen.authenticatedAt).toBeInstanceOf(Date)
    const own = await guard.run(request(token, signedIn(), { pool: 'identity' }), async (unit) => unit.caller)
    expect(own).toMatchObject({ userId: acme.users.viewer.id, tenantId: '', role: '' })
  })

  type Break = (token: string) => unknown
  const shift =
    (change: string): Break =>
    (token) =>
      database.owner(`UPDATE holdfast.sessions SET ${change} WHERE token_hash = $1`, [hashSessionToken(token)])
  const cases: [because: string, breakIt: Break, more?: Partial<UnitRequest>, access?: GuardedAccess][] = [
    ['admitted', nothing],
    ['session_revoked', shift('revoked_at = now()')],
    ['session_expired', shift('expires_at = now()')],
    ['session_idle', shift(`last_seen_at = now() - INTERVAL '1 hour'`)],
    ['admitted', shift(`last_seen_at = now() - INTERVAL '59 minutes'`)],
    [
      'user_not_active',
      () => database.owner(`UPDATE holdfast.users SET status = 'disabled' WHERE id = $1`, [member()]),
    ],
    ['not_a_member', () => tenants.remove(tenants.acme, member())],
    ['tenant_not_active', () => database.owner(`UPDATE holdfast.tenants SET status = 'suspended' WHERE slug = 'acme'`)],
    ['tenant_not_selected', shift('tenant_id = NULL')],
    ['grant_missing', nothing, {}, can('invitation:create')],
    ['grant_missing', nothing, {}, can('team:read', 'invitation:create')],
    ['grant_missing', nothing, {}, can('no_such:permission')],
    ['assurance_too_low', nothing, {}, can('team:read').withSecondFactor()],
    ['admitted', shift(`assurance = 'aal2'`), {}, can('team:read').withSecondFactor()],
    [
      'authentication_too_old',
      shift(`authenticated_at = now() - INTERVAL '6 minutes'`),
      {},
      can('team:read').within(minutes(5)),
    ],
    ['admitted', shift(`authenticated_at = now() - INTERVAL '4 minutes'`), {}, can('team:read').within(minutes(5))],
    ['admitted', nothing, { selectors: ['acme'] }],
    ['tenant_sources_disagree', nothing, { selectors: ['globex'] }],
    ['tenant_sources_disagree', nothing, { selectors: ['acme', 'globex'] }],
    // with a tenant of one's own, nothing tells whether another one is there
    ['tenant_sources_disagree', nothing, { selectors: ['acme', 'nobody'] }],
    ['tenant_sources_disagree', nothing, { selectors: ['nobody'] }],
    ['tenant_sources_disagree', nothing, { selectors: ['%'] }],
    ['tenant_sources_disagree', nothing, { selectors: ['{acme}'] }],
    ['tenant_unknown', shift('tenant_id = NULL'), { selectors: ['nobody'] }],
    ['tenant_unknown', shift('tenant_id = NULL'), { selectors: ['%'] }],
    ['tenant_sources_disagree', shift('tenant_id = NULL'), { selectors: ['acme', 'nobody'] }],
    ['tenant_sources_disagree', shift('tenant_id = NULL'), { selectors: ['acme', 'globex'] }],
    ['admitted', shift('tenant_id = NULL'), { selectors: ['acme', 'acme'] }],
    ['not_a_member', shift('tenant_id = NULL'), { selectors: ['globex'] }],
    ['admitted', shift('tenant_id = NULL'), { selectors: ['acme'] }],
    ['not_a_member', (token) => shift(`tenant_id = '${tenants.globex.id}'`)(token)],
  ]
  const member = (): string => tenants.acme.users.member.id

  it.each(cases)('%s (case %#)', async (because, breakIt, more = {}, access = can('team:read')) => {
    for (const warm of [false, true]) {
      const token = await tenants.session(member(), tenants.acme.id)
      // A process that has just admitted this caller is no easier to get past than one that has not.
      if (warm) await guard.run(request(token, can('team:read')), nothing)
      await breakIt(token)
      const destroyed = pools.app.stats.destroyed
      let ran = 0
      const outcome = await reasonOf(
        guard.run(request(token, access, { ...more, first: () => sql`SELECT id FROM teams` }), async () => void ran++),
      )
      expect(outcome).toBe(because)
      expect(ran).toBe(because === 'admitted' ? 1 : 0)
      expect(pools.app.stats.destroyed).toBe(destroyed)
      await database.owner(`UPDATE holdfast.users SET status = 'active'`)
      await database.owner(`UPDATE holdfast.tenants SET status = 'active'`)
      await database.owner(
        `INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1, $2, 'member') ON CONFLICT DO NOTHING`,
        [tenants.acme.id, member()],
      )
    }
  })

  it('does not know a token that nobody was given', async () => {
    expect(await reasonOf(guard.run(request(newSessionToken().token, signedIn()), nothing))).toBe('session_unknown')
  })

  it('says when a session is due to be touched, once a minute', async () => {
    const token = await tenants.session(tenants.acme.users.owner.id, tenants.acme.id)
    const id = await guard.run(request(token, can('team:read')), async (unit) => unit.caller.sessionId)
    expect(touched).not.toContain(id)
    await database.owner(`UPDATE holdfast.sessions SET last_seen_at = now() - INTERVAL '61 seconds' WHERE id = $1`, [
      id,
    ])
    await guard.run(request(token, can('team:read')), nothing)
    expect(touched).toContain(id)
  })
})

describe('hint and verify', () => {
  const flights = async (work: () => Promise<unknown>): Promise<number> => {
    const before = pools.app.stats.flights
    await work()
    return pools.app.stats.flights - before
  }
  const slugs = (token: string, fresh: Guard = guard, more: Partial<UnitRequest> = {}) =>
    fresh.run(
      request(token, can('team:read'), { first: () => sql`SELECT slug FROM teams`, readOnly: true, ...more }),
      async (unit) => unit.first?.rows,
    )

  it('takes one flight when the caller is known, two on first use', async () => {
    const token = await tenants.session(tenants.acme.users.viewer.id, tenants.acme.id)
    const another = await tenants.session(tenants.acme.users.viewer.id, tenants.acme.id)
    expect(await flights(() => slugs(token))).toBe(2)
    expect(await flights(() => slugs(token))).toBe(1)
    expect(await flights(() => slugs(another))).toBe(2)
  })

  it('costs one more flight when stale, and never a wrong answer', async () => {
    const { acme, globex } = tenants
    const user = acme.users.admin.id
    const token = await tenants.session(user, acme.id)
    expect(await slugs(token)).toHaveLength(1)
    await tenants.setRole(acme, user, 'viewer')
    expect(await flights(() => slugs(token))).toBe(2)
    await database.owner(`INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1, $2, 'viewer')`, [
      globex.id,
      user,
    ])
    await database.owner('UPDATE holdfast.sessions SET tenant_id = $1 WHERE token_hash = $2', [
      globex.id,
      hashSessionToken(token),
    ])
    const names = await guard.run(
      request(token, can('team:read'), { first: () => sql`SELECT name FROM teams`, readOnly: true }),
      async (unit) => unit.first?.rows,
    )
    expect(names).toEqual([{ name: `core ${globex.canary}` }])
    await tenants.remove(globex, user)
    await tenants.setRole(acme, user, 'admin')
  })

  it('binds the declared statement to the caller', async () => {
    const { acme } = tenants
    const token = await tenants.session(acme.users.viewer.id, acme.id)
    for (let round = 0; round < 2; round++) {
      const rows = await guard.run(
        request(token, can('profile:read'), {
          first: ({ userId }) => sql`SELECT display_name FROM profiles WHERE user_id = ${userId}`,
        }),
        async (unit) => unit.first?.rows,
      )
      expect(rows).toEqual([{ display_name: acme.users.viewer.name }])
    }
    expect(caller('userId')).toEqual({ from: 'caller', name: 'userId' })
  })

  it('commits with the last statement: two flights for a handler that declares nothing', async () => {
    const token = await tenants.session(tenants.acme.users.viewer.id, tenants.acme.id)
    const run = (last: boolean) =>
      guard.run(request(token, can('team:read'), { readOnly: true }), async ({ db }) =>
        last ? db.last('SELECT id FROM teams') : db.query('SELECT id FROM teams'),
      )
    await run(true)
    expect(await flights(() => run(true))).toBe(2)
    expect(await flights(() => run(false))).toBe(3)
  })
})

describe('a unit of work', () => {
  it('holds the role’s grants ∩ the route’s', async () => {
    const token = await tenants.session(tenants.acme.users.owner.id, tenants.acme.id)
    const run = (access: GuardedAccess, text: string, more: Partial<UnitRequest> = {}) =>
      guard.run(request(token, access, more), ({ db }) => db.query(text))
    await expect(run(can('team:read'), 'DELETE FROM teams')).rejects.toThrow(ScopeRefusal)
    await expect(run(can('team:read'), 'SELECT email FROM profiles')).rejects.toThrow(ScopeRefusal)
    await expect(
      run(can('team:read', 'team:update'), `UPDATE teams SET name = 'x'`, { readOnly: true }),
    ).rejects.toMatchObject({ code: 'read_only_route' })
    await expect(run(signedIn(), 'SELECT id FROM teams')).rejects.toThrow(ScopeRefusal)
    expect((await run(can('team:read'), 'SELECT id FROM teams')).rows).toEqual([{ id: tenants.acme.teamId }])
  })

  it('is rolled back whole when the handler throws, and runs no task', async () => {
    const token = await tenants.session(tenants.acme.users.owner.id, tenants.acme.id)
    let ran = 0
    const failing = guard.run(request(token, can('team:create')), async ({ db, afterCommit }) => {
      afterCommit(() => void ran++)
      await db.query(
        sql`INSERT INTO teams (slug, name, created_by) VALUES (${'gone'}, ${'Gone'}, ${tenants.acme.users.owner.id})`,
      )
      throw new Error('the handler failed')
    })
    await expect(failing).rejects.toThrow('the handler failed')
    expect(ran).toBe(0)
    expect(await database.owner(`SELECT 1 FROM tenancy.teams WHERE slug = 'gone'`)).toEqual([])
  })

  it('runs its tasks once, after the commit', async () => {
    const token = await tenants.session(tenants.acme.users.owner.id, tenants.acme.id)
    const seen: unknown[] = []
    await guard.run(request(token, can('team:create')), async ({ db, afterCommit }) => {
      afterCommit(async () => {
        seen.push(await database.owner(`SELECT name FROM tenancy.teams WHERE slug = 'kept'`))
      })
      await db.query(
        sql`INSERT INTO teams (slug, name, created_by) VALUES (${'kept'}, ${'Kept'}, ${tenants.acme.users.owner.id})`,
      )
    })
    expect(seen).toEqual([[{ name: 'Kept' }]])
    await database.owner(`DELETE FROM tenancy.teams WHERE slug = 'kept'`)
  })

  it('cannot write on a read-only route, whatever reaches the database', async () => {
    const token = await tenants.session(tenants.acme.users.owner.id, tenants.acme.id)
    // a first wall that has fallen: it takes a write for a read
    const scope = createScope({ manifest: serviceManifest, dialect: 'postgresql' })
    const text = `UPDATE tenancy.teams SET name = 'x'`
    const fallen: Scope = {
      manifest: scope.manifest,
      stats: scope.stats,
      scope: (given, grants) =>
        given === text
          ? {
              verb: 'update',
              readOnly: true,
              text,
              name: 'fallen',
              slots: [],
              valueCount: 0,
              checks: [],
              writes: true,
              sizes: [],
              proof: [],
            }
          : scope.scope(given, grants),
    }
    const weak = createGuard({ pools, scope: fallen })
    for (const more of [{}, { first: () => sql`SELECT id FROM teams`, more: true }]) {
      const write = weak.run(request(token, can('team:read'), { readOnly: true, ...more }), ({ db }) => db.query(text))
      await expect(write).rejects.toMatchObject({ sqlstate: '25006' })
    }
  })
})
