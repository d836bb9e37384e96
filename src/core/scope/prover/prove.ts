import type { Struct } from '../grammar.ts'
import {
  type Claim,
  confiningOf,
  described,
  proveAssignments,
  reachOf,
  type Scene,
  type Slot,
  type Target,
  targetOf,
} from './confine.ts'
import { proveInsert } from './insert.ts'
import { demand, demandEach, entriesWithin, list, lockedBy, open, read, under, Unproven } from './proof-tree.ts'
import { visit, visitClauses } from './walk.ts'

export { type Claim, type Slot, Unproven }

/** The main statement, or a query of its WITH. */
type Part = { readonly label: string; readonly type: string; readonly statement: Struct }

const RESERVED_NAME = /^(?:pg_|information_schema$|crdb_internal$|system$)/i
const KINDS: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt'])

/**
 * Proves that a text, its parameters bound as the slots say, touches no row outside the caller's tenant, under reach
 * `own` no row of another owner, no column that the manifest given lacks, by no verb that the grants do not hold (CWE-639,
 * CWE-863).
 * @returns the proof, for people: one line a step, two blanks of indent a level; positions are bytes of the final text.
 * Names and numbers of parameters, never a literal of the text
 * @throws Unproven when that cannot be shown
 */
export function prove(claim: Claim): readonly string[] {
  const [only, ...others] = read(claim.text)
  demand(only !== undefined && others.length === 0, 'exactly one statement')
  for (const [index, slot] of claim.slots.entries()) {
    demand(slot.kind !== 'value' || slot.index === index, 'a value at its own place')
  }
  const scene = sceneOf(claim, only)
  const parts = partsOf(only)
  // each is proven by itself, so that the main statement need not be walked into them
  for (const { statement } of parts.slice(1)) scene.shown.add(statement)
  return parts.flatMap((part) => {
    scene.lines = []
    const heading = part.label + provePart(scene, part)
    return [heading, ...scene.lines.map((line) => `  ${line}`)]
  })
}

function sceneOf(claim: Claim, only: Struct): Scene {
  const ctes = new Set<string>()
  const locked = new Set<Struct>()
  for (const [key, value] of entriesWithin(only)) {
    if (key === 'ctename') ctes.add(String(value))
    const hasLock = typeof value === 'object' && value !== null && 'lockingClause' in value
    if (hasLock) for (const relation of lockedBy(value as Struct)) locked.add(relation)
  }
  const { tables } = claim.manifest
  for (const name of ctes) {
    // else `WITH a AS (SELECT * FROM docs), docs AS (…)` would read the table where a query seems meant
    demand(!RESERVED_NAME.test(name) && tables.every((table) => table.name !== name), 'name of a CTE')
  }
  const columns = tables.flatMap((table) => Object.entries(table.columns))
  // lists of roles are for whoever knows the role; here they would go unheeded (CWE-1220)
  const isAsSeen = ([, column]: (typeof columns)[number]): boolean => !column.hidden && !Array.isArray(column.readOnly)
  demandEach(columns, isAsSeen, 'the manifest as a role sees it')
  return {
    claim,
    ctes,
    locked,
    bytes: Buffer.from(claim.text),
    columns: new Set(columns.map(([name]) => name)),
    shown: new Set(),
    lines: [],
  }
}

/** Only these may write: the statement itself, and what stands directly in its WITH. */
function partsOf(only: Struct): readonly Part[] {
  const [type, statement] = open(only)
  const queries = list(under(statement, 'withClause')['ctes']).map((item): Part => {
    const { ctename, ctequery } = under(item, 'CommonTableExpr')
    const [kind, query] = open(ctequery)
    return { label: `WITH ${legible(String(ctename))}: `, type: kind, statement: query }
  })
  const parts = [{ label: '', type, statement }, ...queries]
  demandEach(parts, (part) => KINDS.has(part.type), 'one of the four kinds of statement')
  // what only reads is walked with the main statement
  return parts.filter((part, index) => index === 0 || part.type !== 'SelectStmt')
}

/** A name as a line can hold it. */
function legible(name: string): string {
  return /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name)
}

function provePart(scene: Scene, { type, statement }: Part): string {
  if (type === 'SelectStmt') {
    visit(scene, type, statement, undefined)
    return `SELECT, ${scene.locked.size > 0 ? 'locks rows' : 'reads only'}`
  }
  const { relation, ...clauses } = statement
  const target = targetOf(scene.claim, relation as Struct)
  return type === 'InsertStmt' ? proveInsert(scene, clauses, target) : proveChange(scene, type, clauses, target)
}

/** UPDATE and DELETE: WHERE begins with the confinement, and what is assigned may be. */
function proveChange(scene: Scene, type: string, clauses: Struct, target: Target): string {
  const { claim } = scene
  const { table } = target
  const confined = confiningOf(scene, clauses['whereClause'], target)
  visitClauses(scene, type, clauses, target)
  // an effect that depends on a column tells what the column holds; one that depends on other rows, whether there are any
  const isJoined = clauses['fromClause'] !== undefined || clauses['usingClause'] !== undefined
  const reads = isJoined || clauses['returningClause'] !== undefined || target.references > 0
  const verb = type === 'UpdateStmt' ? 'update' : 'delete'
  const { isOwn, needs } = reachOf(claim, table, reads ? [verb, 'read'] : [verb])
  const rows = `${described(claim, table, confined, isOwn)} first in WHERE`
  if (type === 'DeleteStmt') return `DELETE from ${table.schema}.${table.name}, ${rows}, ${needs}`
  const names = proveAssignments(claim, list(clauses['targetList']), table, isOwn)
  return `UPDATE of ${table.schema}.${table.name}, ${rows}, sets ${names}, ${needs}`
}
