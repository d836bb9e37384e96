import { namesOf, optionsOf, type Reading, stringsOf, type Visit } from './tree.ts'

/** Where a text is used. */
export type Use =
  /** sent by src, over a connection */
  | 'sent'
  /** a file of migrations, for either database */
  | 'migration'
  /** what a DBA runs once */
  | 'role'
  /** what the kernel makes of a route's statement */
  | 'scoped'

/** One rule of the subset that PostgreSQL and CockroachDB both take, with the same meaning. */
export type Rule = {
  readonly name: string
  /** Why a statement that breaks it must not be sent; what CockroachDB does with it. */
  readonly why: string
  /** Where CockroachDB says so: a page of its documentation, an issue of cockroachdb/cockroach. */
  readonly source: string
  /** Which uses it is for; all if left out. */
  readonly uses?: readonly Use[]
  /** What breaks it in a text: a few words for each place. */
  find(reading: Reading, tables: Tables): readonly string[]
  /** Texts that break it, and must be seen to. */
  readonly planted: readonly string[]
}

/** Tenant tables that there are: those with a column tenant_id NOT NULL. */
export type Tables = ReadonlySet<string>

const pageLimits = 'Known Limitations in CockroachDB'
const pageUnsupported = 'PostgreSQL Compatibility, "Unsupported features"'

const of = (reading: Reading, ...wanted: string[]): Visit[] => reading.nodes.filter(({ kind }) => wanted.includes(kind))
/** Is a node of such a kind there? */
const any =
  (...wanted: string[]) =>
  (reading: Reading): string[] =>
    of(reading, ...wanted).map(({ kind }) => kind)
/** A relation's name as the text has it. */
const relationName = (node: unknown): string => {
  const { schemaname, relname } = (node ?? {}) as { schemaname?: string; relname?: string }
  return [schemaname, relname].filter(Boolean).join('.')
}
const nameOf = ({ node }: Visit): string => relationName(node)
const functionsOf = (reading: Reading): { name: string; visit: Visit }[] =>
  of(reading, 'FuncCall').map((visit) => ({ name: namesOf(visit.node, 'funcname').at(-1) ?? '', visit }))
const typeNamesOf = (reading: Reading): string[] =>
  of(reading, 'TypeName').map(({ node }) => namesOf(node, 'names').join('.'))

/** Statements that change a schema. */
const ddl =
  /^(?:Create(?!TableAs)\w*|Alter\w*|Drop\w*|Grant\w*|Rename|Index|View|Rule|Comment|Truncate|Reindex|DefineStmt|Define|CompositeType|SecLabel)Stmt$/

/**
 * Functions that both databases have under these names, with the same meaning; where CockroachDB lists them no page of the
 * documentation's own sources could be read, so this list is from knowledge, and the contract suite on a cluster decides.
 * They may be called without a schema: `pg_catalog` is looked at first by both while `search_path` does not name it, and
 * every session starts with an empty one. Our own are always called with their schema.
 */
const common = new Set(
  `array_agg array_length array_position array_to_string bool_and bool_or ceil clock_timestamp convert_to count
  current_database current_setting date_trunc extract floor format_type gen_random_uuid has_any_column_privilege
  has_column_privilege has_database_privilege has_function_privilege has_schema_privilege has_table_privilege json_agg
  jsonb_agg jsonb_build_object length lower max min now num_nonnulls octet_length pg_backend_pid pg_get_constraintdef
  pg_get_expr pg_get_functiondef pg_get_indexdef pg_get_userbyid pg_get_viewdef pg_has_role power quote_ident random set_config
  split_part statement_timestamp string_agg strpos substr sum to_jsonb to_regclass unnest upper version`.split(/\s+/),
)

/** What PL/pgSQL may hold on both. An allow-list: what is not here was not looked up. */
const procedural = new Set([
  '', // fields without a kind
  'PLpgSQL_function',
  'PLpgSQL_var',
  'PLpgSQL_row',
  'PLpgSQL_type',
  'PLpgSQL_expr',
  'PLpgSQL_stmt_block',
  'PLpgSQL_stmt_execsql',
  'PLpgSQL_stmt_if',
  'PLpgSQL_stmt_while',
  'PLpgSQL_if_elsif',
  'PLpgSQL_stmt_assign',
  'PLpgSQL_stmt_raise',
  'PLpgSQL_raise_option',
  'PLpgSQL_stmt_return',
])

