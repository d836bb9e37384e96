import type { Damage } from './fault-trials.ts'
import type { Mutant } from './instrument.ts'

/** What became of a mutant. */
export type Found = {
  readonly status: 'killed' | 'survived' | 'endless' | 'unreached'
  readonly by?: string | undefined
  /** digest of its file */
  readonly of: string
}

/** All that a run has found. */
export type Results = {
  readonly mutants: readonly Mutant[]
  readonly found: Readonly<Record<string, Found>>
  readonly equivalents: Readonly<Record<string, string>>
  readonly tests: number
  readonly corpus: { readonly cases: number; readonly sent: number; readonly thinned: number }
  readonly seeded: readonly Damage[]
  /** statements that a mutant of the rewriter was tried on at most */
  readonly most: number
  readonly generated: readonly (Damage & { readonly file: string })[]
}

type Count = { all: number; killed: number; endless: number; equivalent: number; alive: number }

const percent = (part: number, of: number): string => (of === 0 ? '–' : `${((part / of) * 100).toFixed(1)}%`)
const cell = (text: string): string => text.replaceAll('|', '\\|')

/** The mutants that are alive and not equivalent. */
export function openOf({ mutants, found, equivalents }: Results): readonly Mutant[] {
  return mutants.filter(({ key }) => isAlive(found[key]) && equivalents[key] === undefined)
}

function isAlive(one: Found | undefined): boolean {
  return one?.status === 'survived' || one?.status === 'unreached'
}

/** Share of killed: of all, and of those that differ from what they stand for. */
export function scoreOf(results: Results, matches: (file: string) => boolean): { raw: number; score: number } {
  const { all, killed, endless, equivalent } = countOf(results, matches)
  return { raw: (killed + endless) / all, score: (killed + endless) / (all - equivalent) }
}

function countOf({ mutants, found, equivalents }: Results, matches: (file: string) => boolean): Count {
  const count: Count = { all: 0, killed: 0, endless: 0, equivalent: 0, alive: 0 }
  for (const { file, key } of mutants) {
    if (!matches(file)) continue
    count.all++
    const status = found[key]?.status
    if (status === 'killed') count.killed++
    else if (status === 'endless') count.endless++
    else if (equivalents[key] === undefined) count.alive++
    else count.equivalent++
  }
  return count
}

/** The report's lines below its heading. */
export function reportOf(results: Results): string[] {
  return [...scores(results), ...survivors(results), ...seeded(results), ...generated(results)]
}

function scores(results: Results): string[] {
  const { mutants, tests } = results
  const files = [...new Set(mutants.map(({ file }) => file))]
  const row = (name: string, matches: (file: string) => boolean): string => {
    const { all, killed, endless, equivalent, alive } = countOf(results, matches)
    const dead = killed + endless
    return `| ${name} | ${all} | ${killed} | ${endless} | ${equivalent} | ${alive} | ${percent(dead, all)} | ${percent(dead, all - equivalent)} |`
  }
  return [
    '## Mutants of the kernel',
    '',
    `Each mutant is one change of the source: a condition that is always true or never, another comparison, a side of a`,
    `connective or the connective itself, a statement, an entry or an element left out, another number, an emptied literal`,
    `or part of a template, a shape that is not looked into, a part of a regular expression left out. ${tests} tests that need no`,
    'database; the laws, which draw statements at random, are not among them. Words for people – hints, messages – are not',
    'mutated, nor is the vocabulary’s data, which the database’s own catalog judges in `vocabulary.test.ts`.',
    '',
    'Without end: more than eight seconds of processor time in one test. Equivalent: nothing that a caller could see',
    'differs; each with its reason below. Raw: killed of all. Killed: of those that are not equivalent.',
    '',
    '| file | mutants | killed | without end | equivalent | alive | raw | killed |',
    '|---|--:|--:|--:|--:|--:|--:|--:|',
    ...files.map((file) => row(file, (one) => one === file)),
    row('**prover**', (file) => file.startsWith('prover/')),
    row('**rewriter** (rewrite\\*, draft, leaf, from)', isRewriters),
    row('**all**', () => true),
    '',
  ]
}

/** Whether a file is one of those that splice text. */
export function isRewriters(file: string): boolean {
  return /^(?:rewrite|draft|leaf|from)[\w-]*\.ts$/.test(file) && file !== 'leaf-gaps.ts'
}

