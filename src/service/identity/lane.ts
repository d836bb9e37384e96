import { IdentityError } from './errors.ts'

/**
 * Two hashes at once. Node's thread pool has four threads, shared with DNS and files: sixteen hashes at once delayed
 * other work from 0.4 to 293 ms; with two, half the pool stays free.
 */
const LANE_CONCURRENCY = 2

/** 512 hashes in waiting: some 13 s of work at 50 ms and two at a time. Whoever comes later is told so at once. */
const LANE_QUEUE_LIMIT = 512

/** A bounded lane for expensive work: so many at once, so many waiting, in order of arrival (CWE-400). */
export type Lane = {
  /** @throws IdentityError `busy` (503) at once when the queue is full */
  run<T>(task: () => Promise<T>): Promise<T>
  readonly stats: {
    readonly running: number
    readonly waiting: number
    readonly done: number
    readonly refused: number
  }
}

/** @param options bounds, by default {@link LANE_CONCURRENCY} and {@link LANE_QUEUE_LIMIT} */
export function createLane(options: { concurrency?: number; queueLimit?: number } = {}): Lane {
  const { concurrency = LANE_CONCURRENCY, queueLimit = LANE_QUEUE_LIMIT } = options
  const waiting: (() => void)[] = []
  let running = 0
  let done = 0
  let refused = 0

  return {
    async run(task) {
      if (running >= concurrency) {
        if (waiting.length >= queueLimit) {
          refused++
          throw new IdentityError('busy')
        }
        await new Promise<void>((resolve) => waiting.push(resolve))
      } else running++
      try {
        return await task()
      } finally {
        done++
        const next = waiting.shift()
        // the place passes to the next in line, so that nobody who comes now overtakes it
        if (next === undefined) running--
        else next()
      }
    },
    get stats() {
      return { running, waiting: waiting.length, done, refused }
    },
  }
}
