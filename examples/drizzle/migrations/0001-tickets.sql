CREATE SCHEMA app
-- next
GRANT USAGE ON SCHEMA app TO holdfast_app
-- next
CREATE TABLE app.tickets (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  reported_by UUID NOT NULL,
  title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
)
-- next
CREATE TABLE app.comments (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  written_by UUID NOT NULL,
  ticket_id UUID NOT NULL,
  body TEXT NOT NULL CHECK (length(body) BETWEEN 1 AND 2000),
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, ticket_id) REFERENCES app.tickets (tenant_id, id) ON DELETE CASCADE
)
-- next
CREATE INDEX comments_by_ticket ON app.comments (tenant_id, ticket_id, created_at)
-- next
ALTER TABLE app.tickets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.tickets FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.tickets TO holdfast_app
-- next
ALTER TABLE app.comments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.comments FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.comments TO holdfast_app
