import type { Manifest, Table } from '../../../src/core/scope/manifest.ts'

/** One way in which a database can be wrong, and the rule that finds it. */
export type Breakage = {
  readonly rule: string
  readonly name: string
  readonly sql: readonly string[]
  /** Tables beside those of the example. */
  readonly tables?: readonly Table[]
  readonly declared?: Pick<Manifest, 'functions'>
  /** Permissions beside those of the example. */
  readonly grants?: readonly string[]
  /** A warning that the declared tables bring with them. */
  readonly besides?: 'table-one-wall'
  /** No SQL mends it: the manifest or a person does. */
  readonly unmended?: true
}

const uuid = { type: 'uuid', notNull: true } as const
const notes: Table = {
  schema: 'app',
  name: 'notes',
  resource: 'note',
  columns: { tenant_id: uuid, id: uuid },
  tenant: 'tenant_id',
}
const POLICY = "tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID"
const policy = (using: string, check = using, rest = 'FOR ALL TO PUBLIC'): string[] => [
  'DROP POLICY tenant_isolation ON app.invoices',
  `CREATE POLICY tenant_isolation ON app.invoices ${rest} USING (${using})${check === '' ? '' : ` WITH CHECK (${check})`}`,
]
const second = (rest: string): string[] => [`CREATE POLICY second ON app.invoices ${rest}`]
const one = (rule: string, name: string, ...sql: string[]): Breakage => ({ rule, name, sql })
const NOTES = [
  'CREATE TABLE app.notes (tenant_id UUID NOT NULL, id UUID NOT NULL, PRIMARY KEY (tenant_id, id))',
  'ALTER TABLE app.notes OWNER TO holdfast_owner',
  'ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
  `CREATE POLICY tenant_isolation ON app.notes FOR ALL TO PUBLIC USING (${POLICY}) WITH CHECK (${POLICY})`,
  'GRANT SELECT ON TABLE app.notes TO holdfast_app',
]
const withNotes = (rule: string, name: string, sql: readonly string[], more: Partial<Breakage> = {}): Breakage => ({
  rule,
  name,
  sql,
  tables: [notes],
  grants: ['note:read'],
  ...more,
})
const child = {
  sql: [
    ...NOTES,
    'CREATE TABLE app.parts (note_id UUID NOT NULL)',
    'ALTER TABLE app.parts OWNER TO holdfast_owner',
    'GRANT SELECT ON app.parts TO holdfast_app',
  ],
  tables: [
    notes,
    {
      schema: 'app',
      name: 'parts',
      resource: 'part',
      columns: { note_id: uuid },
      through: { table: 'notes', column: 'note_id', references: 'id' },
    },
  ],
  grants: ['note:read', 'part:read'],
}
const FUNCTION = (name: string, rest: string): string =>
  `CREATE FUNCTION ${name}() RETURNS INT LANGUAGE sql ${rest} AS 'SELECT 1'`

