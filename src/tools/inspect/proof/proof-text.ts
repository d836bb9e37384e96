import { visible } from '../../../core/scope/excerpt.ts'
import type { ProofRow, Trial } from './judge.ts'
import type { Proof } from './prove.ts'
import type { Caller } from './tries.ts'

const columns: readonly Caller[] = ['A', 'B', 'none', 'never set']
const words = { proven: 'proven', refuted: 'REFUTED', untried: 'could not be tried' } as const

/** The proof as a table for people. */
export function proofText(proof: Proof): string[] {
  const head = ['table', 'verb', ...columns, '']
  const lines = proof.rows.map((row) => [
    row.table,
    row.verb,
    ...columns.map((caller) => cell(row, caller)),
    verdict(row),
  ])
  const widths = head.map((title, index) => Math.max(title.length, ...lines.map((line) => line[index]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, index) => text.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd()
  return [
    `The second wall alone, as holdfast_app (${proof.standing === 'SET ROLE' ? 'by SET ROLE of the migrator' : 'signed in'}). Everything was rolled back.`,
    'A, B: two tenants made for it. none: no tenant is set. never set: none ever was in the session.',
    'Rows of other tenants that were reached / that were there; – where nothing could be tried.',
    '',
    line(head),
    ...lines.map(line),
    '',
    ...proofSummary(proof),
  ]
}

/** What the proof came to, and what it left open. */
export function proofSummary({ rows, note }: Proof): string[] {
  const count = (verdict: ProofRow['verdict']): number => rows.filter((row) => row.verdict === verdict).length
  const refusals = rows.filter((row) => row.verdict === 'proven' && row.refusedFor !== undefined).length
  const refused = refusals === 0 ? '' : ` (${refusals} by a privilege that is not granted)`
  const lines = [
    `Second wall: ${count('proven')} proven${refused}, ${count('refuted')} refuted, ${count('untried')} could not be tried.`,
  ]
  const reasons = new Map<string, number>()
  for (const { verdict: is, why = '' } of rows) if (is === 'untried') reasons.set(why, (reasons.get(why) ?? 0) + 1)
  // a trigger's name may hold anything (CWE-150)
  for (const [why, times] of reasons) lines.push(visible(`Could not be tried, ${times} of them: ${why}.`))
  if (note !== undefined) lines.push(`Note: ${note}.`)
  return lines
}

function cell({ trials }: ProofRow, caller: Caller): string {
  const trial = trials.find((one) => one.caller === caller)
  if (trial === undefined || (trial.untried !== undefined && trial.foreign === 0)) return '–'
  return `${reached(trial)}/${trial.there}`
}

function reached({ foreign, isLeast }: Trial): string {
  return isLeast === true ? `≥${foreign}` : `${foreign}`
}

function verdict({ verdict: is, refusedFor, rows }: ProofRow): string {
  const by = refusedFor === undefined ? '' : ` (${refusedFor} is not granted)`
  return `${words[is]}${by}${rows === 'existing' ? ', on rows that are there' : ''}`
}
