/**
 * `holdfast/kysely`: Kysely over a scoped database.
 * @example
 * const invoices = await kyselyOf<Database>(request.db).selectFrom('invoices').select(['id', 'total']).execute()
 */
import {
  type CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type Driver,
  Kysely,
  type KyselyConfig,
  PostgresAdapter,
  PostgresQueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from 'kysely'
import { DatabaseError } from './core/database/errors.ts'
import type { ScopedDatabase } from './core/guard/scoped-database.ts'

/** What `kyselyOf` hands on to Kysely. */
export type KyselyOptions = Pick<KyselyConfig, 'plugins' | 'log'>

/**
 * Kysely over one unit's database: what it compiles is scoped and proven as any other statement. Good for as long as the
 * unit is. Its transactions are `db.transaction`, savepoints in the unit's own; a query that was built over one unit must
 * not run over another.
 *
 * @throws ScopeRefusal, DatabaseError from the query, as `db.query`; `unsupported_use` for streams, migrations and
 * introspection, and for a transaction that asks to be read-only
 */
export function kyselyOf<DB>(db: ScopedDatabase, options: KyselyOptions = {}): Kysely<DB> {
  return new Kysely<DB>({ dialect: dialectOf(db), ...options })
}

function dialectOf(db: ScopedDatabase): Dialect {
  return {
    createDriver: () => new ScopedDriver(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createAdapter: () => new ScopedAdapter(),
    createIntrospector: () => INTROSPECTOR,
  }
}

function unsupported(what: string): DatabaseError {
  return new DatabaseError('unsupported_use', what)
}

const INTROSPECTION = 'A scoped database shows no catalog: make types from the manifest or by a login of your own.'

const INTROSPECTOR: DatabaseIntrospector = {
  getSchemas: () => Promise.reject(unsupported(INTROSPECTION)),
  getTables: () => Promise.reject(unsupported(INTROSPECTION)),
  getMetadata: () => Promise.reject(unsupported(INTROSPECTION)),
}

class ScopedAdapter extends PostgresAdapter {
  override acquireMigrationLock(): Promise<void> {
    return Promise.reject(unsupported('Migrations run by `holdfast migrate`, and not over a scoped database.'))
  }
}

/** Each connection is the unit's one transaction; a transaction of Kysely's keeps to its own. */
class ScopedDriver implements Driver {
  readonly #db: ScopedDatabase

  constructor(db: ScopedDatabase) {
    this.#db = db
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<ScopedConnection> {
    return new ScopedConnection(this.#db)
  }

  async beginTransaction(connection: ScopedConnection, { accessMode }: TransactionSettings): Promise<void> {
    // any isolation level is met: units are SERIALIZABLE
    if (accessMode === 'read only') throw unsupported('Read-only is the unit or the route, and not a part of it.')
    await connection.open(undefined)
  }

  commitTransaction(connection: ScopedConnection): Promise<void> {
    return connection.close(0, 'keep')
  }

  rollbackTransaction(connection: ScopedConnection): Promise<void> {
    return connection.close(0, 'undo')
  }

  savepoint(connection: ScopedConnection, name: string): Promise<void> {
    return connection.open(name)
  }

  async rollbackToSavepoint(connection: ScopedConnection, name: string): Promise<void> {
    await connection.close(connection.depthOf(name), 'undo')
    // it stays, as in SQL: one may go back to it again
    await connection.open(name)
  }

  async releaseSavepoint(connection: ScopedConnection, name: string): Promise<void> {
    await connection.close(connection.depthOf(name), 'keep')
  }

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {}
}

class ScopedConnection implements DatabaseConnection {
  readonly #db: ScopedDatabase
  readonly #levels: Level[] = []

  constructor(db: ScopedDatabase) {
    this.#db = db
  }

  get #innermost(): ScopedDatabase {
    return this.#levels.at(-1)?.db ?? this.#db
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, rowCount, command } = await this.#innermost.query<R & object>(sql, parameters)
    return ['INSERT', 'UPDATE', 'DELETE'].includes(command) ? { rows, numAffectedRows: BigInt(rowCount) } : { rows }
  }

  streamQuery(): never {
    throw unsupported('A unit gives no streams: caller.stream() takes what compile() gives, and says why.')
  }

  async open(name: string | undefined): Promise<void> {
    this.#levels.push(await openLevel(this.#innermost, name))
  }

  /** Where the last savepoint of a name stands. */
  depthOf(name: string): number {
    const depth = this.#levels.findLastIndex((level) => level.name === name)
    if (depth < 0) throw new DatabaseError('transaction_state', 'There is no such savepoint.')
    return depth
  }

  /** Ends the levels down to a depth, the innermost first. */
  async close(depth: number, how: 'keep' | 'undo'): Promise<void> {
    while (this.#levels.length > depth) await this.#levels.pop()?.[how]()
  }
}

/** A `db.transaction` that is begun and ended by calls. */
type Level = {
  readonly name: string | undefined
  readonly db: ScopedDatabase
  keep(): Promise<void>
  undo(): Promise<void>
}

const UNDONE = new Error('undone')

function openLevel(outer: ScopedDatabase, name: string | undefined): Promise<Level> {
  return new Promise((resolve, reject) => {
    const transaction = outer.transaction(
      (db) =>
        new Promise<void>((keep, undo) => {
          resolve({
            name,
            db,
            async keep() {
              keep()
              await transaction
            },
            async undo() {
              undo(UNDONE)
              await transaction.catch((error: unknown) => {
                if (error !== UNDONE) throw error
              })
            },
          })
        }),
    )
    transaction.catch(reject)
  })
}
