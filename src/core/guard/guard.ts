import { DatabaseError } from '../database/errors.ts'
import type { Pool } from '../database/pool.ts'
import type { Query, Reading, Result } from '../database/statement.ts'
import { RowStream } from '../database/stream.ts'
import type { StreamPool } from '../database/stream-pool.ts'
import type { Transaction } from '../database/transaction.ts'
import { type Grants, intersectGrants } from '../scope/grants.ts'
import type { Scope } from '../scope/scope.ts'
import type { GuardedAccess } from './access.ts'
import type { Caller } from './caller.ts'
import type { Credential } from './credential.ts'
import { type EnterRequest, type Entered, enterQuery, type Refusal, readEntered, readRefusal } from './enter.ts'
import { createHints, type Hint, hintKey } from './hint.ts'
import {
  claimQuery,
  holdCommit,
  judgeKept,
  KeyKnown,
  KEYS_PER_CALLER,
  keepQuery,
  type Once,
  readClaimFailure,
  recallQuery,
  rightsDigest,
} from './idempotency.ts'
import { keepTransaction } from './identity-unit.ts'
import { createRoleBook } from './role-book.ts'
import { type Confinement, confine, createScopedDatabase, type ScopedDatabase } from './scoped-database.ts'
import type { Sql } from './sql.ts'

/** How often a stale hint may be corrected before the caller is entered without one: two changes in a few milliseconds. */
const MAX_STALE_HINTS = 2

/** Which login role a unit of work runs under. */
export type PoolName = 'app' | 'identity'

/** A unit of work: one transaction, entered first, committed before its answer leaves. */
export type UnitRequest = EnterRequest & {
  readonly pool: PoolName
  /** The declared first statement, given the caller's ids; it travels with *enter*. */
  readonly first?: ((caller: { userId: string; tenantId: string }) => Sql) | undefined
  /** The unit's database holds all that the caller's role grants, not only what its access names. Never for routes. */
  readonly whole?: boolean
  /** Whether statements follow the declared one. If not, COMMIT travels with it. */
  readonly more?: boolean
  /** Doing it twice is as good as once: then also run again where nobody knows whether it was committed. */
  readonly idempotent?: boolean
  /** Done once under a key, and told again afterwards. For a unit that writes, of an access by `can` alone. */
  readonly once?: Once | undefined
}

/** A stream's caller and what they need. */
export type StreamRequest = Pick<EnterRequest, 'credential' | 'selectors' | 'access'> &
  Pick<UnitRequest, 'whole'> & {
    /** Aborted when nobody wants the rows any more. */
    readonly signal?: AbortSignal | undefined
  }

/** What a unit of work has in hand. */
export type Unit = {
  readonly caller: Caller
  /** The scoped database: the role's grants ∩ what the route declared. */
  readonly db: ScopedDatabase
  /** The declared first statement's result. */
  readonly first: Result | undefined
  /** Runs after the commit, once, never for a try that was rolled back: mail and outgoing calls belong here. */
  readonly afterCommit: (task: () => void | Promise<void>) => void
}

export type GuardOptions = {
  readonly pools: Readonly<Record<PoolName, Pool>>
  readonly scope: Scope
  /** Where streams run; without it there are none. */
  readonly streams?: StreamPool
  /** Idempotency keys that one caller may have in a tenant at one time, 10,000 if left out. */
  readonly keysPerCaller?: number
  /** Told of each admitted caller whose last-seen time is a minute old; must not throw. */
  readonly onTouch?: (caller: Caller, credential: Credential) => void
  /** Told of a task given to `afterCommit` that failed. */
  readonly onAfterCommitError?: (error: unknown) => void
}

