import type { Query, Result } from '../../../core/database/statement.ts'
import { quoted } from '../../../core/scope/leaf.ts'
import type { Shape } from './catalog.ts'
import { insertQuery, type MadeRow, relation, type Sentinels } from './plant.ts'

/** What is tried. MOVE: an UPDATE that gives a row another tenant. */
export const verbs = [
  'SELECT',
  'SELECT FOR UPDATE',
  'INSERT',
  'UPDATE',
  'DELETE',
  'ON CONFLICT DO UPDATE',
  'ON CONFLICT DO NOTHING',
  'MOVE',
] as const
/** A verb that is tried. */
export type Verb = (typeof verbs)[number]
/** As whom: either sentinel tenant, nobody (the setting is empty), or a session that never set anything. */
export type Caller = 'A' | 'B' | 'none' | 'never set'

/** A statement that reaches for rows that are not the caller's. */
export type Try = {
  readonly query: Query
  /** of its result: rows that are not the caller's */
  readonly count: (result: Result) => number
  /** it stops itself by a division by zero after so many rows */
  readonly isBounded?: true
  /** a constraint that it breaks is looked at after the policy, which so has let it through */
  readonly isJudgedFirst?: true
}

/** The stage as it is set for one table. */
export type Scene = {
  readonly shape: Shape
  readonly tenant: { readonly column: string; readonly type: string }
  readonly sentinels: Sentinels
  /** planted for the purpose, or somebody's: those are reached for by fewer statements */
  readonly rows: 'planted' | 'existing'
  /** how many of each tenant are there */
  readonly there: { readonly A: number; readonly B: number }
  /** the app role may read the table, so that a statement may say which rows it means */
  readonly isReadable: boolean
}

/** A hole is shown by so many rows; the statement stops there, whatever else it would reach. */
export const MOST_ROWS = 1_000

/**
 * True for the first thousand rows that it is asked about, then a division by zero. It names no column: what reads one is
 * held by the policies for SELECT too, and a hole for DELETE alone would not show. Not being leakproof it is asked after
 * the policy. CockroachDB may take the counter for a constant; there the time limit alone stops the statement.
 */
const BOUNDED = `${MOST_ROWS} / (${MOST_ROWS + 1} - pg_catalog.set_config('holdfast.proof_rows', (pg_catalog.current_setting('holdfast.proof_rows')::INT8 + 1)::TEXT, true)::INT8) >= 0`

type Side = 'A' | 'B'
const othersOf = (caller: Caller): readonly Side[] => (caller === 'A' ? ['B'] : caller === 'B' ? ['A'] : ['A', 'B'])
const isSide = (caller: Caller): caller is Side => caller === 'A' || caller === 'B'

/** Rows that are there and not the caller's. */
export function foreignRows({ there }: Scene, caller: Caller): number {
  return othersOf(caller).reduce((sum, side) => sum + there[side], 0)
}

/** What is tried as a caller, by verb. `own`: rows of its own that the same statement reached. */
export function triesOf(scene: Scene, verb: Verb, caller: Caller, own: number): readonly Try[] {
  switch (verb) {
    case 'SELECT':
      return [seeing(scene.shape, scene.tenant, isSide(caller) ? scene.sentinels.tenants[caller] : undefined)]
    case 'SELECT FOR UPDATE':
      return [{ query: locking(scene, othersOf(caller)), count: number }]
    case 'INSERT':
      return inserting(scene, scene.sentinels.spare[othersOf(caller).at(-1) ?? 'B'])
    case 'UPDATE':
      return [...keyed(scene, caller, updating(scene)), ...bareOf(scene, updating(scene), own)]
    case 'DELETE':
      return [...keyed(scene, caller, deleting(scene)), ...bareOf(scene, deleting(scene), own)]
    case 'ON CONFLICT DO UPDATE':
      return replacing(scene, caller)
    case 'ON CONFLICT DO NOTHING':
      return [...rowsOf(scene, caller)].map((row) => judged(insertQuery(scene.shape, row, ' ON CONFLICT DO NOTHING')))
    case 'MOVE':
      return moving(scene, caller, own)
    default:
      return verb satisfies never
  }
}

