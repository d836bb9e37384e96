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
  if ('failed' in scoped && 'failed' in raw) return scoped.failed === raw.failed ? 'fail alike' : 'fail differently'
  if ('failed' in raw && raw.failed === '42501' && /ON CONFLICT/.test(text)) return SKIPPED
  if (/^INSERT[^]*SELECT[^]*ON CONFLICT/.test(text)) return UNORDERED
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

it.each(sets)('%s: the first wall alone does what row-level security alone does', async (_, grants, count, seed) => {
  const random = seeded(Number(process.env['HOLDFAST_SEED'] ?? seed))
  const scope = createScope({ manifest: archive, dialect: 'postgresql' })
  const classes = new Map<string, number>()
  const examples: string[] = []
  const under = settings(grants)
  for (let index = 0; index < count; index++) {
    const made = sample(random)
    let scoped: ScopedStatement
    try {
      scoped = scope.scope(made.text, grants)
    } catch (error) {
      if (!(error instanceof ScopeRefusal)) throw error
      const name = `refused: ${error.code}`
      classes.set(name, (classes.get(name) ?? 0) + 1)
      examples.push(`${name} at ${error.position}: ${String(error.cause)} ${made.text}`)
      continue
    }
    const values = bind(scoped, { tenantId: TENANT, userId: USER }, made.values)
    const first = await attempt(`SET LOCAL search_path = ''`, scoped.text, values, made.ordered)
    const second = await attempt(under, made.text, made.values, made.ordered)
    const name =
      JSON.stringify(first) === JSON.stringify(second) && !('failed' in first) ? 'equal' : classOf(first, second, made)
    classes.set(name, (classes.get(name) ?? 0) + 1)
    if (!KNOWN.includes(name))
      examples.push(
        `${name}\n${made.text}\n${scoped.text}\n${JSON.stringify(made.values)}\n${JSON.stringify(first).slice(0, 300)}\n${JSON.stringify(second).slice(0, 300)}`,
      )
  }
  console.log(formatGrants(grants), Object.fromEntries(classes))
  expect(examples.slice(0, 5)).toEqual([])
  expect(classes.get('equal')).toBeGreaterThan(count * 0.85)
})
