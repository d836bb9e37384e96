-- Who there is: users, their passwords and sessions, tenants, memberships, invitations, roles.
-- Runs as holdfast_owner. One DDL a statement; created, then row-level security, then policies, grants last.
CREATE TABLE holdfast.users (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  kind TEXT NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service')),
  email TEXT UNIQUE,
  display_name TEXT NOT NULL CHECK (length(display_name) BETWEEN 1 AND 200),
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  CHECK (kind = 'service' OR email IS NOT NULL)
);
-- next
CREATE TABLE holdfast.passwords (
  user_id UUID PRIMARY KEY REFERENCES holdfast.users (id) ON DELETE CASCADE,
  hash TEXT NOT NULL,
  changed_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
-- next
-- Revisions begin anywhere: what is founded again under an old name must not fit an old entity tag (RFC 9110 section 8.8.1).
CREATE TABLE holdfast.tenants (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  slug TEXT NOT NULL UNIQUE CHECK (length(slug) BETWEEN 1 AND 32),
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  revision INT8 NOT NULL DEFAULT 1 + floor(random() * 1000000000000)::INT8
);
-- next
CREATE TABLE holdfast.memberships (
  tenant_id UUID NOT NULL REFERENCES holdfast.tenants (id),
  user_id UUID NOT NULL REFERENCES holdfast.users (id) ON DELETE CASCADE,
  role TEXT NOT NULL CHECK (length(role) BETWEEN 1 AND 63),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  revision INT8 NOT NULL DEFAULT 1 + floor(random() * 1000000000000)::INT8,
  PRIMARY KEY (tenant_id, user_id)
);
-- next
CREATE INDEX memberships_of_user ON holdfast.memberships (user_id, tenant_id);
-- next
CREATE TABLE holdfast.invitations (
  tenant_id UUID NOT NULL REFERENCES holdfast.tenants (id),
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  email TEXT NOT NULL,
  role TEXT NOT NULL CHECK (length(role) BETWEEN 1 AND 63),
  token_hash BYTEA NOT NULL UNIQUE,
  invited_by UUID NOT NULL REFERENCES holdfast.users (id) ON DELETE CASCADE,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  expires_at TIMESTAMPTZ NOT NULL,
  consumed_at TIMESTAMPTZ,
  PRIMARY KEY (tenant_id, id)
);
-- next
CREATE TABLE holdfast.sessions (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  token_hash BYTEA NOT NULL UNIQUE,
  user_id UUID NOT NULL REFERENCES holdfast.users (id) ON DELETE CASCADE,
  tenant_id UUID REFERENCES holdfast.tenants (id),
  assurance TEXT NOT NULL DEFAULT 'aal1' CHECK (assurance IN ('aal1', 'aal2')),
  authenticated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  last_seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  idle_seconds INT8 NOT NULL CHECK (idle_seconds > 0),
  expires_at TIMESTAMPTZ NOT NULL,
  revoked_at TIMESTAMPTZ,
  user_agent TEXT NOT NULL DEFAULT ''
);
-- next
CREATE INDEX sessions_of_user ON holdfast.sessions (user_id, created_at);
-- next
-- Single-use secrets that arrive by mail or on the operator's console: only their SHA-256 is stored, typed by purpose.
CREATE TABLE holdfast.one_time_tokens (
  purpose TEXT NOT NULL CHECK (purpose IN ('setup', 'sign_up')),
  token_hash BYTEA NOT NULL,
  email TEXT NOT NULL DEFAULT '',
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  expires_at TIMESTAMPTZ NOT NULL,
  consumed_at TIMESTAMPTZ,
  PRIMARY KEY (purpose, token_hash),
  UNIQUE (purpose, email)
);
-- next
CREATE TABLE holdfast.throttle (
  key BYTEA PRIMARY KEY,
  failures INT8 NOT NULL,
  blocked_until TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL
);
-- next
CREATE INDEX throttle_expiry ON holdfast.throttle (expires_at);
-- next
-- Mail written in the transaction of its cause; the body is sealed, for it carries single-use secrets.
CREATE TABLE holdfast.outbox (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  recipient TEXT NOT NULL,
  sealed BYTEA NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  attempts INT8 NOT NULL DEFAULT 0,
  next_attempt_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  last_problem TEXT NOT NULL DEFAULT ''
);
-- next
CREATE INDEX outbox_due ON holdfast.outbox (next_attempt_at);
-- next
CREATE TABLE holdfast.journal (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  at TIMESTAMPTZ NOT NULL DEFAULT now(),
  event TEXT NOT NULL,
  user_id UUID,
  tenant_id UUID,
  session_id UUID,
  network TEXT NOT NULL DEFAULT '',
  details JSONB NOT NULL DEFAULT '{}'
);
-- next
CREATE INDEX journal_by_time ON holdfast.journal (at);
-- next
-- A version is the SHA-256 of the definition it names, so its rows never change.
CREATE TABLE holdfast.role_versions (
  version TEXT PRIMARY KEY,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
-- next
CREATE TABLE holdfast.role_grants (
  version TEXT NOT NULL REFERENCES holdfast.role_versions (version),
  role TEXT NOT NULL,
  permission TEXT NOT NULL,
  reach TEXT NOT NULL CHECK (reach IN ('tenant', 'own')),
  PRIMARY KEY (version, role, permission)
);
-- next
-- The same, a row a role: what *enter* looks up at each request.
CREATE TABLE holdfast.role_permissions (
  version TEXT NOT NULL REFERENCES holdfast.role_versions (version),
  role TEXT NOT NULL,
  permissions TEXT[] NOT NULL,
  PRIMARY KEY (version, role)
);
-- next
CREATE TABLE holdfast.current_roles (
  singleton BOOL PRIMARY KEY DEFAULT true CHECK (singleton),
  version TEXT NOT NULL REFERENCES holdfast.role_versions (version)
);
-- next
ALTER TABLE holdfast.memberships ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- next
ALTER TABLE holdfast.invitations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- next
CREATE POLICY tenant_isolation ON holdfast.memberships FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID);
-- next
CREATE POLICY tenant_isolation ON holdfast.invitations FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID);
-- next
-- *Enter* judges a caller before any tenant is set: its NOLOGIN role may read, and lock, every membership.
CREATE POLICY enter_judges ON holdfast.memberships FOR ALL TO holdfast_enter USING (true) WITH CHECK (false);
-- next
CREATE POLICY enter_judges ON holdfast.invitations FOR SELECT TO holdfast_enter USING (true);
-- next
GRANT USAGE ON SCHEMA holdfast TO holdfast_identity;
-- next
GRANT USAGE ON SCHEMA holdfast TO holdfast_app;
-- next
GRANT USAGE ON SCHEMA holdfast TO holdfast_enter;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE holdfast.users TO holdfast_identity;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE holdfast.passwords TO holdfast_identity;
-- next
GRANT SELECT, INSERT, UPDATE ON TABLE holdfast.tenants TO holdfast_identity;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE holdfast.memberships TO holdfast_identity;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE holdfast.invitations TO holdfast_identity;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE holdfast.sessions TO holdfast_identity;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE holdfast.one_time_tokens TO holdfast_identity;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE holdfast.throttle TO holdfast_identity;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE holdfast.outbox TO holdfast_identity;
-- next
GRANT INSERT ON TABLE holdfast.journal TO holdfast_identity;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE holdfast.leases TO holdfast_identity;
-- next
GRANT SELECT ON TABLE holdfast.migrations TO holdfast_identity;
-- next
GRANT SELECT ON TABLE holdfast.role_grants TO holdfast_identity;
-- next
GRANT SELECT ON TABLE holdfast.current_roles TO holdfast_identity;
-- next
GRANT SELECT, UPDATE ON TABLE holdfast.users TO holdfast_enter;
-- next
GRANT SELECT, UPDATE ON TABLE holdfast.tenants TO holdfast_enter;
-- next
GRANT SELECT, UPDATE ON TABLE holdfast.memberships TO holdfast_enter;
-- next
GRANT SELECT, UPDATE ON TABLE holdfast.sessions TO holdfast_enter;
-- next
GRANT SELECT ON TABLE holdfast.invitations TO holdfast_enter;
-- next
GRANT SELECT ON TABLE holdfast.role_grants TO holdfast_enter;
-- next
GRANT SELECT ON TABLE holdfast.role_permissions TO holdfast_enter;
-- next
GRANT SELECT ON TABLE holdfast.current_roles TO holdfast_enter;
