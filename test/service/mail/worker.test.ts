import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { holdLease } from '../../../src/core/database/lease.ts'
import { journalQuery } from '../../../src/service/identity/journal.ts'
import { enqueue } from '../../../src/service/mail/outbox.ts'
import type { OutgoingMail, Transport } from '../../../src/service/mail/transport.ts'
import {
  createOutboxWorker,
  FIRST_PAUSE_SECONDS,
  LONGEST_PAUSE_SECONDS,
  MAX_ATTEMPTS,
  type OutboxWorkerOptions,
  pauseSeconds,
} from '../../../src/service/mail/worker.ts'
import { openRoom, type Room } from '../room.ts'

let room: Room
let sent: OutgoingMail[]
let fail: Error | undefined
const logged: unknown[] = []

const transport: Transport = {
  async send(mail) {
    if (fail !== undefined) throw fail
    sent.push(mail)
  },
  close() {},
}

beforeAll(async () => {
  room = await openRoom()
})
afterAll(() => room.close())
beforeEach(async () => {
  await room.database.owner('DELETE FROM holdfast.outbox')
  await room.database.owner('DELETE FROM holdfast.journal')
  sent = []
  fail = undefined
  logged.length = 0
})

const worker = (options: Partial<OutboxWorkerOptions> = {}) =>
  createOutboxWorker({
    database: room.pool,
    lease: () => holdLease(room.pool, 'outbox', randomUUID(), 30),
    transport,
    keys: room.keys.outbox,
    onGivenUp: (mail) => [journalQuery({ event: 'mail_given_up', details: { mail } })],
    log: (event) => logged.push(event),
    random: () => 0,
    ...options,
  })
const write = (...recipients: string[]) =>
  room.pool.transaction((transaction) =>
    transaction.send(
      recipients.map((recipient) =>
        enqueue(room.keys.outbox, { recipient, message: { subject: 's', text: 'secret-text' } }),
      ),
      { commit: true },
    ),
  )
const rows = () =>
  room.database.owner('SELECT recipient, attempts, last_problem FROM holdfast.outbox ORDER BY recipient')
const due = () => room.database.owner('UPDATE holdfast.outbox SET next_attempt_at = now()')

test('what is due is delivered once, and its row deleted', async () => {
  await write('a@example.com', 'b@example.com')
  expect(await worker().runOnce()).toEqual({ delivered: 2, failed: 0, givenUp: 0 })
  expect(sent.map(({ recipient, message }) => `${recipient}: ${message.text}`).sort()).toEqual([
    'a@example.com: secret-text',
    'b@example.com: secret-text',
  ])
  expect(await rows()).toEqual([])
  expect(await worker().runOnce()).toEqual({ delivered: 0, failed: 0, givenUp: 0 })
})

test('counts what it did, and what it left', async () => {
  const one = worker()
  expect(one.stats).toEqual({ delivered: 0, failed: 0, givenUp: 0, waiting: undefined })
  await write('a@example.com', 'b@example.com')
  await one.runOnce()
  await write('c@example.com')
  fail = Object.assign(new Error('refused'), { code: 'EENVELOPE' })
  await one.runOnce()
  expect(one.stats).toEqual({ delivered: 2, failed: 1, givenUp: 0, waiting: 1 })
  // without the lease another process knows
  const other = worker({ lease: async () => undefined })
  await other.runOnce()
  expect(other.stats.waiting).toBe(undefined)
})

test('more than a batch in one look', async () => {
  await write(...Array.from({ length: 45 }, (_, index) => `${index}@example.com`))
  expect((await worker().runOnce()).delivered).toBe(45)
})

test('no mail without its cause: what is rolled back is not sent', async () => {
  const failing = room.pool.transaction(async (transaction) => {
    await transaction.send([
      enqueue(room.keys.outbox, { recipient: 'a@example.com', message: { subject: '', text: '' } }),
    ])
    throw new Error('the cause failed')
  })
  await expect(failing).rejects.toThrow('the cause failed')
  expect((await worker().runOnce()).delivered).toBe(0)
})

test('a failed try is put off, keeps only a code, and goes later', async () => {
  await write('a@example.com')
  fail = Object.assign(new Error('550 secret-text refused for a@example.com'), { code: 'EENVELOPE', responseCode: 550 })
  expect(await worker().runOnce()).toEqual({ delivered: 0, failed: 1, givenUp: 0 })
  expect(await rows()).toEqual([{ recipient: 'a@example.com', attempts: '1', last_problem: 'EENVELOPE 550' }])
  expect(JSON.stringify(logged)).not.toMatch(/secret-text|a@example.com/)
  fail = undefined
  expect((await worker().runOnce()).delivered).toBe(0)
  await room.database.owner(
    `UPDATE holdfast.outbox SET next_attempt_at = next_attempt_at - $1::INT8 * INTERVAL '1 second'`,
    [FIRST_PAUSE_SECONDS],
  )
  expect((await worker().runOnce()).delivered).toBe(1)
})

