import { randomUUID } from 'node:crypto'
import type { Message } from './messages.ts'
import { type SealKeys, seal, unseal } from './seal.ts'

/** A statement and its values, as `core/database` sends them. */
export type OutboxQuery = {
  readonly statement: { readonly name: string; readonly text: string }
  readonly values: readonly unknown[]
}

/** The part of a transaction that the outbox uses. */
type OutboxTransaction = {
  send(queries: readonly OutboxQuery[], options?: { commit?: boolean }): Promise<{ rows: Record<string, unknown>[] }[]>
}

/** The part of the identity role's pool that the outbox uses. */
export type OutboxDatabase = {
  transaction<T>(
    work: (transaction: OutboxTransaction) => Promise<T>,
    options?: { isolation?: 'read committed' | 'serializable' },
  ): Promise<T>
}

/** Every statement of the outbox; part of the identity role's closed list. */
export const outboxStatements = {
  outboxAdd: {
    name: 'outbox_add',
    text: 'INSERT INTO holdfast.outbox (id, recipient, sealed) VALUES ($1::UUID, $2::TEXT, $3::BYTEA)',
  },
  outboxDue: {
    name: 'outbox_due',
    text: `SELECT id, attempts FROM holdfast.outbox
WHERE next_attempt_at <= now() ORDER BY next_attempt_at LIMIT $1::INT8`,
  },
  outboxWaiting: { name: 'outbox_waiting', text: 'SELECT count(*)::INT8 AS waiting FROM holdfast.outbox' },
  outboxClaim: {
    name: 'outbox_claim',
    text: `UPDATE holdfast.outbox
SET attempts = attempts + 1, next_attempt_at = now() + $3::INT8 * INTERVAL '1 second'
WHERE id = $1::UUID AND attempts = $2::INT8 AND next_attempt_at <= now()
RETURNING id, recipient, sealed`,
  },
  outboxDone: { name: 'outbox_done', text: 'DELETE FROM holdfast.outbox WHERE id = $1::UUID' },
  outboxFailed: {
    name: 'outbox_failed',
    text: 'UPDATE holdfast.outbox SET last_problem = $2::TEXT WHERE id = $1::UUID',
  },
} as const

/** A mail to be written. */
export type Mail = { readonly recipient: string; readonly message: Message }

/**
 * The INSERT of one mail, sealed because it carries single-use secrets (CWE-312). It belongs into the flight of its
 * cause, so that neither is there without the other.
 */
export function enqueue(keys: SealKeys, mail: Mail): OutboxQuery {
  const id = randomUUID()
  const sealed = seal(keys, purposeOf(id, mail.recipient), JSON.stringify(mail.message))
  return { statement: outboxStatements.outboxAdd, values: [id, mail.recipient, sealed] }
}

/**
 * Opens a row's message.
 * @throws SealError `seal_broken` also when the row's recipient is not the one it was sealed for (CWE-345)
 */
export function openMessage(keys: SealKeys, row: { id: string; recipient: string; sealed: Uint8Array }): Message {
  return JSON.parse(unseal(keys, purposeOf(row.id, row.recipient), row.sealed)) as Message
}

function purposeOf(id: string, recipient: string): string {
  return `holdfast/outbox/${id}/${recipient}`
}
