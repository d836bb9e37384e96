import { createHash, randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { roleSettings } from '../../../src/core/database/dialect.ts'
import { createPool, type Pool } from '../../../src/core/database/pool.ts'
import { can, signedIn } from '../../../src/core/guard/access.ts'
import { hashSessionToken } from '../../../src/core/guard/credential.ts'
import { createGuard, type Guard, type Unit, type UnitRequest } from '../../../src/core/guard/guard.ts'
import { type KeptAnswer, KeyRefusal, type Once, Repeated } from '../../../src/core/guard/idempotency.ts'
import { sql } from '../../../src/core/guard/sql.ts'
import { createScope, loadKernel } from '../../../src/core/scope/scope.ts'
import { defaultRoles, serviceManifest } from '../../../src/service/tenancy/manifest.ts'
import { installStandin } from '../../cockroach-standin/install.ts'
import { type Standin, startStandin } from '../../cockroach-standin/standin.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { seedTwoTenants, type TwoTenants } from '../../two-tenants.ts'

/** What CockroachDB's roles bring. */
const roleBrings = Object.fromEntries(roleSettings('cockroachdb').map(({ name, value }) => [name, value]))

let database: TestDatabase
let standin: Standin
let tenants: TwoTenants
let pools: Record<'postgresql' | 'cockroachdb', Pool>
const guards = {} as Record<'postgresql' | 'cockroachdb', Guard>
let hash: Buffer

beforeAll(async () => {
  database = await createTestDatabase({ backend: 'embedded', roleGrants: defaultRoles })
  await installStandin(database.target('superuser'))
  standin = await startStandin(database.target('app'), { settings: roleBrings })
  tenants = await seedTwoTenants(database)
  await loadKernel()
  const open = (connection: Parameters<typeof createPool>[0]['connection']): Promise<Pool> =>
    createPool({ connection, size: 2, applicationName: 'app' })
  pools = { postgresql: await open(database.target('app')), cockroachdb: await open(standin.address) }
  for (const dialect of ['postgresql', 'cockroachdb'] as const) {
    const pool = pools[dialect]
    expect(pool.dialect).toBe(dialect)
    guards[dialect] = createGuard({
      pools: { app: pool, identity: pool },
      scope: createScope({ manifest: serviceManifest, dialect }),
    })
  }
  const token = await tenants.session(tenants.acme.users.owner.id, tenants.acme.id)
  hash = hashSessionToken(token) ?? Buffer.alloc(0)
})
afterAll(async () => {
  await Promise.all(Object.values(pools).map((pool) => pool.close()))
  await standin.close()
  await database.drop()
})
afterEach(() => standin.faults.reset())

const answer: KeptAnswer = {
  status: 201,
  contentType: 'text/plain',
  etag: null,
  location: '/x',
  body: Buffer.from('done'),
  withheld: '',
}
const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
const once = (key: string, asked = 'asked'): Once => ({
  key: digest(key),
  fingerprint: digest(asked),
  answer: () => answer,
})

/** Founds a team by its first statement, and touches it by a second one. */
function request(slug: string, more: Partial<UnitRequest> = {}): UnitRequest {
  return {
    credential: { kind: 'session', transport: 'bearer', hash },
    selectors: [],
    access: can('team:create', 'team:read', 'team:update'),
    readOnly: false,
    strict: false,
    pool: 'app',
    first: ({ userId }) => sql`INSERT INTO teams (slug, name, created_by) VALUES (${slug}::TEXT, 'T', ${userId}::UUID)`,
    once: once(slug),
    ...more,
  }
}
const touch =
  (slug: string) =>
  async ({ db }: Unit): Promise<string> => {
    await db.last(sql`UPDATE teams SET revision = revision + 1 WHERE slug = ${slug}::TEXT`)
    return 'worked'
  }
const fresh = (): string => `t-${randomUUID().slice(0, 13)}`
const rows = async (slug: string): Promise<number> =>
  (await database.owner('SELECT id FROM tenancy.teams WHERE slug = $1', [slug])).length
const kept = async (slug: string): Promise<number> =>
  (await database.owner('SELECT 1 AS one FROM holdfast.idempotency_keys WHERE key_hash = $1', [digest(slug)])).length
/** What a unit gave, or threw. */
const outcome = async (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error)
const codeOf = (value: unknown): unknown => (value as { code?: unknown }).code

describe.each(['postgresql', 'cockroachdb'] as const)('a unit under a key, on %s', (dialect) => {
  const run = (slug: string, more?: Partial<UnitRequest>, work = touch(slug)): Promise<unknown> =>
    outcome(guards[dialect].run(request(slug, more), work))

  it('is done once, then told', async () => {
    const slug = fresh()
    expect(await run(slug)).toBe('worked')
    const again = await run(slug)
    expect(again).toBeInstanceOf(Repeated)
    expect((again as Repeated).answer).toEqual(answer)
    expect([await rows(slug), await kept(slug)]).toEqual([1, 1])
    expect(await run(slug, { once: once(slug, 'other') })).toMatchObject({ reason: 'reused', status: 422 })
  })

  it('without a declared statement, and under strict', async () => {
    for (const more of [{ first: undefined }, { strict: true }, { strict: true, first: undefined }]) {
      const slug = fresh()
      expect(await run(slug, more)).toBe('worked')
      expect(await run(slug, more)).toBeInstanceOf(Repeated)
    }
  })

  it('leaves the setting of lock_timeout as it was', async () => {
    const slug = fresh()
    let during: unknown
    await guards[dialect].run(request(slug), async ({ db }) => {
      during = (await db.query(sql`SELECT revision FROM teams WHERE slug = ${slug}::TEXT FOR UPDATE`)).rows.length
    })
    expect(during).toBe(1)
    const [{ rows: settings } = { rows: [] }] = await pools[dialect].transaction((transaction) =>
      transaction.send([
        { statement: { name: '', text: `SELECT current_setting('lock_timeout') AS value` }, values: [] },
      ]),
    )
    expect(settings).toEqual([{ value: '0' }])
  })

  it('that fails, or swallows a failure, is not recorded', async () => {
    const slug = fresh()
    const failing = async (): Promise<never> => {
      throw new Error('no')
    }
    expect(await run(slug, {}, failing)).toMatchObject({ message: 'no' })
    expect(
      await run(slug, {}, async ({ db }) => {
        await db
          .query(sql`SELECT 1 / (revision - revision) AS n FROM teams WHERE slug = ${slug}::TEXT`)
          .catch(() => undefined)
        return 'swallowed'
      }),
    ).toMatchObject({ code: 'statement_failed' })
    expect([await rows(slug), await kept(slug)]).toEqual([0, 0])
    expect(await run(slug)).toBe('worked')
  })

  it('may undo a part of itself', async () => {
    const slug = fresh()
    const partly = async ({ db }: Unit): Promise<string> => {
      await outcome(
        db.transaction(async (inner) => {
          await inner.query(sql`DELETE FROM team_members WHERE team_id IS NOT NULL`)
          throw new Error('not so')
        }),
      )
      return 'worked'
    }
    const access = can('team:create', 'team:read', 'team_member:read', 'team_member:delete')
    const before = await database.owner('SELECT count(*) AS n FROM tenancy.team_members')
    expect(await run(slug, { access }, partly)).toBe('worked')
    expect(await database.owner('SELECT count(*) AS n FROM tenancy.team_members')).toEqual(before)
    expect(await run(slug, { access })).toBeInstanceOf(Repeated)
  })

  it('needs a write in a tenant', async () => {
    await expect(guards[dialect].run(request('x', { readOnly: true }), touch('x'))).rejects.toThrow(TypeError)
    await expect(guards[dialect].run(request('x', { access: signedIn() }), touch('x'))).rejects.toThrow(TypeError)
  })
})

describe('through what CockroachDB documents', () => {
  const run = (slug: string): Promise<unknown> =>
    outcome(guards.cockroachdb.run(request(slug, { more: true }), touch(slug)))

  it('40001 at each statement and at COMMIT is run again whole', async () => {
    for (const place of [0, 1, 2, 3, 4, 5, 'commit'] as const) {
      const slug = fresh()
      standin.faults.fail('40001', place)
      expect([place, await run(slug), standin.faults.isArmed]).toEqual([place, 'worked', false])
      expect([await rows(slug), await kept(slug)]).toEqual([1, 1])
    }
  })

  it.each([true, false])('40003 at COMMIT, applied: %s', async (isApplied) => {
    const slug = fresh()
    standin.faults.fail('40003', 'commit', { isApplied })
    expect(codeOf(await run(slug))).toBe('commit_ambiguous')
    expect([await rows(slug), await kept(slug)]).toEqual(isApplied ? [1, 1] : [0, 0])
    const again = await run(slug)
    if (isApplied) expect(again).toBeInstanceOf(Repeated)
    else expect(again).toBe('worked')
    expect([await rows(slug), await kept(slug)]).toEqual([1, 1])
  })

  it('a connection cut at messages of either side: the repeat is done or told, never both', async () => {
    let cuts = 0
    for (const side of ['client', 'server'] as const) {
      for (let message = 0, isLast = false; !isLast && message < 60; message += side === 'client' ? 2 : 5) {
        const slug = fresh()
        // known, and on a connection that has all statements
        await run(fresh())
        standin.faults.cut({ side, message, arrives: message % 4 < 2 })
        const first = await run(slug)
        isLast = standin.faults.isArmed
        standin.faults.reset()
        cuts += isLast ? 0 : 1
        const done = await rows(slug)
        if (first === 'worked') expect([side, message, done]).toEqual([side, message, 1])
        const again = await run(slug)
        // the server may not have seen yet that its client has gone, or be committing while we look
        const late = again instanceof KeyRefusal ? await run(slug) : again
        const isTold = late instanceof Repeated || (done === 0 && late === 'worked')
        expect([side, message, late, isTold]).toEqual([side, message, late, true])
        expect([await rows(slug), await kept(slug)]).toEqual([1, 1])
      }
    }
    expect(cuts).toBeGreaterThan(8)
  })
})
