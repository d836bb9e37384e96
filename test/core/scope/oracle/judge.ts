import { parseSync } from 'libpg-query'
import { type Grants, parseGrants } from '../../../../src/core/scope/grants.ts'
import { ScopeRefusal } from '../../../../src/core/scope/refusals.ts'
import { bind, type Scope, type ScopedStatement } from '../../../../src/core/scope/scope.ts'
import { type Arena, type Outcome, type Place, type Sent, Trespass } from './arena.ts'
import type { Statement } from './statement.ts'
import type { Role } from './world.ts'

/** Every class that a statement may end in. What ends in none of them is a divergence. */
export const CLASSES = {
  equal: 'the same rows, columns and effects through the first wall alone as under row-level security alone',
  refused: 'not admitted; counted by code',
  'fails alike': 'both walls end in the same error',
  'fails closed':
    'through a leaf the database knows no primary key, row type, system column or qualified name; the statement fails',
  'a conflict out of reach':
    "ON CONFLICT meets a row out of reach: row-level security raises, the kernel's WHERE skips it",
  'a read is assumed':
    'any column beside the target counts as read, so that of update and read the narrower reach holds: shown by policies that are as narrow',
  'a parameter is cast':
    'the tenant or owner that a caller gives as a parameter gets the type of its column, of which the raw statement leaves it without: shown by the raw one with that cast',
  'order left open':
    'what it gives depends on the order of rows, or on the plan, under row-level security alone too: shown by other plans and another order',
  'an error by plan':
    'an expression fails or not by the plan: one of the plans of the other wall ends alike, or the raw statement without any wall, over rows within reach alone; or a part of the plan that does not fail is never run',
  'an error by a row out of reach':
    'an expression fails on a row out of reach: without the rows out of reach both end alike',
  'ties of one row':
    'PostgreSQL plans min, max and every as a subquery that gives one row, keeps WITH TIES in it and fails where it gives more: shown by ONLY in its place',
  'out of time': 'it ran longer than a second through one of the walls, or both',
  'both fail, by other errors':
    'each wall ends in an error, not the same: which comes first is up to the plan, and through a leaf a name that is not in sight is missing in another way',
} as const

export type ClassName = keyof typeof CLASSES
export type Verdict = {
  readonly className: ClassName | 'DIVERGENCE' | 'TRESPASS'
  /** a refusal's code, an error's, or what differs */
  readonly detail: string
  /** what was compared besides the two walls */
  readonly compared: ReadonlySet<Comparison>
  /** the final text */
  readonly scoped?: string
}
/** Whether it ended in no class. */
export function isFailure({ className }: Pick<Verdict, 'className'>): boolean {
  return className === 'DIVERGENCE' || className === 'TRESPASS'
}

/**
 * A second run from the cache, one after another role's statement of the same text, one with no other tenant about,
 * and of these: the rows came in one sequence, whether ORDER BY asks for it or not.
 */
export type Comparison = 'again' | 'other' | 'alone' | 'in sequence'

/** Errors of a statement that the leaf makes impossible: 42803 grouping, 42703 column, 42P01 and 42P10 relation, 42704 type. */
const CLOSED = new Set(['42803', '42703', '42P01', '42704'])
const REFUSED_BY_POLICY = '42501'
const OUT_OF_TIME = '57014'
const DATA_EXCEPTION = '22'
const MORE_THAN_ONE_ROW = '21000'

/** Other ways to plan a query, so that what depends on the plan shows. */
const PLANS = [
  'SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off',
  'SET LOCAL enable_nestloop = off; SET LOCAL enable_hashagg = off',
  'SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off',
  'SET LOCAL enable_hashagg = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_nestloop = off',
]

/** Which side of a loop is scanned first: where that one is empty, the other’s conditions are never evaluated. */
const ORDERS = [
  'SET LOCAL enable_material = off; SET LOCAL join_collapse_limit = 1; SET LOCAL from_collapse_limit = 1',
  'SET LOCAL cpu_tuple_cost = 100',
]

