import { visible } from '../../core/scope/excerpt.ts'
import type { Finding } from './finding.ts'

/** What fits a terminal: the screen on which a start is refused. */
const SCREEN = { lines: 24, columns: 100 }
const INDENT = '  '

/** Every finding for people: what, why, and the statements that mend it. Names of a database may hold anything (CWE-150). */
export function tellFindings(findings: readonly Finding[], color: boolean): string[] {
  const paint = (level: Finding['level'], text: string): string =>
    color ? `\u001b[${level === 'error' ? 31 : 33}m${text}\u001b[0m` : text
  return findings.flatMap(({ level, rule, what, why, cwe, mend }) => [
    `${paint(level, level)} ${visible(what)} (${rule})`,
    `${INDENT}${why} (${cwe})`,
    ...mend.map((statement) => `${INDENT}${visible(statement)};`),
    '',
  ])
}

/**
 * Why a start is refused, on one screen: as many errors as fit, each with what mends it, and where the rest is.
 * @param findings errors @returns lines of at most 100 columns, 24 of them with what stands before the first
 */
export function startScreen(findings: readonly Finding[]): string {
  const head = [`the database is not as it must be (${count(findings.length, 'error')}), so nothing was started.`, '']
  const foot = ['', 'All that is wrong: holdfast doctor. What mends it, as a migration: holdfast doctor --fix']
  const shown: string[][] = []
  const room = SCREEN.lines - head.length - foot.length - 1
  for (const finding of findings) {
    const lines = blockOf(finding)
    if (shown.flat().length + lines.length > room) break
    shown.push(lines)
  }
  // one that alone is longer is told without its statements
  if (shown.length === 0) shown.push(findings.slice(0, 1).flatMap((finding) => blockOf({ ...finding, mend: [] })))
  const rest = findings.length - shown.length
  return [...head, ...shown.flat(), ...(rest > 0 ? [`… and ${rest} more.`] : []), ...foot].join('\n')
}

function blockOf({ what, why, cwe, mend }: Finding): string[] {
  return [
    ...wrapped(`- ${what}`, INDENT),
    ...wrapped(`${INDENT}${why} (${cwe})`, INDENT),
    ...mend.flatMap((statement) => wrapped(`${INDENT}${statement};`, `${INDENT}${INDENT}`)),
  ]
}

/** Lines of at most the screen's width, broken at blanks; further ones begin with `indent`. */
function wrapped(text: string, indent: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of visible(text).split(/(?<=\S) (?=\S)/)) {
    const longer = line === '' ? word : `${line} ${word}`
    if (longer.length > SCREEN.columns && line !== '') {
      lines.push(line)
      line = `${indent}${word}`
    } else line = longer
  }
  return [...lines, line]
}

/** `1 error`, `2 errors`. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

/** What `holdfast_owner`, as whom migrations run, may not do: roles, the database, what is not its own. */
const FOR_ADMINISTRATORS =
  /^ALTER (?:ROLE|DATABASE|EVENT TRIGGER|LARGE OBJECT)\b|^ALTER DEFAULT PRIVILEGES FOR ROLE (?!holdfast_owner\b)|\bOWNER TO\b|\bON DATABASE\b|\bON SCHEMA "?public\b|^(?:REVOKE|GRANT|ALTER)\b.* (?:FUNCTION|PROCEDURE) (?:holdfast\.|pg_|lo_)|\bON LARGE OBJECT\b|^REVOKE [\w"]+ FROM\b/

/**
 * What mends the findings, as a migration: the owner's statements one a step, and as comments those of whoever administers
 * the database.
 * @returns lines; a file of them is one that `migrate` takes, unless nothing is the owner's
 */
export function asMigration(findings: readonly Finding[]): string[] {
  const statements = [...new Set(findings.flatMap(({ mend }) => mend))]
  const above = statements.filter((statement) => FOR_ADMINISTRATORS.test(statement))
  const own = statements.filter((statement) => !FOR_ADMINISTRATORS.test(statement))
  const unmended = findings.filter(({ mend }) => mend.length === 0)
  const comment = (text: string): string => `-- ${visible(text)}`
  return [
    ...unmended.map(({ what }) => comment(`No statement mends this: ${what}`)),
    ...(above.length === 0
      ? []
      : [
          '-- Before this, as whoever administers the database:',
          ...above.map((statement) => comment(`  ${statement};`)),
        ]),
    ...own.flatMap((statement, index) => (index === 0 ? [statement] : ['-- next', statement])),
  ]
}
