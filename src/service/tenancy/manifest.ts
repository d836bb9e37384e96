import { grantedPermissions } from '../../core/scope/grants.ts'
import type { Manifest, Table } from '../../core/scope/manifest.ts'

const profiles: Table = {
  schema: 'tenancy',
  name: 'profiles',
  resource: 'profile',
  columns: {
    tenant_id: { type: 'uuid' },
    user_id: { type: 'uuid' },
    email: { type: 'text' },
    display_name: { type: 'text' },
    created_at: { type: 'timestamptz' },
    updated_at: { type: 'timestamptz' },
  },
  tenant: 'tenant_id',
  owner: 'user_id',
}

const teams: Table = {
  schema: 'tenancy',
  name: 'teams',
  resource: 'team',
  columns: {
    tenant_id: { type: 'uuid' },
    id: { type: 'uuid' },
    slug: { type: 'text' },
    name: { type: 'text' },
    created_by: { type: 'uuid' },
    created_at: { type: 'timestamptz' },
    revision: { type: 'int8' },
  },
  tenant: 'tenant_id',
  owner: 'created_by',
}

const teamMembers: Table = {
  schema: 'tenancy',
  name: 'team_members',
  resource: 'team_member',
  columns: {
    tenant_id: { type: 'uuid' },
    team_id: { type: 'uuid' },
    user_id: { type: 'uuid' },
    role: { type: 'text' },
    created_at: { type: 'timestamptz' },
  },
  tenant: 'tenant_id',
  owner: 'user_id',
}

/** Sees the tenant's people and teams; writes nothing but their own profile. */
const viewer = ['tenant:read', 'profile:read', 'profile:update@own', 'team:read', 'team_member:read']

/**
 * Also founds teams, and names again those they founded. `team_member:create@own` puts the founder onto the new team;
 * changing who is on a team needs `team_member:update` besides, which a member lacks: nobody joins a team unasked.
 */
const member = [...viewer, 'team:create', 'team:update@own', 'team_member:create@own', 'team_member:delete@own']

/** Runs the tenant's people and teams, but is not above the owner: see `tenant:update`, which only owners have. */
const admin = [
  ...viewer,
  'team:create',
  'team:update',
  'team:delete',
  'team_member:create',
  'team_member:update',
  'team_member:delete',
  'member:read',
  'member:update',
  'member:delete',
  'invitation:create',
  'invitation:read',
  'invitation:delete',
]

/** Everything: also the tenant itself, everybody's profile, and whose a team is. */
const owner = [...admin, 'profile:update', 'team:reassign', 'tenant:update', 'tenant:delete']

/** The role of whoever founds a tenant. */
export const FOUNDER_ROLE = 'owner'

/** The roles that a tenant's members can have, each with its grants; docs/roles.md has them as a table. */
export const defaultRoles = { owner, admin, member, viewer } as const

/** Every permission that means something here: those of the default roles, and all verbs on each table. */
export const knownPermissions: ReadonlySet<string> = new Set([
  ...grantedPermissions(defaultRoles),
  ...[profiles, teams, teamMembers].flatMap(({ resource }) =>
    ['read', 'create', 'update', 'delete', 'reassign'].map((verb) => `${resource}:${verb}`),
  ),
])

/** The service's own tenant data, under both walls. */
export const serviceManifest: Manifest = { tables: [profiles, teams, teamMembers], roles: defaultRoles }
