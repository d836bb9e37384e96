/**
 * `holdfast/drizzle`: Drizzle over a scoped database.
 * @example
 * const invoices = await drizzleOf(request.db, { schema }).query.invoices.findMany({ with: { lines: true } })
 */
import {
  createTableRelationsHelpers,
  DefaultLogger,
  type DrizzleConfig,
  DrizzleQueryError,
  type ExtractTablesWithRelations,
  extractTablesRelationalConfig,
  type Logger,
  type RelationalSchemaConfig,
  type TablesRelationalConfig,
} from 'drizzle-orm'
import { type NodePgClient, NodePgDatabase, NodePgSession, NodePgTransaction } from 'drizzle-orm/node-postgres'
import {
  PgDialect,
  type PgPreparedQuery,
  type PgTransactionConfig,
  type PreparedQueryConfig,
} from 'drizzle-orm/pg-core'
import { DatabaseError } from './core/database/errors.ts'
import { callSite, locate } from './core/guard/call-site.ts'
import type { ScopedDatabase } from './core/guard/scoped-database.ts'

/** Drizzle's own options. No cache: its key would be the caller's text, which is the same for every tenant (CWE-524). */
export type DrizzleOptions<Schema extends Record<string, unknown>> = Pick<
  DrizzleConfig<Schema>,
  'schema' | 'casing' | 'logger'
>

type AnySchema = Record<string, unknown>

/**
 * Drizzle over one unit's database: what it builds is scoped and proven as any other statement. Good for as long as the
 * unit is, and so are the queries that it prepares. Its transactions are `db.transaction`, savepoints in the unit's own,
 * as deep as those nest.
 *
 * @throws ScopeRefusal, DatabaseError from the query, as `db.query`, and not within a DrizzleQueryError, whose message
 * has the values (CWE-532); `unsupported_use` for a transaction that asks to be read-only
 */
export function drizzleOf<Schema extends AnySchema = Record<string, never>>(
  db: ScopedDatabase,
  { schema, casing, logger }: DrizzleOptions<Schema> = {},
): NodePgDatabase<Schema> {
  const room: Room = {
    db,
    dialect: new PgDialect(casing === undefined ? {} : { casing }),
    schema: schema === undefined ? undefined : relationsOf(schema),
    logger: logger === true ? new DefaultLogger() : logger || undefined,
  }
  const relations = room.schema as RelationalSchemaConfig<ExtractTablesWithRelations<Schema>> | undefined
  return located((at) => new NodePgDatabase<Schema>(room.dialect, new ScopedSession(room, at), relations))
}

/**
 * Remembers where a query begins: it runs when it is awaited, and whoever called is then no longer on the stack. In
 * production nothing is remembered.
 */
function located<T extends object>(make: (at: string | undefined) => T): T {
  return new Proxy(make(undefined), {
    get(target, property) {
      const at = callSite()
      const object = at === undefined ? target : make(at)
      const value: unknown = Reflect.get(object, property)
      return typeof value === 'function' ? (value.bind(object) as unknown) : value
    },
  })
}

type Room = {
  readonly db: ScopedDatabase
  readonly dialect: PgDialect
  readonly schema: RelationalSchemaConfig<TablesRelationalConfig> | undefined
  readonly logger: Logger | undefined
}

function relationsOf(schema: AnySchema): RelationalSchemaConfig<TablesRelationalConfig> {
  const { tables, tableNamesMap } = extractTablesRelationalConfig(schema, createTableRelationsHelpers)
  return { fullSchema: schema, schema: tables, tableNamesMap }
}

class ScopedSession extends NodePgSession<AnySchema, TablesRelationalConfig> {
  readonly #room: Room
  readonly #at: string | undefined

  constructor(room: Room, at: string | undefined) {
    // of a client it uses `query` alone
    super(
      room.db as unknown as NodePgClient,
      room.dialect,
      room.schema,
      room.logger === undefined ? {} : { logger: room.logger },
    )
    this.#room = room
    this.#at = at
  }

  override prepareQuery<T extends PreparedQueryConfig = PreparedQueryConfig>(
    ...[query, fields, name, isArray, mapper]: Parameters<
      NodePgSession<AnySchema, TablesRelationalConfig>['prepareQuery']
    >
  ): PgPreparedQuery<T> {
    const prepared = super.prepareQuery<T>(query, fields, name, isArray, mapper)
    const execute = prepared.execute.bind(prepared)
    prepared.execute = (...given) => execute(...given).catch((error: unknown) => this.#refuse(error))
    return prepared
  }

  override async transaction<T>(
    work: (tx: NodePgTransaction<AnySchema, TablesRelationalConfig>) => Promise<T>,
    { accessMode, deferrable }: PgTransactionConfig = {},
  ): Promise<T> {
    // any isolation level is met: units are SERIALIZABLE
    if (accessMode === 'read only' || deferrable === true) {
      throw new DatabaseError('unsupported_use', 'Read-only is the unit or the route, and not a part of it.')
    }
    const { dialect, schema } = this.#room
    return await this.#room.db.transaction((db) =>
      work(located((at) => new ScopedTransaction(dialect, new ScopedSession({ ...this.#room, db }, at), schema))),
    )
  }

  /** What was refused stands alone: whoever judges errors knows a ScopeRefusal and a DatabaseError by their class. */
  #refuse(error: unknown): never {
    const cause = error instanceof DrizzleQueryError && error.cause !== undefined ? error.cause : error
    locate(cause, this.#at)
    throw cause
  }
}

class ScopedTransaction extends NodePgTransaction<AnySchema, TablesRelationalConfig> {
  readonly #session: ScopedSession

  constructor(dialect: PgDialect, session: ScopedSession, schema: Room['schema']) {
    super(dialect, session, schema)
    this.#session = session
  }

  override transaction<T>(work: (tx: NodePgTransaction<AnySchema, TablesRelationalConfig>) => Promise<T>): Promise<T> {
    return this.#session.transaction(work)
  }
}
