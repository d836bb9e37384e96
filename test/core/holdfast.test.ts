import fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from 'vitest'
import {
  createHoldfast,
  defineManifest,
  type Holdfast,
  type PermissionOf,
  type RowOf,
  type StreamOptions,
  sql,
} from '../../src/index.ts'
import { hashSessionToken } from '../../src/core/guard/credential.ts'
import { can, firstOf, guardPlugin, param } from '../../src/fastify.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { seedTwoTenants, type TwoTenants } from '../two-tenants.ts'

const manifest = defineManifest({
  tables: [
    {
      schema: 'tenancy',
      name: 'teams',
      resource: 'team',
      columns: {
        tenant_id: { type: 'uuid', notNull: true },
        id: { type: 'uuid', notNull: true },
        slug: { type: 'text', notNull: true },
        name: { type: 'text', notNull: true },
        created_by: { type: 'uuid', notNull: true },
        created_at: { type: 'timestamptz' },
        revision: { type: 'int8', notNull: true },
      },
      tenant: 'tenant_id',
      owner: 'created_by',
    },
  ],
  roles: { owner: ['team:read', 'team:update', 'team:create', 'team:delete'], viewer: ['team:read@own'] },
})
type Team = RowOf<typeof manifest, 'teams'>

let database: TestDatabase
let tenants: TwoTenants
let holdfast: Holdfast<typeof manifest>
beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  tenants = await seedTwoTenants(database)
  holdfast = await createHoldfast({ manifest, database: database.target('app') })
})
afterAll(async () => {
  await holdfast.close()
  await database.drop()
})
const tokenOf = (role: 'owner' | 'viewer' | 'member', tenantId: string | null = tenants.acme.id) =>
  tenants.session(tenants.acme.users[role].id, tenantId)

describe('types', () => {
  it('permissions, tables and rows are those of the manifest', () => {
    expectTypeOf<PermissionOf<typeof manifest>>().toEqualTypeOf<
      'team:read' | 'team:update' | 'team:create' | 'team:delete'
    >()
    expectTypeOf<Team['slug']>().toEqualTypeOf<string>()
    expectTypeOf<Team['created_at']>().toEqualTypeOf<Date | null>()
    expectTypeOf<Team['revision']>().toEqualTypeOf<string>()
    // @ts-expect-error there is no such table
    expectTypeOf<RowOf<typeof manifest, 'tems'>>().toBeNever()
  })

  it('a permission that no role grants neither compiles nor runs', () => {
    // @ts-expect-error no role has it
    expect(() => holdfast.can('team:raed')).toThrow(/no role of the manifest grants team:raed/)
    expect(holdfast.can('team:read', 'team:update')).toMatchObject({ permissions: ['team:read', 'team:update'] })
  })
})

describe('enter', () => {
  it('says who a session is, in which tenant, with which role', async () => {
    const caller = await holdfast.enter(await tokenOf('owner'))
    expect(caller).toMatchObject({ userId: tenants.acme.users.owner.id, tenantId: tenants.acme.id, role: 'owner' })
    expect(caller.grants.get('team:update')).toBe('tenant')
  })

  it.each([
    ['no token at all', async () => 'hfs_short', undefined, 'credential_malformed'],
    ['a session without a tenant', () => tokenOf('owner', null), undefined, 'tenant_not_selected'],
    ['a tenant that is not the session’s', () => tokenOf('owner'), 'globex', 'tenant_sources_disagree'],
    ['a tenant that one is not in', () => tokenOf('owner', null), 'globex', 'not_a_member'],
  ])('refuses %s', async (_, token, tenant, because) => {
    await expect(holdfast.enter(await token(), tenant)).rejects.toMatchObject({ because })
  })

  it('takes a tenant by name where the session has none', async () => {
    expect(await holdfast.enter(await tokenOf('owner', null), 'acme')).toMatchObject({ tenantId: tenants.acme.id })
  })
})

