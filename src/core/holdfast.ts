import type { ConnectionTarget } from './database/connection-target.ts'
import { DatabaseError } from './database/errors.ts'
import { readLogin } from './database/login.ts'
import { createPool, type Pool } from './database/pool.ts'
import type { Row } from './database/statement.ts'
import type { RowStream } from './database/stream.ts'
import { borrowStreamPool, createStreamPool, type StreamOptions } from './database/stream-pool.ts'
import { AccessError, anyMember, can, type GuardedAccess } from './guard/access.ts'
import type { Caller } from './guard/caller.ts'
import { callSite, locate } from './guard/call-site.ts'
import { type Credential, hashSessionToken } from './guard/credential.ts'
import { Denial } from './guard/denial.ts'
import { createGuard, type Guard, type StreamRequest, type Unit } from './guard/guard.ts'
import { readStatement, type ScopedDatabase, type Statementlike } from './guard/scoped-database.ts'
import { touchSession } from './guard/touch-session.ts'
import type { PermissionOf } from './scope/define-manifest.ts'
import { grantedPermissions } from './scope/grants.ts'
import { type Manifest, parseManifest } from './scope/manifest.ts'
import { createScope, loadKernel } from './scope/scope.ts'

/** Connections if nothing is said: a flight takes some milliseconds, so ten serve thousands of requests a second. */
const DEFAULT_POOL_SIZE = 10

/** What a stream needs, and a signal that gives it up. */
export type StreamRunOptions = Pick<UnitOptions, 'access'> & Pick<StreamRequest, 'signal'>

/** What `createHoldfast` is made of. */
export type HoldfastConfig<M extends Manifest = Manifest> = {
  /** Which tables there are, and what each role may do: best made by `defineManifest`. */
  readonly manifest: M
  /** Told of what went wrong beside a request: last-seen times that were not written, tasks after a commit. */
  readonly onError?: (error: unknown) => void
  /** What streams may take. Their connections come on top of the pool's, and only with the first stream. */
  readonly streams?: StreamOptions
  /** Idempotency keys that one caller may have in a tenant at one time, 10,000 if left out. */
  readonly keysPerCaller?: number
} & (
  | {
      /** The database, as holdfast_app and no other role (CWE-250). */
      readonly database: ConnectionTarget
      /** connections, 10 if left out */
      readonly poolSize?: number
      /** Most rows of one answer, 10,000 if left out; more are refused: `too_many_rows`. */
      readonly maxRows?: number
      /** Most bytes of the answers of one round trip, 64 MiB if left out; more are refused: `answer_too_large`. */
      readonly maxAnswerBytes?: number
      readonly pool?: never
    }
  | {
      /** A pool of your own, which `close` leaves open. */
      readonly pool: Pool
      readonly database?: never
      readonly poolSize?: never
      readonly maxRows?: never
      readonly maxAnswerBytes?: never
    }
)

/** How a unit of work of an entered caller runs. */
export type UnitOptions = {
  /** What it needs: asked for, and all that its database holds. None: whatever the caller's role grants. */
  readonly access?: GuardedAccess
  /** The database refuses to write. */
  readonly readOnly?: boolean
  /** No change of the caller's session, membership or tenant may overlap it. Never with `readOnly`. */
  readonly strict?: boolean
  /**
   * Doing the work twice is as good as doing it once, in what it stores and in what it returns: ids made outside of it,
   * ON CONFLICT DO NOTHING, values that are set and not added to. Then it is also run again where nobody knows whether
   * it was committed.
   */
  readonly idempotent?: boolean
}

/** Whoever was entered. What is read of them here was true when they entered: each unit judges them afresh. */
export type EnteredCaller = Caller & {
  /**
   * One transaction, entered afresh, committed when the work has ended; run again after a serialization failure, so that
   * mail and outgoing calls belong into `db.afterCommit`.
   * @throws Denial when the caller may not, or may no longer
   * @throws ScopeRefusal, DatabaseError as {@link Guard.run}
   */
  readonly unit: <T>(work: (db: ScopedDatabase, unit: Unit) => Promise<T>, options?: UnitOptions) => Promise<T>
  /**
   * The rows of one reading statement, a few at a time, entered afresh, in a read-only transaction of its own: for what
   * is too large for a unit. It resolves with the first rows, so that a refusal comes before anything has left.
   * @throws Denial, ScopeRefusal, DatabaseError as `unit`; nothing is retried
   * @example for await (const row of await caller.stream(sql<{ id: string }>`SELECT id FROM events`)) write(row.id)
   */
  readonly stream: <R extends object = Row>(
    statement: Statementlike<R>,
    options?: StreamRunOptions,
  ) => Promise<RowStream<R>>
}

