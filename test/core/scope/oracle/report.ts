import type { Run } from './fuzz.ts'
import { CLASSES, type ClassName } from './judge.ts'

/** What a long run found, as a page. */
export function reportOf({ seed, commits, next, tally, failures, seconds, limits }: Run): string {
  const { statements, classes, refusals, errors, kinds, compared } = tally
  const admitted = statements - (classes['refused'] ?? 0)
  const trespasses = classes['TRESPASS'] ?? 0
  const share = (part: number, of: number): string => `${((100 * part) / of).toFixed(2)} %`
  const rows = (of: Record<string, number>): string[] =>
    Object.entries(of)
      .sort(([, a], [, b]) => b - a)
      .map(([name, number]) => `| ${name} | ${number} |`)
  const number = (text: number | undefined): string => String(text ?? 0)
  return [
    '# fuzz',
    '',
    'Generated statements, on PostgreSQL: the first wall alone against row-level security alone, over random schemas with the data of three tenants.',
    '',
    `- made by \`npm run fuzz -- --statements ${statements} --seed ${seed} --texts ${limits.texts} --report\` at ${new Date().toISOString().slice(0, 10)}, on ${commits.length === 1 ? 'commit' : 'commits'} ${commits.join(', ')}, Node ${process.versions.node}`,
    `- ${statements} statements over ${next} schemas, ${tally.mutated} of them from mutated parse trees; ${Math.round(seconds)} s, ${Math.round(statements / seconds)} a second, in two processes`,
    `- admitted: ${admitted}, ${share(admitted, statements)}`,
    `- ${failures.length} divergences outside the named classes; ${trespasses === 0 ? 'nothing of another tenant was read or changed' : `${trespasses} read or changed what is not the tenant’s`}`,
    `- run again from the cache: ${number(compared['again'])}; after another role's statement of the same text on the same connection: ${number(compared['other'])}; compared with the raw statement in a database of one tenant: ${number(compared['alone'])}, the rows of ${number(compared['in sequence'])} in the same sequence, ordered or not`,
    `- ${limits.texts} random texts (bytes, damaged statements, deep nests): no crash, no hang; ${limits.scoped} of them scoped`,
    '',
    '## Classes',
    '',
    '| class | statements | what it is |',
    '|---|---|---|',
    ...Object.entries(CLASSES).map(([name, what]) => `| ${name} | ${number(classes[name as ClassName])} | ${what} |`),
    '',
    '## By kind',
    '',
    '| kind | made | admitted |',
    '|---|---|---|',
    ...Object.entries(kinds).map(
      ([kind, { made, admitted: of }]) => `| ${kind} | ${made} | ${of}, ${share(of, made)} |`,
    ),
    '',
    '## Refused, by code',
    '',
    '| code | statements |',
    '|---|---|',
    ...rows(refusals),
    '',
    '## Errors in which both walls end alike, by SQLSTATE',
    '',
    'Mutated statements fail often: a sub-tree in another place has the wrong type, or names what is not in sight.',
    '',
    '| SQLSTATE | statements |',
    '|---|---|',
    ...rows(errors),
    '',
  ].join('\n')
}