/** Judges the statements of one role in one arena. */
export class Judge {
  readonly #arena: Arena
  readonly #scope: Scope
  readonly #grants = new Map<string, Grants>()

  constructor(arena: Arena, scope: Scope) {
    this.#arena = arena
    this.#scope = scope
  }

  /**
   * One statement through both walls; the arena's role sends it.
   * @param other - another role, whose statement of the same text is sent in between on the same connection; none sends none
   */
  async judge(statement: Statement, other: Role | undefined): Promise<Verdict> {
    const compared = new Set<Comparison>()
    const scoped = this.#scoped(statement.text, this.#arena.caller.role)
    if (scoped instanceof ScopeRefusal) return { className: 'refused', detail: scoped.code, compared }
    const bound = this.#bound(scoped, statement.values)
    if (bound instanceof ScopeRefusal) return { className: 'refused', detail: bound.code, compared }
    try {
      const verdict = await this.#compare(statement, scoped, bound, other, compared)
      return { ...verdict, compared, scoped: scoped.text }
    } catch (error) {
      if (!(error instanceof Trespass)) throw error
      return { className: 'TRESPASS', detail: error.message, compared, scoped: scoped.text }
    }
  }

  async #compare(
    statement: Statement,
    scoped: ScopedStatement,
    bound: Sent,
    other: Role | undefined,
    compared: Set<Comparison>,
  ): Promise<Pick<Verdict, 'className' | 'detail'>> {
    const shape = shapeOf(statement.text)
    const first = await this.#run('first', bound, shape)
    const second = await this.#run('second', statement, shape)
    const isEqual = !('failed' in first) && areEqual(first, second, shape)
    const className = isEqual ? 'equal' : await this.#classOf(statement, bound, first, second, shape)
    if (typeof className !== 'string') return { className: 'DIVERGENCE', detail: className.detail }
    compared.add('again')
    if (other !== undefined) compared.add('other')
    const again = await this.#again(statement, scoped, bound, other, first, shape)
    if (again !== undefined) return { className: 'DIVERGENCE', detail: again }
    if (className === 'equal' && this.#arena.caller.role.name === 'chief') {
      compared.add('alone')
      const alone = await this.#alone(statement, bound, shape, compared)
      if (alone !== undefined) return { className: 'DIVERGENCE', detail: alone }
    }
    return { className, detail: 'failed' in first ? first.failed : '' }
  }

  /** The same from the cache, after another role has sent the same text on the same connection. */
  async #again(
    statement: Statement,
    scoped: ScopedStatement,
    bound: Sent,
    other: Role | undefined,
    first: Outcome,
    shape: Shape,
  ): Promise<string | undefined> {
    const theirs = other === undefined ? undefined : this.#scoped(statement.text, other)
    if (theirs !== undefined && !(theirs instanceof ScopeRefusal)) {
      if ((theirs.name === scoped.name) !== (theirs.text === scoped.text)) return 'two texts under one name'
      const theirBound = this.#bound(theirs, statement.values)
      if (!(theirBound instanceof ScopeRefusal)) await this.#run('first', theirBound, { ...shape, isUntold: true })
    }
    if (this.#scoped(statement.text, this.#arena.caller.role) !== scoped) return 'the cache gave another statement'
    const again = await this.#run('first', bound, shape)
    if (areEqual(first, again, shape)) return undefined
    // two errors: which comes first is up to the plan, and the plan to what is in the tables' pages by now
    if ('failed' in first && 'failed' in again) return undefined
    return (await this.#isOpen(statement, bound, shape)) ? undefined : `the second run: ${difference(first, again)}`
  }

  /** Alone in the database: the scoped statement means what the raw one does without any wall. */
  async #alone(
    statement: Statement,
    bound: Sent,
    shape: Shape,
    compared: Set<Comparison>,
  ): Promise<string | undefined> {
    const raw = await this.#run('alone', statement, shape)
    const scoped = await this.#run('alone', { text: bound.text, values: bound.values }, shape)
    if (!('failed' in raw) && !('failed' in scoped) && raw.rows.join() === scoped.rows.join())
      compared.add('in sequence')
    if (areEqual(raw, scoped, shape)) return undefined
    const plans = await this.#plans('alone', statement, shape)
    if ([raw, ...plans].some((one) => areEqual(one, scoped, shape) || !areEqual(one, raw, shape))) return undefined
    return `alone in the database: ${difference(scoped, raw)}`
  }

  async #classOf(
    statement: Statement,
    bound: Sent,
    first: Outcome,
    second: Outcome,
    shape: Shape,
  ): Promise<ClassName | { detail: string }> {
    if ('failed' in first && 'failed' in second && first.failed === second.failed) return 'fails alike'
    if ([first, second].some((one) => 'failed' in one && one.failed === OUT_OF_TIME)) return 'out of time'
    if (!('failed' in first)) await this.#refuseInfluence(bound, first, shape)
    if ('failed' in second && second.failed === REFUSED_BY_POLICY && shape.hasConflict) return 'a conflict out of reach'
    if ('failed' in first && CLOSED.has(first.failed) && !('failed' in second)) return 'fails closed'
    if (await this.#isNarrower(statement, first, shape)) return 'a read is assumed'
    if (await this.#isCast(statement, bound, first, shape)) return 'a parameter is cast'
    const others = await this.#plans('second', statement, shape)
    const ours = await this.#plans('first', bound, shape)
    const meet = [second, ...others].some((theirs) => [first, ...ours].some((our) => areEqual(theirs, our, shape)))
    const isError = 'failed' in first || 'failed' in second
    if (meet) return isError ? 'an error by plan' : 'order left open'
    if (!isError && others.some((theirs) => !areEqual(theirs, second, shape))) return 'order left open'
    if ('failed' in first && (await this.#isByOthers(statement, bound, second, shape)))
      return 'an error by a row out of reach'
    if ('failed' in first && 'failed' in second) return 'both fail, by other errors'
    if (isError && (await this.#endsAlone(statement, first, shape))) return 'an error by plan'
    if (await this.#areTies(statement, bound, second, shape)) return 'ties of one row'
    if (isError && (await this.#meetInOrders(statement, bound, first, second, shape))) return 'an error by plan'
    if (await this.#isLeftOut(statement, bound, first, second, shape)) return 'an error by plan'
    return { detail: difference(first, second) }
  }

  /** Whether row-level security alone gives one thing or another, by the plan. */
  async #isOpen(statement: Statement, bound: Sent, shape: Shape): Promise<boolean> {
    const outcomes = [...(await this.#plans('second', statement, shape)), ...(await this.#plans('first', bound, shape))]
    return outcomes.some((one) => outcomes[0] !== undefined && !areEqual(one, outcomes[0], shape))
  }

  /** Over nothing but rows within reach, and without any wall, the raw statement ends as through the first. */
  async #endsAlone(statement: Statement, first: Outcome, shape: Shape): Promise<boolean> {
    const outcome = await this.#run('alone', statement, { ...shape, before: this.#arena.only(this.#owned()) })
    return areEqual(outcome, first, shape)
  }

  /** With the sides of loops in other orders, one ends as the other. */
  async #meetInOrders(
    statement: Statement,
    bound: Sent,
    first: Outcome,
    second: Outcome,
    shape: Shape,
  ): Promise<boolean> {
    const theirs = await this.#plans('second', statement, shape, ORDERS)
    if (theirs.some((one) => areEqual(one, first, shape))) return true
    const ours = await this.#plans('first', bound, shape, ORDERS)
    return ours.some((one) => areEqual(second, one, shape))
  }

  /** One fails on a value, and of the other's plan a part was never run: the expression is not evaluated there. */
  async #isLeftOut(statement: Statement, bound: Sent, first: Outcome, second: Outcome, shape: Shape): Promise<boolean> {
    const failed = [first, second].find((one) => 'failed' in one)
    if (failed === undefined || !('failed' in failed) || !failed.failed.startsWith(DATA_EXCEPTION)) return false
    const [place, { text, values }] = failed === second ? (['first', bound] as const) : (['second', statement] as const)
    const plan = await this.#run(place, { text: `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ${text}`, values }, shape)
    return !('failed' in plan) && plan.rows.some((row) => JSON.stringify(row).includes('(never executed)'))
  }

  /** The walls agree as soon as no ties are asked for. */
  async #areTies(statement: Statement, bound: Sent, second: Outcome, shape: Shape): Promise<boolean> {
    if (!('failed' in second) || !second.failed.startsWith(MORE_THAN_ONE_ROW)) return false
    const untied = (text: string): string => text.replaceAll(/\bWITH TIES\b/g, 'ONLY')
    if (untied(statement.text) === statement.text) return false
    const theirs = await this.#run('second', { text: untied(statement.text), values: statement.values }, shape)
    const ours = await this.#run('first', { text: untied(bound.text), values: bound.values }, shape)
    return !('failed' in theirs) && areEqual(ours, theirs, shape)
  }

  async #plans(
    place: Place,
    sent: Sent,
    shape: Shape,
    ways: readonly string[] = [...PLANS, this.#arena.reordered()],
  ): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    for (const before of ways) {
      outcomes.push(await this.#run(place, { text: sent.text, values: sent.values }, { ...shape, before }))
    }
    return outcomes
  }

  /** Where whoever changes a row must be able to read it, row-level security does the same. */
  async #isNarrower(statement: Statement, first: Outcome, shape: Shape): Promise<boolean> {
    if (!shape.writes) return false
    return areEqual(first, await this.#run('second', statement, { ...shape, before: this.#arena.narrowed() }), shape)
  }

  /** With the casts that the final text has, the raw statement gives the same. */
  async #isCast(statement: Statement, bound: Sent, first: Outcome, shape: Shape): Promise<boolean> {
    const text = statement.text.replace(/\$(\d+)\b(?!::)/g, (parameter) => {
      const [cast] = new RegExp(`\\${parameter}::\\w+`).exec(bound.text) ?? []
      return cast ?? parameter
    })
    if (text === statement.text) return false
    return areEqual(first, await this.#run('second', { text, values: statement.values }, shape), shape)
  }

  /** Without the rows out of reach the first wall ends as the second does. */
  async #isByOthers(statement: Statement, bound: Sent, second: Outcome, shape: Shape): Promise<boolean> {
    const before = this.#arena.only(this.#owned())
    const sent = { text: bound.text, values: bound.values }
    const first = await this.#run('first', sent, { ...shape, before })
    const alike = await this.#run('second', statement, { ...shape, before })
    if (!areEqual(first, alike, shape)) return false
    if ('failed' in second || 'failed' in alike) return 'failed' in second && 'failed' in alike
    return areEqual({ ...alike, ...NO_EFFECTS }, { ...second, ...NO_EFFECTS }, shape)
  }

  /** What came back does not depend on other tenants' rows. @throws Trespass when it does */
  async #refuseInfluence(bound: Sent, first: Outcome, shape: Shape): Promise<void> {
    const sent = { text: bound.text, values: bound.values }
    const before = this.#arena.only(new Set())
    const outcome = await this.#run('first', sent, { ...shape, before })
    if ('failed' in outcome || areEqual(within(outcome), within(first), shape)) return
    const ours = await this.#plans('first', sent, shape)
    if (ours.some((one) => areEqual(within(one), within(outcome), shape) || !areEqual(one, first, shape))) return
    // ON CONFLICT DO NOTHING over a key that tenants share: that another's row is in the way shows, and no more
    if (shape.hasConflict) return
    throw new Trespass(`without other tenants' rows: ${difference(first, outcome)}`)
  }

  /** Tables whose rows the role reads only where it owns them. */
  #owned(): Set<string> {
    const { role } = this.#arena.caller
    return new Set(
      this.#arena.world.tables
        .filter(({ resource }) => role.grants.includes(`${resource}:read@own`))
        .map(({ name }) => name),
    )
  }

  #run(place: Place, sent: Sent, o: Shape & { before?: string; isUntold?: true }): Promise<Outcome> {
    return this.#arena.run(place, sent, o)
  }

  #bound(scoped: ScopedStatement, values: readonly string[]): Sent | ScopeRefusal {
    try {
      const { tenantId, userId } = this.#arena.caller
      return { text: scoped.text, values: bind(scoped, { tenantId, userId }, values), name: scoped.name }
    } catch (error) {
      if (error instanceof ScopeRefusal) return error
      throw error
    }
  }

  #scoped(text: string, role: Role): ScopedStatement | ScopeRefusal {
    let grants = this.#grants.get(role.name)
    if (grants === undefined) {
      grants = parseGrants(role.grants)
      this.#grants.set(role.name, grants)
    }
    try {
      return this.#scope.scope(text, grants, role.name)
    } catch (error) {
      if (error instanceof ScopeRefusal) return error
      throw error
    }
  }
}

