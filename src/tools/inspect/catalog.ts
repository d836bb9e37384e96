import type { Dialect } from '../../core/database/dialect.ts'
import type { Query } from '../../core/database/statement.ts'
import { type Expected, type ServingRole, servingRoles } from './expected.ts'

/** Attributes of the five roles. */
export type RoleRow = {
  role: string
  superuser: boolean
  bypassrls: boolean
  createrole: boolean
  createdb: boolean
  replication: boolean
  login: boolean
}
/** A role that a serving role is a member of, and the membership through which. */
export type MembershipRow = { role: string; granted: string; through: string }
/** Something that a serving role owns. */
export type OwnedRow = {
  role: ServingRole
  kind: string
  schema: string | null
  name: string
  arguments: string | null
}
/** A table or its like that is expected, or on which somebody of interest has a privilege. */
export type RelationRow = {
  schema: string
  name: string
  /** as `pg_class.relkind` */
  kind: string
  owner: string
  owner_is_above: boolean
  enabled: boolean
  forced: boolean
  options: string[] | null
  /** what it is a child or a partition of, as `schema.name` */
  parent: string | null
}
/** A privilege on a table, view or sequence, or on one column of it. */
export type PrivilegeRow = {
  schema: string
  name: string
  kind: string
  column: string | null
  grantee: string
  privilege: string
  grantable: boolean
  /** the grantee owns it */
  own: boolean
}
/** A privilege on a schema or the database. */
export type PlaceRow = {
  kind: 'schema' | 'database'
  name: string
  grantee: string
  privilege: string
  grantable: boolean
  /** the grantee owns it */
  own: boolean
}
/** A column of an expected table. */
export type ColumnRow = {
  schema: string
  name: string
  /** of the table, as `pg_class.relkind` */
  kind: string
  column: string
  type: string
  not_null: boolean
  deterministic: boolean | null
}
/** An index of an expected table. Columns in order; an expression is null. */
export type IndexRow = {
  schema: string
  name: string
  index: string
  columns: (string | null)[]
  unique: boolean
  constraint: string | null
  constraint_kind: string | null
  valid: boolean
  partial: boolean
}
/** A foreign key of an expected table. */
export type ForeignKeyRow = {
  schema: string
  name: string
  constraint: string
  columns: string[]
  parent_schema: string
  parent: string
  parent_columns: string[]
  definition: string
}
/** A policy of an expected table. */
export type PolicyRow = {
  schema: string
  name: string
  policy: string
  permissive: string
  roles: string[]
  command: string
  using: string | null
  check: string | null
}
/** A rewrite rule or a trigger of an expected table. */
export type AttachedRow = {
  schema: string
  name: string
  kind: 'rule' | 'trigger'
  attached: string
  definition: string
}
/** A function outside the system's schemas that a serving role or PUBLIC may execute, or that is Holdfast's. */
export type FunctionRow = {
  schema: string
  name: string
  arguments: string
  /** `FUNCTION` or `PROCEDURE` */
  kind: string
  definer: boolean
  owner: string
  owner_is_above: boolean
  settings: string[] | null
  trusted: boolean
  extension: string | null
  grantee: string | null
  grantable: boolean
  reachable: boolean
}
/** A function of the server itself that reaches outside it, and who may execute it. */
export type ServerFunctionRow = { signature: string; grantee: string }
/** What is granted on objects that do not exist yet. */
export type DefaultRow = { maker: string; schema: string | null; kind: string; grantee: string; privilege: string }
/** A type that PUBLIC may use. */
export type TypeRow = { schema: string; name: string }
/** A large object that a serving role or PUBLIC may read or write. */
export type LargeObjectRow = { id: string; holder: string; owns: boolean }
/** A setting that sessions of a role, or of the database, start with. Null: of all roles, of all databases. */
export type SettingRow = { role: string | null; of_database: boolean; name: string; value: string }
/** A trigger on events such as DDL. */
export type EventTriggerRow = { name: string; event: string; owner: string }
/** What the session itself says. */
export type SessionRow = {
  database: string
  version: string
  version_number: string
  /** milliseconds since 1970 */
  now: string
  tenant: string | null
  user: string | null
  role: string | null
  row_security: string | null
  replication_role: string | null
  operator_cost: string | null
  isolation: string
  autocommit_before_ddl: string | null
}

