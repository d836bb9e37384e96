import { DatabaseError } from '../database/errors.ts'
import type { Query, Reading, Result, Row } from '../database/statement.ts'
import type { Transaction } from '../database/transaction.ts'
import type { Grants } from '../scope/grants.ts'
import { ScopeRefusal } from '../scope/refusals.ts'
import { bind, type Scope } from '../scope/scope.ts'
import { callSite, locate } from './call-site.ts'
import { type Sql, sql } from './sql.ts'

/** What a statement is confined to: the caller's tenant and rows, the role's grants ∩ the route's. */
export type Confinement = {
  readonly tenantId: string
  readonly userId: string
  /** whose hidden and read-only columns count */
  readonly role: string
  readonly grants: Grants
  readonly readOnly: boolean
}

/** What is to be done once a unit is committed. */
export type Task = () => void | Promise<void>

/**
 * A statement in the shape of `pg`. Its `name` is taken and not used: names on the wire are digests of the final text,
 * so that a plan made for one reach never runs for another (CWE-694).
 */
export type QueryConfig = Reading & {
  readonly text: string
  readonly values?: readonly unknown[] | undefined
  readonly name?: string | undefined
}

/** A statement in any of the shapes that are taken. */
export type Statementlike<R extends object = Row> = Sql<R> | QueryConfig | string

/** Runs a statement; given as in `pg`: text and values, or an object with both. */
export type RunStatement = {
  <R extends unknown[] = unknown[]>(
    statement: QueryConfig & { readonly rowMode: 'array' },
    values?: readonly unknown[],
  ): Promise<Result<R>>
  <R extends object = Row>(statement: Statementlike<R>, values?: readonly unknown[]): Promise<Result<R>>
}

/**
 * A database that a handler can hold: every statement is scoped and proven before it leaves (CWE-639). It is a template
 * tag itself: each `${…}` is a bound parameter, never text (CWE-89).
 * @example const { rows } = await db<{ id: string }>`SELECT id FROM invoices WHERE total > ${least}`
 */
export type ScopedDatabase = {
  <R extends object = Row>(strings: TemplateStringsArray, ...values: readonly unknown[]): Promise<Result<R>>
  /**
   * Runs a statement in the unit's transaction. Those that are asked for at once run one after another.
   * @param statement an {@link Sql}, text with `$1`-style parameters and its values, or what `pg` takes:
   * `{ text, values, name, rowMode: 'array', types }`
   * @throws ScopeRefusal when the text cannot be scoped; nothing was sent
   * @throws DatabaseError when the database refuses it: outside `transaction` the whole unit is then rolled back;
   * `unsupported_use` for a callback, a cursor or another object with a `submit` of its own
   */
  readonly query: RunStatement
  /**
   * Runs the unit's last statement: COMMIT travels with it and saves a round trip. Nothing may follow.
   * @throws as `query`
   */
  readonly last: RunStatement
  /**
   * Runs work under a savepoint, by the database that it is given: when it throws, what it wrote and gave to
   * `afterCommit` is taken back, and the unit may go on. A serialization failure still repeats the whole unit. Await it;
   * until then only the database inside works. At most eight in one another.
   * @throws what the work throws; DatabaseError `transaction_state` for a use in the wrong place
   */
  transaction<T>(work: (db: ScopedDatabase) => Promise<T>): Promise<T>
  /** Runs after the commit, once, never for a try that was rolled back: mail and outgoing calls belong here. */
  afterCommit(task: Task): void
}

/**
 * @param tasks where `afterCommit` puts its tasks
 */
export function createScopedDatabase(
  scope: Scope,
  transaction: Transaction,
  confinement: Confinement,
  tasks: Task[],
): ScopedDatabase {
  return openLevel({ scope, transaction, confinement, tasks, lane: new Lane() }, false).db
}

type Room = {
  readonly scope: Scope
  readonly transaction: Transaction
  readonly confinement: Confinement
  readonly tasks: Task[]
  readonly lane: Lane
}

/** Sends one after another what is asked for at once, as a client of `pg` does. */
class Lane {
  #last: Promise<void> | undefined

  run<T>(send: () => Promise<T>): Promise<T> {
    const sent = this.#last === undefined ? send() : this.#last.then(send)
    const last = sent
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => {
        if (this.#last === last) this.#last = undefined
      })
    this.#last = last
    return sent
  }

  /** Waits for what was asked for so far. */
  async idle(): Promise<void> {
    await this.#last
  }
}

const MISUSED = {
  nested: 'db.transaction() is under way: await it, and use the db that its work is given.',
  ended: 'This db belongs to a db.transaction() that has ended: its work must await all that it starts.',
}

