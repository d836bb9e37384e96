import type { Dialect } from '../../../core/database/dialect.ts'
import type { Table } from '../../../core/scope/manifest.ts'
import type { Shape } from './catalog.ts'
import { judge, type Judgement, type ProofRow, rowOf, together, type Trial } from './judge.ts'
import type { NeverSet } from './never-set.ts'
import { hookOn, needs, type Privileges, privilegesOn, type TrySettings } from './permitted.ts'
import { CannotPlant, type MadeRow, Planter, type Sentinels } from './plant.ts'
import type { Asking, Stage } from './stage.ts'
import { foreignRows, ownTry, type Scene, triesOf, type Try, type Verb, verbs } from './tries.ts'

const callers = ['A', 'B', 'none'] as const
/** What may be tried on rows that are somebody's: a wall that stands lets none of it happen. */
const ofExisting: ReadonlySet<Verb> = new Set(['SELECT', 'SELECT FOR UPDATE', 'UPDATE', 'DELETE'])
const NO_ROWS = 'no row is there that was committed'

/** Rows that a tenant has already. */
export type TenantRows = { readonly tenant: string; readonly rows: number }

/** No verb of a table could be tried. */
export function untried(table: string, why: string): readonly ProofRow[] {
  return verbs.map((verb) => ({ table, verb, verdict: 'untried', rows: 'none', trials: [], why }))
}

/** Tries every verb on a table with a tenant column. */
export async function tryTable(
  stage: Stage,
  settings: TrySettings,
  table: Table,
  shape: Shape,
  neverSet: NeverSet | undefined,
  existing: readonly TenantRows[],
): Promise<readonly ProofRow[]> {
  const planted = await plant(stage, settings, table)
  await stage.asApp()
  const privileges = await privilegesOn(stage, shape)
  const scene = planted instanceof CannotPlant ? sceneOf(shape, table, existing) : planted
  const rows: ProofRow[] = []
  for (const verb of verbs) {
    if (scene === undefined || (scene.rows === 'existing' && !ofExisting.has(verb))) {
      const why = planted instanceof CannotPlant ? planted.message : ''
      rows.push({ table: shape.name, verb, verdict: 'untried', rows: 'none', trials: [], why })
      continue
    }
    const readable: Scene = { ...scene, isReadable: privileges.get('SELECT') === true }
    rows.push(await tryVerb(stage, settings, readable, verb, privileges, withRows(neverSet?.get(verb), verb, existing)))
  }
  return rows
}

/** Rows of new tenants; where none can be made, the reason. */
async function plant(stage: Stage, settings: TrySettings, table: Table): Promise<Scene | CannotPlant> {
  await stage.asPlanter()
  let problem: CannotPlant | undefined
  // where ids must be in small letters, say, tenants are no twins
  for (const areTwins of tenantOf(table).type === 'text' ? [true, false] : [false]) {
    try {
      const sentinels = await new Planter(stage, settings, areTwins).sentinels(table)
      return planted(sentinels, settings.catalog.get(`${table.schema}.${table.name}`) as Shape, table)
    } catch (error) {
      if (!(error instanceof CannotPlant)) throw error
      problem = error
    }
  }
  return problem as CannotPlant
}

function planted(sentinels: Sentinels, shape: Shape, table: Table): Scene {
  const { A, B } = sentinels.rows
  return {
    shape,
    tenant: tenantOf(table),
    sentinels,
    rows: 'planted',
    there: { A: A.length, B: B.length },
    isReadable: true,
  }
}

/** The first two tenants that have rows, where none can be made; nothing where there are not two. */
function sceneOf(shape: Shape, table: Table, existing: readonly TenantRows[]): Scene | undefined {
  const [a, b] = existing
  if (a === undefined || b === undefined) return undefined
  const none: readonly MadeRow[] = []
  const empty: MadeRow = new Map()
  return {
    shape,
    tenant: tenantOf(table),
    sentinels: {
      tenants: { A: a.tenant, B: b.tenant },
      user: '',
      rows: { A: none, B: none },
      spare: { A: empty, B: empty },
    },
    rows: 'existing',
    there: { A: a.rows, B: b.rows },
    isReadable: true,
  }
}

function tenantOf({ tenant = '', columns }: Table): Scene['tenant'] {
  return { column: tenant, type: columns[tenant]?.type ?? 'uuid' }
}

/** A session that never set anything meets the rows that are there; INSERT needs none. */
function withRows(reached: Judgement | undefined, verb: Verb, existing: readonly TenantRows[]): Trial | undefined {
  if (reached === undefined) return undefined
  const there = verb === 'INSERT' ? 1 : existing.reduce((sum, { rows }) => sum + rows, 0)
  const trial: Trial = { caller: 'never set', foreign: 0, there, ...reached }
  return there > 0 || trial.foreign > 0 ? trial : { ...trial, untried: NO_ROWS }
}

