import type { ExpectedTable } from './expected.ts'
import { named } from './identifier.ts'
import { TENANT_SETTING } from './policy-inputs.ts'
import type { PolicyVerdict } from './policy-behaviour.ts'
import type { Rule } from './rule.ts'

const kinds: readonly (Pick<Rule, 'id' | 'level' | 'cwe' | 'holds' | 'why'> & {
  readonly problem: PolicyVerdict['problem']
})[] = [
  {
    problem: 'leaks',
    id: 'policy-leaks',
    level: 'error',
    cwe: 'CWE-863',
    holds:
      'The policies of a tenant’s table let no verb reach a row of another tenant, or of none, whatever the setting.',
    why: 'The second wall has a hole: one statement that escapes the first goes through it.',
  },
  {
    problem: 'hides',
    id: 'policy-hides',
    level: 'error',
    cwe: 'CWE-863',
    holds: 'The policies let every verb reach the rows of the tenant that is set.',
    why: 'Requests find nothing, or change nothing and say that they did.',
  },
  {
    problem: 'unproven',
    id: 'policy-unproven',
    level: 'error',
    cwe: 'CWE-863',
    holds: 'A policy looks at nothing but the tenant column and `holdfast.tenant_id`.',
    why: 'What depends on another column, table, function, setting, role or the clock may open tomorrow, and no trial can tell.',
  },
  {
    problem: 'shape',
    id: 'policy-shape',
    level: 'warning',
    cwe: 'CWE-1220',
    holds: 'One policy, `FOR ALL TO PUBLIC`, confines a tenant’s table.',
    why: 'Several that are right together become wrong one at a time, and one for some roles does not hold the owner’s views.',
  },
  {
    problem: 'other-role',
    id: 'policy-other-role',
    level: 'warning',
    cwe: 'CWE-863',
    holds: 'No policy is for other roles.',
    why: 'It holds the roles that serve in nothing, and may show every tenant to whoever has that role.',
  },
]

/** What policies do. */
export const policyRules: readonly Rule[] = kinds.map(({ problem, ...row }) => ({
  ...row,
  reads: ['policies'],
  judge: (_evidence, _expected, { policies }) =>
    policies
      .filter((verdict) => verdict.problem === problem)
      .map((verdict) => ({
        object: named(verdict.table.schema, verdict.table.name),
        what: `${named(verdict.table.schema, verdict.table.name)} ${verdict.what}.`,
        mend: mendOf(verdict),
      })),
}))

/** The policies go, and the one that confines comes: in between nothing passes. */
function mendOf({ table, problem, policies }: PolicyVerdict): string[] {
  const drops = policies.map((policy) => `DROP POLICY ${named(policy)} ON ${named(table.schema, table.name)}`)
  return problem === 'other-role' ? drops : [...drops, confiningPolicy(table)]
}

/** The policy of a table with a tenant column. */
export function confiningPolicy({ schema, name, tenant = 'tenant_id', columns }: ExpectedTable): string {
  const type = columns[tenant]?.type ?? 'uuid'
  const condition = `(${named(tenant)} = NULLIF(current_setting('${TENANT_SETTING}', true), '')::${type.toUpperCase()})`
  return `CREATE POLICY tenant_isolation ON ${named(schema, name)} FOR ALL TO PUBLIC USING ${condition} WITH CHECK ${condition}`
}
