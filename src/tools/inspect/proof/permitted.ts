import type { Dialect } from '../../../core/database/dialect.ts'
import type { Table } from '../../../core/scope/manifest.ts'
import type { Catalog, Shape } from './catalog.ts'
import { NOT_ALLOWED, relation, triggerNote } from './plant.ts'
import type { Stage } from './stage.ts'
import type { Verb } from './tries.ts'

/** What all tables of one run have in common. */
export type TrySettings = {
  readonly dialect: Dialect
  readonly catalog: Catalog
  /** of the manifest, by `schema.table` */
  readonly tables: ReadonlyMap<string, Table>
  readonly withTriggers: boolean
}

type Privilege = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE'
/** On some columns alone: what the proof sends names others, and its refusal says nothing. */
type Held = boolean | 'on some columns'
/** What the app role holds on a table. */
export type Privileges = ReadonlyMap<Privilege, Held>

/** What a verb needs; without it the statement is refused before a policy is asked. */
export const needs: Readonly<Record<Verb, readonly Privilege[]>> = {
  SELECT: ['SELECT'],
  'SELECT FOR UPDATE': ['SELECT', 'UPDATE'],
  INSERT: ['INSERT'],
  UPDATE: ['UPDATE'],
  DELETE: ['DELETE'],
  'ON CONFLICT DO UPDATE': ['INSERT', 'UPDATE'],
  'ON CONFLICT DO NOTHING': ['INSERT'],
  MOVE: ['UPDATE'],
}
/** Which triggers of the table itself a verb would run. */
const events: Readonly<Record<Verb, readonly string[]>> = {
  SELECT: [],
  'SELECT FOR UPDATE': [],
  INSERT: ['INSERT'],
  UPDATE: ['UPDATE'],
  DELETE: ['DELETE'],
  'ON CONFLICT DO UPDATE': ['INSERT', 'UPDATE'],
  'ON CONFLICT DO NOTHING': ['INSERT'],
  MOVE: ['UPDATE'],
}

/** Which privileges the app role has; one that is not told is tried like one that it has. */
export async function privilegesOn(stage: Stage, shape: Shape): Promise<Privileges> {
  const found = new Map<Privilege, Held>()
  const ask = async (asked: string, privilege: Privilege): Promise<boolean> => {
    const text = `SELECT pg_catalog.${asked}($1::TEXT, $2::TEXT) AS may`
    const outcome = await stage.attempt([{ statement: { name: '', text }, values: [relation(shape), privilege] }])
    if (outcome.kind === 'done') return outcome.results[0]?.rows[0]?.['may'] === true
    // not even the schema may be used
    return outcome.error.sqlstate !== NOT_ALLOWED
  }
  for (const privilege of ['SELECT', 'INSERT', 'UPDATE', 'DELETE'] as const) {
    const whole = await ask('has_table_privilege', privilege)
    const part = !whole && privilege !== 'DELETE' && (await ask('has_any_column_privilege', privilege))
    found.set(privilege, part ? 'on some columns' : whole)
  }
  return found
}

/** The trigger that keeps a verb from being tried, as a sentence. */
export function hookOn({ catalog, withTriggers }: TrySettings, shape: Shape, verb: Verb): string | undefined {
  if (withTriggers) return undefined
  const reached = verb === 'DELETE' || verb === 'MOVE' ? reachedBy(catalog, shape) : []
  for (const each of [shape, ...reached]) {
    const hook = each.hooks.find((one) => each !== shape || one.events.some((event) => events[verb].includes(event)))
    if (hook !== undefined) return triggerNote(each.name, hook.name)
  }
  return undefined
}

/** Tables that a DELETE, or a change of the key, goes on to by foreign keys. */
function reachedBy(catalog: Catalog, shape: Shape, seen = new Set<string>([shape.name])): Shape[] {
  const children = [...catalog.values()].filter(
    ({ name, references }) => !seen.has(name) && references.some((one) => one.target === shape.name && one.cascades),
  )
  for (const { name } of children) seen.add(name)
  return children.flatMap((child) => [child, ...reachedBy(catalog, child, seen)])
}
