import { type Attack, gains, type Limit, limits, type Wall } from './attack.ts'
import type { attacks, groups } from './table/index.ts'

/** Longest statement that the page shows whole, in characters. */
const SHOWN = 240

/**
 * The page of all attacks, as Markdown.
 * @param summaries what came through both walls, by attack: `3 rows`, or the SQLSTATE
 */
export function pageOf(all: typeof groups, summaries: ReadonlyMap<Attack, string>): string {
  const flat: typeof attacks = all.flatMap(([, group]) => group)
  const refused = flat.filter(([, , , verdict]) => verdict !== 'scoped')
  const used = (Object.keys(limits) as Limit[]).map((limit): [Limit, number] => [limit, leaksWith(flat, limit)])
  return [
    '# Attacks',
    '',
    'Made by `test/core/scope/attacks/attacks.test.ts` from its table: each statement is sent by user 2 of tenant 7 to a database of three tenants,',
    'through each wall alone and through both; what it answers, changes and locks is compared with a database that lacks what the caller must not see.',
    'Made again with `npx vitest run test/core/scope/attacks/attacks.test.ts --update`.',
    '',
    `${flat.length} attacks: ${refused.length} are refused and never sent, ${flat.length - refused.length} are scoped: they see and do what the caller may.`,
    '',
    '- **first**: the scoped text, as a superuser, past row-level security. **second**: the raw text, as the role of the application, under row-level security.',
    '  **both**: the scoped text, as that role.',
    '- **holds**: nothing of another tenant is seen, changed, locked or told apart, nothing of another owner under reach `own`, nothing that is hidden.',
    '  Where a wall is known not to hold, the limit is named, and the test demands that it really leaks there.',
    '',
    '| limit | attacks | what is not closed |',
    '|---|---|---|',
    ...used.map(([limit, count]) => `| ${limit} | ${count} | ${limits[limit]} |`),
    '',
    ...all.flatMap(([title, group]) => [
      `## ${title}`,
      '',
      '| attack | what it would gain | statement | as | verdict | first | second | both |',
      '|---|---|---|---|---|---|---|---|',
      ...group.map((attack) => rowOf(attack, summaries.get(attack))),
      '',
    ]),
  ].join('\n')
}

function leaksWith(all: readonly Attack[], limit: Limit): number {
  return all.filter(([, , , , { leaks = {} } = {}]) => Object.values(leaks).includes(limit)).length
}

function rowOf(attack: Attack, summary: string | undefined): string {
  const [name, gain, sql, verdict, { values = [], as = 'tenant', leaks = {}, unrun } = {}] = attack
  const [weakness, what] = gains[gain]
  const isSent = verdict === 'scoped'
  const wall = (which: Wall): string => {
    if (which !== 'second' && !isSent) return 'not sent'
    if (unrun !== undefined) return `not run: ${unrun}`
    const limit = leaks[which]
    return limit === undefined ? 'holds' : `**leaks**: ${limit}`
  }
  const result = isSent && summary !== undefined ? `${wall('both')}, ${summary}` : wall('both')
  const given = values.length === 0 ? '' : ` with ${code(JSON.stringify(values))}`
  const cells = [
    name,
    `${what} (${weakness})`,
    `${code(sql)}${given}`,
    as,
    verdict,
    wall('first'),
    wall('second'),
    result,
  ]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

/** A text as code: cut, and with whatever does not show as its number. */
function code(text: string): string {
  const cut = text.length > SHOWN ? `${text.slice(0, SHOWN)} … (${text.length} characters)` : text
  const plain = cut.replaceAll(
    /[^\x20-\x7e…’ıéäöü]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  const fence = plain.includes('`') ? '``' : '`'
  return plain === '' ? 'nothing' : `${fence}${fence === '``' ? ' ' : ''}${plain}${fence === '``' ? ' ' : ''}${fence}`
}
