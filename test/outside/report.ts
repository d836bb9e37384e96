import type { Report, Tally } from './examine.ts'

/** Refusals that are shown one by one. */
const MOST_REFUSALS = 60
/** Examples of each. */
const EXAMPLES = 3

/** A report as Markdown, with statements of the folder as examples. */
export function tell(report: Report): string {
  const { executed, refusals, contradictions } = report
  const classes = byCount(executed).filter(([name]) => !/^(?:equal|fail alike)$/.test(name))
  return [
    tellBriefly(report),
    ...contradictions.flatMap((text) => ['```text', text, '```', '']),
    ...classes.flatMap(([name, { examples }]) => [`## ${name}`, '', ...list(examples), '']),
    ...refusals
      .slice(0, MOST_REFUSALS)
      .flatMap(({ code, construct, count, verbs, examples }) => [
        `## ${count} × ${code}: ${construct}`,
        '',
        JSON.stringify(verbs),
        '',
        ...list(examples),
        '',
      ]),
  ].join('\n')
}

/** Its figures alone: nothing in it is the folder's own. */
export function tellBriefly({
  files,
  pieces,
  statements,
  columnsNamed,
  refusals,
  executed,
  contradictions,
}: Report): string {
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
    ...byCount(executed).map(([name, { count }]) => `| ${name} | ${count} |`),
    `| contradictions | ${contradictions.length} |`,
    '',
    '| refused | PostgreSQL runs them | code | what |',
    '|---|---|---|---|',
    ...refusals
      .slice(0, MOST_REFUSALS)
      .map(
        ({ count, runs, code, construct }) => `| ${count} | ${runs} | ${code} | ${construct.replaceAll('|', '\\|')} |`,
      ),
    '',
  ].join('\n')
}

function byCount(executed: Report['executed']): [string, Report['executed'][string]][] {
  return Object.entries(executed).sort(([, one], [, other]) => other.count - one.count)
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
