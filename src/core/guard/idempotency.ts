import { createHash } from 'node:crypto'
import { StatementError } from '../database/errors.ts'
import type { Query, Result, Row, Statement } from '../database/statement.ts'
import type { Transaction } from '../database/transaction.ts'
import type { Grants } from '../scope/grants.ts'
import type { Scope } from '../scope/scope.ts'

/** How long a key is remembered, in seconds, by the database's clock: a client that comes back later starts anew. */
export const KEY_LIFETIME_SECONDS = 86_400
/** Keys that one caller may have in a tenant at one time: with the largest answers 320 MiB (CWE-770). */
export const KEYS_PER_CALLER = 10_000
/** Longest answer that is kept, in bytes: the table refuses a longer one. */
export const KEPT_BYTES = 32_768
/** Longest header that is kept of an answer, in characters: with a longer one the answer is not kept. */
export const KEPT_HEADER_CHARACTERS = 1_024
/** How long one who comes with a key in use waits for whoever holds it: most writes are over by then. */
const WAIT = '1s'

/** Work that is done once, however often it is asked for under its key. */
export type Once = {
  /** SHA-256 of everything that a key is looked up by, besides tenant and user: credential kind, method, route, key */
  readonly key: Buffer
  /** SHA-256 of what is asked for: the same key with another one is refused */
  readonly fingerprint: Buffer
  /** What is to be told to whoever repeats it. Asked when the work has ended, before the commit, at each try. */
  readonly answer: () => KeptAnswer
}

/** An answer as it is kept. */
export type KeptAnswer = {
  /** 200 to 599: what is below is refused by the table */
  readonly status: number
  readonly contentType: string | null
  readonly etag: string | null
  readonly location: string | null
  /** null: no body */
  readonly body: Buffer | null
  /** `shown_once`: it holds a secret; `not_kept`: it is too long, or no bytes at all. Then its status alone is kept. */
  readonly withheld: '' | 'shown_once' | 'not_kept'
}

/** The work was done before, by the same caller under the same rights: this is what was answered. */
export class Repeated extends Error {
  override readonly name = 'Repeated'
  readonly answer: KeptAnswer

  constructor(answer: KeptAnswer) {
    super('the work was done before')
    this.answer = answer
  }
}

/**
 * Why nothing was done under a key, and nothing is shown: `in_use` – its first request is still under way; `reused` – it
 * stands for another request; `rights_changed`, `shown_once`, `not_kept` – it was done, and the answer is not given again;
 * `quota` – the caller has too many keys.
 */
export type KeyRefusalReason = 'in_use' | 'reused' | 'rights_changed' | 'shown_once' | 'not_kept' | 'quota'

/** RFC 9110 statuses, as the draft's section 2.7 has them where it names one. */
const STATUS = {
  in_use: 409,
  reused: 422,
  rights_changed: 409,
  shown_once: 409,
  not_kept: 409,
  quota: 429,
} as const satisfies Record<KeyRefusalReason, number>

/** A key was refused. */
export class KeyRefusal extends Error {
  override readonly name = 'KeyRefusal'
  readonly reason: KeyRefusalReason
  readonly status: number

  constructor(reason: KeyRefusalReason, cause?: unknown) {
    super(`the idempotency key was refused: ${reason}`, cause === undefined ? {} : { cause })
    this.reason = reason
    this.status = STATUS[reason]
  }
}

/** The key was used already; what was answered must be looked up. */
export class KeyKnown extends Error {
  override readonly name = 'KeyKnown'
}

const CLAIM: Statement = {
  name: 'idempotency_claim',
  text: 'SELECT holdfast.claim_idempotency_key($1::UUID, $2::UUID, $3::BYTEA, $4::BYTEA, $5::BYTEA, $6::INT8, $7::INT8, $8::TEXT) AS claimed',
}
const KEEP: Statement = {
  name: 'idempotency_keep',
  text: 'SELECT holdfast.keep_answer($1::UUID, $2::UUID, $3::BYTEA, $4::INT8, $5::TEXT, $6::TEXT, $7::TEXT, $8::BYTEA, $9::TEXT) AS kept',
}
const RECALL: Statement = {
  name: 'idempotency_recall',
  text: 'SELECT fingerprint, grants, status, content_type, etag, location, body, withheld FROM holdfast.kept_answer($1::UUID, $2::UUID, $3::BYTEA)',
}
const SWEEP: Statement = {
  name: 'idempotency_sweep',
  text: 'SELECT count(*) AS gone FROM holdfast.sweep_idempotency_keys($1::INT8) AS s(slot)',
}

