import { type Dialect, isPastPolicies } from '../../../core/database/dialect.ts'
import type { StatementError } from '../../../core/database/errors.ts'
import { NOT_ALLOWED } from './plant.ts'
import type { Outcome } from './stage.ts'
import { type Caller, MOST_ROWS, type Try, type Verb } from './tries.ts'

/** What one caller reached with one verb. */
export type Trial = {
  readonly caller: Caller
  /** rows of others that were reached: seen, locked, changed, inserted or moved */
  readonly foreign: number
  /** there were more, or a constraint alone stopped it: `foreign` is the least */
  readonly isLeast?: true
  /** rows of others that were there to be reached */
  readonly there: number
  /** rows of its own that the same verb reached; not told where nobody tried */
  readonly own?: number
  /** why it could not be tried */
  readonly untried?: string
}

/** What became of a verb on a table. */
export type ProofRow = {
  /** `schema.table` */
  readonly table: string
  readonly verb: Verb
  readonly verdict: 'proven' | 'refuted' | 'untried'
  /** whose rows were there */
  readonly rows: 'planted' | 'existing' | 'none'
  /** the app role has not got this privilege: the statement was refused before any policy was asked */
  readonly refusedFor?: string
  readonly trials: readonly Trial[]
  /** why it could not be tried */
  readonly why?: string
}

const divisionByZero = '22012'
/** Without a tenant a policy's cast of '' may fail, or its setting not be known: no rows, by an error. */
const failsClosed: ReadonlySet<string> = new Set(['22P02', '42704'])
const untriedReasons: Readonly<Record<string, string>> = {
  '57014': 'it took longer than two seconds',
  '55P03': 'a lock was not had in time',
}

/** What a failed statement says of the wall. */
export type Judgement = { readonly foreign: number; readonly isLeast?: true } | { readonly untried: string }

/** Judges the outcome of a try. */
export function judge(one: Try, outcome: Outcome, caller: Caller, dialect: Dialect): Judgement {
  if (outcome.kind === 'done') {
    const foreign = outcome.results[0] === undefined ? 0 : one.count(outcome.results[0])
    return foreign > MOST_ROWS ? { foreign: MOST_ROWS, isLeast: true } : { foreign }
  }
  const { sqlstate } = outcome.error
  if (isRefusal(outcome.error)) return { foreign: 0 }
  if (one.isBounded === true && sqlstate === divisionByZero) return { foreign: MOST_ROWS, isLeast: true }
  if (one.isJudgedFirst === true && isPastPolicies(dialect, sqlstate)) return { foreign: 1, isLeast: true }
  if ((caller === 'none' || caller === 'never set') && failsClosed.has(sqlstate)) return { foreign: 0 }
  return { untried: reasonOf(outcome.error) }
}

/** CockroachDB's code for it is not documented, its words are. */
function isRefusal(error: StatementError): boolean {
  return error.sqlstate === NOT_ALLOWED || /row-level security/i.test(error.serverMessage)
}

/** Why a statement that failed says nothing. */
export function reasonOf({ sqlstate }: StatementError): string {
  return untriedReasons[sqlstate] ?? `the database refused it with SQLSTATE ${sqlstate}`
}

/** Several statements of one verb: what most of them reached; one that could not be tried leaves the verb untried. */
export function together(judgements: readonly Judgement[]): Judgement {
  const reached = judgements.flatMap((one) => ('foreign' in one ? [one] : []))
  const [most] = reached.toSorted((a, b) => b.foreign - a.foreign)
  if (most !== undefined && most.foreign > 0) return most
  const untried = judgements.find((one) => 'untried' in one)
  return untried ?? most ?? { untried: 'the table has no key that ON CONFLICT could name' }
}

/** The verdict over all callers. A session that never set anything counts where it reached something. */
export function rowOf(row: Omit<ProofRow, 'verdict' | 'why'>): ProofRow {
  if (row.trials.some(({ foreign }) => foreign > 0)) return { ...row, verdict: 'refuted' }
  const counted = row.trials.filter(({ caller }) => caller !== 'never set')
  const empty = counted.find(({ untried, there }) => untried !== undefined || there === 0)
  if (counted.length === 0 || empty !== undefined)
    return { ...row, verdict: 'untried', why: empty?.untried ?? 'no row of another tenant was there' }
  return { ...row, verdict: 'proven' }
}
