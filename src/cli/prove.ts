import { resolve } from 'node:path'
import type { ConnectionTarget } from '../core/database/connection-target.ts'
import { DatabaseError } from '../core/database/errors.ts'
import { visible } from '../core/scope/excerpt.ts'
import type { Table } from '../core/scope/manifest.ts'
import type { Finding } from '../tools/inspect/finding.ts'
import type { Proof } from '../tools/inspect/proof/prove.ts'
import { type Terminal, UsageError } from './command.ts'

/** The flag that says that the proof may run in production. */
const PRODUCTION_FLAG = 'prove-in-production'

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

/** Flags of the proof, for `doctor`. */
export const proofFlags = {
  prove: { type: 'boolean' },
  [PRODUCTION_FLAG]: { type: 'boolean' },
  'with-triggers': { type: 'boolean' },
} as const
type ProofValues = { readonly [Name in keyof typeof proofFlags]?: boolean }

/**
 * What `doctor --prove` adds: the proof, on the database that the environment names, or on the embedded one.
 *
 * @returns nothing when `--prove` was not given
 * @throws UsageError when it was not tried, with why
 * @throws DatabaseError
 */
export async function proofForDoctor(
  values: ProofValues,
  tables: readonly Table[],
  { environment, directory, err }: Terminal,
): Promise<Proof | undefined> {
  if (values.prove !== true) {
    const [flag] = Object.keys(values).filter((name) => name !== 'prove' && Object.hasOwn(proofFlags, name))
    if (flag !== undefined) throw new UsageError(`--${flag} is for --prove.`)
    return undefined
  }
  const url = (name: string): ConnectionTarget | undefined => {
    const text = environment[name]
    return text === undefined || text === '' ? undefined : { url: text }
  }
  const prove = async (targets: Pick<ProofRequest, 'app' | 'migrator'>): Promise<Proof> => {
    const inProduction = values[PRODUCTION_FLAG] === true
    const withTriggers = values['with-triggers'] === true
    const answer = await proveSecondWall({ ...targets, tables, inProduction, withTriggers }, environment)
    if ('notTried' in answer) throw new UsageError(`The second wall was not tried: ${answer.notTried}.`)
    return answer.proof
  }
  const named = { app: url('DATABASE_URL'), migrator: url('HOLDFAST_MIGRATOR_URL') }
  if (named.app !== undefined || named.migrator !== undefined) return prove(named)
  const { startEmbedded } = await import('../core/database/embedded.ts')
  const dataDirectory = resolve(directory, environment['HOLDFAST_DATA_DIR'] || '.holdfast')
  const embedded = await startEmbedded({ dataDirectory, log: err })
  try {
    return await prove({ migrator: embedded.target('migrator') })
  } finally {
    await embedded.stop()
  }
}

/** Prints the table, and a line between it and what follows. */
export async function tellProof(proof: Proof, out: (line: string) => void): Promise<void> {
  const { proofText } = await import('../tools/inspect/proof/proof-text.ts')
  for (const line of [...proofText(proof), '']) out(line)
}

/** What the proof found on tables of which nothing else was found: whoever mends the rest has mended them. */
export function onlyProven(proof: Proof | undefined, findings: readonly Finding[]): readonly Finding[] {
  const known = new Set(findings.map(({ object }) => object))
  return (proof?.findings ?? []).filter(({ object }) => !known.has(object))
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
