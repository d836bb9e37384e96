import { loadKernel } from '../../core/scope/grammar.ts'
import type { Pool } from '../../core/database/pool.ts'
import { type Evidence, type Reader, readEvidence } from './catalog.ts'
import type { Expected } from './expected.ts'
import type { Finding } from './finding.ts'
import { judgePolicies } from './policy-behaviour.ts'
import type { LoginFacts, Rule } from './rule.ts'
import { loginRules } from './roles.ts'
import { rules } from './rules.ts'

/** What is inspected, and against what. */
export type Inspection = {
  /** Reads as a role that serves: policies are tried as it. */
  readonly reader: Reader
  readonly expected: Expected
  readonly logins: readonly LoginFacts[]
  /** This machine's clock, in milliseconds since 1970. */
  readonly now: () => number
}

/**
 * Judges a database by all rules. Nothing is changed.
 * @returns what is wrong, errors first; nothing where all holds
 * @throws DatabaseError those of reading: what cannot be read is not taken for right
 */
export async function inspect({ reader, expected, logins, now }: Inspection): Promise<Finding[]> {
  // through the wrong door nothing is seen rightly
  const misled = loginRules.flatMap((rule) =>
    rule
      .judge({} as Evidence, expected, { logins, asked: 0, answered: 0, policies: [] })
      .map((each) => toFinding(rule, each)),
  )
  if (misled.length > 0) return misled
  await loadKernel()
  const asked = now()
  const evidence = await readEvidence(reader, expected)
  const answered = now()
  const policies = await judgePolicies(reader, expected, evidence)
  const found = Object.values(rules)
    .flat()
    .filter((rule) => rule.reads.every((name) => evidence[name] !== undefined))
    .flatMap((rule) =>
      rule
        .judge(evidence as Evidence, expected, { logins, asked, answered, policies })
        .map((each) => toFinding(rule, each)),
    )
  return [...found.filter(({ level }) => level === 'error'), ...found.filter(({ level }) => level === 'warning')]
}

function toFinding(
  { id, level, why, cwe }: Rule,
  { object, what, mend }: Pick<Finding, 'object' | 'what' | 'mend'>,
): Finding {
  return { rule: id, level, object, what, why, cwe, mend }
}

/** Reads over a pool, each unit in a transaction that only reads. */
export function readerOf(pool: Pool): Reader {
  return {
    dialect: pool.dialect,
    read: async (queries) =>
      pool.transaction(async (transaction) => (await transaction.send(queries)).map(({ rows }) => rows), {
        readOnly: true,
      }),
  }
}
