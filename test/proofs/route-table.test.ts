import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hashSessionToken, newSessionToken } from '../../src/core/guard/credential.ts'
import { type DeclaredRoute, formatAccess } from '../../src/service/http/route-declaration.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import type { TestDatabase } from '../postgres.ts'
import { type SeededTenant, seededRoles } from '../two-tenants.ts'
import { differences, footprintOf } from '../../src/testing/footprint.ts'
import { undo } from './footprint.ts'
import { carelessRoutes } from './careless-routes.ts'
import { type House, openHouse, type Walls } from './house.ts'
import { fillPath, type JsonSchema, type Known, sample } from '../../src/testing/sample.ts'

/** Who asks: nobody, somebody with a token that was never given out, and a user of each role of acme. */
const actors = ['nobody', 'forged', ...seededRoles, 'service'] as const
type Actor = (typeof actors)[number]
/** Whose ids the request carries: acme's own, or those of globex. */
const targets = ['own', 'foreign'] as const
type Target = (typeof targets)[number]

type Route = {
  readonly method: string
  readonly declared: DeclaredRoute
  readonly body: JsonSchema | undefined
  /** whether its query string takes a cursor */
  readonly isList: boolean
}
type Cell = {
  readonly status: number
  readonly leaks: boolean
  readonly changes: string[]
  readonly foreignChanges: string[]
}

const variants: { name: string; walls: Walls }[] = [
  { name: 'both walls', walls: { first: true, second: true } },
  { name: 'the first wall alone', walls: { first: true, second: false } },
  { name: 'the second wall alone', walls: { first: false, second: true } },
]

type Described = {
  readonly requestBody?: { readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>> }
  readonly parameters?: readonly { readonly in: string; readonly name: string }[]
}

/** Every route and method of the running application, with the body's schema from its own description. */
function routesOf({ server }: House): Route[] {
  const { paths = {} } = server.app.swagger() as { paths?: Record<string, Record<string, unknown>> }
  return server.routes().flatMap((declared) =>
    declared.methods.map((method) => {
      const described = paths[declared.url.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()]
      const { requestBody, parameters = [] } = (described ?? {}) as Described
      return {
        method,
        declared,
        body: requestBody?.content?.['application/json']?.schema,
        isList: method === 'GET' && parameters.some((one) => one.in === 'query' && one.name === 'cursor'),
      }
    }),
  )
}

async function ask(house: House, route: Route, actor: Actor, target: Target): Promise<Cell> {
  const { acme, globex } = house.tenants
  const tenant = target === 'own' ? acme : globex
  const sessionId = randomUUID()
  const known: Known = {
    slug: 'core',
    user_id: tenant.users.viewer.id,
    id: sessionId,
    tenant: tenant.slug,
    email: 'stranger@example.com',
    display_name: 'A new name',
    password: 'a password that is long enough',
    // for the route that puts it into its statement
    name: 'EXISTS (SELECT 1 FROM profiles)) UNION (SELECT display_name FROM profiles',
    role: 'viewer',
    '*': 'x',
  }
  // what earlier requests brought along: each footprint would read it all again
  await house.database.owner(
    'WITH old AS (DELETE FROM holdfast.sessions), older AS (DELETE FROM holdfast.invitations) DELETE FROM holdfast.throttle',
  )
  // a session of the target's, to be ended by id
  const owner =
    target === 'own' && actor in acme.users ? acme.users[actor as keyof typeof acme.users] : globex.users.owner
  await addSession(house.database, sessionId, owner.id)
  await addInvitation(house.database, sessionId, tenant)
  // a change is based on whatever is there
  const headers: Record<string, string> = { 'if-match': '*' }
  if (actor === 'forged') headers['authorization'] = `Bearer ${newSessionToken().token}`
  else if (actor !== 'nobody')
    headers['authorization'] = `Bearer ${await house.tenants.session(acme.users[actor].id, acme.id)}`
  const hasBody = route.body !== undefined
  if (hasBody) headers['content-type'] = 'application/json'

  const before = await footprintOf(house.database)
  const response = await fetch(house.origin + fillPath(route.declared.url, known), {
    method: route.method,
    headers,
    redirect: 'manual',
    ...(route.body === undefined ? {} : { body: JSON.stringify(sample(route.body, { ...known, slug: 'new' })) }),
  })
  const text = await response.text()
  const changes = differences(before, await footprintOf(house.database))
  await undo(house.database, changes)
  const marks = [globex.canary, globex.id, globex.teamId, ...Object.values(globex.users).map(({ id }) => id)]
  return {
    status: response.status,
    // what the request itself named is no news
    leaks:
      [globex.canary, globex.teamId].some((mark) => text.includes(mark)) ||
      JSON.stringify([...response.headers]).includes(globex.canary),
    changes,
    foreignChanges: changes.filter((change) => marks.some((mark) => change.includes(mark))),
  }
}