describe('a stream', () => {
  const slugs = sql<{ slug: string; name: string }>`SELECT slug, name FROM teams ORDER BY slug`

  it('has the rows of the caller’s tenant', async () => {
    const caller = await holdfast.enter(await tokenOf('owner'))
    const rows: string[] = []
    for await (const row of await caller.stream(slugs)) {
      expectTypeOf(row).toEqualTypeOf<{ slug: string; name: string }>()
      rows.push(row.name)
    }
    expect(rows).toEqual([`core ${tenants.acme.canary}`])
  })

  it('takes text and values, and rows as arrays', async () => {
    const caller = await holdfast.enter(await tokenOf('owner'))
    const text = 'SELECT slug FROM teams WHERE slug = $1'
    const stream = await caller.stream<string[]>({ text, values: ['core'], rowMode: 'array' })
    expect(await stream.next()).toEqual({ done: false, value: ['core'] })
    await stream.return()
  })

  it('holds what its role grants, and no more than its access names', async () => {
    const viewer = await holdfast.enter(await tokenOf('viewer'))
    await (await viewer.stream(slugs)).return()
    await expect(viewer.stream('SELECT email FROM profiles')).rejects.toMatchObject({ code: 'relation_unknown' })
    const owner = await holdfast.enter(await tokenOf('owner'))
    const access = holdfast.can('team:update')
    await expect(owner.stream(slugs, { access })).rejects.toMatchObject({ code: 'grant_missing' })
    await expect(viewer.stream(slugs, { access })).rejects.toMatchObject({ because: 'grant_missing' })
  })

  it('is refused with the place of its call', async () => {
    const caller = await holdfast.enter(await tokenOf('owner'))
    await expect(caller.stream('SELECT * FROM pg_catalog.pg_roles')).rejects.toMatchObject({
      name: 'ScopeRefusal',
      at: expect.stringMatching(/^test\/core\/holdfast\.test\.ts:\d+:\d+$/) as unknown,
    })
    await expect(caller.stream(`UPDATE teams SET name = 'x'`)).rejects.toMatchObject({ code: 'read_only_route' })
  })

  it('enters afresh, also where it was let in before', async () => {
    const token = await tokenOf('owner')
    const caller = await holdfast.enter(token)
    await (await caller.stream(slugs)).return()
    await database.owner('UPDATE holdfast.sessions SET revoked_at = now() WHERE token_hash = $1', [
      hashSessionToken(token),
    ])
    await expect(caller.stream(slugs)).rejects.toMatchObject({ because: 'session_revoked' })
  })

  it('corrects a hint that has grown stale', async () => {
    const { acme } = tenants
    const caller = await holdfast.enter(await tokenOf('member'))
    await caller.unit(async () => undefined)
    const roleIs = (role: string) =>
      database.owner('UPDATE holdfast.memberships SET role = $1 WHERE tenant_id = $2 AND user_id = $3', [
        role,
        acme.id,
        acme.users.member.id,
      ])
    await roleIs('owner')
    await (await caller.stream(slugs)).return()
    await roleIs('member')
  })

  const limited = async (streams: StreamOptions) => {
    const own = await createHoldfast({ manifest, database: database.target('app'), poolSize: 1, streams })
    return { own, caller: await own.enter(await tokenOf('owner')) }
  }

  it('lasts no longer than it may', async () => {
    const { own, caller } = await limited({ poolSize: 1, timeoutMs: 1_000 })
    const stream = await caller.stream(slugs)
    await new Promise((resolve) => stream.signal.addEventListener('abort', resolve))
    await expect(stream.next()).rejects.toMatchObject({ code: 'transaction_timeout' })
    await own.close()
    await expect(caller.stream(slugs)).rejects.toMatchObject({ code: 'pool_closed' })
  })

  it('has no more bytes than it may, and ends with its signal', async () => {
    const { own, caller } = await limited({ maxBytes: 10_000 })
    const ten = '(VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9))'
    const wide = `SELECT slug FROM teams, ${ten} a(n), ${ten} b(n), ${ten} c(n)`
    const read = async (): Promise<void> => {
      for await (const row of await caller.stream(wide)) void row
    }
    await expect(read()).rejects.toMatchObject({ code: 'answer_too_large' })
    const gone = new AbortController()
    const stream = await caller.stream(slugs, { signal: gone.signal })
    gone.abort()
    await expect(stream.next()).rejects.toMatchObject({ name: 'AbortError' })
    await own.close()
  })
})

