/** `holdfast`: the framework-free core. */
export type { ConnectionTarget } from './core/database/connection-target.ts'
export type { Dialect } from './core/database/dialect.ts'
export { DatabaseError, type DatabaseErrorCode, StatementError } from './core/database/errors.ts'
export {
  type MigrateOptions,
  type MigrationReport,
  type MigrationStatus,
  migrate,
  migrationStatus,
} from './core/database/migrate.ts'
export { type Embedded, startEmbedded } from './core/database/embedded.ts'
export type { RowStream } from './core/database/stream.ts'
export type { StreamOptions } from './core/database/stream-pool.ts'
export { createPool, type Pool, type PoolOptions } from './core/database/pool.ts'
export type { RetryOptions } from './core/database/retry.ts'
export type { RoleGrants } from './core/database/role-seed.ts'
export type { Field, Query, Reading, Result, Row, Statement, TypeParsers } from './core/database/statement.ts'
export type { Fetched, Transaction, TransactionOptions } from './core/database/transaction.ts'
export {
  type Access,
  AccessError,
  can,
  type GuardedAccess,
  minutes,
  open,
  type Seconds,
  signedIn,
} from './core/guard/access.ts'
export type { Caller, SessionId, TenantId, UserId } from './core/guard/caller.ts'
export { type Credential, credentialOf, newSessionToken } from './core/guard/credential.ts'
export { Denial, type DenialReason } from './core/guard/denial.ts'
export type { EnterRequest } from './core/guard/enter.ts'
export {
  createGuard,
  type Guard,
  type GuardOptions,
  type PoolName,
  type StreamRequest,
  type Unit,
  type UnitRequest,
} from './core/guard/guard.ts'
export {
  type KeptAnswer,
  KeyRefusal,
  type KeyRefusalReason,
  type Once,
  Repeated,
} from './core/guard/idempotency.ts'
export type { QueryConfig, RunStatement, ScopedDatabase, Statementlike, Task } from './core/guard/scoped-database.ts'
export { body, caller, param, query, type Sql, sql, type ValueSource } from './core/guard/sql.ts'
export {
  selectTenant,
  type TenantEvidence,
  type TenantSelection,
  type TenantSources,
} from './core/guard/tenant-selection.ts'
export {
  createHoldfast,
  type EnteredCaller,
  type Holdfast,
  type HoldfastConfig,
  type StreamRunOptions,
  type UnitOptions,
} from './core/holdfast.ts'
export { defineManifest, type PermissionOf, type RowOf, type TableName } from './core/scope/define-manifest.ts'
export { GrantError, type Grants, parseGrants } from './core/scope/grants.ts'
export {
  type Column,
  type Manifest,
  ManifestError,
  manifestSchema,
  parseManifest,
  type Table,
} from './core/scope/manifest.ts'
export { ScopeRefusal, type ScopeRefusalCode } from './core/scope/refusals.ts'
export { bind, createScope, loadKernel, type Scope, type ScopedStatement, type Slot } from './core/scope/scope.ts'