const triggerTruncate = 32
const triggerInstead = 64
const body = (text: string): string =>
  `CREATE FUNCTION a.f(x INT8) RETURNS INT8 LANGUAGE plpgsql STABLE AS $$ ${text} $$`

export const rules: readonly Rule[] = [
  {
    name: 'one-statement',
    why: 'A batch is one implicit transaction there, and DDL in it commits by itself: half of it may stay.',
    source: 'Online Schema Changes, "Schema changes within transactions"; Transactions, "Batched statements"',
    find: ({ statements }) => (statements.length > 1 ? [`${statements.length} statements`] : []),
    planted: ['CREATE TABLE a.b (c INT8); CREATE TABLE a.d (c INT8)'],
  },
  {
    name: 'policy-without-subquery',
    why: 'Refused: "variable sub-expressions are not allowed".',
    source: 'CREATE POLICY, "Known limitations"; #138917',
    find: (reading) =>
      of(reading, 'SubLink')
        .filter(({ within }) => within.some(({ kind }) => kind.endsWith('PolicyStmt')))
        .map(() => 'a subquery'),
    planted: ["CREATE POLICY p ON a.b FOR ALL TO PUBLIC USING (c = (SELECT current_setting('x.y', true)))"],
  },
  {
    name: 'policy-same-check',
    why: 'On conflict the check of INSERT is left out there and that of UPDATE decides: with one predicate for all it is the same.',
    source: 'CREATE POLICY; logic test row_level_security, "slightly deviates from PostgreSQL"',
    find: (reading) =>
      of(reading, 'CreatePolicyStmt')
        .filter(({ node }) => node['cmd_name'] !== 'all' || bareTree(node['qual']) !== bareTree(node['with_check']))
        .map(({ node }) => String(node['policy_name'])),
    planted: [
      'CREATE POLICY p ON a.b FOR ALL TO PUBLIC USING (c = 1) WITH CHECK (c = 2)',
      'CREATE POLICY p ON a.b FOR ALL TO PUBLIC USING (c = 1)',
      'CREATE POLICY p ON a.b FOR UPDATE TO PUBLIC USING (c = 1) WITH CHECK (c = 1)',
    ],
  },
  {
    name: 'no-column-grant',
    why: 'There are no privileges on columns: a statement with them is refused.',
    source: pageUnsupported,
    find: (reading) =>
      of(reading, 'AccessPriv')
        .filter(({ node }) => 'cols' in node)
        .map(() => 'columns in a grant'),
    planted: ['GRANT SELECT (b, c) ON TABLE a.b TO holdfast_app', 'REVOKE UPDATE (b) ON TABLE a.b FROM holdfast_app'],
  },
  {
    name: 'no-advisory-lock',
    why: 'They are missing, or do nothing and say that they did (CWE-667).',
    source: pageUnsupported,
    find: (reading) =>
      functionsOf(reading)
        .map(({ name }) => name)
        .filter((name) => /advisory/.test(name)),
    planted: ['SELECT pg_advisory_lock(1)', 'SELECT pg_catalog.pg_try_advisory_xact_lock($1::INT8)'],
  },
  {
    name: 'no-listen',
    why: 'There is no LISTEN and no NOTIFY.',
    source: `${pageUnsupported}; #41522`,
    find: (reading) => [
      ...any('ListenStmt', 'NotifyStmt', 'UnlistenStmt')(reading),
      ...functionsOf(reading)
        .map(({ name }) => name)
        .filter((name) => name === 'pg_notify'),
    ],
    planted: ['LISTEN a', 'NOTIFY a', 'UNLISTEN a', "SELECT pg_catalog.pg_notify('a', 'b')"],
  },
  {
    name: 'no-temp-table',
    why: 'Off unless an experimental setting is on, and they live with the session, not the transaction.',
    source: 'Temporary Tables',
    find: (reading) =>
      of(reading, 'RangeVar')
        .filter(({ node }) => node['relpersistence'] === 't' || String(node['schemaname']).startsWith('pg_temp'))
        .map(nameOf),
    planted: [
      'CREATE TEMP TABLE b (c INT8)',
      'CREATE TEMPORARY VIEW b AS SELECT 1 AS c',
      'CREATE TABLE pg_temp.b (c INT8)',
    ],
  },
  {
    name: 'no-session-set',
    why: 'A setting of the session outlives the transaction – on CockroachDB its ROLLBACK too – and meets the next caller (CWE-488).',
    source: 'SET (session variable); logic test set_local',
    find: (reading) => [
      ...of(reading, 'VariableSetStmt')
        .filter(
          ({ node, within }) =>
            node['is_local'] !== true && !within.some(({ kind }) => /^(?:AlterRole|CreateFunction)/.test(kind)),
        )
        .map(({ node }) => String(node['name'])),
      ...of(reading, 'AlterDatabaseSetStmt', 'AlterSystemStmt', 'DiscardStmt').map(({ kind }) => kind),
      ...functionsOf(reading)
        .filter(({ name, visit }) => name === 'set_config' && !isTrue(argumentsOf(visit)[2]))
        .map(({ name }) => name),
    ],
    planted: [
      "SET holdfast.tenant_id = 'x'",
      'SET SESSION a.b = 1',
      'RESET ALL',
      'DISCARD ALL',
      "SELECT set_config('holdfast.tenant_id', $1::TEXT, false)",
      "SELECT set_config('holdfast.tenant_id', $1::TEXT, $2::BOOL)",
      "ALTER DATABASE d SET search_path = ''",
      "ALTER SYSTEM SET fsync = 'off'",
    ],
  },
  {
    name: 'role-settings',
    why: 'What a role brings holds for every session: only what is documented here may be among it.',
    source: 'ALTER ROLE, "Set default session variable values for a role"',
    find: (reading) =>
      of(reading, 'AlterRoleSetStmt')
        .map(({ node }) => stringsOfName(node['setstmt']))
        .filter((name) => !roleSettingNames.has(name)),
    planted: ['ALTER ROLE holdfast_app SET row_security = off'],
  },
  {
    name: 'no-dynamic-sql',
    why: 'DO, PREPARE and EXECUTE are missing or text made in the database, which no one has proven (CWE-89).',
    source: pageUnsupported,
    find: any('DoStmt', 'PrepareStmt', 'ExecuteStmt', 'DeallocateStmt'),
    planted: ['DO $$ BEGIN NULL; END $$', 'PREPARE p AS SELECT 1 AS a', 'EXECUTE p', 'DEALLOCATE p'],
  },
  {
    name: 'no-select-star',
    why: 'A prepared statement fails when the columns change ("cached plan must not change result type"); regions add a hidden one.',
    source: pageLimits,
    find: (reading) => any('A_Star')(reading),
    planted: ['SELECT * FROM a.b', 'SELECT t.* FROM a.b AS t', 'INSERT INTO a.b (c) VALUES (1) RETURNING *'],
  },
  {
    name: 'cast-parameters',
    why: 'A placeholder needs a type that can be inferred; which one it is must not be up to the planner.',
    source: '#41558',
    uses: ['sent', 'migration', 'role'],
    find: (reading) =>
      of(reading, 'ParamRef')
        .filter(({ within }) => within.at(-1)?.kind !== 'TypeCast')
        .map(({ node }) => `$${String(node['number'])}`),
    planted: ['SELECT c FROM a.b WHERE d = $1', 'INSERT INTO a.b (c) VALUES ($1::UUID, $2)'],
  },
  {
    name: 'explicit-integers',
    why: 'INT is 64 bits there and 32 here, and SERIAL makes other numbers: say INT8 or INT4.',
    source: 'INT; SERIAL',
    find: (reading) =>
      typeNamesOf(reading).filter((name) => /^pg_catalog\.int4$|^(?:pg_catalog\.)?(?:big|small)?serial\d?$/.test(name)),
    planted: [
      'CREATE TABLE a.b (c INTEGER)',
      'SELECT 1::INT AS c',
      'CREATE TABLE a.b (c SERIAL)',
      'CREATE TABLE a.b (c BIGSERIAL)',
    ],
  },
  {
    name: 'no-missing-types',
    why: 'There are no domains and no range types; CITEXT is new there, and cannot be matched by LIKE.',
    source: `${pageUnsupported}; release notes of 25.3.0-rc.1`,
    find: (reading) => [
      ...any('CreateDomainStmt', 'CreateRangeStmt')(reading),
      ...typeNamesOf(reading).filter((name) => /(?:^|\.)(?:citext|money|xml|macaddr8?|cidr|\w+range)$/.test(name)),
    ],
    planted: [
      'CREATE DOMAIN a.d AS TEXT',
      'CREATE TYPE a.r AS RANGE (subtype = INT8)',
      'SELECT a::TSTZRANGE AS c FROM a.b',
      'CREATE TABLE a.b (c citext)',
    ],
  },
  {
    name: 'qualified-names',
    why: 'The search path is empty, and a name of one part is looked up otherwise there: the name of a database first (CWE-426).',
    source: 'Name Resolution',
    find: (reading) => {
      const ctes = new Set(of(reading, 'CommonTableExpr').map(({ node }) => node['ctename']))
      return [
        ...of(reading, 'RangeVar')
          .filter(
            ({ node }) => 'relname' in node && (node['schemaname'] === undefined || node['catalogname'] !== undefined),
          )
          .filter(({ node }) => !ctes.has(node['relname']) || node['catalogname'] !== undefined)
          // the index of CREATE INDEX lies in its table's schema and takes none
          .map(nameOf),
        ...of(reading, 'CreateFunctionStmt')
          .filter(({ node }) => namesOf(node, 'funcname').length !== 2)
          .map(() => 'a function'),
        ...of(reading, 'ObjectWithArgs')
          .filter(({ node }) => namesOf(node, 'objname').length !== 2)
          .map(() => 'a function'),
        ...functionsOf(reading)
          .filter(({ visit }) => namesOf(visit.node, 'funcname').length > 2)
          .map(({ name }) => name),
      ]
    },
    planted: [
      'SELECT c FROM b',
      'UPDATE b SET c = 1',
      'SELECT c FROM d.a.b',
      'CREATE FUNCTION f() RETURNS INT8 LANGUAGE sql AS $$ SELECT 1 $$',
      'DROP FUNCTION f(INT8)',
      'SELECT d.a.f(1)',
    ],
  },
  {
    name: 'known-functions',
    why: 'A function that is in one database only, or not looked up there, may fail or mean something else.',
    source: 'Functions and Operators',
    find: (reading) =>
      functionsOf(reading)
        .filter(({ visit }) => {
          const [schema, ...rest] = namesOf(visit.node, 'funcname')
          return rest.length === 0 || schema === 'pg_catalog'
        })
        .map(({ name }) => name)
        .filter((name) => !common.has(name)),
    planted: ['SELECT pg_sleep(1)', 'SELECT pg_catalog.pg_column_size(c) AS n FROM a.b'],
  },
  {
    name: 'composite-tenant-keys',
    why: 'Keys are checked past row-level security: one that the tenant does not lead tells what another tenant has (CWE-203).',
    source: 'Row-Level Security, "What is bypassed"',
    find: findLooseKeys,
    planted: [
      'CREATE TABLE a.b (tenant_id UUID NOT NULL, id UUID PRIMARY KEY)',
      'CREATE TABLE a.b (tenant_id UUID NOT NULL, c TEXT UNIQUE)',
      'CREATE TABLE a.b (tenant_id UUID NOT NULL, c TEXT, UNIQUE (c, tenant_id))',
      'CREATE TABLE a.b (tenant_id UUID NOT NULL, c UUID, FOREIGN KEY (c) REFERENCES planted.child (id))',
      'CREATE TABLE a.b (tenant_id UUID NOT NULL, c UUID REFERENCES planted.child (id))',
      'CREATE UNIQUE INDEX i ON planted.child (c)',
      'ALTER TABLE planted.child ADD CONSTRAINT k UNIQUE (c)',
    ],
  },
  {
    name: 'plpgsql',
    why: 'PERFORM, EXECUTE, CASE, GET DIAGNOSTICS, FOUND, loops over queries, %TYPE, RECORD, NOT NULL variables are missing.',
    source: 'PL/pgSQL, "Known limitations": #117744, #122306, #105246, #114676, #105713, #105243, #121605',
    find: findProcedural,
    planted: [
      body('BEGIN PERFORM 1; RETURN 1; END'),
      body('BEGIN IF FOUND THEN RETURN 1; END IF; RETURN 2; END'),
      body("BEGIN EXECUTE 'SELECT 1'; RETURN 1; END"),
      body('DECLARE n INT8; BEGIN GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END'),
      body('DECLARE r RECORD; BEGIN FOR r IN SELECT 1 AS c LOOP NULL; END LOOP; RETURN 1; END'),
      body('DECLARE n a.b.c%TYPE; BEGIN RETURN 1; END'),
      body('DECLARE n INT8 NOT NULL := 1; BEGIN RETURN n; END'),
      body('BEGIN CASE x WHEN 1 THEN RETURN 1; END CASE; RETURN 2; END'),
      body('DECLARE n INT8; BEGIN SELECT 1, 2 INTO n, n; RETURN n; END'),
      body('BEGIN RETURN $1; END'),
      body('BEGIN RETURN a.g(x => 1); END'),
      'CREATE FUNCTION a.f() RETURNS RECORD LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$',
    ],
  },
  {
    name: 'function-clauses',
    why: 'A function takes no SET clause there, and no hint of PostgreSQL to its planner; its body is a text.',
    source: 'CREATE FUNCTION',
    find: (reading) =>
      of(reading, 'CreateFunctionStmt').flatMap(({ node }) => [
        ...optionsOf(node)
          .map(({ defname }) => defname)
          .filter((name) => !['language', 'volatility', 'security', 'as', 'strict', 'leakproof'].includes(name)),
        ...('sql_body' in node ? ['a body without quotes'] : []),
      ]),
    planted: [
      "CREATE FUNCTION a.f() RETURNS INT8 LANGUAGE sql SET search_path = '' AS $$ SELECT 1 $$",
      'CREATE FUNCTION a.f() RETURNS INT8 LANGUAGE sql PARALLEL SAFE AS $$ SELECT 1 $$',
      'CREATE FUNCTION a.f() RETURNS INT8 LANGUAGE sql COST 1 AS $$ SELECT 1 $$',
      'CREATE FUNCTION a.f() RETURNS INT8 LANGUAGE sql RETURN 1',
    ],
  },
  {
    name: 'triggers',
    why: 'Only row-level triggers BEFORE or AFTER, not for TRUNCATE, of no columns, without REFERENCING, never replaced.',
    source: 'Triggers, "Known limitations": #126362, #126363, #128422, #135655, #135656, #135657',
    find: (reading) =>
      of(reading, 'CreateTrigStmt')
        .filter(({ node }) => {
          const timing = Number(node['timing'] ?? 0)
          const isTruncate = (Number(node['events'] ?? 0) & triggerTruncate) !== 0
          return (
            node['row'] !== true ||
            timing === triggerInstead ||
            isTruncate ||
            'columns' in node ||
            'transitionRels' in node ||
            node['replace'] === true
          )
        })
        .map(({ node }) => String(node['trigname'])),
    planted: [
      'CREATE TRIGGER t AFTER INSERT ON a.b FOR EACH STATEMENT EXECUTE FUNCTION a.f()',
      'CREATE TRIGGER t INSTEAD OF INSERT ON a.b FOR EACH ROW EXECUTE FUNCTION a.f()',
      'CREATE TRIGGER t BEFORE UPDATE OF c ON a.b FOR EACH ROW EXECUTE FUNCTION a.f()',
      'CREATE OR REPLACE TRIGGER t BEFORE UPDATE ON a.b FOR EACH ROW EXECUTE FUNCTION a.f()',
      'CREATE TRIGGER t BEFORE TRUNCATE ON a.b EXECUTE FUNCTION a.f()',
      'CREATE TRIGGER t AFTER UPDATE ON a.b REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION a.f()',
    ],
  },
  {
    name: 'writing-with',
    why: 'WITH may change data at the top of a statement only, and no table twice in one.',
    source:
      'Common Table Expressions; Known Limitations, "Statements containing multiple modification subqueries of the same table"',
    find: findWritingWith,
    planted: [
      'SELECT 1 AS c FROM (WITH w AS (DELETE FROM a.b RETURNING c) SELECT c FROM w) AS x',
      'WITH w AS (UPDATE a.b SET c = 1 RETURNING c) DELETE FROM a.b WHERE c IN (SELECT c FROM w)',
    ],
  },
  {
    name: 'no-frozen-copies',
    why: 'A copy keeps what its maker saw, and is refreshed as somebody else: rows of tenants, past their policy (CWE-639).',
    source: 'Row-Level Security; release notes of 26.2.0-beta.3',
    find: (reading) => any('CreateTableAsStmt', 'RefreshMatViewStmt', 'IntoClause')(reading),
    planted: [
      'CREATE TABLE a.b AS SELECT 1 AS c',
      'CREATE MATERIALIZED VIEW a.v AS SELECT 1 AS c',
      'SELECT 1 AS c INTO a.b',
      'REFRESH MATERIALIZED VIEW a.v',
    ],
  },
  {
    name: 'no-view-options',
    why: 'security_invoker is there from 26.2 on only, and security_barrier is a syntax error; whose rights a view has depends on the version.',
    source: 'Views; #162585; release notes of 26.2',
    find: (reading) =>
      of(reading, 'ViewStmt')
        .filter(({ node }) => 'options' in node)
        .map(() => 'options of a view'),
    planted: [
      'CREATE VIEW a.v WITH (security_invoker = true) AS SELECT 1 AS c',
      'CREATE VIEW a.v WITH (security_barrier) AS SELECT 1 AS c',
    ],
  },
  {
    name: 'no-missing-statements',
    why: 'There is no MERGE, no LOCK TABLE, no rule, extension, foreign table, event trigger; SQL cursors and COPY are another protocol.',
    source: `${pageUnsupported}; SQL Statements`,
    find: any(
      'MergeStmt',
      'LockStmt',
      'RuleStmt',
      'CreateExtensionStmt',
      'CreateFdwStmt',
      'CreateForeignServerStmt',
      'CreateForeignTableStmt',
      'CreateEventTrigStmt',
      'CopyStmt',
      'VacuumStmt',
      'ClusterStmt',
      'ReindexStmt',
      'LoadStmt',
      'SecLabelStmt',
      'CheckPointStmt',
      'DeclareCursorStmt',
      'FetchStmt',
      'TruncateStmt',
      'RangeTableSample',
      'CreateOpClassStmt',
      'CreateCastStmt',
      'DefineStmt',
      'CreatePublicationStmt',
      'ExplainStmt',
      'XmlExpr',
      'JsonTable',
    ),
    planted: [
      'MERGE INTO a.b USING a.c ON true WHEN MATCHED THEN DELETE',
      'LOCK TABLE a.b',
      'CREATE RULE r AS ON INSERT TO a.b DO INSTEAD NOTHING',
      'CREATE EXTENSION x',
      'COPY a.b TO STDOUT',
      'VACUUM',
      'TRUNCATE a.b',
      'SELECT c FROM a.b TABLESAMPLE SYSTEM (1)',
      'DECLARE c CURSOR FOR SELECT 1 AS a',
      'CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION a.f()',
      'EXPLAIN SELECT 1 AS a',
      'CREATE AGGREGATE a.f (INT8) (sfunc = a.g, stype = INT8)',
    ],
  },
  {
    name: 'setting-may-be-missing',
    why: 'A setting of ours that was never set is an error unless missing_ok is said, and an empty text after a transaction that set it.',
    source: 'Functions and Operators, current_setting; #88139',
    find: (reading) =>
      functionsOf(reading)
        .filter(
          ({ name, visit }) =>
            name === 'current_setting' &&
            stringsOf(argumentsOf(visit)[0]).join('').includes('.') &&
            !isTrue(argumentsOf(visit)[1]),
        )
        .map(({ name }) => name),
    planted: [
      "SELECT current_setting('holdfast.tenant_id') AS t",
      "SELECT current_setting('holdfast.tenant_id', false) AS t",
    ],
  },
  {
    name: 'no-division',
    why: 'Integers divided give a decimal there and an integer here.',
    source: 'PostgreSQL Compatibility, "Division"',
    find: (reading) =>
      of(reading, 'A_Expr')
        .filter(({ node }) => namesOf(node, 'name').at(-1) === '/')
        .map(() => '/'),
    planted: ['SELECT 1 / 2 AS c'],
  },
  {
    name: 'savepoints-by-the-transaction',
    why: 'BEGIN within a transaction is an error there (25001) and ends it; here it is a warning.',
    source: 'BEGIN; wire-protocol test implicit_txn',
    uses: ['migration', 'role', 'scoped'],
    find: any('TransactionStmt'),
    planted: ['BEGIN', 'COMMIT', 'ROLLBACK', 'SAVEPOINT a'],
  },
  {
    name: 'ddl-by-migrations',
    why: 'DDL commits by itself there, or fails after COMMIT (XXA00): it is run alone, outside transactions, and recorded.',
    source: 'Online Schema Changes, "Schema changes within transactions"',
    uses: ['sent', 'scoped'],
    find: ({ statements }) => statements.map(({ kind }) => kind).filter((kind) => ddl.test(kind)),
    planted: [
      'CREATE TABLE a.b (c INT8)',
      'ALTER TABLE a.b ADD COLUMN c INT8',
      'DROP TABLE a.b',
      'GRANT SELECT ON TABLE a.b TO holdfast_app',
      'CREATE INDEX i ON a.b (c)',
    ],
  },
]

