import type { ConnectionTarget } from '../../../core/database/connection-target.ts'
import { DatabaseError, StatementError } from '../../../core/database/errors.ts'
import { createPool, type Pool } from '../../../core/database/pool.ts'
import type { Query, Result } from '../../../core/database/statement.ts'
import type { Transaction } from '../../../core/database/transaction.ts'

/** How the proof comes to be the app role. */
export type Standing = 'signed in' | 'SET ROLE'

/** A database to try things in. */
export type Theatre = {
  readonly pool: Pool
  readonly standing: Standing
  /** Said with the result: what would have shown more. */
  readonly note: string | undefined
  readonly lockTimeoutMs: number
}

/** The role that is tried. */
export type AppRole = {
  readonly name: string
  /** a superuser, or it bypasses row-level security: no policy holds it */
  readonly isAbove: boolean
}

/** Where the database is: the app role's address, the migrator's, or both. */
export type ProofTargets = { readonly app?: ConnectionTarget; readonly migrator?: ConnectionTarget }

/** How long things may take, in milliseconds. */
export type ProofTimes = {
  /** waiting for a lock; 1,000 if left out */
  readonly lockTimeoutMs?: number
  /** one table's transaction; 20,000 if left out */
  readonly tableTimeoutMs?: number
}

/** The database cancels a statement of the proof after this long, in milliseconds: a hole shows in its first rows. */
const statementTimeoutMs = 2_000
/** One table's transaction lives at most so long, in milliseconds: its locks are held no longer. */
const usualTableTimeoutMs = 20_000
/** A lock that others hold is waited for so long, in milliseconds; longer would queue them up behind the proof. */
const usualLockTimeoutMs = 1_000
/** Rows of the catalog that are read at most: some thousand tables. */
const catalogRows = 400_000

/** What lets the migrator stand on the app role's side too. */
export const MEMBERSHIP = 'GRANT holdfast_app TO holdfast_migrator'

/**
 * Connects: as the migrator, who plants as holdfast_owner and then is holdfast_app by SET LOCAL ROLE, in one transaction;
 * or, where that may not be, as the app role itself, which plants what it may insert.
 *
 * @throws DatabaseError when there is no address, or nobody lets us in
 */
export async function openTheatre(
  { app, migrator }: ProofTargets,
  { lockTimeoutMs = usualLockTimeoutMs, tableTimeoutMs = usualTableTimeoutMs }: ProofTimes = {},
): Promise<Theatre> {
  if (migrator !== undefined) {
    const pool = await open(migrator, tableTimeoutMs)
    if (await mayBeApp(pool)) return { pool, standing: 'SET ROLE', note: undefined, lockTimeoutMs }
    await pool.close()
    if (app === undefined)
      throw new DatabaseError(
        'unsupported_use',
        `The migrator may not become holdfast_app, so nothing can be tried as it. Let it: ${MEMBERSHIP}; or give the app role’s own address besides`,
      )
  }
  if (app === undefined) throw new DatabaseError('unsupported_use', 'The proof needs the address of a role.')
  const note =
    migrator === undefined
      ? 'signed in as the app role alone: it plants only what it may insert itself. With the migrator’s address the proof plants the rest.'
      : `the migrator may not become holdfast_app, so the app role planted what it may insert itself. To try the rest: ${MEMBERSHIP}`
  return { pool: await open(app, tableTimeoutMs), standing: 'signed in', note, lockTimeoutMs }
}

function open(connection: ConnectionTarget, transactionTimeoutMs: number): Promise<Pool> {
  return createPool({
    connection,
    size: 1,
    applicationName: 'holdfast proof',
    statementTimeoutMs,
    transactionTimeoutMs,
    maxRows: catalogRows,
  })
}

async function mayBeApp(pool: Pool): Promise<boolean> {
  const transaction = await pool.begin()
  try {
    await transaction.query(command('SET LOCAL ROLE holdfast_owner').statement)
    await transaction.query(command('SET LOCAL ROLE holdfast_app').statement)
    return true
  } catch (error) {
    if (error instanceof StatementError) return false
    throw error
  } finally {
    await transaction.rollback()
  }
}