function survivors(results: Results): string[] {
  const { mutants, found, equivalents } = results
  const open = openOf(results)
  const equal = mutants.filter(({ key }) => isAlive(found[key]) && equivalents[key] !== undefined)
  const reasons = groupBy(equal, equivalents)
  return [
    `## Alive: ${open.length}`,
    '',
    ...open.map(
      ({ key, line }) =>
        `- line ${line}, \`${key}\`${found[key]?.status === 'unreached' ? ' (reached by no test)' : ''}`,
    ),
    '',
    `## Equivalent: ${equal.length}`,
    '',
    ...[...reasons].flatMap(([reason, ones]) => [`${reason}:`, '', ...ones.map(({ key }) => `- \`${key}\``), '']),
  ]
}

function groupBy(
  mutants: readonly Mutant[],
  equivalents: Readonly<Record<string, string>>,
): ReadonlyMap<string, Mutant[]> {
  const groups = new Map<string, Mutant[]>()
  for (const mutant of mutants) {
    const reason = equivalents[mutant.key] ?? ''
    groups.set(reason, [...(groups.get(reason) ?? []), mutant])
  }
  return groups
}

const fates = ['not proven', 'refused before', 'not sent', 'harmless', 'harmful'] as const

function fatesOf({ changes }: Damage): string {
  return fates.map((fate) => changes.filter((change) => change.fate === fate).length).join(' | ')
}

/** Why what was sent does no harm, each reason once with its count. */
function whyOf({ changes }: Damage): string {
  const counts = new Map<string, number>()
  for (const { fate, why } of changes) {
    if (fate === 'harmless' || fate === 'harmful') counts.set(why ?? '', (counts.get(why ?? '') ?? 0) + 1)
  }
  return [...counts].map(([why, count]) => `${count} ${why}`).join('; ')
}

function seeded({ seeded: damages, corpus }: Results): string[] {
  return [
    '## A rewriter with a fault, and the prover as it is',
    '',
    `Each fault is a change of the rewriter’s source (test/core/scope/mutation/faults.ts). Over ${corpus.cases} statements and`,
    `callers, of which the rewriter without a fault sends ${corpus.sent}: those whose outcome differs, by what became of them.`,
    '**Not proven**: the prover refused the final text. **Refused before**: by the rewriter itself, which came to another',
    'end. **Not sent**: the rewriter gave up with an error of its own, or the text did not parse for it. **Harmless**: sent, and',
    'a checker that shares nothing with the prover (confinement.ts) finds every relation, target, row and column of it confined.',
    '**Harmful**: anything else.',
    '',
    '| fault | changed | not proven | refused before | not sent | harmless | harmful | what is harmless |',
    '|---|--:|--:|--:|--:|--:|--:|---|',
    ...damages.map((one) => `| ${cell(one.name)} | ${one.changes.length} | ${fatesOf(one)} | ${whyOf(one)} |`),
    `| **${damages.length} faults** | ${total(damages)} | ${totalFates(damages)} | |`,
    '',
  ]
}

function total(damages: readonly Damage[]): number {
  return damages.reduce((sum, { changes }) => sum + changes.length, 0)
}

function totalFates(damages: readonly Damage[]): string {
  return fatesOf({ name: '', changes: damages.flatMap(({ changes }) => changes) })
}

function generated({ generated: damages, corpus, most }: Results): string[] {
  const files = [...new Set(damages.map(({ file }) => file))]
  const sent = damages.filter(({ changes }) => changes.some(({ fate }) => fate === 'harmless' || fate === 'harmful'))
  return [
    '### All mutants of the rewriter, in the same way',
    '',
    `Over ${corpus.thinned} statements and callers: of those that reach the same places and end alike, one; of those that`,
    `reach the place of a mutant at most ${most}, spread evenly.`,
    '',
    '| file | mutants | change nothing here | changed | not proven | refused before | not sent | harmless | harmful |',
    '|---|--:|--:|--:|--:|--:|--:|--:|--:|',
    ...files.map((file) => {
      const mine = damages.filter((one) => one.file === file)
      const idle = mine.filter(({ changes }) => changes.length === 0).length
      return `| ${file} | ${mine.length} | ${idle} | ${total(mine)} | ${totalFates(mine)} |`
    }),
    `| **all** | ${damages.length} | ${damages.filter(({ changes }) => changes.length === 0).length} | ${total(damages)} | ${totalFates(damages)} |`,
    '',
    `${damages.filter(({ isEndless }) => isEndless === true).length} of them went on without end, and sent nothing.`,
    '',
    `Of ${sent.length} mutants something was sent that differs:`,
    '',
    '| mutant | what was sent |',
    '|---|---|',
    ...sent.map((one) => `| \`${cell(one.name)}\` | ${whyOf(one)} |`),
    '',
  ]
}
