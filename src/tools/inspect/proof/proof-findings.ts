import { quoted } from '../../../core/scope/leaf.ts'
import type { Table } from '../../../core/scope/manifest.ts'
import type { Finding } from '../finding.ts'
import type { Catalog, Shape } from './catalog.ts'
import type { ProofRow } from './judge.ts'
import { relation } from './plant.ts'
import type { AppRole } from './stage.ts'
import type { Verb } from './tries.ts'

const READS: ReadonlySet<Verb> = new Set(['SELECT', 'SELECT FOR UPDATE'])

/** A finding for each table on which something was refuted. */
export function proofFindings(
  rows: readonly ProofRow[],
  { catalog, tables }: { readonly catalog: Catalog; readonly tables: ReadonlyMap<string, Table> },
  role: AppRole,
): readonly Finding[] {
  const refuted = new Map<string, ProofRow[]>()
  for (const row of rows) {
    if (row.verdict === 'refuted') refuted.set(row.table, [...(refuted.get(row.table) ?? []), row])
  }
  return [...refuted].map(([name, found]): Finding => {
    const shape = catalog.get(name)
    return {
      rule: 'second-wall-proof',
      level: 'error',
      object: name,
      what: `${found.map(sentenceOf).join('; ')}.`,
      why: 'Row-level security alone does not hold this table: a statement that gets past the kernel reaches what is other tenants’.',
      cwe: cweOf(found),
      // no policy holds such a role, whatever the table has
      mend: role.isAbove
        ? [`ALTER ROLE ${quoted(role.name)} NOSUPERUSER NOBYPASSRLS`]
        : mendOf(shape, tables.get(name)),
    }
  })
}

/** "DELETE as tenant A reached 2 of 2 rows of others". */
function sentenceOf({ verb, trials, why }: ProofRow): string {
  const [worst] = trials.toSorted((a, b) => b.foreign - a.foreign)
  if (worst === undefined) return `${verb}: ${why ?? 'refuted'}`
  const { caller, foreign, there, isLeast } = worst
  const as =
    caller === 'none'
      ? 'without a tenant'
      : caller === 'never set'
        ? 'in a session that never set a tenant'
        : `as tenant ${caller}`
  const most = isLeast === true ? `at least ${foreign}` : `${foreign}`
  return foreign <= there
    ? `${verb} ${as} reached ${most} of ${there} rows of others`
    : `${verb} ${as} reached ${most} rows of others`
}

/** Reads by a tenant: CWE-639; writes: CWE-863; only without any tenant: CWE-284. */
function cweOf(found: readonly ProofRow[]): Finding['cwe'] {
  const reached = found.flatMap(({ trials }) => trials.filter(({ foreign }) => foreign > 0))
  if (reached.length > 0 && reached.every(({ caller }) => caller === 'none' || caller === 'never set')) return 'CWE-284'
  return found.every(({ verb }) => READS.has(verb)) ? 'CWE-639' : 'CWE-863'
}

/** One policy for all verbs, and no other for the app role or for everybody. */
function mendOf(shape: Shape | undefined, table: Table | undefined): string[] {
  if (shape === undefined) return []
  const name = relation(shape)
  if (table?.tenant === undefined) return [`REVOKE INSERT, UPDATE, DELETE ON ${name} FROM holdfast_app`]
  if (shape.kind !== 'r' && shape.kind !== 'p') return [`REVOKE ALL ON ${name} FROM holdfast_app`]
  const tenant = `${quoted(table.tenant)} = NULLIF(current_setting('holdfast.tenant_id', true), '')::${table.columns[table.tenant]?.type.toUpperCase()}`
  const others = shape.policies.filter(({ roles }) =>
    roles.some((role) => role === 'public' || role === 'holdfast_app'),
  )
  return [
    ...(shape.owner === 'holdfast_app' ? [`ALTER TABLE ${name} OWNER TO holdfast_owner`] : []),
    ...others.map((policy) => `DROP POLICY ${quoted(policy.name)} ON ${name}`),
    `ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`,
    `CREATE POLICY tenant_isolation ON ${name} FOR ALL TO PUBLIC USING (${tenant}) WITH CHECK (${tenant})`,
  ]
}
