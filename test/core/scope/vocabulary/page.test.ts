import { expect, it } from 'vitest'
import { ACCEPTED_FUNCTIONS } from '../../../../src/core/scope/vocabulary/functions.ts'
import { ACCEPTED_OPERATORS, REFUSED_OPERATORS } from '../../../../src/core/scope/vocabulary/operators.ts'
import { REFUSED_FUNCTIONS, type RefusedGroup } from '../../../../src/core/scope/vocabulary/refused-functions.ts'
import { ACCEPTED_COLLATIONS, ACCEPTED_TYPES, REFUSED_TYPES } from '../../../../src/core/scope/vocabulary/types.ts'

const code = (names: string): string =>
  names
    .trim()
    .split(/\s+/)
    .map((name) => (name.includes('|') ? `<code>${name.replaceAll('|', '&#124;')}</code>` : `\`${name}\``))
    .join(' ')

const rows = (groups: readonly (readonly [string, string])[]): string[] =>
  groups.map(([group, names]) => `| ${group} | ${code(names)} |`)

const refusals = (groups: readonly RefusedGroup[]): string[] => [
  '| out | why | instead |',
  '|---|---|---|',
  ...groups.map(({ why, instead, names }) => `| ${code(names)} | it ${why} | ${instead ?? ''} |`),
]

/** Made again with: npx vitest run test/core/scope/vocabulary/page.test.ts --update */
it('docs/functions.md has every function, operator and type', async () => {
  const page = [
    '# Functions, operators and types',
    '',
    'What a scoped statement may name, of what PostgreSQL 15 to 18 bring along; all else is refused. A name is in only if every',
    'overload is harmless: it computes from what it is given, reads no table, file or secret setting, takes no SQL and no table’s name',
    'as text, leaves nothing behind, and makes much from little only where an argument says how much, which is bounded. CockroachDB',
    'has fewer of them (no ranges, for one); a statement that names one that it lacks fails there.',
    '',
    'The time limit of a statement is heeded between rows, not within one call: a search in very long texts goes on for longer.',
    '',
    'Functions of your own are named in the manifest, with what they read.',
    '`coalesce`, `nullif`, `greatest`, `least`, `CASE`, `EXTRACT`, `TRIM`, `CAST`, `CURRENT_TIMESTAMP` and their like are grammar, and accepted.',
    '',
    '## Functions',
    '',
    '| group | functions |',
    '|---|---|',
    ...rows(ACCEPTED_FUNCTIONS.map(({ group, names }) => [group, names] as const)),
    '',
    'Good to know:',
    '',
    ...ACCEPTED_FUNCTIONS.flatMap(({ but = {} }) => Object.entries(but).map(([name, why]) => `- \`${name}\`: ${why}.`)),
    '',
    '## Operators',
    '',
    '| group | operators |',
    '|---|---|',
    ...rows(Object.entries(ACCEPTED_OPERATORS)),
    '',
    ...refusals(REFUSED_OPERATORS),
    '',
    '## Types',
    '',
    'A column may be of any type; these can be cast to. Arrays of them as well.',
    '',
    '| group | types |',
    '|---|---|',
    ...rows(Object.entries(ACCEPTED_TYPES)),
    '',
    ...refusals(REFUSED_TYPES),
    '',
    `Collations: ${code(ACCEPTED_COLLATIONS)}.`,
    '',
    '## Functions that are out',
    '',
    ...refusals(REFUSED_FUNCTIONS),
    '',
  ].join('\n')
  expect(page.length).toBeGreaterThan(40_000)
  await expect(page).toMatchFileSnapshot('../../../../docs/functions.md')
})