/** The library without a framework: a guard over one manifest. A Fastify plugin takes it as its `guard`. */
export type Holdfast<M extends Manifest = Manifest> = Guard & {
  readonly manifest: M
  /** As the module's `can`, for permissions that some role grants: others neither compile nor run. */
  can(...permissions: readonly PermissionOf<M>[]): GuardedAccess
  /**
   * Enters a caller: one round trip, in which the database judges session, user, membership and role.
   * @param credential what `credentialOf` took from a request, or a session's token
   * @param tenant slug or id of the tenant that the request names, if it does: it only selects, and must agree with the session
   * @throws Denial
   */
  enter(credential: Credential | string, tenant?: string): Promise<EnteredCaller>
  /** Opens a stream for a request; `enter` gives a caller with a `stream` of its own. */
  readonly stream: NonNullable<Guard['stream']>
  /** Closes the pools that it made, once what is under way has ended: a stream within its time limit. */
  close(): Promise<void>
}

/**
 * Composes guard, kernel and pool.
 * @throws ManifestError `manifest_invalid`
 * @throws DatabaseError `startup_invariant` for a login that is not holdfast_app's, and those of `createPool`
 * @example
 * const holdfast = await createHoldfast({ manifest, database: { url: process.env.DATABASE_URL } })
 * const caller = await holdfast.enter(token)
 * const { rows } = await caller.unit((db) => db`SELECT id, total FROM invoices`, { readOnly: true })
 */
export async function createHoldfast<const M extends Manifest>(config: HoldfastConfig<M>): Promise<Holdfast<M>> {
  await loadKernel()
  // before anything is connected
  parseManifest(config.manifest)
  const pool = config.pool ?? (await openPool(config))
  const onError = config.onError ?? (() => undefined)
  const streams =
    config.pool === undefined
      ? createStreamPool(config.database, config.streams)
      : borrowStreamPool(config.pool, config.streams)
  const guard = createGuard({
    // no route of an application runs as the identity role
    pools: { app: pool, identity: pool },
    scope: createScope({ manifest: config.manifest, dialect: pool.dialect }),
    streams,
    ...(config.keysPerCaller === undefined ? {} : { keysPerCaller: config.keysPerCaller }),
    onTouch: (_caller, { hash }) => void touchSession(pool, hash).catch(onError),
    onAfterCommitError: onError,
  })
  const { stream } = guard
  const grantable = grantedPermissions(config.manifest.roles)
  return {
    ...guard,
    stream,
    manifest: config.manifest,
    can(...permissions) {
      const unknown = permissions.find((permission) => !grantable.has(permission))
      if (unknown !== undefined) throw new AccessError(`can(): no role of the manifest grants ${unknown}`)
      return can(...permissions)
    },
    async enter(given, tenant) {
      const credential = typeof given === 'string' ? ofToken(given) : given
      const selectors = tenant === undefined ? [] : [tenant]
      const request = { credential, selectors, pool: 'app' } as const
      const caller = await guard.run(
        { ...request, access: anyMember, readOnly: true, strict: false },
        async (unit) => unit.caller,
      )
      return {
        ...caller,
        unit: (work, { access, readOnly = false, strict = false, idempotent = false } = {}) =>
          guard.run(
            { ...request, access: access ?? anyMember, whole: access === undefined, readOnly, strict, idempotent },
            (unit) => work(unit.db, unit),
          ),
        async stream<R extends object>(statement: Statementlike<R>, { access, signal }: StreamRunOptions = {}) {
          const at = callSite()
          const read = readStatement(statement)
          try {
            const asked = { ...request, access: access ?? anyMember, whole: access === undefined, signal }
            return (await stream<R>(asked, () => read)).rows
          } catch (error) {
            locate(error, at, read.text)
            throw error
          }
        },
      }
    },
    async close() {
      await streams.close()
      if (config.pool === undefined) await pool.close()
    },
  }
}

function ofToken(token: string): Credential {
  const hash = hashSessionToken(token)
  if (hash === undefined) throw new Denial('credential_malformed')
  return { kind: 'session', transport: 'bearer', hash }
}

type OwnPool = Extract<HoldfastConfig, { pool?: never }>

/** Row-level security holds neither superusers nor owners: only the role made for this may lead in (CWE-250, ASVS 13.2.2). */
async function openPool({ database, poolSize, maxRows, maxAnswerBytes }: OwnPool): Promise<Pool> {
  const size = poolSize ?? DEFAULT_POOL_SIZE
  const pool = await createPool({ connection: database, size, applicationName: 'holdfast', maxRows, maxAnswerBytes })
  try {
    const { role, isAbove } = await readLogin(pool)
    if (role === 'holdfast_app' && !isAbove) return pool
    throw new DatabaseError(
      'startup_invariant',
      `The database must be given as holdfast_app, with no more rights than it was made with; this login is "${role}".`,
    )
  } catch (error) {
    await pool.close()
    throw error
  }
}
