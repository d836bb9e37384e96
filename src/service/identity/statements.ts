import { outboxStatements } from '../mail/outbox.ts'

/**
 * Everything that the identity role ever sends: a closed list, each statement keyed by token, user, address or tenant.
 * The last group has no key: it deletes by time alone.
 * Statements on memberships, invitations and profiles run under row-level security: `tenantEnter` goes first.
 */
export const statements = {
  // throttle, by HMAC of what is counted
  throttleHit: {
    name: 'throttle_hit',
    // Counts one attempt unless the key is blocked; no row comes back when it is (CWE-307, CWE-362). Who waited for the
    // row has an older now() than who wrote it: an end of blocking that is not meant is long past, never now().
    // A row that is seen to be blocked is not locked; the last WHERE judges whoever waited for it.
    text: `INSERT INTO holdfast.throttle AS t (key, failures, blocked_until, expires_at)
SELECT $1::BYTEA, 1, '1970-01-01T00:00:00Z'::TIMESTAMPTZ, now() + $4::INT8 * INTERVAL '1 second'
WHERE NOT EXISTS (SELECT b.key FROM holdfast.throttle b WHERE b.key = $1::BYTEA AND b.blocked_until > now())
ON CONFLICT (key) DO UPDATE SET
  failures = CASE WHEN t.expires_at <= now() THEN 1 ELSE t.failures + 1 END,
  blocked_until = CASE WHEN t.expires_at <= now() OR t.failures + 1 < $2::INT8 THEN t.blocked_until
    ELSE now() + LEAST($3::FLOAT8, power(2::FLOAT8, LEAST(t.failures + 1 - $2::INT8, 30)::FLOAT8)) * INTERVAL '1 second' END,
  expires_at = now() + $4::INT8 * INTERVAL '1 second'
WHERE t.blocked_until <= now()
RETURNING failures`,
  },
  throttleWait: {
    name: 'throttle_wait',
    text: `SELECT ceil(extract(epoch FROM blocked_until - now()))::INT8 AS seconds FROM holdfast.throttle WHERE key = $1::BYTEA`,
  },
  throttleClear: { name: 'throttle_clear', text: 'DELETE FROM holdfast.throttle WHERE key = $1::BYTEA' },
  throttleGiveBack: {
    name: 'throttle_give_back',
    text: `UPDATE holdfast.throttle SET failures = GREATEST(failures - 1, 0), blocked_until = '1970-01-01T00:00:00Z'::TIMESTAMPTZ WHERE key = $1::BYTEA`,
  },

  // accounts, by address or id
  accountByEmail: {
    name: 'account_by_email',
    text: `SELECT u.id, u.status, p.hash, p.changed_at::TEXT AS changed_at
FROM holdfast.users u LEFT JOIN holdfast.passwords p ON p.user_id = u.id
WHERE u.email = $1::TEXT`,
  },
  credentialStands: {
    name: 'credential_stands',
    text: `SELECT u.id FROM holdfast.users u JOIN holdfast.passwords p ON p.user_id = u.id
WHERE u.id = $1::UUID AND u.status = 'active' AND p.changed_at = $2::TEXT::TIMESTAMPTZ`,
  },
  userById: {
    name: 'user_by_id',
    text: `SELECT email, display_name FROM holdfast.users WHERE id = $1::UUID AND status = 'active'`,
  },
  userAdd: {
    name: 'user_add',
    text: 'INSERT INTO holdfast.users (id, email, display_name) VALUES ($1::UUID, $2::TEXT, $3::TEXT)',
  },
  passwordAdd: {
    name: 'password_add',
    text: 'INSERT INTO holdfast.passwords (user_id, hash) VALUES ($1::UUID, $2::TEXT)',
  },
  passwordUpgrade: {
    name: 'password_upgrade',
    // changed_at stays: the password is the same
    text: 'UPDATE holdfast.passwords SET hash = $3::TEXT WHERE user_id = $1::UUID AND hash = $2::TEXT',
  },

  // sessions, by user, id or token
  sessionAdd: {
    name: 'session_add',
    text: `INSERT INTO holdfast.sessions (id, token_hash, user_id, tenant_id, idle_seconds, expires_at, user_agent)
VALUES ($1::UUID, $2::BYTEA, $3::UUID, $4::UUID, $5::INT8, now() + $6::INT8 * INTERVAL '1 second', $7::TEXT)
RETURNING expires_at`,
  },
  sessionRotate: {
    name: 'session_rotate',
    // the absolute end and the time of authentication stay: rotating prolongs nothing (CWE-613)
    text: `INSERT INTO holdfast.sessions
  (id, token_hash, user_id, tenant_id, assurance, authenticated_at, idle_seconds, expires_at, user_agent)
SELECT $1::UUID, $2::BYTEA, s.user_id, $5::UUID, s.assurance, s.authenticated_at, s.idle_seconds, s.expires_at, s.user_agent
FROM holdfast.sessions s
WHERE s.id = $3::UUID AND s.user_id = $4::UUID AND s.revoked_at IS NULL
RETURNING expires_at`,
  },
  sessionEnd: {
    name: 'session_end',
    text: `UPDATE holdfast.sessions SET revoked_at = now()
WHERE id = $1::UUID AND user_id = $2::UUID AND revoked_at IS NULL RETURNING id`,
  },
  sessionEndByToken: {
    name: 'session_end_by_token',
    text: 'UPDATE holdfast.sessions SET revoked_at = now() WHERE token_hash = $1::BYTEA AND revoked_at IS NULL RETURNING id',
  },
  sessionEndAll: {
    name: 'session_end_all',
    text: `UPDATE holdfast.sessions SET revoked_at = now()
WHERE user_id = $1::UUID AND revoked_at IS NULL AND expires_at > now() RETURNING id`,
  },
  sessionsOfUser: {
    name: 'sessions_of_user',
    text: `SELECT id, tenant_id, assurance, authenticated_at, created_at, last_seen_at, expires_at, user_agent
FROM holdfast.sessions
WHERE user_id = $1::UUID AND revoked_at IS NULL AND expires_at > now()
  AND last_seen_at + idle_seconds * INTERVAL '1 second' > now()
ORDER BY created_at DESC, id LIMIT 200`,
  },

  // single-use secrets, by purpose and token or address
  signUpPend: {
    name: 'sign_up_pend',
    // one pending row an address; no row comes back when the last mail is younger than $4 seconds
    text: `INSERT INTO holdfast.one_time_tokens AS t (purpose, token_hash, email, expires_at)
VALUES ('sign_up', $1::BYTEA, $2::TEXT, now() + $3::INT8 * INTERVAL '1 second')
ON CONFLICT (purpose, email) DO UPDATE SET
  token_hash = excluded.token_hash, created_at = now(), expires_at = excluded.expires_at, consumed_at = NULL
WHERE t.created_at <= now() - $4::INT8 * INTERVAL '1 second'
RETURNING email`,
  },
  setupPend: {
    name: 'setup_pend',
    // $3: also where there is a tenant already
    text: `INSERT INTO holdfast.one_time_tokens (purpose, token_hash, email, expires_at)
SELECT 'setup', $1::BYTEA, '', now() + $2::INT8 * INTERVAL '1 second'
WHERE $3::BOOL OR NOT EXISTS (SELECT t.id FROM holdfast.tenants t)
ON CONFLICT (purpose, email) DO UPDATE SET
  token_hash = excluded.token_hash, created_at = now(), expires_at = excluded.expires_at, consumed_at = NULL
RETURNING purpose`,
  },
  tokenPeek: {
    name: 'token_peek',
    text: `SELECT email FROM holdfast.one_time_tokens
WHERE purpose = $1::TEXT AND token_hash = $2::BYTEA AND consumed_at IS NULL AND expires_at > now()`,
  },
  tokenConsume: {
    name: 'token_consume',
    text: `UPDATE holdfast.one_time_tokens SET consumed_at = now()
WHERE purpose = $1::TEXT AND token_hash = $2::BYTEA AND consumed_at IS NULL AND expires_at > now()
RETURNING email`,
  },
  tokensForget: {
    name: 'tokens_forget',
    text: `DELETE FROM holdfast.one_time_tokens WHERE email = $1::TEXT AND email <> '' AND consumed_at IS NULL`,
  },

  // tenants and members, by tenant; under row-level security
  tenantEnter: {
    name: 'tenant_enter',
    text: `SELECT pg_catalog.set_config('holdfast.tenant_id', $1::TEXT, true) AS tenant_id`,
  },
  tenantAdd: {
    name: 'tenant_add',
    text: 'INSERT INTO holdfast.tenants (id, slug, name) VALUES ($1::UUID, $2::TEXT, $3::TEXT)',
  },
  tenantById: {
    name: 'tenant_by_id',
    text: `SELECT slug, name FROM holdfast.tenants WHERE id = $1::UUID AND status = 'active'`,
  },
  tenantBySlug: {
    name: 'tenant_by_slug',
    text: 'SELECT id FROM holdfast.tenants WHERE slug = $1::TEXT',
  },
  tenantsOfUser: {
    name: 'tenants_of_user',
    text: 'SELECT id, slug, name, role FROM holdfast.tenants_of_user($1::UUID)',
  },
  membershipAdd: {
    name: 'membership_add',
    text: `INSERT INTO holdfast.memberships (tenant_id, user_id, role) VALUES ($1::UUID, $2::UUID, $3::TEXT)`,
  },
  profileAdd: {
    name: 'profile_add',
    text: `INSERT INTO tenancy.profiles (tenant_id, user_id, email, display_name)
VALUES ($1::UUID, $2::UUID, $3::TEXT, $4::TEXT)`,
  },
  memberByEmail: {
    name: 'member_by_email',
    text: `SELECT m.user_id FROM holdfast.memberships m JOIN holdfast.users u ON u.id = m.user_id
WHERE m.tenant_id = $1::UUID AND u.email = $2::TEXT`,
  },
  grantsOfMember: {
    name: 'grants_of_member',
    text: `SELECT g.permission, g.reach
FROM holdfast.memberships m
JOIN holdfast.users u ON u.id = m.user_id AND u.status = 'active'
CROSS JOIN holdfast.current_roles c
JOIN holdfast.role_grants g ON g.version = c.version AND g.role = m.role
WHERE m.tenant_id = $1::UUID AND m.user_id = $2::UUID`,
  },
  grantsOfRole: {
    name: 'grants_of_role',
    text: `SELECT g.permission, g.reach
FROM holdfast.current_roles c JOIN holdfast.role_grants g ON g.version = c.version
WHERE g.role = $1::TEXT`,
  },
  tenantOfInvitation: {
    name: 'tenant_of_invitation',
    text: 'SELECT holdfast.tenant_of_invitation($1::BYTEA) AS tenant_id',
  },
  invitationAdd: {
    name: 'invitation_add',
    text: `INSERT INTO holdfast.invitations (tenant_id, id, email, role, token_hash, invited_by, expires_at)
VALUES ($1::UUID, $2::UUID, $3::TEXT, $4::TEXT, $5::BYTEA, $6::UUID, now() + $7::INT8 * INTERVAL '1 second')
RETURNING expires_at`,
  },
  invitationsReplace: {
    name: 'invitations_replace',
    text: `DELETE FROM holdfast.invitations WHERE tenant_id = $1::UUID AND email = $2::TEXT AND consumed_at IS NULL`,
  },
  invitationsOfSender: {
    name: 'invitations_of_sender',
    text: `DELETE FROM holdfast.invitations WHERE tenant_id = $1::UUID AND invited_by = $2::UUID AND consumed_at IS NULL`,
  },
  invitationPeek: {
    name: 'invitation_peek',
    text: `SELECT email FROM holdfast.invitations
WHERE tenant_id = $1::UUID AND token_hash = $2::BYTEA AND consumed_at IS NULL AND expires_at > now()`,
  },
  invitationConsume: {
    name: 'invitation_consume',
    text: `UPDATE holdfast.invitations SET consumed_at = now()
WHERE tenant_id = $1::UUID AND token_hash = $2::BYTEA AND email = $3::TEXT
  AND consumed_at IS NULL AND expires_at > now()
RETURNING id, role, invited_by`,
  },

  tenantRead: {
    name: 'tenant_read',
    text: `SELECT id, slug, name, created_at, revision FROM holdfast.tenants WHERE id = $1::UUID`,
  },
  tenantRename: {
    name: 'tenant_rename',
    // what the change is based on is compared where it is written (CWE-362); $3: whatever is there
    text: `UPDATE holdfast.tenants SET name = $2::TEXT, revision = revision + 1
WHERE id = $1::UUID AND ($3::BOOL OR revision = ANY ($4::INT8[]))
RETURNING id, slug, name, created_at, revision`,
  },
  memberList: {
    name: 'member_list',
    text: `SELECT m.user_id, m.role, m.created_at, u.kind, p.email, COALESCE(p.display_name, u.display_name) AS display_name
FROM holdfast.memberships m
JOIN holdfast.users u ON u.id = m.user_id
LEFT JOIN tenancy.profiles p ON p.tenant_id = m.tenant_id AND p.user_id = m.user_id
WHERE m.tenant_id = $1::UUID AND ($2::TEXT = '' OR m.role = $2::TEXT)
  AND ($3::BOOL OR m.user_id = $4::UUID) AND m.user_id > $5::UUID
ORDER BY m.user_id LIMIT $6::INT8`,
  },
  memberRead: {
    name: 'member_read',
    text: `SELECT m.user_id, m.role, m.created_at, m.revision, u.kind, u.email AS address, p.email,
  COALESCE(p.display_name, u.display_name) AS display_name
FROM holdfast.memberships m
JOIN holdfast.users u ON u.id = m.user_id
LEFT JOIN tenancy.profiles p ON p.tenant_id = m.tenant_id AND p.user_id = m.user_id
WHERE m.tenant_id = $1::UUID AND m.user_id = $2::UUID`,
  },
  grantsOfPlace: {
    name: 'grants_of_place',
    text: `SELECT g.permission, g.reach
FROM holdfast.memberships m
CROSS JOIN holdfast.current_roles c
JOIN holdfast.role_grants g ON g.version = c.version AND g.role = m.role
WHERE m.tenant_id = $1::UUID AND m.user_id = $2::UUID`,
  },
  otherHolders: {
    name: 'other_holders',
    // people who can act: neither a service account nor a disabled user keeps a tenant
    text: `SELECT count(*)::INT8 AS others
FROM holdfast.memberships m
JOIN holdfast.users u ON u.id = m.user_id AND u.status = 'active' AND u.kind = 'person'
WHERE m.tenant_id = $1::UUID AND m.role = $2::TEXT AND m.user_id <> $3::UUID`,
  },
  membershipChange: {
    name: 'membership_change',
    text: `UPDATE holdfast.memberships SET role = $3::TEXT, revision = revision + 1
WHERE tenant_id = $1::UUID AND user_id = $2::UUID AND ($4::BOOL OR revision = ANY ($5::INT8[]))
RETURNING revision`,
  },
  membershipRemove: {
    name: 'membership_remove',
    // profile and places on teams go with it, by their foreign keys
    text: `DELETE FROM holdfast.memberships
WHERE tenant_id = $1::UUID AND user_id = $2::UUID AND ($3::BOOL OR revision = ANY ($4::INT8[]))
RETURNING user_id`,
  },
  invitationList: {
    name: 'invitation_list',
    text: `SELECT id, email, role, invited_by, created_at, expires_at, expires_at <= now() AS expired
FROM holdfast.invitations
WHERE tenant_id = $1::UUID AND consumed_at IS NULL
  AND ($2::TEXT = '' OR ($2::TEXT = 'expired') = (expires_at <= now()))
  AND ($3::BOOL OR invited_by = $4::UUID) AND id > $5::UUID
ORDER BY id LIMIT $6::INT8`,
  },
  invitationWithdraw: {
    name: 'invitation_withdraw',
    text: `DELETE FROM holdfast.invitations
WHERE tenant_id = $1::UUID AND id = $2::UUID AND ($3::BOOL OR invited_by = $4::UUID) AND consumed_at IS NULL
RETURNING role`,
  },

  journalAdd: {
    name: 'journal_add',
    text: `INSERT INTO holdfast.journal (event, user_id, tenant_id, session_id, network, details)
VALUES ($1::TEXT, $2::UUID, $3::UUID, $4::UUID, $5::TEXT, $6::JSONB)`,
  },

  ...outboxStatements,

  // without a key
  sweepThrottle: { name: 'sweep_throttle', text: 'DELETE FROM holdfast.throttle WHERE expires_at <= now()' },
  sweepTokens: {
    name: 'sweep_tokens',
    text: `DELETE FROM holdfast.one_time_tokens WHERE expires_at <= now() - INTERVAL '1 day'`,
  },
  sweepSessions: {
    name: 'sweep_sessions',
    text: `DELETE FROM holdfast.sessions WHERE expires_at <= now() - INTERVAL '30 days' OR revoked_at <= now() - INTERVAL '1 day'`,
  },
} as const
