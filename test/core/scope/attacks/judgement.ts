import { type Actor, MARKS, USER } from './house.ts'
import type { Line, Outcome } from './walls.ts'

/** What is asked of an outcome: that the tenants stay apart; or besides that the actor sees and does only what is theirs. */
export type Question = Pick<Actor, 'apart' | 'untouched'> & { readonly fields: boolean }

/** What any wall must keep. */
export const TENANTS: Question = { apart: 'nobody', untouched: 'none', fields: false }

/**
 * What an outcome gives away or harms, next to that of a database which lacks or changes what must not be seen; empty
 * for nothing.
 * @param given what the caller named: it is no news in an answer
 */
export function leaksOf(outcome: Outcome, twin: Outcome, question: Question, given: string): string[] {
  const left = leftOf(outcome, question)
  const seen = [
    ...marksFor(question).flatMap((mark) => [...`${outcome.answer}\n${left}`.matchAll(mark)]),
    ...(question.apart === 'everyone' ? outcome.answer.matchAll(MARKS.everyone) : []),
  ]
    .map(([found]) => found)
    .filter((found) => !given.includes(found))
  const leaks = [...new Set(seen)].map((found) => `seen: ${found}`)
  if (outcome.answer !== twin.answer) {
    leaks.push(`told apart: ${outcome.answer.slice(0, 300)} | ${twin.answer.slice(0, 300)}`)
  }
  // where the caller's own texts differ between the two, what is left does
  if (question.apart !== 'everyone' && left !== leftOf(twin, question)) leaks.push('left apart')
  const locked = outcome.locked.filter((line) => isUntouched(line, question))
  return [...leaks, ...locked.map((line) => `locked: ${JSON.stringify(line)}`), ...harmOf(outcome, question)]
}

function marksFor({ apart, fields }: Question): RegExp[] {
  return [
    MARKS.foreign,
    ...(fields ? [MARKS.hidden] : []),
    ...(apart === 'other owners' ? [MARKS['other owners']] : []),
  ]
}

/** Whether a row is out of reach for reading. */
function isApart(line: Line, { apart }: Question): boolean {
  return isForeign(line) || (apart === 'other owners' && isOfAnother(line))
}

/** Whether a row is out of reach for changing. */
function isUntouched(line: Line, { untouched }: Question): boolean {
  if (isForeign(line) || untouched === 'all') return true
  if (untouched === 'all but docs') return line.table !== 'docs'
  return untouched === 'other owners' && isOfAnother(line)
}

/** Of another tenant, or in a table that nobody reaches. */
function isForeign({ table, row }: Line): boolean {
  if (table === 'users') return false
  // a line is its invoice's: 40… the caller's, 7004… another owner's
  if (table === 'lines') return !/^(?:40|700)/.test(String(row['invoice_id']))
  return table === 'vault' || String(row['tenant_id'] ?? row['org']) !== '7'
}

function isOfAnother({ table, row }: Line): boolean {
  if (table === 'lines') return String(row['invoice_id']).startsWith('700')
  const owner = row['owner_id'] ?? row['author'] ?? row['made_by']
  return owner !== undefined && `${owner as string | number}` !== USER
}

/** Rows out of reach that came, went or changed; and rows in reach whose hidden or read-only columns changed. */
function harmOf({ before, after }: Outcome, question: Question): string[] {
  if (before === after) return []
  const apart = (lines: readonly Line[]): Set<string> =>
    new Set(lines.filter((line) => isUntouched(line, question)).map((line) => JSON.stringify(line)))
  const [was, is] = [apart(before), apart(after)]
  const gone = [...was].filter((line) => !is.has(line)).map((line) => `gone ${line}`)
  const come = [...is].filter((line) => !was.has(line)).map((line) => `come ${line}`)
  if (!question.fields) return [...gone, ...come]
  const known = new Map(before.filter(isDoc).map((line) => [line.row['id'], fixedOf(line)]))
  const set = after
    .filter((line) => isDoc(line) && !isUntouched(line, question))
    .filter((line) => fixedOf(line) !== (known.get(line.row['id']) ?? '[1,"open",null]'))
  return [...gone, ...come, ...set.map((line) => `set ${JSON.stringify(line)}`)]
}

const isDoc = ({ table }: Line): boolean => table === 'docs'

/** The columns of a document that a clerk may not assign. */
function fixedOf({ row }: Line): string {
  return JSON.stringify([row['salary'], row['state'], row['secret']])
}

/** The caller's rows as they are afterwards, without what is hidden. */
function leftOf({ after }: Outcome, question: Question): string {
  const rows = after.filter((line) => !isApart(line, question))
  return JSON.stringify(rows.map(({ table, row }) => [table, { ...row, salary: undefined, secret: undefined }]))
}
