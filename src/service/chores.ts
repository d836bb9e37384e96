import { randomUUID } from 'node:crypto'
import { holdLease } from '../core/database/lease.ts'
import type { Pool } from '../core/database/pool.ts'
import type { Config } from './config.ts'
import { journalQuery } from './identity/journal.ts'
import type { Log } from './http/log.ts'
import type { IdentityKeys } from './identity/identity.ts'
import { sweep } from './identity/sweep.ts'
import { createConsoleTransport, createSmtpTransport } from './mail/transport.ts'
import { createOutboxWorker, type OutboxWorker } from './mail/worker.ts'

/** One process delivers mail at a time; another takes over so long after it has died. */
const OUTBOX_LEASE_SECONDS = 30
/** What has expired is deleted hourly: it is worth nothing from its end on, so this is only about space. */
const SWEEP_EVERY_MS = 3_600_000
const SWEEP_LEASE_SECONDS = 60

/** What the service does besides answering. */
export type Chores = { readonly outbox: OutboxWorker; start(): void; stop(): Promise<void> }

/** @param print where mail goes when there is no relay */
export async function createChores(
  config: Config,
  identity: Pool,
  keys: IdentityKeys,
  log: Log,
  print: (text: string) => void,
): Promise<Chores> {
  const holder = `${process.pid}-${randomUUID()}`
  const { smtp } = config.mail
  const transport = smtp === undefined ? createConsoleTransport(print) : await createSmtpTransport(smtp)
  const outbox = createOutboxWorker({
    database: identity,
    lease: () => holdLease(identity, 'outbox', holder, OUTBOX_LEASE_SECONDS),
    transport,
    keys: keys.outbox,
    onGivenUp: (mailId) => [journalQuery({ event: 'mail_given_up', details: { mail: mailId } })],
    log: (event) => log.warn(event, 'mail'),
  })
  let timer: NodeJS.Timeout | undefined
  let sweeping: Promise<void> | undefined
  const look = (): void => {
    sweeping ??= sweepUnderLease(identity, holder)
      .catch((error: unknown) => log.warn({ err: error }, 'the clean-up failed'))
      .finally(() => {
        sweeping = undefined
      })
  }
  return {
    outbox,
    start() {
      outbox.start()
      timer = setInterval(look, SWEEP_EVERY_MS)
      timer.unref()
    },
    async stop() {
      clearInterval(timer)
      await Promise.all([outbox.stop(), sweeping])
      transport.close()
    },
  }
}

async function sweepUnderLease(identity: Pool, holder: string): Promise<void> {
  const lease = await holdLease(identity, 'sweep', holder, SWEEP_LEASE_SECONDS)
  if (lease === undefined) return
  try {
    await sweep(identity)
  } finally {
    await lease.release()
  }
}
