import { randomUUID } from 'node:crypto'
import { accountQueries, consume, onTakenAddress } from './account.ts'
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
 * The one-time token that makes the first tenant and its owner: there is no default password (ASVS 6.3.2, CWE-1392).
 * Each call replaces the last token, so only the one printed last works.
 *
 * @returns the token, or nothing when the database has a tenant
 */
export async function issueSetupToken(identity: Identity): Promise<string | undefined> {
  const { token, hash } = newSecret('setup')
  const pend = { statement: statements.setupPend, values: [hash, identity.settings.setupTokenSeconds] }
  const [pending] = await identity.pool.transaction((transaction) => transaction.send([pend], { commit: true }))
  return pending?.rowCount === 1 ? token : undefined
}

/**
 * Makes the first tenant and its owner, whose address the operator vouches for.
 *
 * @throws IdentityError `token_invalid`; `email_invalid`, `display_name_invalid`, `password_…`, `slug_invalid`,
 *   `tenant_name_invalid`; `account_exists`, `busy`
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
  const hash = await passwords.hash(input.owner.password)
  const owner: NewMember = { userId: randomUUID(), email, displayName }

  const tenant = await onTakenAddress('account_exists', () =>
    pool.transaction(async (transaction) => {
      await consume(transaction, 'setup', secret.hash)
      const { rows } = await transaction.query(statements.databaseIsEmpty)
      if (rows[0]?.is_empty !== true) throw new IdentityError('token_invalid')
      await transaction.send(accountQueries(owner, hash, network))
      const founded = await joining.foundTenant(transaction, input.tenant, owner)
      const entry = { event: 'set_up', userId: owner.userId, tenantId: founded.id, network } as const
      await transaction.send([journalQuery(entry)], { commit: true })
      return founded
    }),
  )
  return { userId: owner.userId, email, tenant }
}