/** The framework-free guard: enters a caller and runs a unit of work inside their tenant and grants. */
export type Guard = {
  /** The kernel that it scopes with; whoever declares statements before a caller is there can try them. */
  readonly scope?: Scope
  /**
   * @throws Denial when the caller may not
   * @throws ScopeRefusal when a statement cannot be scoped
   * @throws DatabaseError when the database fails; 40001 has been retried, so `work` may run more than once
   * @throws Repeated, KeyRefusal when the request has a key: the work was done before, or is not done under it
   */
  run<T>(request: UnitRequest, work: (unit: Unit) => Promise<T>): Promise<T>
  /**
   * Enters a caller and opens a stream in a read-only transaction of its own, which no retry repeats.
   * @param statement given the caller's ids, the statement
   * @throws as `run`; DatabaseError `unsupported_use` where there is no pool for streams
   */
  stream?<R extends object>(
    request: StreamRequest,
    statement: (caller: { userId: string; tenantId: string }) => Sql<object> & Reading,
  ): Promise<{ readonly caller: Caller; readonly rows: RowStream<R> }>
}

export function createGuard(options: GuardOptions): Required<Guard> {
  const hints = createHints()
  const roles = createRoleBook()

  /** Enters the caller, and sends with *enter* what can be: the rider, then the declared statement. */
  async function enterWithFirst(
    request: UnitRequest,
    transaction: Transaction,
    hint: Hint | undefined,
    rider?: Rider,
  ): Promise<Opened> {
    const { dialect } = options.pools[request.pool]
    const enter = enterQuery(request, hint, dialect)
    const commit = rider === undefined ? request.more !== true : rider.commit
    const hinted = hint === undefined ? undefined : roles.known(hint.version, hint.role)
    if ((request.first !== undefined || rider !== undefined) && hint !== undefined && hinted !== undefined) {
      if (holdsAll(confinementOf(request, hint, hinted).grants, request.access)) {
        const rest = queriesOf(request, hint, hinted, rider)
        const [row, ...results] = await sendEnter(transaction, [enter, ...rest], request, commit)
        return { entered: readEntered(row?.rows[0]), grants: hinted, ...readRest(request, results) }
      }
    }
    const [row] = await sendEnter(transaction, [enter], request, false)
    const entered = readEntered(row?.rows[0])
    const grants = await roles.load(entered.version, entered.role, transaction)
    const rest = queriesOf(request, entered, grants, rider)
    if (rest.length === 0) return { entered, grants, first: undefined, rider: undefined }
    const results = await sendRest(transaction, rest, request, commit)
    return { entered, grants, ...readRest(request, results) }
  }

  function queriesOf(request: UnitRequest, who: Who, grants: Grants, rider: Rider | undefined): Query[] {
    const queries = rider === undefined ? [] : [rider.query(who, rightsOf(request, who, grants))]
    if (request.first === undefined) return queries
    return [...queries, confine(options.scope, request.first(who), confinementOf(request, who, grants))]
  }

  function rightsOf(request: UnitRequest, who: Who, grants: Grants): Buffer {
    return rightsDigest(who.role, confinementOf(request, who, grants).grants, options.scope)
  }

  async function attempt<T>(
    request: UnitRequest,
    transaction: Transaction,
    hint: Hint | undefined,
    remember: (entered: Entered) => void,
    work: Work<T>,
  ) {
    const { once } = request
    const opened = await enterWithFirst(request, transaction, hint, once && claimOf(once))
    remember(opened.entered)
    const { version: _, touchDue, ...who } = opened.entered
    const caller: Caller = { ...who, grants: opened.grants }
    const tasks: Task[] = []
    const given = once === undefined ? transaction : holdCommit(transaction)
    const unit = new GuardedUnit(caller, opened.first, tasks, () =>
      createScopedDatabase(options.scope, given, confinementOf(request, caller, opened.grants), tasks),
    )
    if (request.pool === 'identity') keepTransaction(unit, given)
    const value = await work(unit)
    if (once !== undefined) await transaction.send([keepQuery(once, caller)], { commit: true })
    return { value, caller, tasks, touchDue }
  }

  function claimOf(once: Once): Rider {
    const most = options.keysPerCaller ?? KEYS_PER_CALLER
    return { query: (who, rights) => claimQuery(once, who, rights, most), commit: false }
  }

  /** Enters the caller anew, reading only, and judges what was kept. @returns what is thrown */
  async function recall(request: UnitRequest, once: Once): Promise<Error> {
    const reading: UnitRequest = { ...request, once: undefined, first: undefined, readOnly: true, strict: false }
    const rider: Rider = { query: (who) => recallQuery(once, who), commit: true }
    return withHint(reading, async (transaction, hint, remember) => {
      const opened = await enterWithFirst(reading, transaction, hint, rider)
      remember(opened.entered)
      // under the route's own grants, as they were digested when the work was done
      return judgeKept(opened.rider, once, rightsOf(request, opened.entered, opened.grants))
    })
  }

  return {
    scope: options.scope,
    async run(request, work) {
      if (request.strict && request.readOnly) throw new TypeError('a strict unit cannot be read-only')
      const { once } = request
      if (once !== undefined && (request.readOnly || request.access.kind !== 'can')) {
        throw new TypeError('a key is for a unit that writes in a tenant')
      }
      const run = async (transaction: Transaction, hint: Hint | undefined, remember: (entered: Entered) => void) =>
        attempt(request, transaction, hint, remember, work)
      try {
        const { value, caller, tasks, touchDue } = await withHint(request, run)
        if (touchDue) options.onTouch?.(caller, request.credential)
        for (const task of tasks) await settle(task, options.onAfterCommitError)
        return value
      } catch (error) {
        throw error instanceof KeyKnown && once !== undefined ? await recall(request, once) : error
      }
    },
    async stream<R extends object>(
      request: StreamRequest,
      statement: (caller: { userId: string; tenantId: string }) => Sql<object> & Reading,
    ) {
      const { streams } = options
      if (streams === undefined) throw new DatabaseError('unsupported_use', 'There is no pool for streams.')
      const unit: UnitRequest = { ...request, pool: 'app', readOnly: true, strict: false }
      const key = hintKey(request.credential, request.selectors, request.access.kind === 'can')
      for (let stale = 0; ; stale++) {
        // one snapshot for caller and rows; no retry could repeat what has left, and nothing needs to be serialized
        const transaction = await (await streams.open()).begin({ isolation: 'repeatable read', readOnly: true })
        try {
          const hint = stale > MAX_STALE_HINTS ? undefined : hints.get(key)
          const { entered, grants } = await enterWithFirst(unit, transaction, hint)
          const { version, touchDue, ...who } = entered
          hints.set(key, { userId: who.userId, tenantId: who.tenantId, role: who.role, version })
          const query = confine(options.scope, statement(who), confinementOf(unit, who, grants))
          const limits = { ...streams.limits, signal: request.signal, onEnd: streams.admit(who.tenantId) }
          const rows = await RowStream.open<R>(transaction, query, limits)
          const caller: Caller = { ...who, grants }
          if (touchDue) options.onTouch?.(caller, request.credential)
          return { caller, rows }
        } catch (error) {
          await transaction.rollback()
          correctHint(key, error, stale)
        }
      }
    },
  }

  /** Runs a transaction with what is known of its caller, and again with the truth while that is stale. */
  async function withHint<T>(
    request: UnitRequest,
    run: (transaction: Transaction, hint: Hint | undefined, remember: (entered: Entered) => void) => Promise<T>,
  ): Promise<T> {
    const key = hintKey(request.credential, request.selectors, request.access.kind === 'can')
    const remember = ({ userId, tenantId, role, version }: Entered): void =>
      hints.set(key, { userId, tenantId, role, version })
    for (let stale = 0; ; stale++) {
      try {
        return await options.pools[request.pool].transaction(
          (transaction) => run(transaction, stale > MAX_STALE_HINTS ? undefined : hints.get(key), remember),
          { readOnly: request.readOnly, idempotent: request.idempotent === true },
        )
      } catch (error) {
        correctHint(key, error, stale)
      }
    }
  }

  /** Takes the truth from a refused hint. @throws what else it was */
  function correctHint(key: string, error: unknown, stale: number): void {
    if (!(error instanceof EnterRefused)) throw error
    if (error.refusal.kind === 'denied') {
      hints.forget(key)
      throw error.refusal.denial
    }
    if (stale > MAX_STALE_HINTS) throw error
    hints.set(key, error.refusal.truth)
  }
}

