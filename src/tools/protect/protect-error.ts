/** Why a table cannot be protected as it is. The codes are stable. */
export type ProtectErrorCode =
  | 'table_missing'
  | 'table_kind'
  | 'table_owner'
  | 'table_has_rows'
  | 'table_name'
  | 'table_policies'
  | 'tenant_column'
  | 'owner_column'
  | 'key_unknown'
  | 'key_referenced'
  | 'foreign_key'
  | 'parent_unusable'
  | 'migrations_pending'
  | 'migrations_folder'

/** A table that cannot be protected as it is; `next` says the way, a line each. */
export class ProtectError extends Error {
  override readonly name = 'ProtectError'
  readonly code: ProtectErrorCode
  readonly next: readonly string[]

  constructor(code: ProtectErrorCode, what: string, ...next: readonly string[]) {
    super([what, ...next].join('\n'))
    this.code = code
    this.next = next
  }
}
