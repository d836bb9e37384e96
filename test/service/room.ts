import { randomUUID } from 'node:crypto'
import type { Pool } from '../../src/core/database/pool.ts'
import { createPool } from '../../src/core/database/pool.ts'
import type { Query } from '../../src/core/database/statement.ts'
import type { Transaction } from '../../src/core/database/transaction.ts'
import { hashSessionToken } from '../../src/core/guard/credential.ts'
import type { Caller, SessionId, TenantId, UserId } from '../../src/core/guard/caller.ts'
import type { Unit } from '../../src/core/guard/guard.ts'
import { keepTransaction } from '../../src/core/guard/identity-unit.ts'
import type { Grants } from '../../src/core/scope/grants.ts'
import type { Identity } from '../../src/service/identity/identity.ts'
import { deriveKeys } from '../../src/service/identity/keys.ts'
import { createLane } from '../../src/service/identity/lane.ts'
import { createPasswords } from '../../src/service/identity/password.ts'
import { parseIdentitySettings } from '../../src/service/identity/settings.ts'
import { openMessage } from '../../src/service/mail/outbox.ts'
import { joining } from '../../src/service/tenancy/joining.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'

/** Cheap parameters: what is tested is how often is hashed, not how long it takes. */
export const CHEAP = { memoryKib: 256, passes: 1, parallelism: 1 }

export const PASSWORD = 'correct horse battery'

/** A database with the identity room in it. */
export type Room = Identity & {
  readonly database: TestDatabase
  readonly mails: number
  /** Names of the statements sent since it was last called, in order. */
  sent(): string[]
  /** What the outbox holds, opened, oldest first; and empties it. */
  takeMail(): Promise<{ recipient: string; subject: string; text: string; token: string }[]>
  /** An account with a password, straight into the database. */
  account(email: string): Promise<string>
  tenant(slug: string): Promise<string>
  join(tenantId: string, userId: string, role: string): Promise<void>
  /** Runs work as the guard would: as the owner of a session, in one transaction of the identity pool. */
  as<T>(caller: { token: string } | { userId: string; tenantId?: string; grants?: Grants }, work: Work<T>): Promise<T>
  close(): Promise<void>
}

type Work<T> = (unit: Unit) => Promise<T>

export async function openRoom(settings: Record<string, unknown> = {}): Promise<Room> {
  const database = await createTestDatabase({ roleGrants: defaultRoles })
  const { pool, sent } = watched(
    await createPool({ connection: database.target('identity'), size: 10, applicationName: 'room' }),
  )
  const passwords = await createPasswords(createLane(), CHEAP)
  const keys = deriveKeys(Buffer.alloc(32, 1))
  let mails = 0
  return {
    database,
    pool,
    passwords,
    keys,
    settings: parseIdentitySettings({ public_origin: 'https://app.example.com', sign_up: 'open', ...settings }),
    joining,
    onMail: () => {
      mails++
    },
    get mails() {
      return mails
    },
    sent,
    async takeMail() {
      const rows = await database.owner('SELECT id, recipient, sealed FROM holdfast.outbox ORDER BY created_at')
      await database.owner('DELETE FROM holdfast.outbox')
      return rows.map((row) => {
        const recipient = String(row.recipient)
        const message = openMessage(keys.outbox, { id: String(row.id), recipient, sealed: row.sealed as Buffer })
        return { recipient, ...message, token: /^hf[ui]_\S+$/m.exec(message.text)?.[0] ?? '' }
      })
    },
    async account(email) {
      const id = randomUUID()
      await database.owner('INSERT INTO holdfast.users (id, email, display_name) VALUES ($1, $2, $3)', [
        id,
        email,
        'Ada',
      ])
      const hash = await passwords.hash(PASSWORD)
      await database.owner('INSERT INTO holdfast.passwords (user_id, hash) VALUES ($1, $2)', [id, hash])
      return id
    },
    async tenant(slug) {
      const id = randomUUID()
      await database.owner('INSERT INTO holdfast.tenants (id, slug, name) VALUES ($1, $2, $2)', [id, slug])
      return id
    },
    async join(tenantId, userId, role) {
      await database.owner('INSERT INTO holdfast.memberships VALUES ($1, $2, $3)', [tenantId, userId, role])
      await database.owner(
        'INSERT INTO tenancy.profiles (tenant_id, user_id, email, display_name) SELECT $1, id, email, display_name FROM holdfast.users WHERE id = $2',
        [tenantId, userId],
      )
    },
    async as(who, work) {
      const caller = 'token' in who ? await callerOf(database, who.token) : callerWith(who)
      const after: (() => void | Promise<void>)[] = []
      // patient: a crowd in a nearly empty database collides more than any other
      const value = await pool.transaction((transaction) => work(unitOf(caller, transaction, after)), { tries: 16 })
      for (const task of after) await task()
      return value
    },
    async close() {
      await pool.close()
      await database.drop()
    },
  }
}

function unitOf(caller: Caller, transaction: Transaction, after: (() => void | Promise<void>)[]): Unit {
  const none = (): Promise<never> => Promise.reject(new Error('none'))
  const db: Unit['db'] = Object.assign(none, {
    query: none,
    last: none,
    transaction: none,
    afterCommit: () => undefined,
  })
  const unit: Unit = { caller, first: undefined, db, afterCommit: (task) => void after.push(task) }
  keepTransaction(unit, transaction)
  return unit
}

async function callerOf(database: TestDatabase, token: string): Promise<Caller> {
  const [row] = await database.owner(
    'SELECT id, user_id, tenant_id FROM holdfast.sessions WHERE token_hash = $1 AND revoked_at IS NULL',
    [hashSessionToken(token)],
  )
  if (row === undefined) throw new Error('the session is not live')
  return { ...callerWith({ userId: String(row.user_id) }), sessionId: String(row.id) as SessionId }
}

function callerWith(who: { userId: string; tenantId?: string; grants?: Grants }): Caller {
  return {
    userId: who.userId as UserId,
    tenantId: (who.tenantId ?? '') as TenantId,
    role: '',
    sessionId: randomUUID() as SessionId,
    assurance: 'aal1',
    authenticatedAt: new Date(),
    grants: who.grants ?? new Map(),
  }
}

/** A pool that remembers the names of the statements that went through it. */
function watched(pool: Pool): { pool: Pool; sent: () => string[] } {
  let names: string[] = []
  const watch = (transaction: Transaction): Transaction => ({
    get state() {
      return transaction.state
    },
    send: (queries: readonly Query[], options) => {
      names.push(...queries.map(({ statement }) => statement.name))
      return transaction.send(queries, options)
    },
    query: (statement, values) => {
      names.push(statement.name)
      return transaction.query(statement, values)
    },
    fetch: (query, rows, again) => transaction.fetch(query, rows, again),
    commit: () => transaction.commit(),
    savepoint: (work) => transaction.savepoint(work),
    rollback: () => transaction.rollback(),
  })
  return {
    sent: () => {
      const taken = names
      names = []
      return taken
    },
    pool: {
      get dialect() {
        return pool.dialect
      },
      get stats() {
        return pool.stats
      },
      begin: async (options) => watch(await pool.begin(options)),
      transaction: (work, options) => pool.transaction((transaction) => work(watch(transaction)), options),
      close: () => pool.close(),
    },
  }
}
