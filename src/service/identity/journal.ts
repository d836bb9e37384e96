import type { Query } from '../../core/database/statement.ts'
import { statements } from './statements.ts'

/** What can be written down. */
type JournalEvent =
  | 'set_up'
  | 'sign_up_requested'
  | 'account_created'
  | 'signed_in'
  | 'sign_in_failed'
  | 'signed_out'
  | 'session_revoked'
  | 'sessions_revoked'
  | 'tenant_chosen'
  | 'tenant_created'
  | 'invitation_created'
  | 'invitation_accepted'
  | 'invitation_withdrawn'
  | 'tenant_renamed'
  | 'member_role_changed'
  | 'member_removed'
  | 'mail_given_up'

/** What an event may say beyond who and where: a closed list without a place for a secret (CWE-532). */
type JournalDetails = {
  /** keyed digest of an address, so that attempts on one account can be counted together */
  readonly account?: string
  readonly role?: string
  /** the role before a change */
  readonly was?: string
  /** the user whose membership it is about */
  readonly member?: string
  readonly count?: number
  readonly invitation?: string
  readonly mail?: string
  /** the session that was ended, or that the new one took over from */
  readonly ended?: string
}

export type JournalEntry = {
  readonly event: JournalEvent
  readonly userId?: string
  readonly tenantId?: string
  readonly sessionId?: string
  /** as {@link networkOf} folds it */
  readonly network?: string
  readonly details?: JournalDetails
}

/** The INSERT of one entry, for the flight of what it tells of (ASVS 16.2.1, 16.3.1). */
export function journalQuery(entry: JournalEntry): Query {
  const { event, userId = null, tenantId = null, sessionId = null, network = '', details = {} } = entry
  return {
    statement: statements.journalAdd,
    values: [event, userId, tenantId, sessionId, network, JSON.stringify(details)],
  }
}