describe('a unit of work', () => {
  it('gets at most so many rows of an answer, or is rolled back', async () => {
    const narrow = await createHoldfast({ manifest, database: database.target('app'), maxRows: 1_000, poolSize: 1 })
    try {
      const caller = await narrow.enter(await tokenOf('owner'))
      const count = (n: string) => sql`WITH ten(n) AS (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9))
          SELECT a.n FROM ten a, ten b, ten c, teams WHERE a.n < ${n}`
      expect((await caller.unit((db) => db.query(count('10')))).rows).toHaveLength(1_000)
      const over = caller.unit(async (db) => {
        await db`INSERT INTO teams (slug, name, created_by) VALUES ('over', 'over', ${caller.userId})`
        // two teams by now, so that the series is there twice
        await db.query(count('10'))
      })
      await expect(over).rejects.toMatchObject({ code: 'too_many_rows' })
      expect(await database.owner(`SELECT slug FROM tenancy.teams WHERE slug = 'over'`)).toEqual([])
    } finally {
      await narrow.close()
    }
  })

  it('holds all that the role grants, in the tenant, and no more', async () => {
    const caller = await holdfast.enter(await tokenOf('owner'))
    const { rows } = await caller.unit((db) => db<Team>`SELECT slug, name FROM teams`, { readOnly: true })
    expect(rows).toEqual([{ slug: 'core', name: `core ${tenants.acme.canary}` }])
    expectTypeOf(rows).toEqualTypeOf<Team[]>()
    await expect(caller.unit((db) => db.query('SELECT email FROM profiles'))).rejects.toMatchObject({
      code: 'relation_unknown',
    })
  })

  it('holds only what its access names, if it names one', async () => {
    const caller = await holdfast.enter(await tokenOf('owner'))
    const rename = caller.unit((db) => db.query(sql`UPDATE teams SET name = ${'x'}`), {
      access: holdfast.can('team:read'),
    })
    await expect(rename).rejects.toMatchObject({ code: 'grant_missing' })
  })

  it('is entered afresh: whoever was removed meanwhile is out', async () => {
    const { acme } = tenants
    const caller = await holdfast.enter(await tokenOf('viewer'))
    await database.owner('DELETE FROM holdfast.memberships WHERE tenant_id = $1 AND user_id = $2', [
      acme.id,
      acme.users.viewer.id,
    ])
    await expect(caller.unit(async () => 'in')).rejects.toMatchObject({ because: 'not_a_member' })
    await database.owner(`INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1, $2, 'viewer')`, [
      acme.id,
      acme.users.viewer.id,
    ])
  })

  it('that only reads does not write', async () => {
    const caller = await holdfast.enter(await tokenOf('owner'))
    const write = caller.unit((db) => db.query(sql`UPDATE teams SET name = ${'x'}`), { readOnly: true })
    await expect(write).rejects.toMatchObject({ code: 'read_only_route' })
  })

  it('undoes a failed inner transaction alone, with what it gave to afterCommit', async () => {
    const caller = await holdfast.enter(await tokenOf('owner'))
    const done: string[] = []
    await caller.unit(async (db) => {
      await db`UPDATE teams SET name = ${'outer'} WHERE slug = ${'core'}`
      db.afterCommit(() => void done.push('outer'))
      const inner = db.transaction(async (nested) => {
        await nested`UPDATE teams SET name = ${'inner'} WHERE slug = ${'core'}`
        nested.afterCommit(() => void done.push('inner'))
        throw new Error('no')
      })
      await expect(inner).rejects.toThrow('no')
    })
    expect(done).toEqual(['outer'])
    expect(await database.owner('SELECT name FROM tenancy.teams WHERE tenant_id = $1', [tenants.acme.id])).toEqual([
      { name: 'outer' },
    ])
  })

  it('keeps what was given to afterCommit beside an inner transaction that fails', async () => {
    const caller = await holdfast.enter(await tokenOf('owner'))
    const done: string[] = []
    await caller.unit(async (db, unit) => {
      const inner = db.transaction(async (nested) => {
        nested.afterCommit(() => void done.push('inner'))
        unit.afterCommit(() => void done.push('beside'))
        throw new Error('no')
      })
      await expect(inner).rejects.toThrow('no')
      await db.transaction(async (nested) => nested.afterCommit(() => void done.push('kept')))
    })
    expect(done).toEqual(['beside', 'kept'])
  })

  it('is not revived by being seen late', async () => {
    const token = await tokenOf('owner')
    const hash = hashSessionToken(token)
    await database.owner(
      `UPDATE holdfast.sessions SET last_seen_at = now() - idle_seconds * INTERVAL '1 second' WHERE token_hash = $1`,
      [hash],
    )
    await database.owner('SELECT holdfast.touch_session($1)', [hash])
    await expect(holdfast.enter(token)).rejects.toMatchObject({ because: 'session_idle' })
  })

  it('keeps its session seen', async () => {
    const token = await tokenOf('owner')
    await database.owner(
      `UPDATE holdfast.sessions SET last_seen_at = now() - INTERVAL '10 minutes' WHERE user_id = $1`,
      [tenants.acme.users.owner.id],
    )
    await holdfast.enter(token)
    await expect
      .poll(() =>
        database.owner(
          `SELECT count(*)::INT4 AS n FROM holdfast.sessions WHERE user_id = $1 AND last_seen_at > now() - INTERVAL '1 minute'`,
          [tenants.acme.users.owner.id],
        ),
      )
      .toEqual([{ n: 1 }])
  })

  it('a refusal says from where its statement was sent', async () => {
    const caller = await holdfast.enter(await tokenOf('owner'))
    const refusal = await caller.unit((db) => db.query('SELECT 1 FROM pg_class')).catch((error: unknown) => error)
    expect(String((refusal as { at?: string }).at)).toMatch(/test\/core\/holdfast\.test\.ts:\d+:\d+$/)
  })
})