type Ids = { readonly tenantId: string; readonly userId: string }

/** Takes the key: it travels behind *enter*, before the work's own statements, which do not run when it raises. */
export function claimQuery(once: Once, { tenantId, userId }: Ids, rights: Buffer, keysPerCaller: number): Query {
  const values = [tenantId, userId, once.key, once.fingerprint, rights, keysPerCaller, KEY_LIFETIME_SECONDS, WAIT]
  return { statement: CLAIM, values }
}

/** Writes down what is answered: the last statement before COMMIT. */
export function keepQuery({ key, answer }: Once, { tenantId, userId }: Ids): Query {
  const { status, contentType, etag, location, body, withheld } = answer()
  // a secret may stand in a header as well (CWE-312)
  const told = withheld === '' ? [contentType, etag, location, body] : [null, null, null, null]
  return { statement: KEEP, values: [tenantId, userId, key, status, ...told, withheld] }
}

/** Looks up what was answered; behind *enter*, too. */
export function recallQuery({ key }: Once, { tenantId, userId }: Ids): Query {
  return { statement: RECALL, values: [tenantId, userId, key] }
}

/** Deletes keys past their time. @param most how many at most; the answer's `gone` says how many there were */
export function sweepKeysQuery(most: number): Query {
  return { statement: SWEEP, values: [most] }
}

/**
 * What the claim meant by failing, by its place in the flight and its code (CWE-345); nothing when it is a fault, or a
 * collision that is to be run again.
 * @param index where the claim stood in the flight
 */
export function readClaimFailure(error: unknown, index: number): KeyKnown | KeyRefusal | undefined {
  if (!(error instanceof StatementError) || error.index !== index) return undefined
  if (error.sqlstate === 'KH200') return new KeyKnown('the key was used already', { cause: error })
  if (error.sqlstate === 'KH429') return new KeyRefusal('quota', error)
  // lock_not_available: the key's first request is under way for longer than anybody waits
  if (error.sqlstate === '55P03') return new KeyRefusal('in_use', error)
  return undefined
}

/**
 * What to tell whoever comes with a known key: the answer, or why not.
 * @param rights those that the caller has now
 */
export function judgeKept(result: Result | undefined, once: Once, rights: Buffer): Repeated | KeyRefusal {
  const [row] = result?.rows ?? []
  // it went past its time between the two looks
  if (row === undefined) return new KeyRefusal('in_use')
  if (!once.fingerprint.equals(row.fingerprint as Buffer)) return new KeyRefusal('reused')
  // what others may see is not what this caller may see now (CWE-863)
  if (!rights.equals(row.grants as Buffer)) return new KeyRefusal('rights_changed')
  if (row.withheld === 'shown_once' || row.withheld === 'not_kept') return new KeyRefusal(row.withheld)
  return new Repeated(answerOf(row))
}

function answerOf(row: Row): KeptAnswer {
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)
  return {
    status: Number(row.status),
    contentType: text(row.content_type),
    etag: text(row.etag),
    location: text(row.location),
    body: Buffer.isBuffer(row.body) ? row.body : null,
    withheld: '',
  }
}

/** Digest of what a caller may see and do on a route: role, the grants that the route holds, and the manifest. */
export function rightsDigest(role: string, grants: Grants, scope: Scope): Buffer {
  const held = [...grants].sort(([one], [other]) => (one < other ? -1 : 1))
  return createHash('sha256')
    .update(JSON.stringify([role, held, manifestDigest(scope)]))
    .digest()
}

const manifests = new WeakMap<Scope, string>()

/** Columns are hidden by the manifest: another one may hide what an older answer shows. */
function manifestDigest(scope: Scope): string {
  let digest = manifests.get(scope)
  if (digest === undefined) {
    // what the roles grant is digested by itself
    const { roles: _, ...rest } = scope.manifest
    digest = createHash('sha256').update(JSON.stringify(rest)).digest('base64url')
    manifests.set(scope, digest)
  }
  return digest
}

/** A transaction as the work is given it: whatever it says, COMMIT travels with the answer that is kept. */
export function holdCommit(transaction: Transaction): Transaction {
  return {
    get state() {
      return transaction.state
    },
    send: (queries) => transaction.send(queries),
    query: (statement, values) => transaction.query(statement, values),
    fetch: (query, rows, again) => transaction.fetch(query, rows, again),
    async commit() {},
    savepoint: (work) => transaction.savepoint(work),
    rollback: () => transaction.rollback(),
  }
}
