CREATE SCHEMA app
-- next
GRANT USAGE ON SCHEMA app TO holdfast_app
-- next
CREATE TABLE app.rooms (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name)
)
-- next
CREATE TABLE app.bookings (
  tenant_id UUID NOT NULL,
  id UUID NOT NULL DEFAULT gen_random_uuid(),
  booked_by UUID NOT NULL,
  room_id UUID NOT NULL,
  title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
  starts_at TIMESTAMPTZ NOT NULL,
  ends_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, room_id) REFERENCES app.rooms (tenant_id, id) ON DELETE CASCADE
)
-- next
CREATE INDEX bookings_by_room ON app.bookings (tenant_id, room_id, starts_at)
-- next
ALTER TABLE app.rooms ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.rooms FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.rooms TO holdfast_app
-- next
ALTER TABLE app.bookings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
-- next
CREATE POLICY tenant_isolation ON app.bookings FOR ALL TO PUBLIC
  USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
  WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)
-- next
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE app.bookings TO holdfast_app
