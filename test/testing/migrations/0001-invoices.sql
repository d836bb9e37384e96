CREATE SCHEMA app;
-- next
GRANT USAGE ON SCHEMA app TO holdfast_app;
-- next
CREATE TABLE app.invoices (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  created_by UUID NOT NULL,
  title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 80),
  total INT8 NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
-- next
ALTER TABLE app.invoices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- next
CREATE POLICY tenant_isolation ON app.invoices FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID);
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.invoices TO holdfast_app;
-- next
CREATE TABLE app.lines (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  invoice_id UUID NOT NULL,
  note TEXT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, invoice_id) REFERENCES app.invoices (tenant_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
-- next
ALTER TABLE app.lines ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- next
CREATE POLICY tenant_isolation ON app.lines FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID);
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.lines TO holdfast_app;

-- next
CREATE TABLE app."Remarks" ("id" UUID PRIMARY KEY DEFAULT gen_random_uuid(), "lineId" UUID NOT NULL, "itsText" TEXT NOT NULL);
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app."Remarks" TO holdfast_app;
