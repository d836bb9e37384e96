-- The service's own tenant data: ordinary tables of the manifest, under both walls.
CREATE TABLE tenancy.profiles (
  tenant_id UUID NOT NULL,
  user_id UUID NOT NULL,
  email TEXT NOT NULL,
  display_name TEXT NOT NULL CHECK (length(display_name) BETWEEN 1 AND 200),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, user_id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES holdfast.memberships (tenant_id, user_id) ON DELETE CASCADE
);
-- next
CREATE TABLE tenancy.teams (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  slug TEXT NOT NULL CHECK (length(slug) BETWEEN 1 AND 32),
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  created_by UUID NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  revision INT8 NOT NULL DEFAULT 1 + floor(random() * 1000000000000)::INT8,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, slug),
  FOREIGN KEY (tenant_id) REFERENCES holdfast.tenants (id)
);
-- next
CREATE TABLE tenancy.team_members (
  tenant_id UUID NOT NULL,
  team_id UUID NOT NULL,
  user_id UUID NOT NULL,
  role TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('lead', 'member')),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, team_id, user_id),
  FOREIGN KEY (tenant_id, team_id) REFERENCES tenancy.teams (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, user_id) REFERENCES holdfast.memberships (tenant_id, user_id) ON DELETE CASCADE
);
-- next
CREATE INDEX team_members_of_user ON tenancy.team_members (tenant_id, user_id);
-- next
ALTER TABLE tenancy.profiles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- next
ALTER TABLE tenancy.teams ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- next
ALTER TABLE tenancy.team_members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- next
CREATE POLICY tenant_isolation ON tenancy.profiles FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID);
-- next
CREATE POLICY tenant_isolation ON tenancy.teams FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID);
-- next
CREATE POLICY tenant_isolation ON tenancy.team_members FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID);
-- next
GRANT USAGE ON SCHEMA tenancy TO holdfast_identity;
-- next
GRANT USAGE ON SCHEMA tenancy TO holdfast_app;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE tenancy.profiles TO holdfast_identity;
-- next
GRANT SELECT, UPDATE ON TABLE tenancy.profiles TO holdfast_app;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE tenancy.teams TO holdfast_app;
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE tenancy.team_members TO holdfast_app;
