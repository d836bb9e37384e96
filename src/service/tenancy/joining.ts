import type { Joining } from '../identity/identity.ts'
import { invitedAddress, joinByInvitation } from './invitation.ts'
import { checkTenant, foundTenant } from './tenant.ts'

/** What identity asks of tenancy: how an account joins a tenant. Handed in by the composition. */
export const joining: Joining = { invitedAddress, joinByInvitation, checkTenant, foundTenant }
