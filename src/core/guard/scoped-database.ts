import type { Query, Result } from '../database/statement.ts'
import type { Transaction } from '../database/transaction.ts'
import type { Grants } from '../scope/grants.ts'
import { ScopeRefusal } from '../scope/refusals.ts'
import { bind, type Scope } from '../scope/scope.ts'
import type { Sql } from './sql.ts'

/** What a statement is confined to: the caller's tenant and rows, the role's grants ∩ the route's. */
export type Confinement = {
  readonly tenantId: string
  readonly userId: string
  readonly grants: Grants
  readonly readOnly: boolean
}

/** A database that a handler can hold: every statement is scoped and proven before it leaves (CWE-639). */
export type ScopedDatabase = {
  /**
   * Runs a statement in the request's transaction.
   * @param statement an {@link Sql}, or text with `$1`-style parameters and its values
   * @throws ScopeRefusal when the text cannot be scoped; nothing was sent
   */
  query(statement: Sql | string, values?: readonly unknown[]): Promise<Result>
  /** Runs the request's last statement: COMMIT travels with it and saves a round trip. Nothing may follow. */
  last(statement: Sql | string, values?: readonly unknown[]): Promise<Result>
}

export function createScopedDatabase(scope: Scope, transaction: Transaction, confinement: Confinement): ScopedDatabase {
  const run = async (statement: Sql | string, values: readonly unknown[], commit: boolean): Promise<Result> => {
    const sql = typeof statement === 'string' ? { text: statement, values } : statement
    const [result] = await transaction.send([confine(scope, sql, confinement)], { commit })
    if (result === undefined) throw new TypeError('a flight of one statement had no result')
    return result
  }
  return {
    query: (statement, values = []) => run(statement, values, false),
    last: (statement, values = []) => run(statement, values, true),
  }
}

/**
 * Scopes one statement and binds it.
 * @throws ScopeRefusal also when a read-only route would write
 */
export function confine(scope: Scope, sql: Sql, confinement: Confinement): Query {
  const scoped = scope.scope(sql.text, confinement.grants)
  if (confinement.readOnly && !scoped.readOnly) {
    throw new ScopeRefusal('read_only_route', { hint: 'declare the route with POST, PATCH, PUT or DELETE' })
  }
  return {
    statement: { name: scoped.name, text: scoped.text },
    values: bind(scoped, { tenantId: confinement.tenantId, userId: confinement.userId }, sql.values),
  }
}