/** The database is made when it is asked for: most handlers have their declared statement and want no other. */
class GuardedUnit implements Unit {
  readonly caller: Caller
  readonly first: Result | undefined
  readonly afterCommit: Unit['afterCommit']
  readonly #open: () => ScopedDatabase
  #db: ScopedDatabase | undefined

  constructor(caller: Caller, first: Result | undefined, tasks: Task[], open: () => ScopedDatabase) {
    this.caller = caller
    this.first = first
    this.afterCommit = (task) => void tasks.push(task)
    this.#open = open
  }

  get db(): ScopedDatabase {
    this.#db ??= this.#open()
    return this.#db
  }
}

/** *Enter* said no: told apart from a handler's statement that failed by the flight it travelled in. */
class EnterRefused extends Error {
  override readonly name = 'EnterRefused'
  readonly refusal: Refusal

  constructor(refusal: Refusal, cause: unknown) {
    super(`enter refused: ${refusal.kind}`, { cause })
    this.refusal = refusal
  }
}

async function sendEnter(
  transaction: Transaction,
  queries: readonly Query[],
  { access, once }: UnitRequest,
  commit: boolean,
): Promise<Result[]> {
  try {
    return await transaction.send(queries, { commit, entering: true })
  } catch (error) {
    const refusal = readRefusal(error, access)
    if (refusal !== undefined) throw new EnterRefused(refusal, error)
    throw (once && readClaimFailure(error, 1)) ?? error
  }
}

