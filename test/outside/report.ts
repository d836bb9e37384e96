import type { Report, Tally } from './examine.ts'

/** Refusals that are shown one by one. */
const MOST_REFUSALS = 60
/** Examples of each. */
const EXAMPLES = 3

/** A report as Markdown. */
export function tell(report: Report): string {
  const { files, pieces, statements, columnsNamed, refusals, executed, contradictions } = report
  const classes = Object.entries(executed).sort(([, one], [, other]) => other.count - one.count)
  return [
    `${files} files, ${pieces} pieces of SQL.`,
    '',
    '| on tables of the manifest | statements | admitted | PostgreSQL runs them | of these admitted |',
    '|---|---|---|---|---|',
    ...Object.entries(statements).map(([verb, tally]) => row(verb.toUpperCase(), tally)),
    row('INSERT that named no columns, once it does', columnsNamed),
    '',
    '| executed | |',
    '|---|---|',
    ...classes.map(([name, { count }]) => `| ${name} | ${count} |`),
    `| contradictions | ${contradictions.length} |`,
    '',
    ...contradictions.flatMap((text) => ['```text', text, '```', '']),
    ...classes
      .filter(([name]) => !/^(?:equal|fail alike)$/.test(name))
      .flatMap(([name, { examples }]) => [`## ${name}`, '', ...list(examples), '']),
    ...refusals
      .slice(0, MOST_REFUSALS)
      .flatMap(({ code, construct, count, runs, verbs, examples }) => [
        `## ${count} × ${code}: ${construct}`,
        '',
        `${runs} of them run in PostgreSQL; ${JSON.stringify(verbs)}`,
        '',
        ...list(examples),
        '',
      ]),
  ].join('\n')
}

function row(name: string, { total, admitted, runs, runsAdmitted }: Tally): string {
  return `| ${name} | ${total} | ${share(admitted, total)} | ${runs} | ${share(runsAdmitted, runs)} |`
}

function share(part: number, whole: number): string {
  return whole === 0 ? '–' : `${part} (${((100 * part) / whole).toFixed(1)}%)`
}

/** Spread over all that there are, those that run first. */
function list(examples: readonly string[]): string[] {
  const sorted = [
    ...examples.filter((text) => text.startsWith('runs: ')),
    ...examples.filter((text) => !text.startsWith('runs: ')),
  ]
  const step = Math.max(1, Math.floor(sorted.length / EXAMPLES))
  return Array.from({ length: EXAMPLES }, (_, index) => sorted[index * step])
    .filter((text) => text !== undefined)
    .map((text) => `- \`${text.replaceAll('`', "'")}\``)
}
