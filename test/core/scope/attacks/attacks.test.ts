import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ScopeRefusal } from '../../../../src/core/scope/refusals.ts'
import { bind, loadKernel, type ScopedStatement } from '../../../../src/core/scope/scope.ts'
import { type Attack, type Wall } from './attack.ts'
import { type Actor, actors, type Population, TENANT, twinOf, USER } from './house.ts'
import { attacks, groups } from './table/index.ts'
import { House, leaksOf, type Outcome, scope, type Sent, sentOf } from './walls.ts'

/** The house with all its rows, and one for each actor that lacks what the actor must not see. */
const houses = new Map<Population, House>()
const house = (population: Population): House => {
  const found = houses.get(population)
  if (found === undefined) throw new Error(`there is no house with ${population}`)
  return found
}

beforeAll(async () => {
  await loadKernel()
  for (const population of ['all', ...Object.values(twinOf)] as const) houses.set(population, await House.open(population))
})
afterAll(async () => {
  for (const one of houses.values()) await one.close()
})

function scopedBy([, , sql, , { values = [], as = 'tenant' } = {}]: Attack): Sent | ScopeRefusal {
  const { grants, role } = actors[as]
  try {
    const scoped: ScopedStatement = scope().scope(sql, grants, role)
    return sentOf(scoped, bind(scoped, { tenantId: TENANT, userId: USER }, values))
  } catch (error) {
    if (error instanceof ScopeRefusal) return error
    throw error
  }
}

/** Runs a statement in both houses; what it tells of others is what is seen, changed, or told apart. */
async function tried(wall: Wall, sent: Sent, raw: Sent, actor: Actor): Promise<{ outcome: Outcome; leaks: string[] }> {
  const outcome = await house('all').run(wall, sent, actor)
  const twin = await house(twinOf[actor.apart]).run(wall, sent, actor)
  return { outcome, leaks: leaksOf(outcome, twin, actor, sent, raw) }
}

describe.each(groups)('%s', (_, group) => {
  it.each(group)('%s (%s) %s', async (...attack) => {
    const [, , sql, verdict, { values = [], as = 'tenant', leaks = {}, unrun } = {}] = attack
    const actor: Actor = actors[as]
    const raw: Sent = { text: sql, values }
    const scoped = scopedBy(attack)
    const said = scoped instanceof ScopeRefusal ? scoped.code : 'scoped'
    const found: Partial<Record<Wall, string[]>> = {}
    if (unrun === undefined) {
      if (!(scoped instanceof ScopeRefusal)) {
        found.first = (await tried('first', scoped, raw, actor)).leaks
        found.both = (await tried('both', scoped, raw, actor)).leaks
      }
      found.second = (await tried('second', raw, raw, actor)).leaks
    }
    expect.soft(said).toBe(verdict)
    for (const [wall, list] of Object.entries(found))
      if (leaks[wall as Wall] === undefined) expect.soft(list, wall).toEqual([])
      else expect.soft(list, `${wall} is known to leak: ${leaks[wall as Wall]}`).not.toEqual([])
  })
})

it('has every attack once', () => {
  const seen = new Set(attacks.map(([, , sql, , more]) => JSON.stringify([sql, more?.as, more?.values])))
  expect(seen.size).toBe(attacks.length)
})
