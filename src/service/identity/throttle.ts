import { createHmac } from 'node:crypto'
import type { Pool } from '../../core/database/pool.ts'
import type { Query, Result } from '../../core/database/statement.ts'
import type { Transaction } from '../../core/database/transaction.ts'
import { IdentityError } from './errors.ts'
import { statements } from './statements.ts'

/** How often something may be tried before each further try has to wait, twice as long each time. */
export type ThrottleRule = {
  /** part of the stored key, so that rules never share a count */
  readonly name: string
  readonly freeAttempts: number
  readonly capSeconds: number
  /** after this long without a try the count is forgotten */
  readonly memorySeconds: number
}

const MINUTE = 60
const DAY = 86_400

/**
 * First wait 1 s, then 2, 4, 8 … never a lock that lasts: an attacker must not shut a user out for long (ASVS 6.1.1).
 * At the cap of 15 minutes a network has 96 tries a day.
 */
export const THROTTLE_RULES = {
  /** five at one account from one network: a person who tries the passwords they remember; nobody elsewhere waits for it */
  signInPair: { name: 'sign_in_pair', freeAttempts: 5, capSeconds: 15 * MINUTE, memorySeconds: DAY },
  /**
   * a hundred at one account from anywhere (NIST 800-63B-4 section 3.2.2), then half a minute at most: guessing from many
   * networks is slowed, and the owner is never kept out for long (CWE-645)
   */
  signInAccount: { name: 'sign_in_account', freeAttempts: 100, capSeconds: 30, memorySeconds: DAY },
  /** fifty failures: an office behind one address; success gives its attempt back */
  signInNetwork: { name: 'sign_in_network', freeAttempts: 50, capSeconds: 15 * MINUTE, memorySeconds: DAY },
  /** 200: a class that signs up together; each address gets at most one mail a minute anyhow */
  signUpNetwork: { name: 'sign_up_network', freeAttempts: 200, capSeconds: 15 * MINUTE, memorySeconds: 60 * MINUTE },
  /** five hashes for one single-use secret: a person who chooses a password needs one (CWE-770) */
  completionToken: { name: 'completion_token', freeAttempts: 5, capSeconds: 15 * MINUTE, memorySeconds: DAY },
  /** 200: a class that completes its sign-up together */
  completionNetwork: {
    name: 'completion_network',
    freeAttempts: 200,
    capSeconds: 15 * MINUTE,
    memorySeconds: 60 * MINUTE,
  },
  /** ten tenants a day: nobody founds more by hand (CWE-770) */
  tenantFounder: { name: 'tenant_founder', freeAttempts: 10, capSeconds: DAY, memorySeconds: DAY },
  /** a hundred: a company that invites its staff */
  invitationSender: { name: 'invitation_sender', freeAttempts: 100, capSeconds: 15 * MINUTE, memorySeconds: DAY },
  /** five mails from one tenant to one address */
  invitationAddress: { name: 'invitation_address', freeAttempts: 5, capSeconds: 15 * MINUTE, memorySeconds: DAY },
} as const satisfies Record<string, ThrottleRule>

/** Something that is counted. */
export type Attempt = { readonly rule: ThrottleRule; readonly subject: string }

/** The stored key: an HMAC, so that the table names no address (CWE-359). */
export function throttleKey(key: Buffer, { rule, subject }: Attempt): Buffer {
  return createHmac('sha256', key).update(`${rule.name}\0${subject}`).digest()
}

/**
 * Counts attempts before anything is checked, each in a READ COMMITTED transaction of one flight: parallel guesses count
 * one by one (CWE-307, CWE-362), and a row is locked no longer than the server works on it. In the given order: a network
 * that must wait counts against no account.
 *
 * @throws IdentityError `throttled` with `retryAfterSeconds`; blocked attempts do not count
 */
export async function countAttempts(pool: Pool, key: Buffer, attempts: readonly Attempt[]): Promise<void> {
  for (const attempt of attempts) {
    // whoever must wait is told by a read: it takes no lock, and callers of one key share it, so that they hold up
    // neither each other nor the pool (CWE-770); the count alone judges
    refuseWait(await sharedWait(pool, throttleKey(key, attempt)))
    const results = await pool.transaction(
      (transaction) => transaction.send(hitQueries(key, attempt), { commit: true }),
      { isolation: 'read committed' },
    )
    refuseBlocked(results)
  }
}

/**
 * Counts attempts as part of a transaction, for what is done by a caller: undone with it.
 * @throws IdentityError `throttled`
 */
export async function countIn(transaction: Transaction, key: Buffer, attempts: readonly Attempt[]): Promise<void> {
  for (const attempt of attempts) refuseBlocked(await transaction.send(hitQueries(key, attempt)))
}

/** Success: the account's count is cleared, and the network gets its attempt back. Never more than that. */
export async function forgive(
  pool: Pool,
  key: Buffer,
  done: { clear: readonly Attempt[]; giveBack: readonly Attempt[] },
) {
  const queries: Query[] = [
    ...done.clear.map((attempt) => ({ statement: statements.throttleClear, values: [throttleKey(key, attempt)] })),
    ...done.giveBack.map((attempt) => ({
      statement: statements.throttleGiveBack,
      values: [throttleKey(key, attempt)],
    })),
  ]
  await pool.transaction((transaction) => transaction.send(queries, { commit: true }), { isolation: 'read committed' })
}

function hitQueries(key: Buffer, attempt: Attempt): Query[] {
  const { freeAttempts, capSeconds, memorySeconds } = attempt.rule
  const stored = throttleKey(key, attempt)
  return [
    { statement: statements.throttleHit, values: [stored, freeAttempts, capSeconds, memorySeconds] },
    { statement: statements.throttleWait, values: [stored] },
  ]
}

function refuseBlocked([hit, wait]: readonly Result[]): void {
  if (hit?.rowCount === 0) refuseWait(Math.max(1, secondsOf(wait)))
}

function refuseWait(seconds: number): void {
  if (seconds > 0) throw new IdentityError('throttled', { retryAfterSeconds: seconds })
}

const secondsOf = (wait: Result | undefined): number => Number(wait?.rows[0]?.seconds ?? 0)

/** Reads under way, by pool and key. */
const reading = new WeakMap<Pool, Map<string, Promise<number>>>()

function sharedWait(pool: Pool, stored: Buffer): Promise<number> {
  const reads = reading.get(pool) ?? new Map<string, Promise<number>>()
  reading.set(pool, reads)
  const name = stored.toString('base64')
  const under = reads.get(name)
  if (under !== undefined) return under
  const query = { statement: statements.throttleWait, values: [stored] }
  const read = pool
    .transaction((transaction) => transaction.send([query], { commit: true }), { isolation: 'read committed' })
    .then(([wait]) => secondsOf(wait))
    .finally(() => reads.delete(name))
  reads.set(name, read)
  return read
}