async function addSession({ owner }: TestDatabase, id: string, userId: string): Promise<void> {
  await owner(
    `INSERT INTO holdfast.sessions (id, token_hash, user_id, idle_seconds, expires_at) VALUES ($1, $2, $3, 3600, now() + INTERVAL '1 day')`,
    [id, hashSessionToken(newSessionToken().token), userId],
  )
}

/** An invitation that is open, to be withdrawn by id. */
async function addInvitation({ owner }: TestDatabase, id: string, tenant: SeededTenant): Promise<void> {
  await owner(
    `INSERT INTO holdfast.invitations (tenant_id, id, email, role, token_hash, invited_by, expires_at)
     VALUES ($1, $2::UUID, $3, 'viewer', $4, $5, now() + INTERVAL '1 day')`,
    [tenant.id, id, `${id}.${tenant.canary}@example.com`, randomBytes(32), tenant.users.owner.id],
  )
}

/** More rows than one on every list of both tenants, so that each has a second page. */
async function lengthenLists({ database, tenants }: House): Promise<void> {
  for (const tenant of [tenants.acme, tenants.globex]) {
    await database.owner(
      `INSERT INTO tenancy.teams (tenant_id, slug, name, created_by) VALUES ($1, 'second', $2, $3)`,
      [tenant.id, tenant.canary, tenant.users.owner.id],
    )
    for (let count = 0; count < 2; count++) await addInvitation(database, randomUUID(), tenant)
  }
}

/** A list as the owner of a tenant sees it. */
async function askList(house: House, { declared }: Route, tenant: SeededTenant, search: string) {
  const token = await house.tenants.session(tenant.users.owner.id, tenant.id)
  const answer = await fetch(`${house.origin}${fillPath(declared.url, { slug: 'core' })}?${search}`, {
    headers: { authorization: `Bearer ${token}` },
  })
  const body = (await answer.json()) as { code?: string; next_cursor?: string | null }
  return { status: answer.status, ...body, text: JSON.stringify(body) }
}

describe.each(variants)('$name', ({ name, walls }) => {
  let house: House
  const table: { route: Route; cells: Map<string, Cell> }[] = []

  beforeAll(async () => {
    house = await openHouse({ walls, extend: carelessRoutes })
    for (const route of routesOf(house)) {
      const cells = new Map<string, Cell>()
      for (const actor of actorsFor(route)) {
        for (const target of targets) cells.set(`${actor} ${target}`, await ask(house, route, actor, target))
      }
      table.push({ route, cells })
    }
  }, 180_000)
  afterAll(() => house.close())

  it('was tried on every route', () => {
    const v1 = table.filter(({ route }) => route.declared.url.startsWith('/v1/'))
    expect(v1.length).toBeGreaterThan(15)
    expect(v1.filter(({ route }) => route.declared.access.kind === 'can').length).toBeGreaterThan(4)
    for (const { route, cells } of table) expect(cells.size).toBe(actorsFor(route).length * targets.length)
  })

  it('nobody of acme sees or changes anything of globex', () => {
    const found = table.flatMap(({ route, cells }) =>
      [...cells]
        .filter(([, { leaks, foreignChanges }]) => leaks || foreignChanges.length > 0)
        .map(([who]) => `${label(route)}: ${who}`),
    )
    expect(found).toEqual([])
  })

  it('who is denied leaves nothing behind', () => {
    const found = table.flatMap(({ route, cells }) =>
      [...cells]
        .filter(([, { status, changes }]) => status >= 400 && changes.length > 0)
        .map(([who, { status }]) => `${label(route)}: ${who}: ${status}`),
    )
    expect(found).toEqual([])
    expect(house.pools.app.stats.destroyed + house.pools.identity.stats.destroyed).toBe(0)
  })

  it('no cursor of one tenant opens in the other, on any list', async () => {
    await lengthenLists(house)
    const lists = table.filter(({ route }) => route.isList)
    expect(lists.length).toBeGreaterThan(3)
    const { acme, globex } = house.tenants
    for (const { route } of lists) {
      const theirs = await askList(house, route, globex, 'limit=1')
      expect([label(route), theirs.status, typeof theirs.next_cursor]).toEqual([label(route), 200, 'string'])
      const search = `limit=1&cursor=${theirs.next_cursor}`
      const answers = []
      for (const tenant of [globex, acme]) answers.push(await askList(house, route, tenant, search))
      expect([label(route), ...answers.map(({ status, code }) => code ?? status)]).toEqual([
        label(route),
        200,
        'cursor_invalid',
      ])
      expect(answers[1]?.text).not.toContain(globex.canary)
    }
  })

  it('no request is answered with a fault', () => {
    const found = table.flatMap(({ route, cells }) =>
      [...cells]
        .filter(([, { status }]) => status >= 500)
        .map(([who, { status }]) => `${label(route)}: ${who}: ${status}`),
    )
    expect(found).toEqual([])
  })

  it('each route asks for what it declares', () => {
    for (const { route, cells } of table) {
      const { access } = route.declared
      if (access.kind === 'open') continue
      for (const target of targets) {
        for (const actor of ['nobody', 'forged'])
          expect(`${label(route)} ${cells.get(`${actor} ${target}`)?.status}`).toBe(`${label(route)} 401`)
        for (const role of seededRoles) {
          const granted: readonly string[] = defaultRoles[role]
          const holds =
            access.kind !== 'can' ||
            access.permissions.every(
              (permission) => granted.includes(permission) || granted.includes(`${permission}@own`),
            )
          const status = cells.get(`${role} ${target}`)?.status ?? 0
          if (holds) expect([`${label(route)} ${role}`, status]).not.toEqual([`${label(route)} ${role}`, 401])
          else expect([`${label(route)} ${role}`, status]).toEqual([`${label(route)} ${role}`, 403])
        }
      }
    }
  })

  it.runIf(name === 'both walls')('is what docs/access.md says', async () => {
    await expect(asMarkdown(table)).toMatchFileSnapshot('../../docs/access.md')
  })
})