/** What the catalogs answer, a list a question. */
export type Evidence = {
  readonly roles: readonly RoleRow[]
  readonly memberships: readonly MembershipRow[]
  readonly owned: readonly OwnedRow[]
  readonly relations: readonly RelationRow[]
  readonly privileges: readonly PrivilegeRow[]
  readonly places: readonly PlaceRow[]
  readonly columns: readonly ColumnRow[]
  readonly indexes: readonly IndexRow[]
  readonly foreignKeys: readonly ForeignKeyRow[]
  readonly policies: readonly PolicyRow[]
  readonly attached: readonly AttachedRow[]
  readonly functions: readonly FunctionRow[]
  readonly serverFunctions: readonly ServerFunctionRow[]
  readonly defaults: readonly DefaultRow[]
  readonly types: readonly TypeRow[]
  readonly largeObjects: readonly LargeObjectRow[]
  readonly settings: readonly SettingRow[]
  readonly eventTriggers: readonly EventTriggerRow[]
  readonly session: readonly SessionRow[]
}

type Values = (expected: Expected) => unknown[]
type Question = { readonly text: string; readonly values?: Values; readonly only?: Dialect }

const names: Values = ({ tables }) => [[...tables.keys()]]
const serving: Values = () => [servingRoles]
const HOME = `n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'crdb_internal')`
const WANTED = `(n.nspname || '.' || c.relname) = ANY ($1::TEXT[])`
const IN_WANTED = `FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND ${WANTED}`
const holder = (acl: string): string =>
  `CASE ${acl}.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(${acl}.grantee) END::TEXT`
const ofInterest = (acl: string): string =>
  `(${acl}.grantee = 0 OR pg_catalog.pg_get_userbyid(${acl}.grantee) IN ('holdfast_app', 'holdfast_identity'))`
const explode = (acl: string): string => `pg_catalog.aclexplode(${acl})`
const isAbove = (owner: string): string =>
  `(SELECT o.rolsuper OR o.rolbypassrls FROM pg_catalog.pg_roles o WHERE o.oid = ${owner})`
const qualifiedParent = `(SELECT pn.nspname || '.' || pc.relname FROM pg_catalog.pg_inherits i
  JOIN pg_catalog.pg_class pc ON pc.oid = i.inhparent JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
  WHERE i.inhrelid = c.oid ORDER BY i.inhseqno LIMIT 1)`

const mayTouch = (role: string): string => `pg_catalog.has_schema_privilege('${role}', n.oid, 'USAGE')
  AND (pg_catalog.has_any_column_privilege('${role}', c.oid, 'SELECT, INSERT, UPDATE') OR pg_catalog.has_table_privilege('${role}', c.oid, 'DELETE'))`

/**
 * One query a list, all sent as one flight. They read what every role may read. Those of CockroachDB are written from its
 * documentation and have not been run there; what it does not document is asked of PostgreSQL alone.
 */
