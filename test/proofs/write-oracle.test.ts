import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { can } from '../../src/core/guard/access.ts'
import type { Scope } from '../../src/core/scope/scope.ts'
import { type House, openHouse } from './house.ts'

/** A role that writes teams and may read none. */
const roles = { scribe: ['team:create', 'team:update', 'team:delete'] }

/**
 * Two states of the scribe's own tenant that differ in nothing but what the team is called: a scribe whose answers
 * differ between them has read it.
 */
const worlds = [
  { slug: 'alpha', name: 'gold' },
  { slug: 'omega', name: 'lead' },
] as const

/** Ways to read by writing. Each differs between the worlds where the kernel does not ask for `read`. */
const oracles: [string, string][] = [
  ['RETURNING of UPDATE', `UPDATE teams SET name = 'x' RETURNING slug`],
  ['RETURNING of the old value', `UPDATE teams SET slug = slug RETURNING name`],
  ['RETURNING *', `UPDATE teams SET created_at = now() RETURNING teams.slug`],
  ['RETURNING of DELETE', `DELETE FROM teams RETURNING name`],
  ['rows counted by WHERE', `UPDATE teams SET created_at = now() WHERE name = 'gold'`],
  ['rows counted by a pattern', `UPDATE teams SET created_at = now() WHERE slug LIKE 'a%'`],
  ['rows counted by a part', `UPDATE teams SET created_at = now() WHERE substr(name, 1, 1) = 'g'`],
  ['rows counted by DELETE', `DELETE FROM teams WHERE name = 'gold'`],
  ['an alias', `UPDATE teams AS t SET created_at = now() WHERE t.name = 'gold'`],
  ['a whole row', `DELETE FROM teams AS t WHERE t.name || '' = 'gold'`],
  ['an error in WHERE', `UPDATE teams SET created_at = now() WHERE 1 / (ascii(name) - 103) > 7`],
  ['an error in SET', `UPDATE teams SET name = (1 / (ascii(name) - 103))::TEXT`],
  ['an error by the right side', `UPDATE teams SET slug = CASE WHEN name = 'gold' THEN '' ELSE 'fine' END`],
  [
    'the right side, many at once',
    `UPDATE teams SET (slug, name) = (SELECT CASE WHEN name = 'gold' THEN '' ELSE 'b' END, 'c')`,
  ],
  ['a subquery', `UPDATE teams SET created_at = now() WHERE EXISTS (SELECT 1 FROM teams t WHERE t.name = 'gold')`],
  ['FROM', `UPDATE teams SET created_at = now() FROM teams t WHERE t.name = 'gold'`],
  ['USING', `DELETE FROM teams USING teams t WHERE t.name = 'gold'`],
  [
    'a CTE',
    `WITH seen AS (SELECT 1 FROM teams WHERE name = 'gold') UPDATE teams SET created_at = now() WHERE EXISTS (SELECT 1 FROM seen)`,
  ],
  [
    'INSERT from a reading',
    `INSERT INTO teams (slug, name, created_by) SELECT 'copy', 'x', created_by FROM teams WHERE name = 'gold'`,
  ],
  [
    'a value that is read',
    `INSERT INTO teams (slug, name, created_by) VALUES ('copy', (SELECT CASE name WHEN 'gold' THEN '' ELSE 'x' END FROM teams), gen_random_uuid())`,
  ],
  [
    'ON CONFLICT DO UPDATE',
    `INSERT INTO teams (slug, name, created_by) VALUES ('alpha', 'x', gen_random_uuid()) ON CONFLICT (tenant_id, slug) DO UPDATE SET name = '' `,
  ],
  ['a plain reading', `SELECT name FROM teams`],
  ['a locking reading', `SELECT name FROM teams FOR UPDATE`],
]

/** Writes that a scribe may do. What they answer is the same whatever is there. */
const writes: [string, string][] = [
  ['an INSERT', `INSERT INTO teams (slug, name, created_by) VALUES ('fresh', 'x', gen_random_uuid())`],
  ['an UPDATE of all', `UPDATE teams SET name = 'x'`],
  ['a DELETE of all', `DELETE FROM teams`],
]

const request = {
  type: 'object',
  required: ['text'],
  additionalProperties: false,
  properties: { text: { type: 'string' } },
}

