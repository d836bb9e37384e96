import type { Query } from '../../../core/database/statement.ts'
import { quoted } from '../../../core/scope/leaf.ts'
import type { Shape } from './catalog.ts'
import { type ProofRow, reasonOf } from './judge.ts'
import { hookOn, privilegesOn, type TrySettings } from './permitted.ts'
import { NOT_ALLOWED, relation } from './plant.ts'
import type { Stage } from './stage.ts'

/** A table that all tenants read has no rows of others; but nobody may write what all read (CWE-732). */
export async function tryShared(stage: Stage, settings: TrySettings, shape: Shape): Promise<readonly ProofRow[]> {
  await stage.asApp()
  const privileges = await privilegesOn(stage, shape)
  const rows: ProofRow[] = []
  for (const verb of ['INSERT', 'UPDATE', 'DELETE'] as const) {
    const hook = privileges.get(verb) === false ? undefined : hookOn(settings, shape, verb)
    const base = { table: shape.name, verb, rows: 'none', trials: [] } as const
    if (hook !== undefined) {
      rows.push({ ...base, verdict: 'untried', why: hook })
      continue
    }
    const outcome = await stage.attempt([sharedQuery(shape, verb)])
    if (outcome.kind === 'done')
      rows.push({ ...base, verdict: 'refuted', why: 'all tenants read it, and the app role may write it' })
    else if (outcome.error.sqlstate === NOT_ALLOWED) rows.push({ ...base, verdict: 'proven', refusedFor: verb })
    else rows.push({ ...base, verdict: 'untried', why: reasonOf(outcome.error) })
  }
  return rows
}

/** Touches no row: the privilege is asked for all the same. */
function sharedQuery(shape: Shape, verb: 'INSERT' | 'UPDATE' | 'DELETE'): Query {
  const column = shape.columns.find(({ isIdentity }) => !isIdentity)
  const name = quoted(column?.name ?? '')
  const text = {
    INSERT: `INSERT INTO ${relation(shape)} (${name}) SELECT NULL::${column?.type ?? 'TEXT'} WHERE false`,
    UPDATE: `UPDATE ${relation(shape)} SET ${name} = NULL::${column?.type ?? 'TEXT'} WHERE false`,
    DELETE: `DELETE FROM ${relation(shape)} WHERE false`,
  }[verb]
  return { statement: { name: '', text }, values: [] }
}