/** What has to be known of a text to compare what it gives. */
type Shape = {
  readonly writes: boolean
  readonly hasConflict: boolean
  /** columns that the outermost ORDER BY names by number */
  readonly sorted: ReadonlySet<number>
}

function shapeOf(text: string): Shape {
  const tree = parseSync(text) as unknown as { stmts: { stmt: Record<string, Record<string, unknown>> }[] }
  const json = JSON.stringify(tree)
  const { sortClause, op } = tree.stmts[0]?.stmt['SelectStmt'] ?? {}
  const numbers = (Array.isArray(sortClause) ? sortClause : []).map(
    (item: { SortBy: { node: { A_Const?: { ival?: { ival?: number } } } } }) =>
      item.SortBy.node.A_Const?.ival?.ival ?? 0,
  )
  return {
    writes: /"(?:InsertStmt|UpdateStmt|DeleteStmt)"/.test(json),
    hasConflict: json.includes('"onConflictClause"'),
    sorted: op === undefined ? new Set() : new Set(numbers),
  }
}

const NO_EFFECTS = { effects: '', strays: '' }

/** Rows that are nobody's left out: where other tenants' rows are gone, so are they. */
function within(outcome: Outcome): Outcome {
  return 'failed' in outcome ? outcome : { ...outcome, strays: '' }
}

