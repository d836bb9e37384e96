import type { Evidence } from './catalog.ts'
import type { Expected } from './expected.ts'
import type { Finding } from './finding.ts'
import type { PolicyVerdict } from './policy-behaviour.ts'

/** Whom a URL leads in as. */
export type LoginFacts = {
  /** Such as `DATABASE_URL`. */
  readonly url: string
  readonly wanted: string
  readonly role: string
  readonly database: string
  /** Whether traffic stays on this machine, or TLS is verified. */
  readonly isSafe: boolean
}

/** What is known beside the catalogs. */
export type Facts = {
  readonly logins: readonly LoginFacts[]
  /** This machine's clock just before and just after the catalogs were asked, in milliseconds since 1970. */
  readonly asked: number
  readonly answered: number
  /** What each confined table's policies do. */
  readonly policies: readonly PolicyVerdict[]
}

/** One thing that is wrong. */
export type Found = Pick<Finding, 'object' | 'what' | 'mend'>

/** One rule: a row of what must hold, how that is judged, and why. */
export type Rule = Pick<Finding, 'level' | 'why' | 'cwe'> & {
  readonly id: string
  /** What must hold, for the page. */
  readonly holds: string
  /** The catalogs' answers that it needs; without one of them, on a database that lacks the catalog, it judges nothing. */
  readonly reads: readonly (keyof Evidence)[]
  judge(evidence: Evidence, expected: Expected, facts: Facts): readonly Found[]
}