describe('its database', () => {
  it.each(['identity', 'superuser'] as const)('is not the %s role', async (role) => {
    await expect(createHoldfast({ manifest, database: database.target(role) })).rejects.toMatchObject({
      code: 'startup_invariant',
    })
  })

  it('is connected for a manifest that is right only', async () => {
    const wrong = { ...manifest, roles: { owner: ['team'] } }
    await expect(createHoldfast({ manifest: wrong, database: database.target('app') })).rejects.toMatchObject({
      code: 'manifest_invalid',
    })
  })
})

describe('with Fastify', () => {
  const start = async (declare: (app: FastifyInstance) => void, guard = holdfast): Promise<FastifyInstance> => {
    const app = fastify()
    await app.register(guardPlugin, { guard, origin: 'http://localhost' })
    declare(app)
    await app.ready()
    return app
  }
  const team = sql<Team>`SELECT slug, name FROM teams WHERE slug = ${param('slug')}`

  it('a route’s rows have the type of its statement', async () => {
    const app = await start((each) => {
      each.get('/teams/:slug', { config: { access: holdfast.can('team:read'), first: team } }, async (request) => {
        const [row] = firstOf(request, team).rows
        expectTypeOf(row).toEqualTypeOf<Team | undefined>()
        return row
      })
      each.get(
        '/wrong',
        { config: { access: holdfast.can('team:read'), first: sql`SELECT slug FROM teams` } },
        async (request) => firstOf(request, team).rows,
      )
    })
    const headers = { authorization: `Bearer ${await tokenOf('owner')}` }
    expect((await app.inject({ url: '/teams/core', headers })).json()).toMatchObject({ slug: 'core' })
    expect((await app.inject({ url: '/wrong', headers })).statusCode).toBe(500)
    await app.close()
  })

  it.each([
    [
      'a permission that no role grants',
      { access: can('team:raed') },
      /GET \/x: no role of the manifest grants team:raed/,
    ],
    [
      'a statement on an unknown table',
      { access: can('team:read'), first: sql`SELECT id FROM tems` },
      /GET \/x: its first statement: [^]*\n {2}1 \| SELECT id FROM tems\n {4}\| {16}\^\nInstead: /,
    ],
    [
      'a statement that one of its roles may not send',
      { access: can('team:read'), first: sql`SELECT t.id FROM teams t, profiles p` },
      /its first statement/,
    ],
    [
      'a statement that writes in a GET',
      { access: can('team:read', 'team:update'), first: sql`UPDATE teams SET name = ${'x'}` },
      /its first statement/,
    ],
  ])('%s stops the start', async (_, config, message) => {
    await expect(start((app) => app.get('/x', { config }, async () => 1))).rejects.toThrow(message)
  })
})