function areEqual(one: Outcome, other: Outcome, { sorted }: Shape): boolean {
  if ('failed' in one || 'failed' in other) return 'failed' in one && 'failed' in other && one.failed === other.failed
  if (
    one.effects !== other.effects ||
    one.strays !== other.strays ||
    one.columns.join() !== other.columns.join() ||
    one.rows.length !== other.rows.length
  )
    return false
  const isFixed = one.columns.every((_, index) => sorted.has(index + 1))
  if (isFixed && one.rows.every((row, index) => row === other.rows[index])) return true
  const mine = one.rows.toSorted()
  const theirs = other.rows.toSorted()
  if (!mine.every((row, index) => row === theirs[index])) return false
  // equal values may be spelt in two ways, such as 1.0 and 1.00: their order is open
  return !isFixed || one.rows.map(plain).every((row, index) => row === other.rows.map(plain)[index])
}

function plain(row: string): string {
  return row.replace(/(\.\d*?)0+"/g, '$1"').replaceAll('."', '"')
}

function difference(one: Outcome, other: Outcome): string {
  if ('failed' in one || 'failed' in other) {
    const say = (outcome: Outcome): string =>
      'failed' in outcome ? `${outcome.failed} ${outcome.message}` : `${outcome.rows.length} rows`
    return `${say(one)} | ${say(other)}`
  }
  if (one.columns.join() !== other.columns.join()) return `columns ${one.columns.join()} | ${other.columns.join()}`
  if (one.effects !== other.effects) return `effects ${one.effects} | ${other.effects}`
  if (one.strays !== other.strays) return `nobody's rows ${one.strays} | ${other.strays}`
  return `rows ${one.rows.join(' ').slice(0, 600)} | ${other.rows.join(' ').slice(0, 600)}`
}