/** Another tenant's row; and one of no tenant, where the column takes it: a policy may show that to all. */
function inserting({ shape, tenant }: Scene, row: MadeRow): Try[] {
  const isNullable = shape.columns.find(({ name }) => name === tenant.column)?.notNull === false
  const rows = isNullable ? [row, new Map([...row, [tenant.column, null]])] : [row]
  return rows.map((one) => judged(insertQuery(shape, one)))
}

/** Rows that are somebody's are named, so that the caller's own stay out of it. */
function bareOf({ rows }: Scene, draft: Draft, own: number): Try[] {
  return rows === 'planted' ? [bare(draft, own)] : []
}

/** The same for rows of the caller's own, which it may reach: so it shows that what was tried can succeed. */
export function ownTry(scene: Scene, verb: Verb, side: Side): Try | undefined {
  const { shape, sentinels } = scene
  const { rows, spare } = sentinels
  if (scene.rows === 'existing' && verb !== 'SELECT') return undefined
  switch (verb) {
    case 'SELECT':
      return { query: counting(scene, [side]), count: number }
    case 'SELECT FOR UPDATE':
      return { query: locking(scene, [side]), count: number }
    case 'INSERT':
      return judged(insertQuery(shape, spare[side]))
    case 'UPDATE':
    case 'MOVE':
      return scene.isReadable ? judged(where(updating(scene), scene, [side])) : undefined
    case 'DELETE':
      return scene.isReadable ? judged(where(deleting(scene), scene, [side])) : undefined
    case 'ON CONFLICT DO UPDATE':
      return shape.keys[0] === undefined ? undefined : judged(replace(scene, rows[side][0] as MadeRow, shape.keys[0]))
    case 'ON CONFLICT DO NOTHING':
      return judged(insertQuery(shape, spare[side], ' ON CONFLICT DO NOTHING'))
    default:
      return verb satisfies never
  }
}

/** Everything that is not the tenant's, or everything; counted up to the bound. */
function seeing(shape: Shape, tenant: Scene['tenant'], mine: string | undefined): Try {
  const condition = mine === undefined ? '' : ` WHERE ${exact(tenant, '')} IS DISTINCT FROM ${exact(tenant, '$1')}`
  const text = `SELECT count(*)::INT8 AS n FROM (SELECT 1 AS one FROM ${relation(shape)} AS t${condition} LIMIT ${MOST_ROWS + 1}) AS x`
  return { query: { statement: { name: '', text }, values: mine === undefined ? [] : [mine] }, count: number }
}

/** What a session tries that never set anything: whatever the policies let through, of rows that were there before. */
export function neverSetTries(scene: Scene, verb: Verb): readonly Try[] {
  switch (verb) {
    case 'SELECT':
      return [seeing(scene.shape, scene.tenant, undefined)]
    case 'INSERT':
      return inserting(scene, scene.sentinels.spare.B)
    case 'UPDATE':
      return [bare(updating(scene), 0)]
    case 'DELETE':
      return [bare(deleting(scene), 0)]
    default:
      return []
  }
}

function counting(scene: Scene, sides: readonly Side[]): Query {
  return counted(scene, sides, '')
}

function locking(scene: Scene, sides: readonly Side[]): Query {
  return counted(scene, sides, ' FOR UPDATE')
}

function counted(scene: Scene, sides: readonly Side[], lock: string): Query {
  const { statement, values } = where(
    { text: `SELECT 1 AS one FROM ${relation(scene.shape)} AS t`, values: [] },
    scene,
    sides,
  )
  const text = `SELECT count(*)::INT8 AS n FROM (${statement.text} LIMIT ${MOST_ROWS + 1}${lock}) AS x`
  return { statement: { name: '', text }, values }
}