async function tryVerb(
  stage: Stage,
  settings: TrySettings,
  scene: Scene,
  verb: Verb,
  privileges: Privileges,
  neverSet: Trial | undefined,
): Promise<ProofRow> {
  const lacking = needs[verb].filter((privilege) => privileges.get(privilege) === false)
  // what is refused for a privilege runs no trigger
  const partial = needs[verb].find((privilege) => privileges.get(privilege) === 'on some columns')
  const hook =
    lacking.length > 0
      ? undefined
      : partial !== undefined
        ? `${partial} on ${scene.shape.name} is granted on some columns alone`
        : hookOn(settings, scene.shape, verb)
  const trials: Trial[] = []
  for (const caller of callers) {
    const there = verb === 'INSERT' ? 1 : foreignRows(scene, caller)
    if (hook !== undefined) trials.push({ caller, foreign: 0, there, untried: hook })
    else trials.push({ caller, foreign: 0, there, ...(await tryAs(stage, settings.dialect, scene, verb, caller)) })
  }
  if (neverSet !== undefined) trials.push(neverSet)
  return rowOf({
    table: scene.shape.name,
    verb,
    rows: scene.rows,
    ...(lacking.length > 0 ? { refusedFor: lacking.join(', ') } : {}),
    trials,
  })
}

async function tryAs(
  stage: Stage,
  dialect: Dialect,
  scene: Scene,
  verb: Verb,
  caller: (typeof callers)[number],
): Promise<Partial<Trial>> {
  const { tenants, user } = scene.sentinels
  const asking: Asking = { tenant: caller === 'none' ? '' : tenants[caller], user }
  const attempt = async (one: Try): Promise<Judgement> =>
    judge(one, await stage.attempt([one.query], asking), caller, dialect)
  const control = caller === 'none' ? undefined : ownTry(scene, verb, caller)
  const own = control === undefined ? undefined : await attempt(control)
  const ownRows = own !== undefined && 'foreign' in own ? own.foreign : undefined
  const judgements: Judgement[] = []
  // what cannot be looked at first is taken for all that is there
  const mine = ownRows ?? (caller === 'none' ? 0 : scene.there[caller])
  for (const one of triesOf(scene, verb, caller, mine)) judgements.push(await attempt(one))
  return { ...together(judgements), ...(ownRows === undefined ? {} : { own: ownRows }) }
}

/**
 * A view shows rows of other tables: they are planted in every table that has a tenant, and then looked for.
 */
export async function tryView(
  stage: Stage,
  settings: TrySettings,
  table: Table,
  shape: Shape,
  neverSet: NeverSet | undefined,
  existing: readonly TenantRows[],
): Promise<readonly ProofRow[]> {
  await stage.asPlanter()
  const planter = new Planter(stage, settings, false)
  let sentinels: Sentinels | undefined
  for (const base of settings.tables.values()) {
    if (base.tenant === undefined || base.view === true) continue
    try {
      const made = await planter.sentinels(base)
      if (base.columns[base.tenant]?.type === tenantOf(table).type) sentinels = made
    } catch (error) {
      if (!(error instanceof CannotPlant)) throw error
    }
  }
  await stage.asApp()
  const found = sentinels === undefined ? undefined : await seenIn(stage, settings, shape, table, sentinels)
  const scene = found ?? sceneOf(shape, table, existing)
  if (scene === undefined) {
    const why = 'no row of the sentinel tenants shows in it'
    return [{ table: shape.name, verb: 'SELECT', verdict: 'untried', rows: 'none', trials: [], why }]
  }
  const privileges = await privilegesOn(stage, shape)
  const row = await tryVerb(
    stage,
    settings,
    scene,
    'SELECT',
    privileges,
    withRows(neverSet?.get('SELECT'), 'SELECT', existing),
  )
  return [row]
}

/** The scene of a view, if each tenant sees rows of its own in it. */
async function seenIn(
  stage: Stage,
  { dialect }: TrySettings,
  shape: Shape,
  table: Table,
  sentinels: Sentinels,
): Promise<Scene | undefined> {
  const scene = { ...planted(sentinels, shape, table), there: { A: 0, B: 0 } }
  const there = { A: 0, B: 0 }
  for (const side of ['A', 'B'] as const) there[side] = (await tryAs(stage, dialect, scene, 'SELECT', side)).own ?? 0
  return there.A > 0 && there.B > 0 ? { ...scene, there } : undefined
}
