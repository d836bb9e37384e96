import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ScopeRefusal } from '../../../../src/core/scope/refusals.ts'
import { bind, loadKernel } from '../../../../src/core/scope/scope.ts'
import { type Attack, type Limit, limits, type Wall } from './attack.ts'
import { type Actor, actors, type Population, TENANT, twinOf, USER } from './house.ts'
import { leaksOf, type Question, TENANTS } from './judgement.ts'
import { pageOf } from './page.ts'
import { attacks, groups } from './table/index.ts'
import { House, scope, type Sent, sentOf } from './walls.ts'

/** The house with all its rows, and those that lack what an actor must not see. */
const houses = new Map<Population, House>()
const house = (population: Population): House => {
  const found = houses.get(population)
  if (found === undefined) throw new Error(`there is no house with ${population}`)
  return found
}
const summaries = new Map<Attack, string>()

beforeAll(async () => {
  await loadKernel()
  for (const population of ['everything', 'one tenant', ...Object.values(twinOf)] as const)
    houses.set(population, await House.open(population))
})
afterAll(async () => {
  for (const one of houses.values()) await one.close()
})

function scopedBy([, , sql, , { values = [], as = 'tenant', endless } = {}]: Attack): Sent | ScopeRefusal {
  const { grants, role } = actors[as]
  try {
    const scoped = scope().scope(sql, grants, role)
    return sentOf(scoped, bind(scoped, { tenantId: TENANT, userId: USER }, values), endless === true)
  } catch (error) {
    if (error instanceof ScopeRefusal) return error
    throw error
  }
}

type Tried = { readonly summary: string; readonly leaks: readonly string[]; readonly tenants: readonly string[] }

/** What came of a statement, and what it tells of others: what is seen, changed, or told apart. */
async function tried(wall: Wall, sent: Sent, raw: Sent, actor: Actor): Promise<Tried> {
  const given = JSON.stringify([raw.text, raw.values])
  const outcome = await house('everything').run(wall, sent)
  const question: Question = { ...actor, fields: true }
  const leaks = leaksOf(outcome, await house(twinOf[actor.apart]).run(wall, sent), question, given)
  const tenants = leaks.length === 0 ? [] : leaksOf(outcome, await house('one tenant').run(wall, sent), TENANTS, given)
  return { summary: outcome.summary, leaks, tenants }
}

/** What the other wall keeps, and this one does not: something within the tenant. */
const WITHIN: readonly (Limit | undefined)[] = ['own', 'owners', 'grants', 'fields', 'ids']

describe.each(groups)('%s', (_, group) => {
  it.each(group.map((attack) => ({ name: attack[0], sql: attack[2], attack })))('$name: $sql', async ({ attack }) => {
    const [, , sql, verdict, { values = [], as = 'tenant', leaks = {}, unrun, since = 0, endless = false } = {}] =
      attack
    const raw: Sent = { text: sql, values, isEndless: endless === true }
    const scoped = scopedBy(attack)
    expect.soft(scoped instanceof ScopeRefusal ? scoped.code : 'scoped').toBe(verdict)
    if (unrun !== undefined) return
    const isNew = since > house('everything').version
    for (const wall of ['first', 'second', 'both'] as const) {
      const sent = wall === 'second' ? raw : scoped
      // what is no SQL to this database yet tells nothing of it
      if (sent instanceof ScopeRefusal || isNew) continue
      const { summary, leaks: all, tenants } = await tried(wall, sent, raw, actors[as])
      if (wall === 'both') summaries.set(attack, summary)
      if (endless === true) expect.soft(summary, wall).toBe('57014')
      const limit = leaks[wall]
      if (limit === undefined) expect.soft(all, wall).toEqual([])
      else expect.soft(all, `the ${wall} wall is known to leak here: ${limits[limit]}`).not.toEqual([])
      if (WITHIN.includes(limit)) expect.soft(tenants, wall).toEqual([])
      else if (limit !== undefined) expect.soft(tenants, `${wall}: ${limits[limit]}`).not.toEqual([])
    }
  })
})

it('has every attack once, and two hundred at least', () => {
  const seen = new Set(attacks.map(([, , sql, , more]) => JSON.stringify([sql, more?.as, more?.values])))
  expect(seen.size).toBe(attacks.length)
  expect(attacks.length).toBeGreaterThan(200)
})

it('names no limit that no attack shows', () => {
  const shown = new Set(attacks.flatMap(([, , , , { leaks = {} } = {}]) => Object.values(leaks)))
  expect([...shown].sort()).toEqual(Object.keys(limits).sort())
})

it('docs/attacks.md has every attack', async ({ skip }) => {
  const sent = attacks.filter(([, , , verdict, more]) => verdict === 'scoped' && more?.unrun === undefined)
  // some were left out on the command line, or the database is an older one
  if (summaries.size < sent.length || house('everything').version < 18) skip()
  await expect(pageOf(groups, summaries)).toMatchFileSnapshot('../../../../docs/attacks.md')
})
