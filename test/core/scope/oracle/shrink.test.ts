import { loadModule } from 'libpg-query'
import { beforeAll, expect, it } from 'vitest'
import { Dice, seedOf } from './dice.ts'
import { treeOf } from './mutate.ts'
import { shrinkStatement, shrinkWorld } from './shrink.ts'
import { makeWorld } from './world.ts'

beforeAll(() => loadModule())

it('leaves of a statement what the failure needs, and its values', async () => {
  const text = `WITH q AS (SELECT a.id, max(b.size) FROM docs a LEFT JOIN notes b ON b.id = a.id AND b.body <> $1 GROUP BY 1)
    SELECT q.id, CASE WHEN q.max > 3 THEN lower($2) ELSE upper('x') END FROM q, LATERAL (SELECT 1) l WHERE q.id = $3 OR true ORDER BY 1 LIMIT 3`
  const smallest = await shrinkStatement({ text, values: ['body', 'name', '9'] }, async (candidate) =>
    /lower\(\$\d\)/.test(candidate.text),
  )
  expect(smallest).toEqual({ text: 'SELECT lower($1)', values: ['name'] })
})

it('gives nothing that does not parse, and ends where nothing smaller fails', async () => {
  const tried: string[] = []
  const text = 'SELECT id FROM docs WHERE id = 1'
  const same = await shrinkStatement({ text, values: [] }, async (candidate) => {
    tried.push(candidate.text)
    return false
  })
  expect(same.text).toBe(text)
  expect(tried.length).toBeGreaterThan(3)
  expect(tried.filter((each) => treeOf(each) === undefined)).toEqual([])
})

it('leaves of a world the tables and rows that the failure needs', async () => {
  const world = makeWorld(new Dice(seedOf(1, 1)))
  const smaller = await shrinkWorld(world, async ({ tables }) => tables.some(({ name }) => name === 'lines'))
  expect(smaller.tables.map(({ name }) => name)).toContain('lines')
  expect(smaller.tables.length).toBeLessThan(world.tables.length)
  const rows = ({ rows: all }: typeof world): number => all.reduce((sum, each) => sum + each.rows.length, 0)
  expect(rows(smaller)).toBeLessThan(rows(world) / 2)
})
