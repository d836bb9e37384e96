import type { RelationRow } from './catalog.ts'
import { type Expected, type ExpectedTable, keyOf } from './expected.ts'
import { named } from './identifier.ts'
import type { Rule } from './rule.ts'
import { revokeAll } from './tables.ts'

const nameOf = ({ schema, name }: { readonly schema: string; readonly name: string }): string => named(schema, name)
const isInvoker = ({ options }: RelationRow): boolean =>
  (options ?? []).some((option) => /^security_invoker=(?:true|on|yes|1)$/i.test(option))
const tableOf = (row: RelationRow, { tables }: Expected): ExpectedTable | undefined => tables.get(keyOf(row))

/** From which version on a view of CockroachDB has its owner's rights unless it says otherwise. */
const OWNERS_VIEWS_SINCE = [26, 2] as const

/** Views that the manifest names. */
export const viewRules: readonly Rule[] = [
  {
    id: 'view-invoker',
    level: 'error',
    cwe: 'CWE-863',
    holds: 'A view of the manifest has its caller’s rights (`security_invoker`).',
    why: 'With the owner’s rights it shows what the owner may see, and no policy holds an owner that is above them.',
    reads: ['relations', 'session'],
    judge: ({ relations, session }, expected) =>
      relations
        .filter(
          (row) =>
            row.kind === 'v' &&
            tableOf(row, expected)?.isView === true &&
            !isInvoker(row) &&
            hasOwnersRights(session[0]?.version ?? ''),
        )
        .map((row) => ({
          object: nameOf(row),
          what: `The view ${nameOf(row)} has the rights of its owner, ${row.owner}.`,
          mend: [`ALTER VIEW ${nameOf(row)} SET (security_invoker = true)`],
        })),
  },
  {
    id: 'view-materialized',
    level: 'error',
    cwe: 'CWE-668',
    holds: 'The roles that serve reach no materialized view, but for one that the manifest calls shared.',
    why: 'It keeps what whoever refreshed it saw, and has no row-level security.',
    reads: ['relations'],
    judge: (evidence, expected) =>
      evidence.relations
        .filter((row) => row.kind === 'm' && tableOf(row, expected)?.kind !== 'shared')
        .map((row) => ({
          object: nameOf(row),
          what: `A role that serves reaches the materialized view ${nameOf(row)}.`,
          mend: revokeAll(evidence, row),
        })),
  },
]

/** PostgreSQL's views have their owner's rights; CockroachDB's had their caller's before 26.2. */
function hasOwnersRights(version: string): boolean {
  if (!version.startsWith('CockroachDB')) return true
  const [major = 0, minor = 0] = (/\bv(\d+)\.(\d+)/.exec(version) ?? []).slice(1).map(Number)
  return major > OWNERS_VIEWS_SINCE[0] || (major === OWNERS_VIEWS_SINCE[0] && minor >= OWNERS_VIEWS_SINCE[1])
}
