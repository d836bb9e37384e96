import { randomUUID } from 'node:crypto'
import { StatementError } from '../../core/database/errors.ts'
import type { Query } from '../../core/database/statement.ts'
import type { Transaction } from '../../core/database/transaction.ts'
import { accountExistsMessage, signUpMessage } from '../mail/messages.ts'
import { enqueue } from '../mail/outbox.ts'
import { parseEmail } from './email.ts'
import { IdentityError } from './errors.ts'
import type { Identity, NewMember, RequestTrace, TenantOfUser } from './identity.ts'
import { journalQuery } from './journal.ts'
import { parseName } from './name.ts'
import { networkOf } from './network.ts'
import { checkPassword } from './password.ts'
import { newSecret, readSecret } from './secret.ts'
import { statements } from './statements.ts'
import { countAttempts, THROTTLE_RULES } from './throttle.ts'

/** At most one mail a minute to one address, so that sign-up is no way to flood a mailbox (CWE-799). */
const SIGN_UP_MAIL_PAUSE_SECONDS = 60

/** An account that has just been made, and the tenant that its invitation led into. */
export type CompletedSignUp = { readonly userId: string; readonly email: string; readonly tenant: TenantOfUser | null }

/**
 * Asks to sign up. No password yet: whoever proves the address chooses it, so nobody can lay an account of theirs under
 * another's address (CWE-287). The same outcome for every address; only the mail tells, to its owner, whether there is an
 * account (CWE-204).
 *
 * @throws IdentityError `sign_up_closed`, `email_invalid`, `throttled` (by network only)
 */
export async function signUp(identity: Identity, input: { email: string }, trace: RequestTrace): Promise<void> {
  const { pool, keys, settings } = identity
  if (!settings.signUpOpen) throw new IdentityError('sign_up_closed')
  const email = parseEmail(input.email)
  const network = networkOf(trace.address)
  await countAttempts(pool, keys.throttle, [{ rule: THROTTLE_RULES.signUpNetwork, subject: network }])

  const { token, hash } = newSecret('sign_up')
  const { publicOrigin: origin, signUpTokenSeconds: lifetime } = settings
  const mailed = await pool.transaction(
    async (transaction) => {
      const [pending, account] = await transaction.send([
        { statement: statements.signUpPend, values: [hash, email, lifetime, SIGN_UP_MAIL_PAUSE_SECONDS] },
        { statement: statements.accountByEmail, values: [email] },
      ])
      if (pending?.rowCount !== 1) return false
      // both are made, so that both cost the same; the token of an address with an account is never seen
      const fresh = enqueue(keys.outbox, { recipient: email, message: signUpMessage(origin, token, lifetime / 60) })
      const known = enqueue(keys.outbox, { recipient: email, message: accountExistsMessage(origin) })
      const mail = account?.rowCount === 0 ? fresh : known
      await transaction.send([mail, journalQuery({ event: 'sign_up_requested', network })], { commit: true })
      return true
    },
    // parallel requests for one address wait for its row, and see that the mail has been written
    { isolation: 'read committed' },
  )
  if (mailed) identity.onMail?.()
}

/**
 * Makes the account, for the token of a sign-up mail or of an invitation – which also makes the membership, in the same
 * transaction. The token is consumed in the same statement that judges it: one account, however often it is sent
 * (CWE-362, CWE-294).
 *
 * @throws IdentityError `token_invalid`; `account_exists` (invitation only); `password_…`, `display_name_invalid`;
 *   `throttled`, `busy`
 */