/** Rules about what PostgreSQL's grammar does not take at all, over the bare text of every string in src and the files. */
export type TextRule = {
  readonly name: string
  readonly why: string
  readonly source: string
  readonly pattern: RegExp
  readonly planted: readonly string[]
}
export const textRules: readonly TextRule[] = [
  {
    name: 'no-time-travel',
    why: 'Privileges, policies and now() are then those of the past: what was revoked is back (CWE-613).',
    source: 'AS OF SYSTEM TIME; #51861',
    pattern: /\bAS OF SYSTEM TIME\b|follower_read_timestamp|with_(?:max|min)_(?:staleness|timestamp)/i,
    planted: ['SELECT c FROM a.b AS OF SYSTEM TIME follower_read_timestamp()', "BEGIN AS OF SYSTEM TIME '-10s'"],
  },
  {
    name: 'no-families',
    why: 'Policies over a column of another family fail under READ COMMITTED; nothing of ours needs them.',
    source: 'Column Families; logic test row_level_security',
    pattern: /\bFAMILY\s*(?:"?\w+"?\s*)?\(|\bINTERLEAVE\b/,
    planted: ['CREATE TABLE a.b (c INT8, FAMILY f (c))'],
  },
  {
    name: 'no-own-dialect',
    why: 'What CockroachDB alone takes stands in its optional migrations, and nowhere else.',
    source: 'SQL Statements',
    pattern:
      /\bUPSERT INTO\b|\bcrdb_internal\.|@\{FORCE_INDEX|\bSET CLUSTER SETTING\b|\bCREATE POLICY IF NOT EXISTS\b|:::[A-Z]|\bCONFIGURE ZONE\b/,
    planted: [
      'UPSERT INTO a.b (c) VALUES (1)',
      'SELECT c FROM crdb_internal.tables',
      'SELECT c FROM a.b@{FORCE_INDEX=i}',
      'SELECT 1:::INT8',
      'CREATE POLICY IF NOT EXISTS p ON a.b',
    ],
  },
]

/** Settings that a role may bring: those of roles.ts, and the three of dialect.ts. */
const roleSettingNames = new Set([
  'search_path',
  'default_transaction_isolation',
  'statement_timeout',
  'idle_in_transaction_session_timeout',
  'cpu_operator_cost',
  'autocommit_before_ddl',
  'default_transaction_use_follower_reads',
  'enable_durable_locking_for_serializable',
])

const stringsOfName = (value: unknown): string => String((value as { name?: unknown } | undefined)?.name)
const argumentsOf = ({ node }: Visit): readonly unknown[] => (node['args'] ?? []) as readonly unknown[]
const isTrue = (value: unknown): boolean => JSON.stringify(value ?? null).includes('"boolval":{"boolval":true}')
/** A part of the tree without where it stood in the text. */
const bareTree = (value: unknown): string => JSON.stringify(value ?? null).replaceAll(/,?"location":\d+/g, '')

function findLooseKeys(reading: Reading, tables: Tables): string[] {
  const loose: string[] = []
  for (const { node, within } of of(reading, 'Constraint')) {
    const type = String(node['contype'])
    if (!['CONSTR_PRIMARY', 'CONSTR_UNIQUE', 'CONSTR_FOREIGN'].includes(type)) continue
    const table = within.find(({ kind }) => kind === 'CreateStmt' || kind === 'AlterTableStmt')
    const name = relationName(table?.node['relation'])
    const isTenants = table !== undefined && (tables.has(name) || isTenantTable(table))
    const { colname } = (within.findLast(({ kind }) => kind === 'ColumnDef')?.node ?? {}) as { colname?: string }
    const columns = colname === undefined ? namesOf(node, type === 'CONSTR_FOREIGN' ? 'fk_attrs' : 'keys') : [colname]
    const target = relationName(node['pktable'])
    if (!isTenants || columns[0] === 'tenant_id' || (type === 'CONSTR_FOREIGN' && !tables.has(target))) continue
    loose.push(`${name} (${columns.join(', ')})`)
  }
  for (const { node } of of(reading, 'IndexStmt')) {
    const name = relationName(node['relation'])
    const [first] = node['indexParams'] as { IndexElem: { name?: string } }[]
    if (node['unique'] === true && tables.has(name) && first?.IndexElem.name !== 'tenant_id') loose.push(name)
  }
  return loose
}

/** Has CREATE TABLE a column tenant_id that is never NULL? */
function isTenantTable({ node }: Visit): boolean {
  const elements = (node['tableElts'] ?? []) as { ColumnDef?: { colname: string; constraints?: unknown } }[]
  const column = elements.find(({ ColumnDef }) => ColumnDef?.colname === 'tenant_id')?.ColumnDef
  return column !== undefined && JSON.stringify(column.constraints ?? []).includes('CONSTR_NOTNULL')
}

/** The tenant tables that some texts make. */
export function tenantTables(readings: readonly Reading[]): Set<string> {
  return new Set(
    readings
      .flatMap((reading) => of(reading, 'CreateStmt'))
      .filter(isTenantTable)
      .map(({ node }) => relationName(node['relation'])),
  )
}

function findProcedural(reading: Reading): string[] {
  const { procedural: nodes, text } = reading
  const record = of(reading, 'CreateFunctionStmt')
    .filter(({ node }) => stringsOf(node['returnType']).join() === 'record')
    // TABLE and OUT say what the record holds
    .filter(({ node }) => !/FUNC_PARAM_(?:TABLE|OUT|INOUT)/.test(JSON.stringify(node['parameters'] ?? [])))
    .map(() => 'RECORD')
  if (nodes.length === 0) return record
  const expressions = nodes.filter(({ kind }) => kind === 'PLpgSQL_expr').map(({ node }) => String(node['query']))
  const targets = nodes
    .filter(({ kind, within }) => kind === 'PLpgSQL_row' && within.at(-1)?.kind !== 'PLpgSQL_function')
    .map(({ node }) => ((node['fields'] ?? []) as { name: string }[]).map(({ name }) => name))
  return [
    ...record,
    ...nodes.map(({ kind }) => kind).filter((kind) => !procedural.has(kind)),
    ...nodes.filter(({ node }) => node['notnull'] === true).map(() => 'NOT NULL'),
    ...expressions.filter((each) => /\bfound\b/i.test(each)).map(() => 'FOUND'),
    ...(/\$\d/.test(text) ? ['a parameter by number'] : []),
    ...reading.bodies.flatMap((inner) => of(inner, 'NamedArgExpr')).map(() => 'an argument by name'),
    ...targets.filter((names) => new Set(names).size < names.length).map(() => 'INTO twice'),
    ...(/%(?:ROW)?TYPE\b/i.test(text) ? ['%TYPE'] : []),
  ]
}

function findWritingWith(reading: Reading): string[] {
  const changes = of(reading, 'InsertStmt', 'UpdateStmt', 'DeleteStmt')
  const deep = changes
    .filter(({ within }) => within.some(({ kind }) => kind === 'CommonTableExpr'))
    // the statement, its WITH, the name, the change
    .filter(({ within }) => within.filter(({ kind }) => kind !== '').length !== 3)
  const targets = changes.map(({ node }) => relationName(node['relation']))
  return [...deep.map(() => 'a change within'), ...targets.filter((name, index) => targets.indexOf(name) !== index)]
}
