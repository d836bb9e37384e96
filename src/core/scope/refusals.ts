/** Why a statement was not scoped. Stable: tests, logs and documentation use these. */
export const refusalCodes = {
  text_malformed: 'The text is not well-formed Unicode, or holds a NUL.',
  text_too_large: 'The text is too large.',
  text_too_deep: 'The text is nested too deeply.',
  identifier_not_ascii:
    'Outside literals and comments only ASCII is accepted: the two databases fold other letters differently.',
  syntax_error: 'The text is not SQL as PostgreSQL reads it.',
  not_one_statement: 'Exactly one statement is accepted.',
  statement_not_accepted: 'Only SELECT, INSERT, UPDATE and DELETE are accepted.',
  construct_not_accepted: 'This construct is not accepted.',
  function_not_accepted: 'This function is not accepted.',
  operator_not_accepted: 'This operator is not accepted.',
  type_not_accepted: 'This type is not accepted.',
  relation_unknown: 'The manifest has no such table.',
  relation_not_accepted: 'This way of naming a table is not accepted.',
  relation_shared: 'This table is shared by all tenants and can only be read.',
  relation_view: 'This is a view and can only be read.',
  column_unknown: 'The manifest has no such column.',
  column_not_accepted: 'This column cannot be used here.',
  column_read_only: 'This role can read the column and not write it.',
  name_reserved: 'This name belongs to a table.',
  grant_missing: 'The route or the role does not hold the permission that this statement needs.',
  tenant_not_assignable: 'The tenant of a row is set by Holdfast and never by a statement.',
  owner_not_assignable: 'Whose a row is cannot be changed here.',
  link_not_assignable: 'Which parent a row hangs on is proven by the parent’s own key.',
  column_list_missing: 'INSERT needs a column list.',
  grouping_incomplete: 'Through the scope the primary key alone groups nothing: each column that is selected is a key.',
  size_too_large: 'One statement may not make so many rows or so long a text.',
  parameter_count: 'The number of values is not that of the parameters.',
  parameter_invalid: 'A parameter number is out of range.',
  tenant_mismatch: 'A value names another tenant than the caller’s.',
  owner_mismatch: 'A value names another owner than the caller.',
  read_only_route: 'The route may only read.',
  not_proven: 'The scoped text could not be proven.',
} as const

/** A code of {@link ScopeRefusal}. */
export type ScopeRefusalCode = keyof typeof refusalCodes

/** How to write it instead, where nothing more exact is said: what is refused most. */
const usualHints: Partial<Record<ScopeRefusalCode, string>> = {
  text_malformed: 'give values as parameters, not within the text',
  identifier_not_ascii: 'name tables, columns and aliases in ASCII; literals may hold any letter',
  not_one_statement: 'send each statement by a call of its own',
  statement_not_accepted: 'transactions and settings are the guard’s, changes of the schema a migration’s',
  construct_not_accepted: 'write it with plain SELECT, INSERT, UPDATE or DELETE',
  function_not_accepted: 'no such built-in is known: your own is called as schema.name, and declared in the manifest',
  operator_not_accepted: 'use one of pg_catalog’s, bare or as OPERATOR(pg_catalog.…); docs/functions.md lists them',
  type_not_accepted:
    'a parameter takes the column’s type without a cast; your own type is named as schema.name, and declared in the manifest',
  relation_unknown: 'add the table to the manifest, or check its schema',
  relation_shared: 'shared tables are written by migrations',
  relation_view: 'write to the tables that it shows',
  column_unknown: 'add the column to the manifest, or check its spelling',
  tenant_not_assignable: 'leave the tenant column out; a row stays in the tenant that it was made in',
  column_read_only: 'leave the column out: the database’s default or another role sets it',
  owner_not_assignable: 'leave the owner column out; only reach tenant with the permission reassign changes it',
  not_proven: 'write it more plainly: name each column with its table’s alias',
}

/**
 * A statement that was not sent. `position` and `hint` are for whoever wrote it; nothing here ever echoes a value or
 * another tenant's data (CWE-209).
 */
export class ScopeRefusal extends Error {
  override readonly name = 'ScopeRefusal'
  readonly code: ScopeRefusalCode
  /** offset in UTF-16 code units in the caller's own text, or nothing where the whole is meant */
  readonly position: number | undefined
  /** how to write it instead */
  readonly hint: string | undefined
  /** in development: file, line and column of whoever sent the statement, such as `routes/invoices.ts:42:20` */
  at: string | undefined
  /** in development: the line of the statement that is meant, and a caret under the place */
  excerpt: string | undefined

  constructor(
    code: ScopeRefusalCode,
    options: { position?: number | undefined; hint?: string | undefined; cause?: unknown } = {},
  ) {
    super(refusalCodes[code], options.cause === undefined ? {} : { cause: options.cause })
    this.code = code
    this.position = options.position
    this.hint = options.hint ?? usualHints[code]
  }
}
