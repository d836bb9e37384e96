CREATE SCHEMA app
-- next
CREATE TABLE app.customers (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  created_by UUID NOT NULL,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  email TEXT NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
  PRIMARY KEY (tenant_id, id)
)
-- next
CREATE TABLE app.invoices (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  created_by UUID NOT NULL,
  customer_id UUID NOT NULL,
  number TEXT NOT NULL CHECK (length(number) BETWEEN 1 AND 40),
  status TEXT NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'sent', 'paid')),
  revision INT8 NOT NULL DEFAULT 1,
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
  title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
  cents INT8 NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, invoice_id) REFERENCES app.invoices (tenant_id, id) ON DELETE CASCADE
)
-- next
CREATE TABLE app.payments (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  created_by UUID NOT NULL,
  invoice_id UUID NOT NULL,
  cents INT8 NOT NULL CHECK (cents > 0),
  paid_on DATE NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, invoice_id) REFERENCES app.invoices (tenant_id, id) ON DELETE CASCADE
)
-- next
CREATE INDEX lines_by_invoice ON app.lines (tenant_id, invoice_id)
-- next
CREATE INDEX payments_by_invoice ON app.payments (tenant_id, invoice_id)
-- next
CREATE INDEX invoices_by_customer ON app.invoices (tenant_id, customer_id)
-- next
ALTER TABLE app.customers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.customers FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
ALTER TABLE app.invoices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.invoices FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
ALTER TABLE app.lines ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.lines FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
ALTER TABLE app.payments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.payments FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
GRANT USAGE ON SCHEMA app TO holdfast_app
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.customers TO holdfast_app
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.invoices TO holdfast_app
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.lines TO holdfast_app
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.payments TO holdfast_app