/** The tenant column, or a parameter, as it is told apart: a text by its bytes, whatever its collation takes for one. */
function exact({ column, type }: Scene['tenant'], parameter: string): string {
  const value = parameter === '' ? `t.${quoted(column)}` : `${parameter}::${type}`
  return type === 'text' ? `pg_catalog.convert_to(${value}, 'UTF8')` : value
}

type Draft = { readonly text: string; readonly values: readonly unknown[] }

/** Sets a column to what it has in a planted row already: nothing that a CHECK could mind. */
function updating({ shape, tenant, sentinels }: Scene): Draft {
  const bound = new Set([...shape.keys.flat(), ...shape.references.flatMap(({ columns }) => columns), tenant.column])
  const row = sentinels.rows.A[0]
  const free = shape.columns.filter(({ name, isIdentity }) => !bound.has(name) && !isIdentity)
  const given = free.find(({ name }) => row?.has(name) === true)
  const set = (assignment: string, values: readonly unknown[]): Draft => ({
    text: `UPDATE ${relation(shape)} AS t SET ${assignment}`,
    values,
  })
  if (given !== undefined) return set(`${quoted(given.name)} = $1::${given.type}`, [row?.get(given.name)])
  const [defaulted] = free
  if (defaulted !== undefined) return set(`${quoted(defaulted.name)} = DEFAULT`, [])
  return set(`${quoted(tenant.column)} = t.${quoted(tenant.column)}`, [])
}

function deleting({ shape }: Scene): Draft {
  return { text: `DELETE FROM ${relation(shape)} AS t`, values: [] }
}

function where({ text, values }: Draft, { tenant, sentinels }: Scene, sides: readonly Side[]): Query {
  const numbers = sides.map((_, index) => `$${values.length + index + 1}`)
  const slots = numbers.map((number) => `${number}::${tenant.type}`)
  const precisely =
    tenant.type === 'text'
      ? ` AND ${exact(tenant, '')} IN (${numbers.map((number) => exact(tenant, number)).join(', ')})`
      : ''
  return {
    statement: { name: '', text: `${text} WHERE t.${quoted(tenant.column)} IN (${slots.join(', ')})${precisely}` },
    values: [...values, ...sides.map((side) => sentinels.tenants[side])],
  }
}

/** Of rows that are named; no more than the bound. */
function keyed(scene: Scene, caller: Caller, draft: Draft): Try[] {
  if (!scene.isReadable) return []
  const { statement, values } = where(draft, scene, othersOf(caller))
  const query = { statement: { name: '', text: `${statement.text} AND ${BOUNDED}` }, values }
  return [{ ...judged(query), isBounded: true }]
}

/** Without a condition that reads a column: what the policies of this verb alone let through. */
function bare({ text, values }: Draft, own: number): Try {
  return {
    query: { statement: { name: '', text: `${text} WHERE ${BOUNDED}` }, values },
    count: ({ rowCount }) => Math.max(0, rowCount - own),
    isBounded: true,
    isJudgedFirst: true,
  }
}

/** A row that exists, and one that does not. */
function rowsOf({ sentinels }: Scene, caller: Caller): readonly MadeRow[] {
  const side = othersOf(caller).at(-1) ?? 'B'
  return [sentinels.rows[side][0] as MadeRow, sentinels.spare[side]]
}

function replace(scene: Scene, row: MadeRow, key: readonly string[]): Query {
  const { text, values } = updating(scene)
  const assignment = text.slice(text.indexOf(' SET ') + ' SET '.length)
  const insert = insertQuery(scene.shape, row)
  const shifted = assignment.replaceAll('$1', `$${insert.values.length + 1}`)
  const more = ` ON CONFLICT (${key.map(quoted).join(', ')}) DO UPDATE SET ${shifted}`
  const values_ = [...insert.values, ...values]
  return { statement: { name: '', text: `${aliased(insert.statement.text)}${more}` }, values: values_ }
}