/** The same where *enter* has gone before. */
async function sendRest(
  transaction: Transaction,
  queries: readonly Query[],
  { once }: UnitRequest,
  commit: boolean,
): Promise<Result[]> {
  try {
    return await transaction.send(queries, { commit })
  } catch (error) {
    throw (once && readClaimFailure(error, 0)) ?? error
  }
}

/** Results of what came behind *enter*: the rider's, then the declared statement's, as far as there are such. */
function readRest(request: UnitRequest, results: readonly Result[]): Pick<Opened, 'first' | 'rider'> {
  const first = request.first === undefined ? undefined : results.at(-1)
  return { first, rider: first === undefined || results.length > 1 ? results[0] : undefined }
}

type Who = { readonly userId: string; readonly tenantId: string; readonly role: string }
/** A statement of the guard's own between *enter* and the declared one. */
type Rider = {
  readonly query: (who: Who, rights: Buffer) => Query
  /** whether COMMIT travels with the flight */
  readonly commit: boolean
}
type Work<T> = (unit: Unit) => Promise<T>
type Task = () => void | Promise<void>
type Opened = {
  readonly entered: Entered
  readonly grants: Grants
  readonly first: Result | undefined
  readonly rider: Result | undefined
}

/** A route's database holds the role's grants ∩ the route's, so that an injection into a GET cannot delete. */
function confinementOf(
  request: UnitRequest,
  caller: { userId: string; tenantId: string; role: string },
  grants: Grants,
): Confinement {
  const { access, readOnly, whole = false } = request
  const held = whole ? grants : access.kind === 'can' ? heldUnder(grants, access) : NO_GRANTS
  return { tenantId: caller.tenantId, userId: caller.userId, role: caller.role, grants: held, readOnly }
}

const NO_GRANTS: Grants = new Map()

/** The intersections made so far: a role's grants and a route's access are the same two objects at each request. */
const intersections = new WeakMap<Grants, WeakMap<GuardedAccess, Grants>>()

function heldUnder(grants: Grants, access: Extract<GuardedAccess, { kind: 'can' }>): Grants {
  let byAccess = intersections.get(grants)
  if (byAccess === undefined) {
    byAccess = new WeakMap()
    intersections.set(grants, byAccess)
  }
  let held = byAccess.get(access)
  if (held === undefined) {
    held = intersectGrants(grants, access.permissions)
    byAccess.set(access, held)
  }
  return held
}

/** A hint under which the role lacks a grant is not bound: *enter* alone decides, and denies with the right answer. */
function holdsAll(grants: Grants, access: GuardedAccess): boolean {
  return access.kind !== 'can' || access.permissions.every((permission) => grants.has(permission))
}

async function settle(task: Task, onError: ((error: unknown) => void) | undefined): Promise<void> {
  try {
    await task()
  } catch (error) {
    onError?.(error)
  }
}