const questions: { readonly [Name in keyof Evidence]: Question } = {
  roles: {
    text: `SELECT r.rolname::TEXT AS role, r.rolsuper AS superuser, r.rolbypassrls AS bypassrls, r.rolcreaterole AS createrole,
r.rolcreatedb AS createdb, r.rolreplication AS replication, r.rolcanlogin AS login
FROM pg_catalog.pg_roles r
WHERE r.rolname IN ('holdfast_owner', 'holdfast_migrator', 'holdfast_enter', 'holdfast_identity', 'holdfast_app')`,
  },
  memberships: {
    text: `WITH RECURSIVE reach AS (
  SELECT m.member AS start, m.roleid AS granted, m.roleid AS through
  FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.member WHERE r.rolname = ANY ($1::TEXT[])
  UNION
  SELECT reach.start, m.roleid, reach.through FROM reach JOIN pg_catalog.pg_auth_members m ON m.member = reach.granted
)
SELECT s.rolname::TEXT AS role, g.rolname::TEXT AS granted, t.rolname::TEXT AS through FROM reach
JOIN pg_catalog.pg_roles s ON s.oid = reach.start JOIN pg_catalog.pg_roles g ON g.oid = reach.granted
JOIN pg_catalog.pg_roles t ON t.oid = reach.through ORDER BY 1, 3, 2`,
    values: serving,
  },
  owned: {
    text: `WITH who AS (SELECT r.oid, r.rolname::TEXT AS role FROM pg_catalog.pg_roles r WHERE r.rolname = ANY ($1::TEXT[]))
SELECT w.role, 'DATABASE' AS kind, NULL::TEXT AS schema, d.datname::TEXT AS name, NULL::TEXT AS arguments
FROM pg_catalog.pg_database d JOIN who w ON w.oid = d.datdba WHERE d.datname = current_database()
UNION ALL SELECT w.role, 'SCHEMA', NULL::TEXT, n.nspname::TEXT, NULL::TEXT
FROM pg_catalog.pg_namespace n JOIN who w ON w.oid = n.nspowner WHERE ${HOME}
UNION ALL SELECT w.role, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
  WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, n.nspname::TEXT, c.relname::TEXT, NULL::TEXT
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND ${HOME}
JOIN who w ON w.oid = c.relowner WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
UNION ALL SELECT w.role, CASE f.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END, n.nspname::TEXT,
  f.proname::TEXT, pg_catalog.pg_get_function_identity_arguments(f.oid)
FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace AND ${HOME} JOIN who w ON w.oid = f.proowner
UNION ALL SELECT w.role, CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, n.nspname::TEXT, t.typname::TEXT, NULL::TEXT
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace AND ${HOME}
JOIN who w ON w.oid = t.typowner WHERE t.typtype IN ('d', 'e', 'r')`,
    values: serving,
  },
  relations: {
    text: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS name, c.relkind::TEXT AS kind,
pg_catalog.pg_get_userbyid(c.relowner)::TEXT AS owner, COALESCE(${isAbove('c.relowner')}, true) AS owner_is_above,
c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, c.reloptions::TEXT[] AS options, ${qualifiedParent} AS parent
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND ${HOME}
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (${WANTED}
  OR ${mayTouch('holdfast_app')} OR ${mayTouch('holdfast_identity')})`,
    values: names,
  },
  privileges: {
    text: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS name, c.relkind::TEXT AS kind, NULL::TEXT AS column,
${holder('a')} AS grantee, a.privilege_type AS privilege, a.is_grantable AS grantable, a.grantee = c.relowner AS own
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND ${HOME}
CROSS JOIN LATERAL ${explode('c.relacl')} a WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND ${ofInterest('a')}
UNION ALL SELECT n.nspname::TEXT, c.relname::TEXT, c.relkind::TEXT, t.attname::TEXT, ${holder('a')}, a.privilege_type, a.is_grantable, a.grantee = c.relowner
FROM pg_catalog.pg_attribute t JOIN pg_catalog.pg_class c ON c.oid = t.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND ${HOME}
CROSS JOIN LATERAL ${explode('t.attacl')} a WHERE t.attacl IS NOT NULL AND NOT t.attisdropped AND ${ofInterest('a')}`,
    only: 'postgresql',
  },
  places: {
    text: `SELECT 'schema' AS kind, n.nspname::TEXT AS name, ${holder('a')} AS grantee, a.privilege_type AS privilege, a.is_grantable AS grantable, a.grantee = n.nspowner AS own
FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL ${explode("COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner))")} a
WHERE ${HOME} AND ${ofInterest('a')}
UNION ALL SELECT 'database', d.datname::TEXT, ${holder('a')}, a.privilege_type, a.is_grantable, a.grantee = d.datdba
FROM pg_catalog.pg_database d CROSS JOIN LATERAL ${explode("COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))")} a
WHERE d.datname = current_database() AND ${ofInterest('a')}`,
    only: 'postgresql',
  },
  columns: {
    text: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS name, c.relkind::TEXT AS kind, a.attname::TEXT AS column,
CASE WHEN tn.nspname <> 'pg_catalog' AND EXISTS (SELECT 1 FROM pg_catalog.pg_type b JOIN pg_catalog.pg_namespace bn ON bn.oid = b.typnamespace
  WHERE bn.nspname = 'pg_catalog' AND b.typname = t.typname) THEN tn.nspname || '.' ELSE '' END || t.typname AS type,
a.attnotnull AS not_null, (SELECT l.collisdeterministic FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation) AS deterministic
${IN_WANTED} JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace`,
    values: names,
  },
  indexes: {
    text: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS name, x.relname::TEXT AS index,
ARRAY(SELECT a.attname::TEXT FROM pg_catalog.unnest(i.indkey::INT2[]) WITH ORDINALITY AS k(attnum, place)
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum AND k.attnum > 0
  WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns,
i.indisunique OR i.indisexclusion AS unique, o.conname::TEXT AS constraint, o.contype::TEXT AS constraint_kind,
i.indisvalid AS valid, i.indpred IS NOT NULL AS partial
${IN_WANTED} JOIN pg_catalog.pg_index i ON i.indrelid = c.oid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_constraint o ON o.conindid = i.indexrelid AND o.conrelid = c.oid AND o.contype IN ('p', 'u', 'x')`,
    values: names,
    only: 'postgresql',
  },
  foreignKeys: {
    text: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS name, o.conname::TEXT AS constraint,
ARRAY(SELECT a.attname::TEXT FROM pg_catalog.unnest(o.conkey) WITH ORDINALITY AS k(attnum, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.attnum ORDER BY k.place) AS columns,
pn.nspname::TEXT AS parent_schema, pc.relname::TEXT AS parent,
ARRAY(SELECT a.attname::TEXT FROM pg_catalog.unnest(o.confkey) WITH ORDINALITY AS k(attnum, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.attnum ORDER BY k.place) AS parent_columns,
pg_catalog.pg_get_constraintdef(o.oid) AS definition
${IN_WANTED} JOIN pg_catalog.pg_constraint o ON o.conrelid = c.oid AND o.contype = 'f'
JOIN pg_catalog.pg_class pc ON pc.oid = o.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace`,
    values: names,
  },
  policies: {
    text: `SELECT p.schemaname::TEXT AS schema, p.tablename::TEXT AS name, p.policyname::TEXT AS policy,
pg_catalog.lower(p.permissive) AS permissive, p.roles::TEXT[] AS roles, p.cmd AS command, p.qual AS using, p.with_check AS check
FROM pg_catalog.pg_policies p
WHERE (p.schemaname || '.' || p.tablename) = ANY ($1::TEXT[])
ORDER BY 1, 2, 3`,
    values: names,
  },
  attached: {
    text: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS name, 'rule' AS kind, r.rulename::TEXT AS attached, '' AS definition
${IN_WANTED} JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid AND r.rulename <> '_RETURN'
UNION ALL SELECT n.nspname::TEXT, c.relname::TEXT, 'trigger', t.tgname::TEXT, pg_catalog.pg_get_triggerdef(t.oid)
${IN_WANTED} JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal`,
    values: names,
    only: 'postgresql',
  },
  functions: {
    text: `SELECT n.nspname::TEXT AS schema, f.proname::TEXT AS name, pg_catalog.pg_get_function_identity_arguments(f.oid) AS arguments,
CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind, f.prosecdef AS definer,
pg_catalog.pg_get_userbyid(f.proowner)::TEXT AS owner, COALESCE(${isAbove('f.proowner')}, true) AS owner_is_above,
f.proconfig::TEXT[] AS settings, l.lanpltrusted OR l.lanname IN ('internal', 'c', 'sql') AS trusted, e.extname::TEXT AS extension,
${holder('a')} AS grantee, COALESCE(a.is_grantable, false) AS grantable,
pg_catalog.has_schema_privilege('holdfast_app', n.oid, 'USAGE') OR pg_catalog.has_schema_privilege('holdfast_identity', n.oid, 'USAGE') AS reachable
FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace AND ${HOME}
JOIN pg_catalog.pg_language l ON l.oid = f.prolang
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = f.oid AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
LEFT JOIN LATERAL ${explode("COALESCE(f.proacl, pg_catalog.acldefault('f', f.proowner))")} a ON ${ofInterest('a')}
WHERE n.nspname = ANY ($1::TEXT[]) OR a.grantee IS NOT NULL
ORDER BY 1, 2, 3`,
    values: ({ homes }) => [[...homes]],
    only: 'postgresql',
  },
  serverFunctions: {
    text: `SELECT f.oid::pg_catalog.regprocedure::TEXT AS signature, ${holder('a')} AS grantee
FROM pg_catalog.pg_proc f CROSS JOIN LATERAL ${explode("COALESCE(f.proacl, pg_catalog.acldefault('f', f.proowner))")} a
WHERE f.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND ${ofInterest('a')}
AND (f.proname IN ('pg_read_file', 'pg_read_binary_file', 'pg_stat_file', 'lo_import', 'lo_export', 'pg_reload_conf',
  'pg_rotate_logfile', 'pg_promote', 'pg_switch_wal', 'pg_create_restore_point', 'pg_hba_file_rules')
  OR f.proname ~ '^pg_ls_.*dir$')`,
    only: 'postgresql',
  },
  defaults: {
    text: `SELECT pg_catalog.pg_get_userbyid(d.defaclrole)::TEXT AS maker, n.nspname::TEXT AS schema, d.defaclobjtype::TEXT AS kind,
COALESCE(${holder('a')}, '') AS grantee, COALESCE(a.privilege_type, '') AS privilege
FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
LEFT JOIN LATERAL ${explode('d.defaclacl')} a ON ${ofInterest('a')}`,
    only: 'postgresql',
  },
  types: {
    text: `SELECT n.nspname::TEXT AS schema, t.typname::TEXT AS name
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace AND n.nspname = ANY ($1::TEXT[])
LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
WHERE (t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c')
AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid AND d.deptype = 'e')
AND EXISTS (SELECT 1 FROM ${explode("COALESCE(t.typacl, pg_catalog.acldefault('T', t.typowner))")} a WHERE a.grantee = 0)`,
    values: ({ homes }) => [[...homes]],
    only: 'postgresql',
  },
  largeObjects: {
    text: `SELECT o.oid::TEXT AS id, pg_catalog.pg_get_userbyid(o.lomowner)::TEXT AS holder, true AS owns
FROM pg_catalog.pg_largeobject_metadata o WHERE pg_catalog.pg_get_userbyid(o.lomowner) = ANY ($1::TEXT[])
UNION ALL SELECT o.oid::TEXT, ${holder('a')}, false
FROM pg_catalog.pg_largeobject_metadata o CROSS JOIN LATERAL ${explode('o.lomacl')} a
WHERE ${ofInterest('a')} AND a.grantee <> o.lomowner LIMIT 1000`,
    values: serving,
    only: 'postgresql',
  },
  settings: {
    text: `SELECT r.rolname::TEXT AS role, s.setdatabase <> 0 AS of_database,
pg_catalog.lower(pg_catalog.split_part(c.line, '=', 1)) AS name, pg_catalog.substr(c.line, pg_catalog.strpos(c.line, '=') + 1) AS value
FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c(line)
LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
WHERE (s.setrole = 0 OR r.rolname = ANY ($1::TEXT[])) AND (s.setdatabase = 0 OR d.datname = current_database())`,
    values: serving,
  },
  eventTriggers: {
    text: `SELECT t.evtname::TEXT AS name, t.evtevent::TEXT AS event, pg_catalog.pg_get_userbyid(t.evtowner)::TEXT AS owner
FROM pg_catalog.pg_event_trigger t WHERE t.evtenabled <> 'D'`,
    only: 'postgresql',
  },
  session: {
    text: `SELECT current_database()::TEXT AS database, pg_catalog.version() AS version, pg_catalog.current_setting('server_version_num') AS version_number,
(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::INT8::TEXT AS now,
pg_catalog.current_setting('holdfast.tenant_id', true) AS tenant, pg_catalog.current_setting('holdfast.user_id', true) AS user,
pg_catalog.current_setting('holdfast.role', true) AS role,
pg_catalog.current_setting('row_security', true) AS row_security,
pg_catalog.current_setting('session_replication_role', true) AS replication_role,
pg_catalog.current_setting('cpu_operator_cost', true) AS operator_cost,
pg_catalog.current_setting('default_transaction_isolation') AS isolation,
pg_catalog.current_setting('autocommit_before_ddl', true) AS autocommit_before_ddl`,
  },
}

/** Sends queries in one unit that changes nothing, as a serving role. What fails there harms no later one. */
export type Reader = {
  readonly dialect: Dialect
  read(queries: readonly Query[]): Promise<readonly (readonly Record<string, unknown>[])[]>
}

/** Asks the catalogs everything, in one round trip. A list that the database has no catalog for is left out. */
export async function readEvidence(reader: Reader, expected: Expected): Promise<Partial<Evidence>> {
  const asked = (Object.entries(questions) as [keyof Evidence, Question][]).filter(
    ([, { only }]) => only === undefined || only === reader.dialect,
  )
  const answers = await reader.read(
    asked.map(([, { text, values }]) => ({ statement: { name: '', text }, values: values?.(expected) ?? [] })),
  )
  return Object.fromEntries(asked.map(([name], index) => [name, answers[index] ?? []])) as Partial<Evidence>
}
