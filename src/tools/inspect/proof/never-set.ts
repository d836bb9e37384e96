import type { Table } from '../../../core/scope/manifest.ts'
import type { Shape } from './catalog.ts'
import { judge, type Judgement, together } from './judge.ts'
import { madeUp, type MadeRow } from './plant.ts'
import type { Stage } from './stage.ts'
import { hookOn, type TrySettings } from './permitted.ts'
import { neverSetTries, type Scene, type Verb, verbs } from './tries.ts'

/** What a session reached that never set anything, by verb. */
export type NeverSet = ReadonlyMap<Verb, Judgement>

/**
 * Tries a table as a session in which `holdfast.tenant_id` was never set: `current_setting(…, true)` is NULL there, and
 * '' in every later transaction (CWE-1188). No row can be planted before, for planting sets it: what is tried are the
 * rows that are there, and INSERT.
 */
export async function neverSet(stage: Stage, settings: TrySettings, table: Table, shape: Shape): Promise<NeverSet> {
  const reached = new Map<Verb, Judgement>()
  const row = rowFor(shape, table, settings)
  await stage.asApp()
  const known = await stage.transaction.query({
    name: '',
    text: `SELECT pg_catalog.current_setting('holdfast.tenant_id', true) IS NULL AS fresh`,
  })
  const isFresh = known.rows[0]?.['fresh'] === true
  const column = table.tenant ?? ''
  const scene: Scene = {
    shape,
    tenant: { column, type: table.columns[column]?.type ?? 'uuid' },
    sentinels: { tenants: { A: '', B: '' }, user: '', rows: { A: [row], B: [row] }, spare: { A: row, B: row } },
    rows: 'planted',
    there: { A: 0, B: 0 },
    isReadable: false,
  }
  for (const verb of verbs) {
    const tries = neverSetTries(scene, verb)
    if (tries.length === 0) continue
    const hook = hookOn(settings, shape, verb)
    if (!isFresh || hook !== undefined) {
      reached.set(verb, { untried: hook ?? 'the session had the setting already: a pooler is in between' })
      continue
    }
    const judgements: Judgement[] = []
    for (const each of tries)
      judgements.push(judge(each, await stage.attempt([each.query]), 'never set', settings.dialect))
    const judgement = together(judgements)
    reached.set(verb, judgement)
    // whoever holds a lock on the table holds up the other verbs as well
    if ('untried' in judgement) break
  }
  return reached
}

/** A row of nobody's; an empty one where none can be made up, which is refused as well. */
function rowFor(shape: Shape, table: Table, { catalog }: TrySettings): MadeRow {
  try {
    return madeUp(shape, table, catalog)
  } catch {
    return new Map()
  }
}