/** ON CONFLICT's SET may name the table by the alias that the UPDATE has. */
function aliased(text: string): string {
  return text.replace(/^(INSERT INTO "(?:[^"]|"")*"\."(?:[^"]|"")*")/, '$1 AS t')
}

/** Onto a row that is there, as a row that is not, and by each key that the tenant is no part of. */
function replacing(scene: Scene, caller: Caller): Try[] {
  const { shape, tenant, sentinels } = scene
  const [first] = shape.keys
  if (first === undefined) return []
  const tries = rowsOf(scene, caller).map((row) => judged(replace(scene, row, first)))
  if (!isSide(caller)) return tries
  const [other = 'B'] = othersOf(caller)
  for (const key of shape.keys.filter((one) => !one.includes(tenant.column))) {
    const row = new Map(sentinels.spare[caller])
    const taken = sentinels.rows[other][0]
    if (!key.every((column) => taken?.get(column) !== undefined && taken.get(column) !== null)) continue
    for (const column of key) row.set(column, taken?.get(column) ?? null)
    tries.push({ query: replace(scene, row, key), count: ({ rowCount }) => rowCount })
  }
  return tries
}

/** Gives a row of one's own away, takes one of another's, takes whatever there is. */
function moving(scene: Scene, caller: Caller, own: number): Try[] {
  const { shape, sentinels, tenant } = scene
  const taker = isSide(caller) ? caller : 'A'
  const giver = isSide(caller) ? (othersOf(caller)[0] ?? 'B') : 'B'
  const tries: Try[] = []
  if (scene.isReadable) {
    if (isSide(caller)) tries.push(judged(where(become(scene, sentinels.spare[giver]), scene, [caller])))
    tries.push(judged(oneOf(become(scene, sentinels.spare[taker]), scene, sentinels.rows[giver][0] as MadeRow, giver)))
  }
  const take = {
    text: `UPDATE ${relation(shape)} AS t SET ${quoted(tenant.column)} = $1::${tenant.type}`,
    values: [sentinels.tenants[taker]],
  }
  const give = isSide(caller) ? [bare(become(scene, sentinels.spare[giver]), 0)] : []
  return [...tries, ...give, bare(take, own)]
}

/** Sets what makes a row a tenant's: the tenant, keys, and what refers to parents. */
function become({ shape, tenant }: Scene, row: MadeRow): Draft {
  const names = new Set([tenant.column, ...shape.keys.flat(), ...shape.references.flatMap(({ columns }) => columns)])
  const columns = shape.columns.filter(({ name, isIdentity }) => names.has(name) && row.has(name) && !isIdentity)
  const assignments = columns.map(({ name, type }, index) => `${quoted(name)} = $${index + 1}::${type}`)
  return {
    text: `UPDATE ${relation(shape)} AS t SET ${assignments.join(', ')}`,
    values: columns.map(({ name }) => row.get(name)),
  }
}

/** A statement about one planted row, so that two of them do not get one key. */
function oneOf(draft: Draft, scene: Scene, row: MadeRow, side: Side): Query {
  const { statement, values } = where(draft, scene, [side])
  const [key = []] = scene.shape.keys
  const named = key.filter((column) => row.get(column) !== undefined && row.get(column) !== null)
  const types = new Map(scene.shape.columns.map(({ name, type }) => [name, type]))
  const more = named.map(
    (column, index) => ` AND t.${quoted(column)} = $${values.length + index + 1}::${types.get(column)}`,
  )
  return {
    statement: { name: '', text: `${statement.text}${more.join('')}` },
    values: [...values, ...named.map((column) => row.get(column))],
  }
}

function judged(query: Query): Try {
  return { query, count: ({ rowCount }) => rowCount, isJudgedFirst: true }
}

function number({ rows }: Result): number {
  return Number(rows[0]?.['n'])
}
