import { randomUUID } from 'node:crypto'
import { accountQueries, consume, countHashes, onTakenAddress, refuseTaken } from './account.ts'
import { parseEmail } from './email.ts'
import { IdentityError } from './errors.ts'
import type { Identity, NewMember, RequestTrace, TenantOfUser } from './identity.ts'
import { journalQuery } from './journal.ts'
import { parseName } from './name.ts'
import { networkOf } from './network.ts'
import { checkPassword } from './password.ts'
import { newSecret, readSecret } from './secret.ts'
import { statements } from './statements.ts'

/** What the operator founds with the one-time token. */
export type SetupInput = {
  readonly token: string
  readonly tenant: { readonly slug: string; readonly name: string }
  readonly owner: { readonly email: string; readonly password: string; readonly displayName: string }
}

export type CompletedSetup = { readonly userId: string; readonly email: string; readonly tenant: TenantOfUser }

/**
 * A one-time token that makes a tenant and its owner: there is no default password (ASVS 6.3.2, CWE-1392). For the
 * operator's eyes; each call replaces the last token, so only the one made last works.
 *
 * @param further also where there is a tenant already
 * @returns the token, or nothing when the database has a tenant and `further` is false
 */
export async function issueSetupToken(
  identity: Pick<Identity, 'pool' | 'settings'>,
  further = false,
): Promise<string | undefined> {
  const { token, hash } = newSecret('setup')
  const pend = { statement: statements.setupPend, values: [hash, identity.settings.setupTokenSeconds, further] }
  const [pending] = await identity.pool.transaction((transaction) => transaction.send([pend], { commit: true }))
  return pending?.rowCount === 1 ? token : undefined
}

/**
 * Makes a tenant and its owner, whose address the operator vouches for.
 *
 * @throws IdentityError `token_invalid`; `email_invalid`, `display_name_invalid`, `password_…`, `slug_invalid`,
 *   `tenant_name_invalid`; `slug_taken`, `account_exists`, `throttled`, `busy`
 */
export async function completeSetup(
  identity: Identity,
  input: SetupInput,
  trace: RequestTrace,
): Promise<CompletedSetup> {
  const { pool, joining, passwords } = identity
  const network = networkOf(trace.address)
  const secret = readSecret(input.token)
  if (secret === undefined || secret.purpose !== 'setup') throw new IdentityError('token_invalid')
  // judged before anything else is said or hashed
  const live = await pool.transaction((transaction) => transaction.query(statements.tokenPeek, ['setup', secret.hash]))
  if (live.rowCount !== 1) throw new IdentityError('token_invalid')

  const email = parseEmail(input.owner.email)
  const displayName = parseName(input.owner.displayName, 'display_name_invalid')
  checkPassword(input.owner.password, { email, displayName })
  // all that can be known before the hash (CWE-770)
  await pool.transaction(async (transaction) => {
    await joining.checkTenant(transaction, input.tenant)
    await refuseTaken(transaction, email, 'account_exists')
  })
  await countHashes(identity, secret.hash, trace)
  const hash = await passwords.hash(input.owner.password)
  const owner: NewMember = { userId: randomUUID(), email, displayName }

  const tenant = await onTakenAddress('account_exists', () =>
    pool.transaction(async (transaction) => {
      await consume(transaction, 'setup', secret.hash)
      await transaction.send(accountQueries(owner, hash, network))
      const founded = await joining.foundTenant(transaction, input.tenant, owner)
      const entry = { event: 'set_up', userId: owner.userId, tenantId: founded.id, network } as const
      await transaction.send([journalQuery(entry)], { commit: true })
      return founded
    }),
  )
  return { userId: owner.userId, email, tenant }
}
