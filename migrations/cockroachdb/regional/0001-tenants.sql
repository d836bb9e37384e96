-- For a database of several regions, which is made one first: ALTER DATABASE … SET PRIMARY REGION, ADD REGION.
-- A tenant's rows live where they were written, what every request reads is near everywhere. Where a row lives is no
-- access control. From 26.1 on a table is locked against this change until it is unlocked; the lock serves changefeeds
-- alone. Source: "ALTER TABLE", SET LOCALITY; release notes of 26.1.0-alpha.1.
ALTER TABLE holdfast.memberships SET (schema_locked = false);
-- next
ALTER TABLE holdfast.memberships SET LOCALITY REGIONAL BY ROW;
-- next
ALTER TABLE holdfast.invitations SET (schema_locked = false);
-- next
ALTER TABLE holdfast.invitations SET LOCALITY REGIONAL BY ROW;
-- next
ALTER TABLE holdfast.sessions SET (schema_locked = false);
-- next
ALTER TABLE holdfast.sessions SET LOCALITY REGIONAL BY ROW;
-- next
ALTER TABLE tenancy.profiles SET (schema_locked = false);
-- next
ALTER TABLE tenancy.profiles SET LOCALITY REGIONAL BY ROW;
-- next
ALTER TABLE tenancy.teams SET (schema_locked = false);
-- next
ALTER TABLE tenancy.teams SET LOCALITY REGIONAL BY ROW;
-- next
ALTER TABLE tenancy.team_members SET (schema_locked = false);
-- next
ALTER TABLE tenancy.team_members SET LOCALITY REGIONAL BY ROW;
-- next
ALTER TABLE holdfast.users SET (schema_locked = false);
-- next
ALTER TABLE holdfast.users SET LOCALITY GLOBAL;
-- next
ALTER TABLE holdfast.tenants SET (schema_locked = false);
-- next
ALTER TABLE holdfast.tenants SET LOCALITY GLOBAL;
-- next
ALTER TABLE holdfast.role_versions SET (schema_locked = false);
-- next
ALTER TABLE holdfast.role_versions SET LOCALITY GLOBAL;
-- next
ALTER TABLE holdfast.role_grants SET (schema_locked = false);
-- next
ALTER TABLE holdfast.role_grants SET LOCALITY GLOBAL;
-- next
ALTER TABLE holdfast.role_permissions SET (schema_locked = false);
-- next
ALTER TABLE holdfast.role_permissions SET LOCALITY GLOBAL;
-- next
ALTER TABLE holdfast.current_roles SET (schema_locked = false);
-- next
ALTER TABLE holdfast.current_roles SET LOCALITY GLOBAL;
