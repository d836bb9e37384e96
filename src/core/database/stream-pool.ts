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
  /** milliseconds, 60,000 if left out */
  readonly timeoutMs?: number | undefined
  /** bytes of a whole stream, 256 MiB if left out */
  readonly maxBytes?: number | undefined
}

/** A pool that is made for the first stream: most applications have none. */
export type StreamPool = {
  readonly limits: StreamLimits
  /** @throws DatabaseError as `createPool`; `pool_closed` */
  open(): Promise<Pool>
  /** Waits for the streams under way, at most their time limit. */
  close(): Promise<void>
}

/** @param connection the database, as holdfast_app */
export function createStreamPool(connection: ConnectionTarget, o: StreamOptions = {}): StreamPool {
  const limits = limitsOf(o)
  let opening: Promise<Pool> | undefined
  let isClosed = false
  return {
    limits,
    open() {
      if (isClosed) return Promise.reject(new DatabaseError('pool_closed'))
      opening ??= createPool({
        connection,
        size: o.poolSize ?? STREAM_POOL_SIZE,
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
  return { limits: limitsOf(o), open: async () => pool, close: async () => undefined }
}

function limitsOf({ timeoutMs, maxBytes }: StreamOptions): StreamLimits {
  const limits = { timeoutMs: timeoutMs ?? STREAM_TIMEOUT_MS, maxBytes: maxBytes ?? STREAM_BYTES }
  for (const limit of Object.values(limits)) {
    if (!(Number.isSafeInteger(limit) && limit >= 1)) throw new RangeError('a limit of streams is at least one')
  }
  return limits
}