test('pauses double up to the cap', () => {
  expect(Array.from({ length: 11 }, (_, attempts) => pauseSeconds(attempts, 0))).toEqual([
    15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600,
  ])
  expect(pauseSeconds(30, 0.999)).toBeLessThanOrEqual(LONGEST_PAUSE_SECONDS * 1.1)
})

test('after the last try it is given up, which the journal keeps', async () => {
  await write('a@example.com')
  fail = new Error('no')
  const tally = { delivered: 0, failed: 0, givenUp: 0 }
  for (let index = 0; index < MAX_ATTEMPTS + 2; index++) {
    const { delivered, failed, givenUp } = await worker().runOnce()
    tally.delivered += delivered
    tally.failed += failed
    tally.givenUp += givenUp
    await due()
  }
  expect(tally).toEqual({ delivered: 0, failed: MAX_ATTEMPTS - 1, givenUp: 1 })
  expect(await rows()).toEqual([])
  const journal = await room.database.owner('SELECT event, details FROM holdfast.journal')
  expect(journal).toEqual([{ event: 'mail_given_up', details: { mail: expect.any(String) } }])
})

test('a row whose recipient or seal was changed in the database is not sent to anybody', async () => {
  await write('a@example.com', 'b@example.com')
  await room.database.owner(
    `UPDATE holdfast.outbox SET recipient = 'eve@example.com' WHERE recipient = 'a@example.com'`,
  )
  await room.database.owner(`UPDATE holdfast.outbox SET sealed = 'nonsense' WHERE recipient = 'b@example.com'`)
  expect(await worker().runOnce()).toEqual({ delivered: 0, failed: 2, givenUp: 0 })
  expect(sent).toEqual([])
  expect((await rows()).map((row) => row.last_problem)).toEqual(['seal_broken', 'seal_broken'])
})

test('ten workers at once deliver each mail once: one has the lease', async () => {
  await write(...Array.from({ length: 30 }, (_, index) => `${index}@example.com`))
  const tallies = await Promise.all(Array.from({ length: 10 }, () => worker().runOnce()))
  expect(tallies.reduce((sum, { delivered }) => sum + delivered, 0)).toBe(30)
  expect(new Set(sent.map(({ id }) => id)).size).toBe(30)
})

test('even without a lease a mail is claimed by one', async () => {
  const noLease = { lost: new AbortController().signal, release: async () => {} }
  await write(...Array.from({ length: 15 }, (_, index) => `${index}@example.com`))
  await Promise.all(Array.from({ length: 5 }, () => worker({ lease: async () => noLease }).runOnce()))
  expect(sent).toHaveLength(15)
  expect(new Set(sent.map(({ id }) => id)).size).toBe(15)
})

test('a process that dies after sending sends again, with the same id: at least once', async () => {
  await write('a@example.com')
  const dying = worker({
    database: {
      transaction: (work, options) =>
        sent.length > 0 ? Promise.reject(new Error('gone')) : room.pool.transaction(work, options),
    },
  })
  await expect(dying.runOnce()).rejects.toThrow('gone')
  await due()
  expect((await worker().runOnce()).delivered).toBe(1)
  expect(sent.map(({ id }) => id)).toEqual([sent[0]?.id, sent[0]?.id])
})

test('when the lease is lost it stops before the next mail', async () => {
  const controller = new AbortController()
  await write('a@example.com', 'b@example.com', 'c@example.com')
  const losing = worker({
    lease: async () => ({ lost: controller.signal, release: async () => {} }),
    transport: { ...transport, send: async () => controller.abort() },
  })
  expect(await losing.runOnce()).toEqual({ delivered: 1, failed: 0, givenUp: 0 })
})

test('started, it delivers what is woken for, and stops when told', async () => {
  const running = worker()
  running.wake()
  running.start()
  await write('a@example.com')
  running.wake()
  await vi.waitFor(() => expect(sent).toHaveLength(1), 4000)
  await running.stop()
  await write('b@example.com')
  running.wake()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(sent).toHaveLength(1)
})

test('trouble with the database is told, and the next look goes on', async () => {
  let broken = true
  const running = worker({
    lease: async () => {
      if (!broken) return holdLease(room.pool, 'outbox', randomUUID(), 30)
      broken = false
      throw Object.assign(new Error('no'), { code: 'database_unavailable' })
    },
  })
  await write('a@example.com')
  running.start()
  await vi.waitFor(() => expect(logged).toEqual([{ event: 'outbox_failed', problem: 'database_unavailable' }]))
  running.wake()
  await vi.waitFor(() => expect(sent).toHaveLength(1), 4000)
  await running.stop()
})
