import type pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { formatGrants, type Grants, parseGrants } from '../../../src/core/scope/grants.ts'
import { ScopeRefusal } from '../../../src/core/scope/refusals.ts'
import { bind, createScope, loadKernel, type ScopedStatement } from '../../../src/core/scope/scope.ts'
import { connect } from '../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { all, archive, own } from './archive.ts'
import { effectsQuery, oracleSchema } from './oracle-database.ts'
import { type Sample, sample, seeded } from './oracle-generator.ts'

const TENANT = '7'
const USER = '2'

/** What came of a statement: its rows and what it left behind, or the error's SQLSTATE. */
type Outcome = { readonly rows: string; readonly effects: string } | { readonly failed: string }

/** Differences that are understood, each counted. */
const SKIPPED = "conflict with a row out of reach: RLS raises, the kernel's WHERE skips"
const UNORDERED = 'several source rows for one key: which is first is undefined'

let database: TestDatabase
let client: pg.Client

beforeAll(async () => {
  await loadKernel()
  database = await createTestDatabase()
  client = await connect(database.target('superuser'))
  await client.query(oracleSchema)
})

afterAll(async () => {
  await client.end()
  await database.drop()
})

/** Runs a text in a transaction that is rolled back. */
async function attempt(before: string, text: string, values: readonly unknown[], ordered: boolean): Promise<Outcome> {
  await client.query(`BEGIN; ${before}`)
  try {
    const { rows, command } = await client.query<unknown[]>({ text, values: [...values], rowMode: 'array' })
    const lines = rows.map((row) => JSON.stringify(row))
    if (!ordered) lines.sort()
    let effects = ''
    if (command !== 'SELECT') {
      const left = await client.query<{ rows: string }>(`RESET ROLE`).then(() => client.query(effectsQuery))
      effects = JSON.stringify(left.rows)
    }
    return { rows: lines.join('\n'), effects }
  } catch (error) {
    return { failed: (error as { code?: string }).code ?? String(error) }
  } finally {
    await client.query('ROLLBACK')
  }
}

function settings(grants: Grants): string {
  const reaches = ['doc', 'note', 'folder'].flatMap((resource) =>
    ['read', 'create', 'update', 'delete'].map((verb) => {
      const reach = grants.get(`${resource}:${verb}`) ?? 'none'
      return `SELECT set_config('oracle.${resource}_${verb}', '${reach}', true);`
    }),
  )
  return `SET LOCAL search_path = app; SELECT set_config('oracle.tenant', '${TENANT}', true); SELECT set_config('oracle.user', '${USER}', true); SELECT set_config('oracle.owner', '${grants.get('doc:create') === 'own' ? USER : ''}', true); ${reaches.join(' ')} SET LOCAL ROLE holdfast_app`
}

/** How two outcomes that are not equal differ, where that is understood; a class is named or the test is red. */
function classOf(scoped: Outcome, raw: Outcome, { text }: Sample): string {
  if ('failed' in scoped && 'failed' in raw && scoped.failed === raw.failed) return 'fail alike'
  if ('failed' in raw && raw.failed === '42501' && /ON CONFLICT/.test(text)) return SKIPPED
  if (/^INSERT[^]*SELECT[^]*ON CONFLICT/.test(text)) return UNORDERED
  if ('failed' in scoped && 'failed' in raw) return 'fail differently'
  if ('failed' in raw || 'failed' in scoped)
    return `only one fails: ${JSON.stringify([scoped, raw].map((o) => ('failed' in o ? o.failed : 'ok')))}`
  return 'DIFFERENT'
}

const KNOWN = ['equal', 'fail alike', SKIPPED, UNORDERED]

