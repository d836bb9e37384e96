import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPool, type Pool } from '../../src/core/database/pool.ts'
import { can } from '../../src/core/guard/access.ts'
import { hashSessionToken } from '../../src/core/guard/credential.ts'
import { Denial } from '../../src/core/guard/denial.ts'
import { createGuard, type Guard } from '../../src/core/guard/guard.ts'
import { sql } from '../../src/core/guard/sql.ts'
import { createScope, loadKernel } from '../../src/core/scope/scope.ts'
import { defaultRoles, serviceManifest } from '../../src/service/tenancy/manifest.ts'
import { connect } from '../backends.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { seedTwoTenants, type TwoTenants } from '../two-tenants.ts'

/** A step that has not ended by then waits for the other side: it is left waiting, and the next step is taken. */
const BLOCKED_MS = 120

let database: TestDatabase
let tenants: TwoTenants
let app: Pool
let identity: Pool
let guard: Guard
let operator: pg.Client

beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  tenants = await seedTwoTenants(database)
  await loadKernel()
  app = await createPool({ connection: database.target('app'), size: 3, applicationName: 'app' })
  identity = await createPool({ connection: database.target('identity'), size: 1, applicationName: 'identity' })
  guard = createGuard({
    pools: { app, identity },
    scope: createScope({ manifest: serviceManifest, dialect: 'postgresql' }),
  })
  operator = await connect(database.target('superuser'))
})
afterAll(async () => {
  await operator.end()
  await Promise.all([app.close(), identity.close()])
  await database.drop()
})

/** All ways in which two sequences can be dealt into one, each in its own order. */
function interleavings(writer: readonly string[], operator: readonly string[]): string[][] {
  const [w, ...restOfWriter] = writer
  const [o, ...restOfOperator] = operator
  if (w === undefined) return [[...operator]]
  if (o === undefined) return [[...writer]]
  return [
    ...interleavings(restOfWriter, operator).map((rest) => [w, ...rest]),
    ...interleavings(writer, restOfOperator).map((rest) => [o, ...rest]),
  ]
}

type Gate = { readonly passed: Promise<void>; open(): void }
function gate(): Gate {
  let open = (): void => undefined
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { passed, open }
}

const changes = {
  demotion: 'UPDATE holdfast.memberships SET role = $2 WHERE user_id = $1',
  removal: `DELETE FROM holdfast.memberships WHERE user_id = $1 AND role <> $2`,
  'ended session': 'UPDATE holdfast.sessions SET revoked_at = now() WHERE user_id = $1 AND user_agent <> $2',
} as const
const denials = { demotion: 'grant_missing', removal: 'not_a_member', 'ended session': 'session_revoked' }

const schedules = interleavings(['enter', 'write', 'commit'], ['change', 'commit change'])
const isolations = ['SERIALIZABLE', 'READ COMMITTED'] as const
const cases = (Object.keys(changes) as (keyof typeof changes)[]).flatMap((change) =>
  isolations.flatMap((isolation) =>
    [false, true].flatMap((strict) =>
      schedules.map((schedule) => ({ change, isolation, strict, schedule, name: schedule.join(' · ') })),
    ),
  ),
)

describe('a change of the caller against a running write', () => {
  it('is tried in every order', () => {
    expect(schedules).toHaveLength(10)
    expect(new Set(schedules.map(String)).size).toBe(10)
  })

  it.each(cases)('$change ($isolation), strict: $strict: $name', async ({ change, isolation, strict, schedule }) => {
    const { acme } = tenants
    const user = acme.users.admin.id
    const token = await tenants.session(user, acme.id)
    const unit = {
      credential: { kind: 'session', transport: 'bearer', hash: hashSessionToken(token) ?? Buffer.alloc(0) },
      selectors: [],
      access: can('team:create'),
      readOnly: false,
      strict,
      pool: 'app',
    } as const
    const slug = `t${Math.random().toString(36).slice(2, 12)}`
    const events: string[] = []
    const entered = gate()
    const [mayWrite, written, mayCommit] = [gate(), gate(), gate()]
    let outcome: Promise<string> | undefined

    const steps: Record<string, () => Promise<unknown>> = {
      enter() {
        outcome = guard
          .run(unit, async ({ db }) => {
            entered.open()
            await mayWrite.passed
            await db.query(sql`INSERT INTO teams (slug, name, created_by) VALUES (${slug}, ${'T'}, ${user})`)
            written.open()
            await mayCommit.passed
          })
          .then(() => 'written')
          .catch((error: unknown) => {
            if (error instanceof Denial) return error.because
            throw error
          })
        return Promise.race([entered.passed, outcome])
      },
      write() {
        mayWrite.open()
        return Promise.race([written.passed, outcome])
      },
      async commit() {
        events.push('committing')
        mayCommit.open()
        await outcome
      },
      async change() {
        await operator.query(`BEGIN ISOLATION LEVEL ${isolation}`)
        await operator.query(changes[change], [user, 'viewer'])
      },
      async 'commit change'() {
        await operator.query('COMMIT')
        events.push('changed')
      },
    }

    const pending: Promise<unknown>[] = []
    const started = performance.now()
    for (const name of schedule) {
      const step = steps[name]?.() ?? Promise.resolve()
      pending.push(step)
      step.catch(() => undefined)
      await Promise.race([step, new Promise((resolve) => setTimeout(resolve, BLOCKED_MS))])
    }
    await Promise.all(pending)
    const result = await outcome
    expect(performance.now() - started).toBeLessThan(5_000)

    // The outcome is that of one order or the other.
    expect(['written', denials[change]]).toContain(result)
    const rows = await database.owner('SELECT 1 FROM tenancy.teams WHERE slug = $1', [slug])
    expect(rows).toHaveLength(result === 'written' ? 1 : 0)
    // A write that starts after the change has committed is judged by it.
    if (schedule.indexOf('commit change') < schedule.indexOf('enter')) expect(result).toBe(denials[change])
    // A strict write and the change do not overlap: the change went through only after the write's commit was on its way.
    if (strict && result === 'written') expect(events.indexOf('changed')).toBeGreaterThan(events.indexOf('committing'))
    // And the next request knows, whatever happened.
    const next = guard.run(unit, async () => 'admitted')
    await expect(next).rejects.toMatchObject({ because: denials[change] })

    await database.owner(
      `INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1, $2, 'admin')
      ON CONFLICT (tenant_id, user_id) DO UPDATE SET role = 'admin'`,
      [acme.id, user],
    )
  })
})