/** A route whose handler writes the statement; the text comes from the test. */
function oracleRoute(app: FastifyInstance): void {
  app.post(
    '/oracle',
    {
      config: { access: can('team:create', 'team:update', 'team:delete') },
      schema: { body: request },
    },
    async ({ db, body }) => {
      const { rows, rowCount } = await db.query((body as { text: string }).text)
      return { rows, rowCount }
    },
  )
}

/** The kernel without its rule: whoever may write a resource may read it. */
function withoutRule(scope: Scope): Scope {
  return {
    ...scope,
    scope: (text, grants) => scope.scope(text, new Map([...grants, ['team:read', 'tenant']])),
  }
}

/** What the scribe is answered in each world, and nothing that changes from request to request. */
async function askInBoth(house: House, text: string): Promise<string[]> {
  const { acme } = house.tenants
  const answers: string[] = []
  for (const world of worlds) {
    await house.database.owner('DELETE FROM tenancy.teams WHERE tenant_id = $1', [acme.id])
    await house.database.owner(
      'INSERT INTO tenancy.teams (tenant_id, slug, name, created_by) VALUES ($1, $2, $3, $4)',
      [acme.id, world.slug, world.name, acme.users.owner.id],
    )
    const token = await house.tenants.session(acme.users.viewer.id, acme.id)
    const answer = await fetch(`${house.origin}/oracle`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ text }),
    })
    const { request_id: _, ...body } = (await answer.json()) as Record<string, unknown>
    answers.push(JSON.stringify([answer.status, body]))
  }
  return answers
}

async function openAsScribe(scope?: (scope: Scope) => Scope): Promise<House> {
  const house = await openHouse({ roles, extend: oracleRoute, ...(scope === undefined ? {} : { scope }) })
  await house.tenants.setRole(house.tenants.acme, house.tenants.acme.users.viewer.id, 'scribe')
  return house
}

describe('a role without read', () => {
  let house: House
  beforeAll(async () => {
    house = await openAsScribe()
  })
  afterAll(() => house.close())

  it.each(oracles)('learns nothing by %s: it is refused', async (_, text) => {
    const [one, other] = await askInBoth(house, text)
    expect(one).toBe(other)
    // a statement that the kernel refuses is the developer's fault, and the client hears nothing of it
    expect(one).toMatch(/^\[500,.*"code":"internal_error"/)
  })

  it.each(writes)('writes all the same, and learns nothing: %s', async (_, text) => {
    const [one, other] = await askInBoth(house, text)
    expect(one).toBe(other)
    expect(one).toBe('[200,{"rows":[],"rowCount":1}]')
  })

  it('is told by a unique key what no rule can hide: that its own tenant has the slug, never another', async () => {
    await house.database.owner(
      'INSERT INTO tenancy.teams (tenant_id, slug, name, created_by) VALUES ($1, $2, $2, $3)',
      [house.tenants.globex.id, 'theirs', house.tenants.globex.users.owner.id],
    )
    for (const [ending, taken] of [
      ['', '[409'],
      // no more than the plain INSERT: that there is a conflict, without saying with what
      [' ON CONFLICT DO NOTHING', '[200,{"rows":[],"rowCount":0}]'],
      [' ON CONFLICT (tenant_id, slug) DO NOTHING', '[200,{"rows":[],"rowCount":0}]'],
    ] as const) {
      const insert = (slug: string): string =>
        `INSERT INTO teams (slug, name, created_by) VALUES ('${slug}', 'x', gen_random_uuid())${ending}`
      const fresh = '[200,{"rows":[],"rowCount":1}]'
      const [there, elsewhere] = await askInBoth(house, insert('alpha'))
      expect([there?.startsWith(taken), elsewhere]).toEqual([true, fresh])
      expect(await askInBoth(house, insert('theirs'))).toEqual([fresh, fresh])
    }
  })
})

describe('without the kernel’s rule', () => {
  let house: House
  beforeAll(async () => {
    house = await openAsScribe(withoutRule)
  })
  afterAll(() => house.close())

  it.each(oracles)('%s tells: the proof above would see it', async (_, text) => {
    const [one, other] = await askInBoth(house, text)
    expect(one).not.toBe(other)
  })
})
