import type { ConnectionTarget } from '../core/database/connection-target.ts'
import { DatabaseError } from '../core/database/errors.ts'
import { visible } from '../core/scope/excerpt.ts'
import type { Table } from '../core/scope/manifest.ts'
import type { Proof } from '../tools/inspect/proof/prove.ts'
import type { Terminal } from './command.ts'

/** The flag that says that the proof may run in production. */
export const PRODUCTION_FLAG = 'prove-in-production'

/** Which database is proven, and what else is allowed there. */
export type ProofRequest = {
  /** as the app role; it plants what it may insert */
  readonly app?: ConnectionTarget | undefined
  /** as holdfast_migrator, which plants as the owner and then is the app role */
  readonly migrator?: ConnectionTarget | undefined
  /** of the manifest; the service's own that no handler reaches are added */
  readonly tables: readonly Table[]
  /** {@link PRODUCTION_FLAG} was given */
  readonly inProduction: boolean
  /** also write to tables with triggers */
  readonly withTriggers: boolean
}

/** The proof, or why it was not tried. */
export type ProofAnswer = { readonly proof: Proof } | { readonly notTried: string }

/**
 * Proves the second wall, unless the database is one in production and nobody said that it may be.
 * @throws DatabaseError when the database is not there
 */
export async function proveSecondWall(
  { app, migrator, tables, inProduction, withTriggers }: ProofRequest,
  environment: Terminal['environment'],
): Promise<ProofAnswer> {
  const targets = { ...(app === undefined ? {} : { app }), ...(migrator === undefined ? {} : { migrator }) }
  const { productionReason } = await import('../tools/inspect/proof/proof-place.ts')
  const reason = productionReason(targets, environment)
  if (reason !== undefined && !inProduction) {
    return {
      notTried: `this is taken for a database in production: ${reason}. The proof inserts rows of two tenants that do not exist, tries every verb on every table and rolls all of it back: for moments it holds locks, and dead rows are left for VACUUM. To run it here all the same: --${PRODUCTION_FLAG}`,
    }
  }
  const { guardedTables, prove } = await import('../tools/inspect/proof/prove.ts')
  try {
    return { proof: await prove({ ...targets, tables: [...tables, ...guardedTables], withTriggers }) }
  } catch (error) {
    if (error instanceof DatabaseError && error.code === 'unsupported_use') return { notTried: error.message }
    throw error
  }
}

/**
 * What `migrate` says of the second wall when it is done: a line, and each refutation.
 * @returns the lines, and the exit code: 1 when something is refuted
 */
export async function proofAfterMigration(
  request: Omit<ProofRequest, 'withTriggers'>,
  environment: Terminal['environment'],
): Promise<{ readonly lines: readonly string[]; readonly code: number; readonly answer: ProofAnswer }> {
  const answer = await proveSecondWall({ ...request, withTriggers: false }, environment)
  if ('notTried' in answer) return { lines: [`Second wall: not tried, ${answer.notTried}.`], code: 0, answer }
  const { proofSummary } = await import('../tools/inspect/proof/proof-text.ts')
  const { findings } = answer.proof
  const lines = [
    ...proofSummary(answer.proof),
    ...findings.flatMap(({ object, what, mend }) => [
      `REFUTED ${object}: ${what}`,
      ...mend.map((one) => visible(`  ${one};`)),
    ]),
  ]
  return { lines, code: findings.length > 0 ? 1 : 0, answer }
}
