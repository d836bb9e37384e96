import { randomBytes, randomUUID } from 'node:crypto'
import { newSessionToken } from '../src/core/guard/credential.ts'
import type { TestDatabase } from './postgres.ts'

/** The roles that each tenant has a user of; the service account has a membership and no profile. */
export const seededRoles = ['owner', 'admin', 'member', 'viewer'] as const
export type SeededRole = (typeof seededRoles)[number]

export type SeededUser = { readonly id: string; readonly email: string; readonly name: string }

/** A tenant with a user of each role, and a team `core` of owner and member. All its texts carry the canary. */
export type SeededTenant = {
  readonly id: string
  readonly slug: string
  /** random text in each of its rows: whoever sees it has reached the tenant */
  readonly canary: string
  readonly users: Readonly<Record<SeededRole | 'service', SeededUser>>
  readonly teamId: string
}

/** Two customers who share a database. */
export type TwoTenants = {
  readonly acme: SeededTenant
  readonly globex: SeededTenant
  /** A live session's token, written straight into the database. */
  session(userId: string, tenantId: string | null, overrides?: { assurance?: 'aal1' | 'aal2' }): Promise<string>
  setRole(tenant: SeededTenant, userId: string, role: string): Promise<void>
  remove(tenant: SeededTenant, userId: string): Promise<void>
}

/** Seeds two tenants past both walls. */
export async function seedTwoTenants(database: TestDatabase): Promise<TwoTenants> {
  const acme = await seedTenant(database, 'acme')
  const globex = await seedTenant(database, 'globex')
  return {
    acme,
    globex,
    async session(userId, tenantId, { assurance = 'aal1' } = {}) {
      const { token, hash } = newSessionToken()
      await database.owner(
        `INSERT INTO holdfast.sessions (token_hash, user_id, tenant_id, assurance, idle_seconds, expires_at)
         VALUES ($1, $2, $3, $4, 3600, now() + INTERVAL '1 day')`,
        [hash, userId, tenantId, assurance],
      )
      return token
    },
    async setRole(tenant, userId, role) {
      await database.owner('UPDATE holdfast.memberships SET role = $3 WHERE tenant_id = $1 AND user_id = $2', [
        tenant.id,
        userId,
        role,
      ])
    },
    async remove(tenant, userId) {
      await database.owner('DELETE FROM holdfast.memberships WHERE tenant_id = $1 AND user_id = $2', [
        tenant.id,
        userId,
      ])
    },
  }
}

async function seedTenant({ owner }: TestDatabase, slug: string): Promise<SeededTenant> {
  const canary = `canary-${slug}-${randomBytes(6).toString('hex')}`
  const id = randomUUID()
  const teamId = randomUUID()
  await owner('INSERT INTO holdfast.tenants (id, slug, name, revision) VALUES ($1, $2, $3, 1)', [
    id,
    slug,
    `${slug} ${canary}`,
  ])
  const users: Record<string, SeededUser> = {}
  for (const role of [...seededRoles, 'service'] as const) {
    const user = { id: randomUUID(), email: `${role}.${canary}@${slug}.example`, name: `${role} ${canary}` }
    users[role] = user
    await owner('INSERT INTO holdfast.users (id, kind, email, display_name) VALUES ($1, $2, $3, $4)', [
      user.id,
      role === 'service' ? 'service' : 'person',
      role === 'service' ? null : user.email,
      user.name,
    ])
    await owner('INSERT INTO holdfast.memberships (tenant_id, user_id, role, revision) VALUES ($1, $2, $3, 1)', [
      id,
      user.id,
      role === 'service' ? 'member' : role,
    ])
    if (role === 'service') continue
    await owner('INSERT INTO tenancy.profiles (tenant_id, user_id, email, display_name) VALUES ($1, $2, $3, $4)', [
      id,
      user.id,
      user.email,
      user.name,
    ])
  }
  const seeded = users as SeededTenant['users']
  await owner(
    'INSERT INTO tenancy.teams (tenant_id, id, slug, name, created_by, revision) VALUES ($1, $2, $3, $4, $5, 1)',
    [id, teamId, 'core', `core ${canary}`, seeded.owner.id],
  )
  for (const [role, place] of [
    ['owner', 'lead'],
    ['member', 'member'],
  ] as const) {
    await owner('INSERT INTO tenancy.team_members (tenant_id, team_id, user_id, role) VALUES ($1, $2, $3, $4)', [
      id,
      teamId,
      seeded[role].id,
      place,
    ])
  }
  return { id, slug, canary, users: seeded, teamId }
}