const sets: [name: string, grants: Grants, count: number, seed: number][] = [
  ['reach tenant', all, 2_000, 1],
  ['reach own', own, 600, 2],
  [
    'reads the tenant, writes its own',
    parseGrants([
      'doc:read',
      'note:read',
      'folder:read',
      'kind:read',
      'doc:create@own',
      'note:create@own',
      'folder:create',
      'doc:update@own',
      'note:update@own',
      'folder:update',
      'doc:delete@own',
      'note:delete@own',
      'folder:delete',
    ]),
    400,
    3,
  ],
]

/** Docs and notes can be written and not read: what does not depend on what a row holds. */
const blind = parseGrants([
  'doc:create',
  'doc:update@own',
  'doc:delete',
  'note:create',
  'note:update',
  'note:delete@own',
  'folder:read',
  'folder:update',
  'kind:read',
])

/** A long run asks for more of everything: `npm run long -- oracle`. */
const TIMES = Number(process.env['HOLDFAST_ORACLE_TIMES'] ?? 1)

it.each(sets)('%s: the first wall alone does what row-level security alone does', async (_, grants, least, seed) => {
  const count = least * TIMES
  const { classes, examples } = await compare(grants, count, seed)
  expect(examples).toEqual([])
  expect(classes.get('equal')).toBeGreaterThan(count * 0.85)
})

it('writes without reading: what is accepted does what row-level security does', async () => {
  const { classes, examples } = await compare(blind, 800 * TIMES, 4)
  expect(examples.filter((example) => !example.startsWith('refused: grant_missing'))).toEqual([])
  expect(classes.get('equal')).toBeGreaterThan(60)
})

async function compare(
  grants: Grants,
  count: number,
  seed: number,
): Promise<{ classes: Map<string, number>; examples: string[] }> {
  const random = seeded(Number(process.env['HOLDFAST_SEED'] ?? seed))
  const scope = createScope({ manifest: archive, dialect: 'postgresql' })
  const classes = new Map<string, number>()
  const examples: string[] = []
  const under = settings(grants)
  const { rows } = await client.query(effectsQuery)
  const foreign = foreignRows(JSON.stringify(rows))
  expect(foreign).toHaveLength(14 + 12 + 5)
  const note = (name: string, example: string): void => {
    classes.set(name, (classes.get(name) ?? 0) + 1)
    if (!KNOWN.includes(name)) examples.push(`${name} ${example}`)
  }
  for (let index = 0; index < count; index++) {
    const made = sample(random)
    let scoped: ScopedStatement
    try {
      scoped = scope.scope(made.text, grants)
    } catch (error) {
      if (!(error instanceof ScopeRefusal)) throw error
      note(`refused: ${error.code}`, `at ${error.position}: ${String(error.cause)} ${made.text}`)
      continue
    }
    const values = bind(scoped, { tenantId: TENANT, userId: USER }, made.values)
    const first = await attempt(`SET LOCAL search_path = ''`, scoped.text, values, made.ordered)
    const second = await attempt(under, made.text, made.values, made.ordered)
    const same = JSON.stringify(first) === JSON.stringify(second) && !('failed' in first)
    note(
      same ? 'equal' : classOf(first, second, made),
      `${made.text}\n${scoped.text}\n${JSON.stringify([made.values, first, second])}`,
    )
    // whatever the class: nothing of another tenant's has changed
    if (!('failed' in first) && first.effects !== '') expect(foreignRows(first.effects), made.text).toEqual(foreign)
  }
  console.log(formatGrants(grants), Object.fromEntries(classes))
  return { classes, examples: examples.map((example) => example.slice(0, 1_500)).slice(0, 400) }
}

/** The rows of tenant 9 in a text of effects. */
function foreignRows(effects: string): string[] {
  const patterns: Record<string, RegExp> = { docs: /^\(\d+,9,/, notes: /^\(9,/, folders: /,9\)$/ }
  return (JSON.parse(effects) as { t: string; rows: string }[]).flatMap(({ t, rows }) =>
    rows.split('\n').filter((line) => patterns[t]?.test(line)),
  )
}