export async function completeSignUp(
  identity: Identity,
  input: { token: string; password: string; displayName: string },
  trace: RequestTrace,
): Promise<CompletedSignUp> {
  const { pool, joining } = identity
  const displayName = parseName(input.displayName, 'display_name_invalid')
  const secret = readSecret(input.token)
  if (secret === undefined || secret.purpose === 'setup') throw new IdentityError('token_invalid')
  const invited = secret.purpose === 'invitation'

  const taken = invited ? 'account_exists' : 'token_invalid'
  // judged before the expensive hash: only a live token that can still make an account may ask for one (CWE-400)
  const email = await pool.transaction(async (transaction) => {
    const address = invited
      ? await joining.invitedAddress(transaction, secret.hash)
      : await peek(transaction, secret.hash)
    if (address === undefined) throw new IdentityError('token_invalid')
    await refuseTaken(transaction, address, taken)
    return address
  })
  checkPassword(input.password, { email, displayName })
  await countHashes(identity, secret.hash, trace)
  const hash = await identity.passwords.hash(input.password)

  const member: NewMember = { userId: randomUUID(), email, displayName }
  const make = async (transaction: Transaction): Promise<TenantOfUser | null> => {
    if (!invited) await consume(transaction, 'sign_up', secret.hash)
    await transaction.send(accountQueries(member, hash, networkOf(trace.address)))
    if (!invited) return null
    const joined = await joining.joinByInvitation(transaction, secret.hash, member)
    if (joined === undefined) throw new IdentityError('token_invalid')
    return joined
  }
  const tenant = await onTakenAddress(taken, () =>
    // a sign-up reads nothing that it does not also write: consumption and uniqueness alone decide, and a crowd of new
    // users need not run into each other's predicate locks; an invitation is judged by rows that others may change
    pool.transaction(make, { isolation: invited ? 'serializable' : 'read committed' }),
  )
  return { userId: member.userId, email, tenant }
}

async function peek(transaction: Transaction, tokenHash: Buffer): Promise<string | undefined> {
  const { rows } = await transaction.query(statements.tokenPeek, ['sign_up', tokenHash])
  return rows[0] === undefined ? undefined : String(rows[0].email)
}

/** Answers before a hash what the unique address would answer after it. @throws IdentityError the given code */
export async function refuseTaken(
  transaction: Transaction,
  email: string,
  code: 'account_exists' | 'token_invalid',
): Promise<void> {
  const { rowCount } = await transaction.query(statements.accountByEmail, [email])
  if (rowCount !== 0) throw new IdentityError(code)
}

/**
 * Counts what is about to be hashed for a single-use secret, so that one secret cannot fill the lane that every sign-in
 * needs (CWE-770). @throws IdentityError `throttled`
 */
export async function countHashes({ pool, keys }: Identity, tokenHash: Buffer, trace: RequestTrace): Promise<void> {
  await countAttempts(pool, keys.throttle, [
    { rule: THROTTLE_RULES.completionToken, subject: tokenHash.toString('hex') },
    { rule: THROTTLE_RULES.completionNetwork, subject: networkOf(trace.address) },
  ])
}

/**
 * Consumes a single-use secret, atomically (CWE-367).
 * @throws IdentityError `token_invalid`: unknown, used, expired – one answer
 */
export async function consume(transaction: Transaction, purpose: 'setup' | 'sign_up', hash: Buffer): Promise<void> {
  const { rowCount } = await transaction.query(statements.tokenConsume, [purpose, hash])
  if (rowCount !== 1) throw new IdentityError('token_invalid')
}

/** The statements that make an account: its address's other pending secrets end with it. */
export function accountQueries({ userId, email, displayName }: NewMember, hash: string, network: string): Query[] {
  return [
    { statement: statements.userAdd, values: [userId, email, displayName] },
    { statement: statements.passwordAdd, values: [userId, hash] },
    { statement: statements.tokensForget, values: [email] },
    journalQuery({ event: 'account_created', userId, network }),
  ]
}

/** Turns the database's word that an address is taken into the room's answer. */
export async function onTakenAddress<T>(code: 'account_exists' | 'token_invalid', work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof StatementError && error.isConstraint('users_email_key')) {
      throw new IdentityError(code, { cause: error })
    }
    throw error
  }
}
