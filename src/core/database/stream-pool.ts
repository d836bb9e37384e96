import { DatabaseError } from './errors.ts'
import type { ConnectionTarget } from './connection-target.ts'
import { createPool, type Pool } from './pool.ts'
import type { StreamLimits } from './stream.ts'

/** Connections for streams if nothing is said: each may be held for a minute, so they are none of the others'. */
const STREAM_POOL_SIZE = 2
/** A stream may take this long, in milliseconds: its snapshot keeps the database from cleaning up. */
const STREAM_TIMEOUT_MS = 60_000
/** Bytes of one stream as the database sends them. */
const STREAM_BYTES = 256 * 1024 * 1024
/** Bytes of one portion of a stream's rows: 500 rows of some 30 KiB (CWE-770). */
const PORTION_BYTES = 16 * 1024 * 1024
/** The pool's own limit comes after the stream's, which says what it is about. */
const GRACE_MS = 5_000

/** What streams may take; what is left out has its default. */
export type StreamOptions = {
  /** connections, 2 if left out: so many streams at once, and others wait for five seconds */
  readonly poolSize?: number | undefined
  /** most of them that one tenant has at once; half of them, and at least one, if left out */
  readonly perTenant?: number | undefined
  /** seconds that a connection is used before another takes its place; 300 if left out */
  readonly lifetimeSeconds?: number | undefined
  /** milliseconds, 60,000 if left out */
  readonly timeoutMs?: number | undefined
  /** bytes of a whole stream, 256 MiB if left out */
  readonly maxBytes?: number | undefined
}

/** A pool that is made for the first stream: most applications have none. */
export type StreamPool = {
  readonly limits: StreamLimits
  /**
   * Counts a stream of a tenant, so that slow readers of one do not take all that there is from the others (CWE-770).
   *
   * @param tenant - as the database told it
   * @returns what to call at its end
   * @throws DatabaseError `stream_share`
   */
  admit(tenant: string): () => void
  /** @throws DatabaseError as `createPool`; `pool_closed` */
  open(): Promise<Pool>
  /** Waits for the streams under way, at most their time limit. */
  close(): Promise<void>
}

/** @param connection the database, as holdfast_app */
export function createStreamPool(connection: ConnectionTarget, o: StreamOptions = {}): StreamPool {
  const limits = limitsOf(o)
  const size = o.poolSize ?? STREAM_POOL_SIZE
  let opening: Promise<Pool> | undefined
  let isClosed = false
  return {
    limits,
    admit: shareOf(o, size),
    open() {
      if (isClosed) return Promise.reject(new DatabaseError('pool_closed'))
      opening ??= createPool({
        connection,
        size,
        lifetimeSeconds: o.lifetimeSeconds,
        applicationName: 'holdfast streams',
        statementTimeoutMs: limits.timeoutMs,
        transactionTimeoutMs: limits.timeoutMs + GRACE_MS,
        maxAnswerBytes: PORTION_BYTES,
      }).catch((error: unknown) => {
        // the next stream tries again
        opening = undefined
        throw error
      })
      return opening
    },
    async close() {
      isClosed = true
      await (await opening?.catch(() => undefined))?.close()
    },
  }
}

/** Streams over a pool that is there already, and closed by others: as in a test, where all share one connection. */
export function borrowStreamPool(pool: Pool, o: StreamOptions = {}): StreamPool {
  return {
    limits: limitsOf(o),
    admit: shareOf(o, o.poolSize ?? STREAM_POOL_SIZE),
    open: async () => pool,
    close: async () => undefined,
  }
}

function shareOf(o: StreamOptions, size: number): StreamPool['admit'] {
  const most = o.perTenant ?? Math.max(1, Math.floor(size / 2))
  const open = new Map<string, number>()
  return (tenant) => {
    const count = open.get(tenant) ?? 0
    if (count >= most) throw new DatabaseError('stream_share')
    open.set(tenant, count + 1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const left = (open.get(tenant) ?? 1) - 1
      if (left === 0) open.delete(tenant)
      else open.set(tenant, left)
    }
  }
}

function limitsOf({ timeoutMs, maxBytes, perTenant }: StreamOptions): StreamLimits {
  const limits = { timeoutMs: timeoutMs ?? STREAM_TIMEOUT_MS, maxBytes: maxBytes ?? STREAM_BYTES }
  for (const limit of [...Object.values(limits), perTenant ?? 1]) {
    if (!(Number.isSafeInteger(limit) && limit >= 1)) throw new RangeError('a limit of streams is at least one')
  }
  return limits
}
