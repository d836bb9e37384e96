import type { Transaction } from '../database/transaction.ts'
import type { Unit } from './guard.ts'

/** Of units of the identity pool only; kept apart, so that no property of a unit leads to it. */
const transactions = new WeakMap<Unit, Transaction>()

/** Remembers a unit's transaction. For units of the identity pool, by whoever makes them. */
export function keepTransaction(unit: Unit, transaction: Transaction): void {
  transactions.set(unit, transaction)
}

/**
 * The transaction of a unit that runs as the identity role, for its closed list of statements. It is unscoped, so no
 * entry point exports this: whoever holds it can set itself another tenant (CWE-639).
 *
 * @throws TypeError for a unit of the application's pool, which has none to give
 */
export function transactionOf(unit: Unit): Transaction {
  const transaction = transactions.get(unit)
  if (transaction === undefined) throw new TypeError('only a unit of the identity pool gives its transaction')
  return transaction
}