export const breakages: readonly Breakage[] = [
  // roles
  one('role-superuser', 'the app role', 'ALTER ROLE holdfast_app SUPERUSER'),
  one('role-bypassrls', 'the identity role', 'ALTER ROLE holdfast_identity BYPASSRLS'),
  one('role-bypassrls', 'the owner', 'ALTER ROLE holdfast_owner BYPASSRLS'),
  one('role-createrole', 'the app role', 'ALTER ROLE holdfast_app CREATEROLE'),
  one('role-createdb', 'the app role', 'ALTER ROLE holdfast_app CREATEDB'),
  one('role-replication', 'the app role', 'ALTER ROLE holdfast_app REPLICATION'),
  one('role-login', 'enter', 'ALTER ROLE holdfast_enter LOGIN'),
  one('role-member', 'of the owner', 'GRANT holdfast_owner TO holdfast_app'),
  one('role-member', 'of enter', 'GRANT holdfast_enter TO holdfast_identity'),
  one('role-member', 'of pg_read_all_data', 'GRANT pg_read_all_data TO holdfast_app'),
  one(
    'role-member',
    'of pg_write_all_data by another',
    'CREATE ROLE between_roles',
    'GRANT pg_write_all_data TO between_roles',
    'GRANT between_roles TO holdfast_app',
  ),
  one('role-owns', 'a table', 'ALTER TABLE app.lines OWNER TO holdfast_app'),
  one('role-owns', 'the schema', 'ALTER SCHEMA tenancy OWNER TO holdfast_identity'),
  // tables
  withNotes('table-missing', 'of the manifest', [], { unmended: true }),
  withNotes(
    'table-kind',
    'a view',
    [
      'CREATE VIEW app.notes AS SELECT tenant_id, id FROM app.lines',
      'ALTER VIEW app.notes OWNER TO holdfast_owner',
      'GRANT SELECT ON app.notes TO holdfast_app',
    ],
    { unmended: true },
  ),
  one('table-rls-enabled', 'of the example', 'ALTER TABLE app.invoices DISABLE ROW LEVEL SECURITY'),
  one('table-rls-enabled', 'of Holdfast', 'ALTER TABLE holdfast.memberships DISABLE ROW LEVEL SECURITY'),
  one('table-rls-forced', 'of the example', 'ALTER TABLE app.invoices NO FORCE ROW LEVEL SECURITY'),
  one('table-owner', 'another', 'CREATE ROLE someone', 'ALTER TABLE app.lines OWNER TO someone'),
  one(
    'table-unclassified',
    'a table',
    'CREATE TABLE app.secrets (id INT)',
    'GRANT SELECT ON app.secrets TO holdfast_app',
  ),
  one(
    'table-unclassified',
    'by a column',
    'CREATE TABLE app.secrets (id INT)',
    'GRANT SELECT ON app.secrets TO PUBLIC',
  ),
  one(
    'table-unclassified',
    'a view',
    'CREATE VIEW app.peek AS SELECT id FROM app.lines',
    'GRANT SELECT ON app.peek TO holdfast_app',
  ),
  one(
    'table-child',
    'inheriting',
    'CREATE TABLE app.lines_old () INHERITS (app.lines)',
    'GRANT SELECT ON app.lines_old TO holdfast_app',
  ),
  one(
    'table-foreign',
    'table',
    'CREATE EXTENSION file_fdw SCHEMA pg_catalog',
    'CREATE SERVER files FOREIGN DATA WRAPPER file_fdw',
    "CREATE FOREIGN TABLE app.passwd (line TEXT) SERVER files OPTIONS (filename '/etc/passwd')",
    'GRANT SELECT ON app.passwd TO holdfast_app',
  ),
  {
    ...child,
    rule: 'table-one-wall',
    name: 'child',
    sql: [...child.sql, 'ALTER TABLE app.notes ADD UNIQUE (id)'],
    unmended: true,
  },
  { ...child, rule: 'through-key', name: 'a parent of two', besides: 'table-one-wall' },
  one('table-rule', 'on update', 'CREATE RULE silent AS ON UPDATE TO app.lines DO INSTEAD NOTHING'),
  one(
    'table-trigger',
    'after insert',
    `CREATE FUNCTION pg_catalog.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
    'CREATE TRIGGER noted AFTER INSERT ON app.lines FOR EACH ROW EXECUTE FUNCTION pg_catalog.noted()',
  ),
  // columns
  withNotes('column-missing', 'of a table', NOTES, {
    tables: [{ ...notes, columns: { ...notes.columns, body: { type: '_text' } } }],
  }),
  one('column-type', 'of the example', 'ALTER TABLE app.lines ALTER COLUMN title TYPE VARCHAR(50)'),
  one(
    'column-type',
    'of another’s making by the same name',
    'CREATE DOMAIN app.date AS DATE',
    'REVOKE USAGE ON TYPE app.date FROM PUBLIC',
    'ALTER TABLE app.payments ALTER COLUMN paid_on TYPE app.date',
  ),
  one('column-nullable', 'of the example', 'ALTER TABLE app.lines ALTER COLUMN title DROP NOT NULL'),
  withNotes('tenant-nullable', 'of a table without a primary key', [
    ...NOTES,
    'ALTER TABLE app.notes DROP CONSTRAINT notes_pkey',
    'ALTER TABLE app.notes ALTER COLUMN tenant_id DROP NOT NULL',
    'CREATE INDEX ON app.notes (tenant_id)',
  ]),
  {
    rule: 'tenant-collation',
    name: 'that folds case',
    sql: [
      "CREATE COLLATION app.folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
      'CREATE TABLE app.notes (tenant_id TEXT COLLATE app.folded NOT NULL, id UUID NOT NULL, PRIMARY KEY (tenant_id, id))',
      ...NOTES.slice(1, 3),
      `CREATE POLICY tenant_isolation ON app.notes FOR ALL TO PUBLIC USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::TEXT) WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::TEXT)`,
      ...NOTES.slice(4),
    ],
    tables: [{ ...notes, columns: { tenant_id: { type: 'text', notNull: true }, id: uuid } }],
    grants: ['note:read'],
  },
  // policies
  one('policy-leaks', 'tenant_id IS NOT NULL', ...policy('tenant_id IS NOT NULL')),
  one('policy-leaks', 'or no setting', ...policy(`${POLICY} OR current_setting('holdfast.tenant_id', true) IS NULL`)),
  one(
    'policy-leaks',
    'or an empty setting',
    ...policy(`${POLICY} OR current_setting('holdfast.tenant_id', true) = ''`),
  ),
  one('policy-leaks', 'a permissive second', ...second('FOR ALL TO PUBLIC USING (true)')),
  one('policy-leaks', 'a second for UPDATE', ...second('FOR UPDATE TO holdfast_app USING (tenant_id IS NOT NULL)')),
  one('policy-leaks', 'a second for INSERT', ...second('FOR INSERT TO PUBLIC WITH CHECK (true)')),
  one('policy-leaks', 'a check that checks nothing', ...policy(POLICY, 'true')),
  one(
    'policy-leaks',
    'a chosen tenant is open',
    ...policy(`${POLICY} OR tenant_id = '11111111-1111-4111-8111-111111111111'`),
  ),
  one(
    'policy-leaks',
    'a chosen tenant sees all',
    ...policy(`${POLICY} OR current_setting('holdfast.tenant_id', true) = '11111111-1111-4111-8111-111111111111'`),
  ),
  one(
    'policy-leaks',
    'of Holdfast',
    'CREATE POLICY second ON holdfast.invitations FOR SELECT TO holdfast_identity USING (true)',
  ),
  one(
    'policy-leaks',
    'everything but',
    ...policy(`tenant_id <> NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID`),
  ),
  one('policy-hides', 'no policy', 'DROP POLICY tenant_isolation ON app.invoices'),
  one('policy-hides', 'a restrictive one', ...second('AS RESTRICTIVE FOR ALL TO PUBLIC USING (false)')),
  one(
    'policy-hides',
    'a hole for DELETE',
    ...['SELECT', 'UPDATE'].map(
      (verb) => `CREATE POLICY for_${verb} ON app.invoices FOR ${verb} TO PUBLIC USING (${POLICY})`,
    ),
    `CREATE POLICY for_insert ON app.invoices FOR INSERT TO PUBLIC WITH CHECK (${POLICY})`,
    'DROP POLICY tenant_isolation ON app.invoices',
  ),
  one('policy-hides', 'for the identity role alone', ...policy(POLICY, POLICY, 'FOR ALL TO holdfast_identity')),
  one(
    'policy-unproven',
    'another setting',
    ...policy(`tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::UUID`),
  ),
  one('policy-unproven', 'another column', ...policy(`${POLICY} OR status = 'sent'`)),
  one('policy-unproven', 'the whole row', ...policy(`${POLICY} OR to_jsonb(invoices) ->> 'status' = 'sent'`)),
  one(
    'policy-unproven',
    'another table',
    ...policy(`${POLICY} OR EXISTS (SELECT 1 FROM app.customers WHERE name = 'open')`),
  ),
  one('policy-unproven', 'the role', ...policy(`${POLICY} OR current_user = 'auditor'`)),
  one('policy-unproven', 'the clock', ...policy(`${POLICY} OR now() > '2040-01-01'`)),
  one(
    'policy-unproven',
    'a cast that cuts',
    ...policy(`tenant_id::CHAR(8) = current_setting('holdfast.tenant_id', true)::CHAR(8)`),
  ),
  one('policy-unproven', 'likeness', ...policy(`tenant_id::TEXT LIKE current_setting('holdfast.tenant_id', true)`)),
  one(
    'policy-shape',
    'one for each verb',
    ...['SELECT', 'UPDATE', 'DELETE'].map(
      (verb) => `CREATE POLICY for_${verb} ON app.invoices FOR ${verb} TO PUBLIC USING (${POLICY})`,
    ),
    `CREATE POLICY for_insert ON app.invoices FOR INSERT TO PUBLIC WITH CHECK (${POLICY})`,
    'DROP POLICY tenant_isolation ON app.invoices',
  ),
  one('policy-shape', 'for the two roles', ...policy(POLICY, POLICY, 'FOR ALL TO holdfast_app, holdfast_identity')),
  one('policy-other-role', 'one for the owner', ...second('FOR ALL TO holdfast_owner USING (true)')),
  // keys
  one('key-not-composite', 'a unique constraint', 'ALTER TABLE app.customers ADD UNIQUE (email)'),
  one('key-not-composite', 'a unique index', 'CREATE UNIQUE INDEX odd ON app.customers (email, name)'),
  one('key-not-composite', 'over an expression', 'CREATE UNIQUE INDEX odd ON app.customers (lower(email))'),
  withNotes('key-not-composite', 'a primary key', [
    ...NOTES,
    'ALTER TABLE app.notes DROP CONSTRAINT notes_pkey',
    'ALTER TABLE app.notes ADD PRIMARY KEY (id)',
    'CREATE INDEX ON app.notes (tenant_id)',
  ]),
  withNotes('foreign-key-not-composite', 'to users', [
    ...NOTES,
    'ALTER TABLE app.notes ADD FOREIGN KEY (id) REFERENCES holdfast.users (id)',
  ]),
  withNotes('foreign-key-not-composite', 'the tenant onto another column', [
    ...NOTES,
    'ALTER TABLE app.notes ADD FOREIGN KEY (id, tenant_id) REFERENCES app.customers (tenant_id, id) ON DELETE CASCADE',
  ]),
  withNotes('tenant-index', 'none', [
    ...NOTES,
    'ALTER TABLE app.notes DROP CONSTRAINT notes_pkey',
    'ALTER TABLE app.notes ADD PRIMARY KEY (id, tenant_id)',
  ]),
  // grants
  one('grant-beyond-rows', 'TRUNCATE', 'GRANT TRUNCATE ON app.lines TO holdfast_app'),
  one('grant-beyond-rows', 'REFERENCES and TRIGGER', 'GRANT REFERENCES, TRIGGER ON app.lines TO holdfast_identity'),
  one('grant-more', 'on users', 'GRANT SELECT, UPDATE ON holdfast.users TO holdfast_app'),
  one('grant-more', 'to the identity role', 'GRANT SELECT ON app.invoices TO holdfast_identity'),
  withNotes('grant-more', 'beyond the roles', [...NOTES, 'GRANT DELETE ON app.notes TO holdfast_app']),
  one('grant-less', 'DELETE', 'REVOKE DELETE ON app.lines FROM holdfast_app'),
  one('grant-less', 'of identity', 'REVOKE SELECT, INSERT ON holdfast.sessions FROM holdfast_identity'),
  one('grant-column', 'on a column', 'GRANT UPDATE (status), SELECT (status) ON app.invoices TO holdfast_app'),
  one('grant-column', 'to PUBLIC', 'GRANT SELECT (hash) ON holdfast.passwords TO PUBLIC'),
  one('grant-option', 'on a table', 'GRANT SELECT ON app.invoices TO holdfast_app WITH GRANT OPTION'),
  one('grant-option', 'on a schema', 'GRANT USAGE ON SCHEMA app TO holdfast_app WITH GRANT OPTION'),
  one(
    'grant-sequence',
    'to read',
    'CREATE SEQUENCE app.numbers',
    'GRANT SELECT, UPDATE ON SEQUENCE app.numbers TO holdfast_app',
  ),
  one('grant-ddl', 'on a schema', 'GRANT CREATE ON SCHEMA app TO holdfast_app'),
  one(
    'grant-ddl',
    'temporary tables',
    `DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO holdfast_app', current_database()); END $$`,
  ),
  one('grant-schema', 'one more', 'CREATE SCHEMA other', 'GRANT USAGE ON SCHEMA other TO holdfast_app'),
  one('grant-schema', 'one less', 'REVOKE USAGE ON SCHEMA app FROM holdfast_app'),
  // PUBLIC
  one('public-create', 'in public', 'GRANT CREATE ON SCHEMA public TO PUBLIC'),
  one(
    'public-create',
    'temporary tables',
    `DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()); END $$`,
  ),
  one('public-place', 'the schema public', 'GRANT USAGE ON SCHEMA public TO PUBLIC'),
  one(
    'public-place',
    'the database',
    `DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO PUBLIC', current_database()); END $$`,
  ),
  one('public-table', 'reads', 'GRANT SELECT ON app.customers TO PUBLIC'),
  one('public-type', 'an enum', "CREATE TYPE app.mood AS ENUM ('good')"),
  one(
    'default-privileges',
    'for the app role',
    'ALTER DEFAULT PRIVILEGES FOR ROLE holdfast_owner IN SCHEMA app GRANT SELECT ON TABLES TO holdfast_app',
  ),
  one(
    'default-privileges',
    'for PUBLIC',
    'ALTER DEFAULT PRIVILEGES FOR ROLE holdfast_migrator GRANT INSERT ON TABLES TO PUBLIC',
  ),
  one(
    'default-execute',
    'for PUBLIC',
    'ALTER DEFAULT PRIVILEGES FOR ROLE holdfast_enter GRANT EXECUTE ON FUNCTIONS TO PUBLIC',
  ),
  // views
  {
    rule: 'view-invoker',
    name: 'of the owner',
    sql: [
      'CREATE VIEW app.notes AS SELECT tenant_id, id FROM app.lines',
      'ALTER VIEW app.notes OWNER TO holdfast_owner',
      'GRANT SELECT ON app.notes TO holdfast_app',
    ],
    tables: [{ ...notes, view: true }],
    grants: ['note:read'],
  },
  one(
    'view-materialized',
    'of a tenant’s table',
    'CREATE MATERIALIZED VIEW app.peek AS SELECT id FROM app.lines',
    'GRANT SELECT ON app.peek TO holdfast_app',
  ),
  // functions
  one(
    'function-undeclared',
    'for the app role',
    FUNCTION('app.odd', ''),
    'REVOKE EXECUTE ON FUNCTION app.odd FROM PUBLIC',
    'GRANT EXECUTE ON FUNCTION app.odd TO holdfast_app',
  ),
  one('function-undeclared', 'of Holdfast', 'GRANT EXECUTE ON FUNCTION holdfast.session_credential TO holdfast_app'),
  one('function-missing', 'enter', 'REVOKE EXECUTE ON FUNCTION holdfast.enter FROM holdfast_app'),
  one('function-definer', 'for everybody', FUNCTION('app.odd', "SECURITY DEFINER SET search_path = ''")),
  one('function-public', 'for everybody', FUNCTION('app.odd', '')),
  one('function-search-path', 'of the caller', 'ALTER FUNCTION holdfast.touch_session RESET search_path'),
  one('function-owner', 'of enter', 'ALTER FUNCTION holdfast.enter_strict OWNER TO holdfast_owner'),
  {
    rule: 'function-owner',
    name: 'a superuser',
    sql: [
      FUNCTION('app.odd', "SECURITY DEFINER SET search_path = ''"),
      'REVOKE EXECUTE ON FUNCTION app.odd FROM PUBLIC',
      'GRANT EXECUTE ON FUNCTION app.odd TO holdfast_app',
    ],
    declared: { functions: [{ schema: 'app', name: 'odd', reads: [] }] },
  },
  one('function-grant-option', 'enter', 'GRANT EXECUTE ON FUNCTION holdfast.enter TO holdfast_app WITH GRANT OPTION'),
  one('function-extension', 'dblink', 'CREATE EXTENSION dblink SCHEMA app'),
  one('function-server', 'reads files', 'GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(TEXT) TO holdfast_app'),
  one(
    'large-object',
    'of the app role',
    'SELECT pg_catalog.lo_create(424242)',
    'ALTER LARGE OBJECT 424242 OWNER TO holdfast_app',
  ),
  {
    rule: 'function-language',
    name: 'of a manifest',
    sql: [
      'CREATE LANGUAGE untrusted HANDLER pg_catalog.plpgsql_call_handler',
      `CREATE FUNCTION app.odd() RETURNS INT LANGUAGE untrusted AS 'BEGIN RETURN 1; END'`,
      'REVOKE EXECUTE ON FUNCTION app.odd FROM PUBLIC',
      'GRANT EXECUTE ON FUNCTION app.odd TO holdfast_app',
    ],
    declared: { functions: [{ schema: 'app', name: 'odd', reads: [] }] },
    unmended: true,
  },
  // session
  one('setting-search-path', 'of the app role', 'ALTER ROLE holdfast_app SET search_path = app, public'),
  one('setting-isolation', 'of the app role', 'ALTER ROLE holdfast_app RESET default_transaction_isolation'),
  one('setting-statement-timeout', 'none', 'ALTER ROLE holdfast_identity SET statement_timeout = 0'),
  one(
    'setting-statement-timeout',
    'an hour, in this database',
    `DO $$ BEGIN EXECUTE format('ALTER ROLE holdfast_app IN DATABASE %I SET statement_timeout = ''1h''', current_database()); END $$`,
  ),
  one('setting-idle-timeout', 'none', 'ALTER ROLE holdfast_app RESET idle_in_transaction_session_timeout'),
  one('setting-planner', 'as the server has it', 'ALTER ROLE holdfast_app RESET cpu_operator_cost'),
  one(
    'setting-tenant',
    'of a role',
    "ALTER ROLE holdfast_app SET holdfast.tenant_id = '11111111-1111-4111-8111-111111111111'",
  ),
  one(
    'setting-tenant',
    'of the database',
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET holdfast.user_id = ''x''', current_database()); END $$`,
  ),
  one('setting-row-security', 'off', 'ALTER ROLE holdfast_app SET row_security = off'),
  one('setting-replication-role', 'replica', 'ALTER ROLE holdfast_app SET session_replication_role = replica'),
  {
    ...one('session-in-effect', 'a tenant', "SET LOCAL holdfast.tenant_id = '11111111-1111-4111-8111-111111111111'"),
    unmended: true,
  },
  // server
  one(
    'event-trigger',
    'at DDL',
    `CREATE FUNCTION pg_catalog.seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'`,
    'CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION pg_catalog.seen()',
  ),
]
