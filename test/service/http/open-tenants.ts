import { seedTwoTenants, type TwoTenants } from '../../two-tenants.ts'
import { type OpenService, openService } from './open-service.ts'

/** The real service with two tenants, and everybody of them signed in. */
export type OpenTenants = {
  readonly room: OpenService
  readonly tenants: TwoTenants
  /** The token of somebody, named by tenant and role: `acme owner`. */
  readonly as: (who: string) => string
}

export async function openTenants(): Promise<OpenTenants> {
  const room = await openService()
  const tenants = await seedTwoTenants(room.database)
  const tokens: Record<string, string> = {}
  for (const tenant of [tenants.acme, tenants.globex]) {
    for (const [role, user] of Object.entries(tenant.users)) {
      tokens[`${tenant.slug} ${role}`] = await tenants.session(user.id, tenant.id)
    }
  }
  return { room, tenants, as: (who) => tokens[who] ?? '' }
}