describe('no wall at all', () => {
  it('would let acme reach globex: the table can see it', async () => {
    const house = await openHouse({ walls: { first: false, second: false }, extend: carelessRoutes })
    try {
      const seen: Record<string, boolean> = {}
      for (const route of routesOf(house).filter(
        ({ declared, method }) => declared.url.startsWith('/careless') && method !== 'HEAD',
      )) {
        const { leaks, foreignChanges } = await ask(house, route, 'owner', 'foreign')
        seen[label(route)] = leaks || foreignChanges.length > 0
      }
      expect(seen).toEqual({
        'GET /careless/profiles/:user_id': true,
        'GET /careless/teams': true,
        'PATCH /careless/teams/:slug': true,
        'DELETE /careless/members/:user_id': false,
        'POST /careless/search': true,
        'PUT /careless/declared/:slug': true,
      })
    } finally {
      await house.close()
    }
  })
})

/** Pages and probes outside /v1 that are open to all know no caller: nobody and one caller are enough. */
function actorsFor({ declared }: Route): readonly Actor[] {
  const isPage = declared.access.kind === 'open' && !declared.url.startsWith('/v1/')
  return isPage ? ['nobody', 'owner'] : actors
}

function label({ method, declared }: Route): string {
  return `${method} ${declared.url}`
}

function asMarkdown(table: readonly { route: Route; cells: Map<string, Cell> }[]): string {
  const columns: [string, string][] = [
    ['nobody', 'nobody own'],
    ['viewer', 'viewer own'],
    ['member', 'member own'],
    ['admin', 'admin own'],
    ['owner', 'owner own'],
    ['service account', 'service own'],
    ['owner, with ids of another tenant', 'owner foreign'],
  ]
  const rows = table
    .filter(({ route }) => route.method !== 'HEAD' && route.declared.url.startsWith('/v1/'))
    .map(({ route, cells }) => ({
      name: label(route),
      access: formatAccess(route.declared.access),
      statuses: columns.map(([, key]) => cells.get(key)?.status),
    }))
    .sort(
      (a, b) => (a.name.split(' ')[1] ?? '').localeCompare(b.name.split(' ')[1] ?? '') || a.name.localeCompare(b.name),
    )
  return [
    '# Who gets what',
    '',
    'Made by `test/proofs/route-table.test.ts` from the running service: every route, a user of each role of one tenant, with ids',
    'of their own tenant and, in the last column, with those of another. Each cell is the status of a well-formed request.',
    'A new route is in it by itself; the test fails until this page is made again with `npx vitest run test/proofs/route-table.test.ts --update`.',
    '',
    `| route | access | ${columns.map(([title]) => title).join(' | ')} |`,
    `|---|---|${columns.map(() => '---').join('|')}|`,
    ...rows.map(({ name, access, statuses }) => `| \`${name}\` | ${access} | ${statuses.join(' | ')} |`),
    '',
    '404 is also the answer for what is there and belongs to somebody else. On `/v1/teams/{slug}/members`, 403 is for members',
    'of the tenant who are not on the team. The open routes judge their tokens and passwords themselves; the table sends wrong ones.',
    '',
  ].join('\n')
}
