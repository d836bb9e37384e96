import { AsyncLocalStorage } from 'node:async_hooks'
import { Connection } from '../core/database/connection.ts'
import type { ConnectionAddress } from '../core/database/connection-target.ts'
import { DatabaseError } from '../core/database/errors.ts'
import type { Pool } from '../core/database/pool.ts'
import { noRetries, runWithRetry, systemClock } from '../core/database/retry.ts'
import type { Row } from '../core/database/statement.ts'
import { PooledTransaction, type TransactionHost } from '../core/database/transaction.ts'
import { createRehearsalCarry } from './rehearsal-carry.ts'

/** A statement of a test may take this long, in milliseconds: a developer may be at a breakpoint, a loop may not. */
const STATEMENT_TIMEOUT_MS = 30_000
/** Connecting may take this long, in milliseconds, on a machine whose processors are all at work. */
const CONNECT_TIMEOUT_MS = 20_000
/** Prepared names on the one connection. */
const STATEMENT_LIMIT = 1_000
/** The longest time that a timer takes, in milliseconds: a unit of a test has no time limit. */
const NO_LIMIT_MS = 2_147_483_647

const NESTED =
  'A unit was begun inside a unit. In a test all units share one connection, so it would wait for itself: use the unit at hand, or open the test with a database of its own.'

/** One connection inside one transaction that is never committed. */
export type Rehearsal = {
  /** Units of it are savepoints, as the app role. */
  readonly pool: Pool
  /** Runs a statement past both walls. */
  readonly asOwner: (text: string, values?: readonly unknown[]) => Promise<Row[]>
  /** Undoes everything. */
  readonly rollback: () => Promise<void>
  /** Remembers this moment; what it returns goes back to it, as often as wanted. */
  readonly checkpoint: () => Promise<() => Promise<void>>
  readonly close: () => Promise<void>
}

/** Opens the connection as superuser; units take the app role on. */
export async function openRehearsal(address: ConnectionAddress): Promise<Rehearsal> {
  const connection = await Connection.open(
    {
      address,
      applicationName: 'holdfast testing',
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      statementLimit: STATEMENT_LIMIT,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      idleInTransactionTimeoutMs: 0,
    },
    () => undefined,
  )
  const inside = new AsyncLocalStorage<{ isOpen: boolean }>()
  const socket = connection.client.connection.stream as unknown as { ref(): void; unref(): void }
  let last: Promise<unknown> = Promise.resolve()
  let isOpen = false
  let isClosed = false
  let flights = 0
  let checkpoints = 0
  socket.unref()

  /** Waits for its turn. Between turns the connection does not keep the process alive. */
  async function turn(): Promise<() => void> {
    if (inside.getStore()?.isOpen === true) throw new DatabaseError('transaction_state', NESTED)
    if (isClosed) throw new DatabaseError('pool_closed')
    let done = (): void => undefined
    const before = last
    last = new Promise<void>((resolve) => {
      done = () => {
        socket.unref()
        resolve()
      }
    })
    socket.ref()
    await before
    socket.ref()
    if (!isOpen && !isClosed) {
      await connection.client.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
      isOpen = true
    }
    return done
  }

  async function alone<T>(work: () => Promise<T>): Promise<T> {
    const done = await turn()
    try {
      return await work()
    } finally {
      done()
    }
  }

  const carry = createRehearsalCarry()
  const counts = noRetries()
  async function begin(o: Parameters<Pool['begin']>[0] = {}): Promise<PooledTransaction> {
    const done = await turn()
    const host: TransactionHost = {
      dialect: connection.dialect,
      carry,
      timeoutMs: NO_LIMIT_MS,
      // the test's own transaction is around each unit
      idleStatus: 'T',
      givesUpSuspects: false,
      release: done,
      avoidHostOf: () => undefined,
      countFlight: () => {
        flights++
      },
      forgetStatements: () => connection.forgetStatements(),
    }
    return new PooledTransaction(connection, host, o)
  }

  const pool: Pool = {
    dialect: connection.dialect,
    begin,
    transaction: (work, o = {}) =>
      runWithRetry(
        () => begin(o),
        async (transaction) => {
          const mark = { isOpen: true }
          try {
            return await inside.run(mark, () => work(transaction))
          } finally {
            mark.isOpen = false
          }
        },
        o,
        systemClock,
        counts,
      ),
    // it is the test's own, and closed by it
    close: async () => undefined,
    get stats() {
      return { size: 1, idle: 1, waiting: 0, created: 1, destroyed: 0, flights, ...counts }
    },
  }

  const run = (text: string) => connection.client.query(text)
  return {
    pool,
    asOwner: (text, values = []) =>
      alone(async () => {
        await run('SAVEPOINT hf_owner')
        try {
          const { rows } = await connection.client.query<Row>(text, [...values])
          await run('RELEASE SAVEPOINT hf_owner')
          return rows
        } catch (error) {
          await run('ROLLBACK TO SAVEPOINT hf_owner')
          throw error
        }
      }),
    rollback: () =>
      alone(async () => {
        await run('ROLLBACK')
        isOpen = false
      }),
    async checkpoint() {
      const name = `hf_checkpoint_${++checkpoints}`
      await alone(() => run(`SAVEPOINT ${name}`))
      return async () => {
        await alone(() => run(`ROLLBACK TO SAVEPOINT ${name}`))
      }
    },
    async close() {
      if (isClosed) return
      await last
      isClosed = true
      await connection.close()
    },
  }
}