/** A database, and those that nest in it: of all of them only the innermost that is open works. */
function openLevel(room: Room, isNested: boolean): { readonly db: ScopedDatabase; readonly end: () => void } {
  const { scope, transaction, confinement, tasks, lane } = room
  let state: 'open' | keyof typeof MISUSED = 'open'
  const assertOpen = (): void => {
    if (state !== 'open') throw new DatabaseError('transaction_state', MISUSED[state])
  }
  const run = async <R extends object>(
    given: Statementlike<R>,
    values: readonly unknown[] | undefined,
    commit: boolean,
  ): Promise<Result<R>> => {
    assertOpen()
    if (commit && isNested) {
      throw new DatabaseError('transaction_state', 'db.last() commits the unit: it cannot stand in db.transaction().')
    }
    const statement = readStatement(given, values)
    let query: Query
    try {
      query = confine(scope, statement, confinement)
    } catch (error) {
      // before the first await, so that whoever called is still on the stack
      locate(error, callSite(), statement.text)
      throw error
    }
    const [result] = await lane.run(() => transaction.send([query], { commit }))
    if (result === undefined) throw new TypeError('a flight of one statement had no result')
    return result as Result<never>
  }
  /** One that nobody awaits makes its unit fail; its own rejection must not end the process besides (CWE-248). */
  const told = <T>(promise: Promise<T>): Promise<T> => {
    promise.catch(() => undefined)
    return promise
  }
  const nest = async <T>(work: (db: ScopedDatabase) => Promise<T>): Promise<T> => {
    assertOpen()
    state = 'nested'
    // its own, so that only these go when it is undone
    const innerTasks: Task[] = []
    const inner = openLevel({ ...room, tasks: innerTasks }, true)
    try {
      await lane.idle()
      const value = await transaction.savepoint(() => work(inner.db).finally(inner.end))
      tasks.push(...innerTasks)
      return value
    } finally {
      inner.end()
      if (state === 'nested') state = 'open'
    }
  }
  const db: ScopedDatabase = Object.assign(
    <R extends object = Row>(strings: TemplateStringsArray, ...values: readonly unknown[]) =>
      told(run(sql<R>(strings, ...values), undefined, false)),
    {
      query: <R extends object = Row>(statement: Statementlike<R>, values?: readonly unknown[]) =>
        told(run(statement, values, false)),
      last: <R extends object = Row>(statement: Statementlike<R>, values?: readonly unknown[]) =>
        told(run(statement, values, true)),
      transaction<T>(work: (inner: ScopedDatabase) => Promise<T>): Promise<T> {
        return told(nest(work))
      },
      afterCommit(task: Task): void {
        assertOpen()
        tasks.push(task)
      },
    },
  )
  return {
    db,
    end() {
      state = 'ended'
    },
  }
}

/**
 * Reads a statement in any of its shapes; values given apart win, as in `pg`.
 * @throws DatabaseError `unsupported_use`
 */
export function readStatement(given: Statementlike<object>, apart?: readonly unknown[]): Sql<object> & Reading {
  const { text, values, rowMode, types }: QueryConfig = typeof given === 'string' ? { text: given } : given
  const isOther = typeof text !== 'string' || typeof (given as { submit?: unknown }).submit === 'function'
  if (isOther || typeof apart === 'function') {
    throw new DatabaseError(
      'unsupported_use',
      'A scoped database takes a text or { text, values }, and answers by a promise: no callback, cursor or stream.',
    )
  }
  return { text, values: apart ?? values ?? [], rowMode, types }
}

/**
 * Scopes one statement and binds it.
 * @throws ScopeRefusal also when a read-only route would write
 */
export function confine(scope: Scope, statement: Sql<object> & Reading, confinement: Confinement): Query {
  const scoped = scope.scope(statement.text, confinement.grants, confinement.role)
  if (confinement.readOnly && !scoped.readOnly) throw readOnlyRoute()
  return {
    statement: { name: scoped.name, text: scoped.text },
    values: bind(scoped, { tenantId: confinement.tenantId, userId: confinement.userId }, statement.values),
    ...(statement.rowMode === undefined && statement.types === undefined
      ? {}
      : { reading: { rowMode: statement.rowMode, types: statement.types } }),
  }
}

/** What a route that may only read answers to a statement that writes. */
export function readOnlyRoute(): ScopeRefusal {
  return new ScopeRefusal('read_only_route', { hint: 'declare the route with POST, PATCH, PUT or DELETE' })
}
