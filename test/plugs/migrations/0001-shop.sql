CREATE SCHEMA app
-- next
GRANT USAGE ON SCHEMA app TO holdfast_app
-- next
CREATE TABLE app.customers (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  created_by UUID NOT NULL,
  name TEXT NOT NULL,
  email TEXT,
  tags TEXT[] NOT NULL DEFAULT '{}',
  settings JSONB NOT NULL DEFAULT '{}',
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name)
)
-- next
CREATE TABLE app.invoices (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  created_by UUID NOT NULL,
  customer_id UUID NOT NULL,
  number TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'sent', 'paid')),
  due DATE,
  total NUMERIC NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, number),
  FOREIGN KEY (tenant_id, customer_id) REFERENCES app.customers (tenant_id, id)
)
-- next
CREATE TABLE app.lines (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  created_by UUID NOT NULL,
  invoice_id UUID NOT NULL,
  title TEXT NOT NULL,
  cents INT8 NOT NULL,
  place INT4 NOT NULL DEFAULT 1,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, invoice_id) REFERENCES app.invoices (tenant_id, id) ON DELETE CASCADE
)
-- next
ALTER TABLE app.customers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.customers FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.customers TO holdfast_app
-- next
ALTER TABLE app.invoices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.invoices FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.invoices TO holdfast_app
-- next
ALTER TABLE app.lines ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.lines FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.lines TO holdfast_app
