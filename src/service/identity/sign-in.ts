import { randomUUID } from 'node:crypto'
import { newSessionToken } from '../../core/guard/credential.ts'
import type { Query, Row } from '../../core/database/statement.ts'
import { parseEmail } from './email.ts'
import { IdentityError } from './errors.ts'
import type { Identity, RequestTrace } from './identity.ts'
import { journalQuery } from './journal.ts'
import { userAgentOf } from './name.ts'
import { networkOf } from './network.ts'
import type { PasswordVerdict } from './password.ts'
import { expiryOf, readTenant, type SignedIn } from './session.ts'
import { statements } from './statements.ts'
import { type Attempt, countAttempts, forgive, THROTTLE_RULES, throttleKey } from './throttle.ts'

/** Who wants to sign in. */
export type SignInInput = {
  readonly email: string
  readonly password: string
  /** hash of a session token that came along in the cookie: that session ends in the same transaction (CWE-384) */
  readonly endedTokenHash?: Buffer | undefined
}

/**
 * Checks a password and begins a session, in the user's only tenant if there is just one.
 *
 * An address that is not there costs the same statements and one hash, and gets the same answer as a wrong password
 * (CWE-204, CWE-208, ASVS 6.3.8). Attempts are counted before anything is checked (CWE-307).
 *
 * @throws IdentityError `throttled`, `invalid_credentials`, `busy`
 */
export async function signIn(identity: Identity, input: SignInInput, trace: RequestTrace): Promise<SignedIn> {
  const { pool, keys, passwords } = identity
  const email = addressOf(input.email)
  const network = networkOf(trace.address)
  const byNetwork: Attempt = { rule: THROTTLE_RULES.signInNetwork, subject: network }
  const byAccount: Attempt = { rule: THROTTLE_RULES.signInAccount, subject: email }
  const byPair: Attempt = { rule: THROTTLE_RULES.signInPair, subject: `${network}\0${email}` }
  await countAttempts(pool, keys.throttle, [byNetwork, byPair, byAccount])

  const account = await findAccount(identity, email)
  let verdict: PasswordVerdict
  try {
    verdict = await passwords.verify(input.password, account?.hash)
  } catch (error) {
    // nothing was compared, so nothing was guessed
    await forgive(pool, keys.throttle, { clear: [], giveBack: [byNetwork, byPair, byAccount] })
    throw error
  }
  const session =
    verdict.right && account !== undefined ? await begin(identity, account, verdict, input, trace) : undefined
  if (session === undefined) {
    const digest = throttleKey(keys.throttle, byAccount).toString('hex')
    await write(identity, [journalQuery({ event: 'sign_in_failed', network, details: { account: digest } })])
    throw new IdentityError('invalid_credentials')
  }
  await forgive(pool, keys.throttle, { clear: [byPair, byAccount], giveBack: [byNetwork] })
  return session
}

type Account = { readonly id: string; readonly hash: string; readonly changedAt: string }

/** The account that a password could open; one that is disabled is as good as none. */
async function findAccount({ pool }: Identity, email: string): Promise<Account | undefined> {
  const [found] = await pool.transaction((transaction) =>
    transaction.send([{ statement: statements.accountByEmail, values: [email] }], { commit: true }),
  )
  const row: Row | undefined = found?.rows[0]
  if (row === undefined || row.status !== 'active' || typeof row.hash !== 'string') return undefined
  return { id: String(row.id), hash: row.hash, changedAt: String(row.changed_at) }
}

/** Begins the session; nothing when the password was changed or the user disabled while it was being compared (CWE-367). */
async function begin(
  identity: Identity,
  account: Account,
  verdict: PasswordVerdict,
  input: SignInInput,
  trace: RequestTrace,
): Promise<SignedIn | undefined> {
  const { settings } = identity
  const network = networkOf(trace.address)
  const upgrade = verdict.upgrade ? await rehash(identity, input.password) : undefined
  const { token, hash } = newSessionToken()
  const sessionId = randomUUID()

  return identity.pool.transaction(async (transaction) => {
    const [stands, memberships] = await transaction.send([
      { statement: statements.credentialStands, values: [account.id, account.changedAt] },
      { statement: statements.tenantsOfUser, values: [account.id] },
    ])
    if (stands?.rowCount !== 1) return undefined
    const tenants = (memberships?.rows ?? []).map(readTenant)
    const tenant = tenants.length === 1 ? (tenants[0] ?? null) : null
    const { sessionIdleSeconds: idle, sessionAbsoluteSeconds: absolute } = settings
    const values = [sessionId, hash, account.id, tenant?.id ?? null, idle, absolute, userAgentOf(trace.userAgent)]
    const entry = { event: 'signed_in', userId: account.id, sessionId, network } as const
    const queries: Query[] = [
      { statement: statements.sessionAdd, values },
      journalQuery(tenant === null ? entry : { ...entry, tenantId: tenant.id }),
    ]
    if (input.endedTokenHash !== undefined) {
      queries.push({ statement: statements.sessionEndByToken, values: [input.endedTokenHash] })
    }
    if (upgrade !== undefined) {
      queries.push({ statement: statements.passwordUpgrade, values: [account.id, account.hash, upgrade] })
    }
    const [added] = await transaction.send(queries, { commit: true })
    return { token, expiresAt: expiryOf(added?.rows[0]), sessionId, userId: account.id, tenant, tenants }
  })
}

/** Today's hash of a password that was right; nothing when the lane is full: the next sign-in will do. */
async function rehash({ passwords }: Identity, password: string): Promise<string | undefined> {
  try {
    return await passwords.hash(password)
  } catch (error) {
    if (error instanceof IdentityError && error.code === 'busy') return undefined
    throw error
  }
}

async function write({ pool }: Identity, queries: readonly Query[]): Promise<void> {
  await pool.transaction((transaction) => transaction.send(queries, { commit: true }))
}

/** What cannot be an address is looked up all the same, at the same cost; the space in front keeps it from matching any. */
function addressOf(text: string): string {
  try {
    return parseEmail(text)
  } catch {
    return ` ${text.slice(0, 254).replaceAll('\0', '')}`
  }
}
