import { afterAll, beforeAll, expect, it } from 'vitest'
import { ScopeRefusal } from '../../../../src/core/scope/refusals.ts'
import { bind, loadKernel, type ScopedStatement } from '../../../../src/core/scope/scope.ts'
import { seeded } from '../oracle/dice.ts'
import { type Actor, actors, TENANT, USER } from './house.ts'
import { leaksOf } from './judgement.ts'
import { attacks } from './table/index.ts'
import { House, scope, sentOf } from './walls.ts'

/** One pooled connection serves all: what one caller left prepared must never run for another (CWE-694). */

let everything: House
let oneOwner: House
beforeAll(async () => {
  await loadKernel()
  everything = await House.open('everything')
  oneOwner = await House.open('one owner')
})
afterAll(async () => {
  await everything.close()
  await oneOwner.close()
})

/** From the sixth time on PostgreSQL may keep a plan that knows no values. */
const ROUNDS = 7

function scopedFor(sql: string, { grants, role }: Actor): ScopedStatement | undefined {
  try {
    return scope().scope(sql, grants, role)
  } catch (error) {
    if (error instanceof ScopeRefusal) return undefined
    throw error
  }
}

const chief: Actor = { ...actors.tenant, role: 'chief' }
const callers: readonly Actor[] = [actors.tenant, actors.own, chief, actors.mixed]

it('answers each caller as if there were no other, by whatever plan', { timeout: 120_000 }, async () => {
  const random = seeded(17)
  const texts = attacks
    .filter(([, , , verdict, more]) => verdict === 'scoped' && more?.unrun === undefined && more?.endless !== true)
    .filter(([, , , , more]) => more?.values === undefined)
    .map(([, , sql]) => sql)
    .filter((sql) => /^SELECT/i.test(sql) && random() < 0.3)
  expect(texts.length).toBeGreaterThan(30)
  const names = new Map<string, string>()
  for (const sql of texts) {
    const statements = callers.flatMap((actor) => {
      const scoped = scopedFor(sql, actor)
      return scoped === undefined ? [] : [scoped]
    })
    const sent = statements.map((scoped) => sentOf(scoped, bind(scoped, { tenantId: TENANT, userId: USER }, [])))
    const alone: string[] = []
    for (const { text, values } of sent) alone.push((await everything.run('both', { text, values })).answer)
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, one] of sent.entries()) {
        expect((await everything.run('both', one)).answer, sql).toBe(alone[index])
      }
    }
    for (const { name, text } of statements) expect(names.get(name) ?? text).toBe(text)
    for (const { name, text } of statements) names.set(name, text)
  }
})

it('keeps reach own from the statement of reach tenant, and a role from the columns of another', () => {
  const sql = 'SELECT * FROM docs'
  const statements = callers.map((actor) => scopedFor(sql, actor))
  expect(new Set(statements.map((scoped) => scoped?.name)).size).toBe(3)
  expect(statements[0]?.name).toBe(statements[3]?.name)
})

it.each([
  [
    'SELECT id FROM docs WHERE CASE WHEN title = ANY (ARRAY[$1::text]) THEN $2::text ~ ANY (ARRAY[$3::text]) END IS NULL',
    ['canary-900101', 'a', '('],
  ],
  [
    'SELECT id FROM docs WHERE id = $1 AND CASE WHEN size IS NOT NULL THEN to_date($2, $3) END IS NULL',
    ['900101', 'x', 'YYYY'],
  ],
  ['SELECT id FROM docs WHERE id = $1 AND make_date($2::int4, $3::int4, 1) IS NULL', ['900101', 2000, 13]],
] as const)('a plan without values fails on no row of another tenant: %s', async (sql, values) => {
  const scoped = scopedFor(sql, actors.own)
  if (scoped === undefined) throw new Error('it is scoped')
  const sent = (given: readonly unknown[]) => sentOf(scoped, bind(scoped, { tenantId: TENANT, userId: USER }, given))
  const harmless = values.map((value, index) =>
    index === 0
      ? '0'
      : index === 1
        ? typeof value === 'number'
          ? 2000
          : '2000'
        : typeof value === 'number'
          ? 1
          : 'YYYY',
  )
  for (let round = 0; round < ROUNDS; round++) {
    for (const house of [everything, oneOwner])
      expect((await house.run('both', sent(harmless))).summary).toMatch(/rows$/)
  }
  const [outcome, twin] = [await everything.run('both', sent(values)), await oneOwner.run('both', sent(values))]
  expect(leaksOf(outcome, twin, { ...actors.own, fields: true }, JSON.stringify(values))).toEqual([])
})
