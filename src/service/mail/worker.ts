import { openMessage, type OutboxDatabase, type OutboxQuery, outboxStatements } from './outbox.ts'
import type { SealKeys } from './seal.ts'
import type { Transport } from './transport.ts'

/** Tries of one mail before it is given up: with the pauses below, a relay may be down for 22 hours. */
export const MAX_ATTEMPTS = 30
/** Pause after the first failed try, doubled after each. */
export const FIRST_PAUSE_SECONDS = 15
/** Longest pause. */
export const LONGEST_PAUSE_SECONDS = 3600
/** How often the worker looks by itself; a commit in this process wakes it at once. */
const POLL_MS = 5_000
/** Mails of one look. */
const BATCH = 20

/** The right to deliver: one process at a time, so that a relay sees one connection. */
type DeliveryLease = { readonly lost: AbortSignal; release(): Promise<void> }

export type OutboxWorkerOptions = {
  /** The identity role's pool. */
  readonly database: OutboxDatabase
  /** Takes the lease, or nothing when another process has it: `() => holdLease(pool, 'outbox', holder, 30)`. */
  readonly lease: () => Promise<DeliveryLease | undefined>
  readonly transport: Transport
  readonly keys: SealKeys
  /** What a given-up mail leaves behind, in the transaction that deletes it: the journal's entry. */
  readonly onGivenUp?: (mailId: string) => readonly OutboxQuery[]
  /** Told of each failed try and of trouble with the database; never of a message or an address. */
  readonly log?: (event: { readonly event: string; readonly mail?: string; readonly problem: string }) => void
  /** 0 up to 1, for the pauses' jitter. */
  readonly random?: () => number
}

/** What one look at the outbox did. */
type Delivery = { readonly delivered: number; readonly failed: number; readonly givenUp: number }

/** What all looks together did, and how many mails the last one left; none where another process delivers. */
type OutboxStats = Delivery & { readonly waiting: number | undefined }

export type OutboxWorker = {
  /** Looks now and then every few seconds. */
  start(): void
  /** Looks soon. */
  wake(): void
  /** Resolves when the mail under way, if any, is done. */
  stop(): Promise<void>
  /** One look: delivers what is due, if the lease can be had. */
  runOnce(): Promise<Delivery>
  readonly stats: OutboxStats
}

/**
 * Delivers the outbox at least once: a mail is claimed – its next try put off – before it is sent and deleted after, so
 * that a process that dies in between leaves it for a later try.
 */
export function createOutboxWorker(options: OutboxWorkerOptions): OutboxWorker {
  const { database, transport, keys, log = () => {}, random = Math.random } = options
  let timer: NodeJS.Timeout | undefined
  let running: Promise<unknown> | undefined
  let again = false
  let started = false
  let halted = false
  const totals = { delivered: 0, failed: 0, givenUp: 0 }
  let waiting: number | undefined

  const send = (queries: readonly OutboxQuery[]) =>
    database.transaction((transaction) => transaction.send(queries, { commit: true }), { isolation: 'read committed' })

  async function deliver({ id, attempts }: { id: string; attempts: number }): Promise<keyof Delivery | undefined> {
    const pause = pauseSeconds(attempts, random())
    const [claimed] = await send([{ statement: outboxStatements.outboxClaim, values: [id, attempts, pause] }])
    const row = claimed?.rows[0]
    if (row === undefined) return undefined
    const recipient = String(row.recipient)
    try {
      await transport.send({
        id,
        recipient,
        message: openMessage(keys, { id, recipient, sealed: row.sealed as Buffer }),
      })
    } catch (error) {
      const problem = problemOf(error)
      log({ event: 'mail_failed', mail: id, problem })
      if (attempts + 1 < MAX_ATTEMPTS) {
        await send([{ statement: outboxStatements.outboxFailed, values: [id, problem] }])
        return 'failed'
      }
      await send([{ statement: outboxStatements.outboxDone, values: [id] }, ...(options.onGivenUp?.(id) ?? [])])
      return 'givenUp'
    }
    await send([{ statement: outboxStatements.outboxDone, values: [id] }])
    return 'delivered'
  }

  async function runOnce(): Promise<Delivery> {
    const tally = { delivered: 0, failed: 0, givenUp: 0 }
    const lease = await options.lease()
    if (lease === undefined) {
      waiting = undefined
      return tally
    }
    try {
      for (;;) {
        const [due] = await send([{ statement: outboxStatements.outboxDue, values: [BATCH] }])
        const rows = due?.rows ?? []
        for (const row of rows) {
          if (lease.lost.aborted || halted) return tally
          const outcome = await deliver({ id: String(row.id), attempts: Number(row.attempts) })
          if (outcome === undefined) continue
          tally[outcome]++
          totals[outcome]++
        }
        // a mail that failed is due later, so a full batch is followed by others
        if (rows.length === BATCH) continue
        const [left] = await send([{ statement: outboxStatements.outboxWaiting, values: [] }])
        waiting = Number(left?.rows[0]?.['waiting'])
        return tally
      }
    } finally {
      await lease.release()
    }
  }

  function look(): void {
    if (!started) return
    if (running !== undefined) {
      again = true
      return
    }
    clearTimeout(timer)
    again = false
    running = runOnce()
      .catch((error: unknown) => log({ event: 'outbox_failed', problem: problemOf(error) }))
      .finally(() => {
        running = undefined
        if (started) timer = setTimeout(look, again ? 0 : POLL_MS).unref()
      })
  }

  return {
    start() {
      started = true
      halted = false
      look()
    },
    wake: look,
    async stop() {
      started = false
      halted = true
      clearTimeout(timer)
      await running
    },
    runOnce,
    get stats() {
      return { ...totals, waiting }
    },
  }
}

/** Seconds until the next try, after so many: doubling, capped, up to a tenth later so that mails do not stay in step. */
export function pauseSeconds(attempts: number, random: number): number {
  const pause = Math.min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** attempts)
  return Math.ceil(pause * (1 + random / 10))
}

/** A code, never the text: a relay's answer may repeat the message, which holds a secret (CWE-532). */
function problemOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'unknown'
  const { code, responseCode } = error as { code?: unknown; responseCode?: unknown }
  const parts = [code, responseCode].filter((part) => typeof part === 'string' || typeof part === 'number')
  return parts.length === 0 ? 'unknown' : parts.join(' ').slice(0, 64)
}