const WHO = `SELECT current_user::TEXT AS role, (SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) AS above`

/** Who asks: a tenant, or nobody. */
export type Asking = { readonly tenant: string; readonly user: string }

/** What a statement came to. */
export type Outcome =
  | { readonly kind: 'done'; readonly results: readonly Result[] }
  | { readonly kind: 'failed'; readonly error: StatementError }

/** Carries an answer out of a savepoint that is undone all the same. */
class Undone extends Error {
  readonly results: readonly Result[]

  constructor(results: readonly Result[]) {
    super('undone')
    this.results = results
  }
}

/** One transaction of the proof. It has no commit: whatever happens it is rolled back, at the latest by the server. */
export class Stage {
  readonly #transaction: Transaction
  readonly #standing: Standing

  constructor(transaction: Transaction, standing: Standing) {
    this.#transaction = transaction
    this.#standing = standing
  }

  get transaction(): Transaction {
    return this.#transaction
  }

  /** From here on no lock is waited for longer. */
  async prepare(lockTimeoutMs: number): Promise<void> {
    await this.#transaction.query({ name: '', text: `SELECT pg_catalog.set_config('lock_timeout', $1::TEXT, true)` }, [
      `${lockTimeoutMs}ms`,
    ])
  }

  /** From here on whoever plants: the tables' owner, whom FORCE binds to the policies as anybody else. */
  async asPlanter(): Promise<void> {
    if (this.#standing === 'SET ROLE') await this.#transaction.send([command('SET LOCAL ROLE holdfast_owner')])
  }

  /** From here on the app role, which is what is tried. @throws DatabaseError when the server says it is another */
  async asApp(): Promise<AppRole> {
    if (this.#standing === 'SET ROLE') await this.#transaction.send([command('SET LOCAL ROLE holdfast_app')])
    const { rows } = await this.#transaction.query({ name: '', text: WHO })
    const { role, above } = rows[0] ?? {}
    if (this.#standing === 'SET ROLE' && role !== 'holdfast_app')
      throw new DatabaseError('protocol_surprise', `The role is ${String(role)} and not holdfast_app.`)
    return { name: String(role), isAbove: above === true }
  }

  /** Is whoever plants another role than the one that is tried? */
  get hasPlanter(): boolean {
    return this.#standing === 'SET ROLE'
  }

  /** Sends queries as somebody – without `asking` as whoever never set anything –, undoes them, and tells the outcome. */
  attempt(queries: readonly Query[], asking?: Asking): Promise<Outcome> {
    return this.run(queries, asking, false)
  }

  /** The same; with `isKept` what succeeds stays until the transaction ends. */
  async run(queries: readonly Query[], asking: Asking | undefined, isKept: boolean): Promise<Outcome> {
    // said again under each savepoint: CockroachDB's texts differ on what ROLLBACK TO leaves of a setting
    const before = [asking === undefined ? COUNTER : settingsOf(asking)]
    try {
      const results = await this.#transaction.savepoint(async () => {
        const answers = (await this.#transaction.send([...before, ...queries])).slice(before.length)
        if (!isKept) throw new Undone(answers)
        return answers
      })
      return { kind: 'done', results }
    } catch (error) {
      if (error instanceof Undone) return { kind: 'done', results: error.results }
      if (error instanceof StatementError && this.#transaction.state === 'open') return { kind: 'failed', error }
      throw error
    }
  }
}

/** Whoever never set anything has the counter of `tries.ts` alone. */
const COUNTER = command(`SELECT pg_catalog.set_config('holdfast.proof_rows', '0', true)`)

function settingsOf({ tenant, user }: Asking): Query {
  return {
    statement: {
      name: '',
      text: `SELECT pg_catalog.set_config('holdfast.tenant_id', $1::TEXT, true), pg_catalog.set_config('holdfast.user_id', $2::TEXT, true), pg_catalog.set_config('holdfast.role', 'owner', true), pg_catalog.set_config('holdfast.proof_rows', '0', true)`,
    },
    values: [tenant, user],
  }
}

function command(text: string): Query {
  return { statement: { name: '', text }, values: [] }
}
