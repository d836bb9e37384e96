/** A text that may break a rule, and why. One that nothing needs any more is an error. */
export type Exception = {
  readonly rule: string
  /** Where: the beginning of a place. */
  readonly place: string
  /** What it is found to be, if not all of it is meant. */
  readonly found?: string
  readonly why: string
}

const postgresqlOnly = 'runs on PostgreSQL alone'
const told = 'told, not sent: how a finding is mended'

export const exceptions: readonly Exception[] = [
  {
    rule: 'composite-tenant-keys',
    place: 'migrations/0001-identity',
    found: 'holdfast.invitations (token_hash)',
    why: 'SHA-256 of 256 random bits: nobody can ask whether one is there without having it, and it is looked up before there is a tenant',
  },
  {
    rule: 'policy-same-check',
    place: 'migrations/0001-identity',
    found: 'enter_judges',
    why: 'the second policy, of the role that judges before there is a tenant: it reads and locks, and never writes a row',
  },
  {
    rule: 'policy-same-check',
    place: 'migrations/0005-idempotency',
    found: 'sweep_expired',
    why: 'the second policy, of the role that deletes what is past its time: it writes no row',
  },
  {
    rule: 'no-session-set',
    place: 'src/core/database/connection.ts',
    found: 'role',
    why: 'the migrator alone becomes owner; its connection serves no caller',
  },
  {
    rule: 'no-session-set',
    place: 'src/core/database/migration-step.ts',
    found: 'role',
    why: 'the migrator alone, around one statement; its connection serves no caller',
  },
  {
    rule: 'no-session-set',
    place: 'src/core/database/dialect.ts',
    found: 'search_path',
    why: 'the clause of a function on PostgreSQL, not a statement; CockroachDB gets none',
  },
  {
    rule: 'no-session-set',
    place: 'src/core/database/startup.ts',
    found: 'set_config',
    why: `the same for every caller, before there is one; ${postgresqlOnly} (hasLateSettings)`,
  },
  { rule: 'no-session-set', place: 'src/testing/keeper.ts', why: `a test's own server; ${postgresqlOnly}` },
  { rule: 'known-functions', place: 'src/testing/', why: `a test's own server; ${postgresqlOnly}` },
  {
    rule: 'no-dynamic-sql',
    place: 'src/core/database/pooler.ts',
    found: 'DeallocateStmt',
    why: `closes a name that was prepared to see whether a pooler keeps it; ${postgresqlOnly} (hasProcesses)`,
  },
  { rule: 'no-advisory-lock', place: 'src/testing/test-database.ts', why: `a test's own server; ${postgresqlOnly}` },
  {
    rule: 'known-functions',
    place: 'src/core/database/schema-dump.ts',
    why: `the dump that docs/schema.txt is compared with; ${postgresqlOnly}`,
  },
  {
    rule: 'known-functions',
    place: 'src/tools/inspect/proof/',
    found: 'x',
    why: 'one of two names put in when the text is made: has_table_privilege, has_any_column_privilege',
  },
  {
    rule: 'no-division',
    place: 'src/core/database/migration-step.ts',
    why: `fails unless the lease is held; ${postgresqlOnly} (hasTransactionalDdl)`,
  },
  {
    rule: 'no-division',
    place: 'src/tools/inspect/proof/tries.ts',
    why: 'made to fail after so many rows; the type of what it does not yield is of no matter',
  },
  {
    rule: 'setting-may-be-missing',
    place: 'src/tools/inspect/proof/tries.ts',
    why: 'set by the same transaction before; missing, the proof fails, as it should',
  },
  {
    rule: 'role-settings',
    place: 'src/core/database/roles.ts',
    found: 'a.x',
    why: 'the name is put in when the text is made: as made, the statements are read as roles of each dialect',
  },
  { rule: 'ddl-by-migrations', place: 'src/tools/protect/', why: 'written into a migration, not sent' },
  { rule: 'ddl-by-migrations', place: 'src/core/database/dialect.ts', why: 'written into a migration, not sent' },
  { rule: 'ddl-by-migrations', place: 'src/tools/inspect/', why: told },
  { rule: 'role-settings', place: 'src/tools/inspect/session.ts', found: 'a.x', why: told },
  { rule: 'no-session-set', place: 'src/tools/inspect/', why: told },
  {
    rule: 'qualified-names',
    place: 'src/tools/inspect/views.ts',
    found: 'x',
    why: `${told}; the name is put in, with its schema`,
  },
  {
    rule: 'known-functions',
    place: 'src/tools/inspect/catalog.ts',
    why: 'a piece of statements that say `only: postgresql`',
  },
  { rule: 'ddl-by-migrations', place: 'src/core/database/roles.ts', why: 'printed for a DBA; read as roles too' },
  {
    rule: 'ddl-by-migrations',
    place: 'src/core/database/migration-ledger.ts',
    why: "the runner's own tables, alone, outside transactions, IF NOT EXISTS",
  },
  { rule: 'ddl-by-migrations', place: 'src/core/database/embedded-cluster.ts', why: `embedded; ${postgresqlOnly}` },
  { rule: 'ddl-by-migrations', place: 'src/testing/', why: `a test's own server; ${postgresqlOnly}` },
]

/** Texts that begin as SQL does, or hold words of it, and are read by nobody's parser; each with why. */
export const unread: readonly { readonly text: string; readonly why: string }[] = [
  { text: 'COMMIT answered', why: 'a message' },
  { text: 'DROP INDEX', why: "put into a migration on CockroachDB, in that database's own form" },
  { text: 'ALTER TABLE', why: 'written into a migration by protect; the kind of key is put in' },
  { text: 'ALTER DEFAULT PRIVILEGES FOR ROLE', why: `${told}; what and whose are put in` },
  { text: 'SHOW TRIGGERS FROM', why: 'a statement of CockroachDB, sent to it alone' },
]

/** Places whose texts are not read here, with why. */
export const outside: readonly { readonly place: string; readonly why: string }[] = [
  {
    place: 'src/core/scope/',
    why: 'sends nothing: its strings are names of nodes, messages, and pieces of what it makes of the statements of others; what it makes is read here as made',
  },
]

/** Pages whose SQL is what an application gives to the kernel, refused examples among it; their own tests run each one. */
export const kernelPages: ReadonlySet<string> = new Set([
  'docs/sql.md',
  'docs/refusals.md',
  'docs/explain.md',
  'docs/limits.md',
])
