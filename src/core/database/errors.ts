/**
 * The catalogue of everything that can go wrong in this room: stable code → HTTP status and the one sentence that may
 * be shown to anybody. What the database said stays in `cause` and in private fields (CWE-209).
 */
export const databaseErrors = {
  statement_failed: { status: 500, message: 'The database refused a statement.' },
  statement_timeout: { status: 503, message: 'A statement took too long and was cancelled.' },
  too_many_rows: { status: 500, message: 'A statement answered with more rows than are accepted.' },
  answer_too_large: { status: 500, message: 'An answer of the database was larger than is accepted.' },
  serialization_failure: { status: 503, message: 'The work kept colliding with other work. Try again.' },
  connection_lost: { status: 503, message: 'The connection to the database was lost before anything was committed.' },
  commit_ambiguous: { status: 503, message: 'The connection was lost during commit: it may or may not have happened.' },
  pool_exhausted: { status: 503, message: 'All database connections stayed busy for too long.' },
  pool_closed: { status: 503, message: 'The database connections are being shut down.' },
  transaction_timeout: { status: 503, message: 'The transaction took too long and was abandoned.' },
  transaction_state: { status: 500, message: 'The transaction cannot do that in its present state.' },
  unsupported_use: { status: 500, message: 'That cannot be done over a scoped database.' },
  statement_name_reused: { status: 500, message: 'One statement name was used for two different texts.' },
  value_invalid: { status: 500, message: 'A statement value cannot be sent to the database.' },
  database_unavailable: { status: 503, message: 'The database cannot be reached.' },
  database_read_only: { status: 503, message: 'The database takes no writes: it is a standby, or was made read-only.' },
  stream_share: { status: 503, message: 'This tenant reads as many streams at once as it may. Try again.' },
  database_unsupported: { status: 503, message: 'The version of the database is not supported.' },
  database_target_invalid: { status: 500, message: 'The database address is not usable.' },
  startup_invariant: { status: 503, message: 'The database connection is not set up as required.' },
  protocol_surprise: { status: 500, message: 'The database answered out of turn; the connection was destroyed.' },
  lease_held: { status: 503, message: 'Another process holds the lease.' },
  lease_lost: { status: 503, message: 'The lease ran out or was taken over.' },
  migration_file_invalid: { status: 500, message: 'A migration file cannot be used.' },
  migration_changed: { status: 500, message: 'A migration that was applied before has been changed.' },
  migration_unknown: { status: 500, message: 'The database has a migration that this version does not know.' },
  migration_failed: { status: 500, message: 'A migration statement failed.' },
  migration_in_doubt: { status: 500, message: 'A migration statement may have been applied, and cannot be repeated.' },
  embedded_missing: { status: 500, message: 'The embedded PostgreSQL is not installed.' },
  embedded_read_only: { status: 500, message: 'The embedded PostgreSQL cannot complete its files.' },
  embedded_account: { status: 500, message: 'The embedded PostgreSQL has no account that it can run under.' },
  embedded_unreachable: { status: 500, message: 'The account of the embedded PostgreSQL cannot reach its files.' },
  embedded_in_use: { status: 503, message: 'Another process already runs the embedded PostgreSQL on this data.' },
  embedded_version: { status: 500, message: 'The data directory belongs to another version of PostgreSQL.' },
  embedded_failed: { status: 500, message: 'The embedded PostgreSQL did not start.' },
} as const satisfies Record<string, { status: number; message: string }>

/** Stable code of an error of this room. */
export type DatabaseErrorCode = keyof typeof databaseErrors

/**
 * Base of all errors of the database room. `message` is for operators and logs; what a client may see is
 * `publicMessage` (CWE-209).
 */
export class DatabaseError extends Error {
  readonly code: DatabaseErrorCode

  /**
   * @param code - stable code of the catalogue
   * @param message - for operators; the catalogue's sentence if left out
   * @param cause - what lies underneath; never shown to a client
   */
  constructor(code: DatabaseErrorCode, message?: string, cause?: unknown) {
    super(message ?? databaseErrors[code].message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.code = code
  }

  /** HTTP status that suits this error. */
  get status(): number {
    return databaseErrors[this.code].status
  }

  /** The sentence that may be shown to anybody. */
  get publicMessage(): string {
    return databaseErrors[this.code].message
  }
}

/** What the server said in an ErrorResponse, as far as this room uses it. */
export type ServerReport = {
  readonly sqlstate: string
  readonly severity: string
  readonly message: string
  readonly detail: string | undefined
  readonly schema: string | undefined
  readonly table: string | undefined
  readonly constraint: string | undefined
  /** PostgreSQL's own function that raised it */
  readonly routine?: string | undefined
}

/** An error as `pg` gives it: an ErrorResponse of the server with its fields, or an Error of the connection without. */
export type WireError = Error &
  Partial<Record<'code' | 'severity' | 'detail' | 'schema' | 'table' | 'constraint' | 'routine', string>>

/** What the server said, or nothing when the error is the connection's own. */
export function readReport(error: WireError): ServerReport | undefined {
  const { severity, code, message, detail, schema, table, constraint, routine } = error
  if (severity === undefined || code === undefined) return undefined
  return { sqlstate: code, severity, message, detail, schema, table, constraint, routine }
}

/**
 * The database refused one statement of a flight. The rest of the flight did not run, the transaction is rolled back
 * and the connection is kept.
 */
export class StatementError extends DatabaseError {
  /** Which query of the flight failed (0-based); the number of queries = at commit. -1: opening the transaction. */
  readonly index: number
  /** Five-character SQLSTATE. */
  readonly sqlstate: string
  readonly #report: ServerReport

  constructor(code: DatabaseErrorCode, index: number, report: ServerReport, cause?: unknown) {
    super(code, `${databaseErrors[code].message} (SQLSTATE ${report.sqlstate}, query ${index})`, cause)
    this.index = index
    this.sqlstate = report.sqlstate
    this.#report = report
  }

  /**
   * DETAIL of the server; may contain data of a row, so never for a client (CWE-209). Like all that the server said it
   * is no property of the object: a logger that serialises errors does not write it down (CWE-532).
   */
  get detail(): string | undefined {
    return this.#report.detail
  }

  /** The server's own message, for logs of an operator only. */
  get serverMessage(): string {
    return this.#report.message
  }

  /** Does the error come from this constraint? The name itself stays inside. */
  isConstraint(name: string): boolean {
    return this.#report.constraint === name
  }

  /** Does the error come from this table? The name itself stays inside. */
  isTable(schema: string, name: string): boolean {
    return this.#report.schema === schema && this.#report.table === name
  }
}

/** The data directory is in use by a living process. */
export class EmbeddedInUseError extends DatabaseError {
  /** The process that holds the data directory. */
  readonly pid: number

  constructor(pid: number, dataDirectory: string) {
    super(
      'embedded_in_use',
      `${dataDirectory} is in use by process ${pid}. Stop it, or choose another HOLDFAST_DATA_DIR.`,
    )
    this.pid = pid
  }
}
