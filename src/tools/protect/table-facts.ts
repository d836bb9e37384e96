import type { Pool } from '../../core/database/pool.ts'
import type { Row } from '../../core/database/statement.ts'
import { quotedTable, type TableName } from './names.ts'

/** A column as the catalog has it. */
export type ColumnFacts = {
  readonly number: number
  readonly name: string
  /** PostgreSQL's short name, such as `uuid`, `int8`, `_text`. */
  readonly type: string
  readonly notNull: boolean
  /** GENERATED, as a value or as an identity: nobody assigns it. */
  readonly isGenerated: boolean
  /** Its collation takes different texts for equal. */
  readonly isVague: boolean
}

/** A constraint as the catalog has it. */
export type ConstraintFacts = {
  readonly name: string
  readonly kind: 'primary' | 'unique' | 'foreign' | 'exclusion'
  readonly columns: readonly string[]
  /** As the server writes it. */
  readonly definition: string
  /** Of a foreign key. */
  readonly target: TableName | undefined
  readonly targetColumns: readonly string[]
  /** Of a foreign key: what it does when the other row goes, `a` NO ACTION, `r`, `c`, `n` SET NULL, `d` SET DEFAULT. */
  readonly onDelete: string
  readonly onUpdate: string
  readonly isFull: boolean
  readonly deferrable: string
}

/** An index that is no constraint's. */
export type IndexFacts = {
  readonly name: string
  readonly isUnique: boolean
  /** Columns in order; an expression is `''`. */
  readonly columns: readonly string[]
  readonly definition: string
  /** The text before the list of columns, if the server writes it as expected. */
  readonly head: string
  readonly isOfConstraint: boolean
}

/** A policy as the catalog has it. */
export type PolicyFacts = {
  readonly name: string
  readonly permissive: boolean
  readonly roles: string
  readonly command: string
  readonly using: string
  readonly check: string
}

/** All that the catalog says of a table, as far as it matters here. */
export type TableFacts = TableName & {
  readonly kind: string
  readonly isTemporary: boolean
  /** A partition, or part of an inheritance. */
  readonly isInherited: boolean
  readonly owner: string
  readonly rlsEnabled: boolean
  readonly rlsForced: boolean
  /** Whether the app role may use the schema. */
  readonly schemaUsable: boolean
  readonly columns: readonly ColumnFacts[]
  readonly constraints: readonly ConstraintFacts[]
  readonly indexes: readonly IndexFacts[]
  readonly policies: readonly PolicyFacts[]
  /** Foreign keys of other tables. */
  readonly references: readonly { readonly table: TableName; readonly name: string }[]
  /** `grantee` → privileges. */
  readonly grants: ReadonlyMap<string, ReadonlySet<string>>
  readonly hasColumnGrants: boolean
  /** Sequences that defaults draw from. */
  readonly sequences: readonly TableName[]
  readonly rules: readonly string[]
  readonly triggers: readonly string[]
  readonly views: readonly string[]
}

const text = {
  table: `SELECT c.oid::INT8 AS oid, c.relkind::TEXT AS kind, c.relpersistence::TEXT AS persistence, c.relispartition AS is_partition,
  pg_catalog.pg_get_userbyid(c.relowner)::TEXT AS owner, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
  pg_catalog.has_schema_privilege('holdfast_app', n.oid, 'USAGE') AS schema_usable,
  EXISTS (SELECT 1 AS found FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid OR i.inhparent = c.oid) AS inherits
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::TEXT AND c.relname = $2::TEXT AND c.relkind <> 'i'`,
  // CockroachDB's pg_collation says less: what is not there is nothing vague
  columns: `SELECT a.attnum::INT8 AS number, a.attname::TEXT AS name, t.typname::TEXT AS type, a.attnotnull AS not_null,
  (a.attgenerated <> '' OR a.attidentity <> '') AS generated,
  COALESCE(to_jsonb(co) ->> 'collisdeterministic', 'true') = 'false' AS vague
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
WHERE a.attrelid = $1::INT8::OID AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
  constraints: `SELECT k.conname::TEXT AS name, k.contype::TEXT AS kind, array_to_string(k.conkey, ' ') AS columns,
  array_to_string(k.confkey, ' ') AS target_columns, k.confrelid::INT8 AS target, n.nspname::TEXT AS target_schema,
  c.relname::TEXT AS target_name, k.confdeltype::TEXT AS on_delete, k.confupdtype::TEXT AS on_update,
  k.confmatchtype::TEXT AS match_type, k.condeferrable AS deferrable, k.condeferred AS deferred,
  pg_catalog.pg_get_constraintdef(k.oid) AS definition
FROM pg_catalog.pg_constraint k LEFT JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.conrelid = $1::INT8::OID AND k.contype IN ('p', 'u', 'f', 'x') ORDER BY k.conname`,
  references: `SELECT n.nspname::TEXT AS schema_name, c.relname::TEXT AS table_name, k.conname::TEXT AS name
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.confrelid = $1::INT8::OID AND k.conrelid <> k.confrelid AND k.contype = 'f' ORDER BY 1, 2, 3`,
  indexes: `SELECT x.relname::TEXT AS name, i.indisunique AS is_unique, i.indkey::TEXT AS columns,
  pg_catalog.pg_get_indexdef(i.indexrelid) AS definition,
  'CREATE ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX ' || quote_ident(x.relname) || ' ON '
    || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ' USING btree (' AS head,
  EXISTS (SELECT 1 AS found FROM pg_catalog.pg_constraint k
    WHERE k.conrelid = i.indrelid AND k.conname = x.relname AND k.contype IN ('p', 'u', 'x')) AS of_constraint
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = $1::INT8::OID ORDER BY x.relname`,
  policies: `SELECT p.policyname::TEXT AS name, p.permissive::TEXT AS permissive, array_to_string(p.roles, ',') AS roles,
  p.cmd::TEXT AS command, COALESCE(p.qual, '') AS using_text, COALESCE(p.with_check, '') AS check_text
FROM pg_catalog.pg_policies p WHERE p.schemaname = $1::TEXT AND p.tablename = $2::TEXT ORDER BY 1`,
  grants: `SELECT g.grantee::TEXT AS grantee, g.privilege_type::TEXT AS privilege FROM information_schema.table_privileges g
WHERE g.table_schema = $1::TEXT AND g.table_name = $2::TEXT`,
  columnGrants: `SELECT 1 AS found FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::INT8::OID AND a.attacl IS NOT NULL`,
  sequences: `SELECT DISTINCT n.nspname::TEXT AS schema_name, s.relname::TEXT AS table_name FROM pg_catalog.pg_attrdef ad
JOIN pg_catalog.pg_depend d ON d.objid = ad.oid AND d.classid = 'pg_catalog.pg_attrdef'::REGCLASS
JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace WHERE ad.adrelid = $1::INT8::OID ORDER BY 1, 2`,
  rules: `SELECT r.rulename::TEXT AS name FROM pg_catalog.pg_rewrite r WHERE r.ev_class = $1::INT8::OID ORDER BY 1`,
  triggers: `SELECT t.tgname::TEXT AS name FROM pg_catalog.pg_trigger t
WHERE t.tgrelid = $1::INT8::OID AND NOT t.tgisinternal ORDER BY 1`,
  views: `SELECT DISTINCT n.nspname || '.' || v.relname AS name FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::REGCLASS
JOIN pg_catalog.pg_class v ON v.oid = r.ev_class JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
WHERE d.refobjid = $1::INT8::OID AND v.oid <> $1::INT8::OID ORDER BY 1`,
} as const

/** Reads a table from the catalog, as its owner. @returns nothing when there is no such table */
export async function readTable(pool: Pool, table: TableName): Promise<TableFacts | undefined> {
  const ask = (name: keyof typeof text, values: readonly unknown[]): Promise<Row[]> => run(pool, text[name], values)
  const [head] = await ask('table', [table.schema, table.name])
  if (head === undefined) return undefined
  const oid = head['oid']
  const columns = (await ask('columns', [oid])).map(toColumn)
  const constraints: ConstraintFacts[] = []
  for (const row of await ask('constraints', [oid])) {
    const others = row['target'] === null || row['kind'] !== 'f' ? [] : await ask('columns', [row['target']])
    constraints.push(toConstraint(row, columns, others.map(toColumn)))
  }
  const names = (rows: Row[]): string[] => rows.map((row) => String(row['name']))
  const tables = (rows: Row[]): TableName[] =>
    rows.map((row) => ({ schema: String(row['schema_name']), name: String(row['table_name']) }))
  const references = await ask('references', [oid])
  return {
    ...table,
    kind: String(head['kind']),
    isTemporary: head['persistence'] === 't',
    isInherited: head['is_partition'] === true || head['inherits'] === true,
    owner: String(head['owner']),
    rlsEnabled: head['enabled'] === true,
    rlsForced: head['forced'] === true,
    schemaUsable: head['schema_usable'] === true,
    columns,
    constraints,
    indexes: (await ask('indexes', [oid])).map((row) => toIndex(row, columns)),
    policies: (await ask('policies', [table.schema, table.name])).map(toPolicy),
    references: tables(references).map((each, index) => ({ table: each, name: String(references[index]?.['name']) })),
    grants: toGrants(await ask('grants', [table.schema, table.name])),
    hasColumnGrants: (await ask('columnGrants', [oid])).length > 0,
    sequences: tables(await ask('sequences', [oid])),
    rules: names(await ask('rules', [oid])),
    triggers: names(await ask('triggers', [oid])),
    views: names(await ask('views', [oid])),
  }
}

/**
 * Has the table rows? Where row-level security is forced its owner sees none, whatever there is.
 * @returns nothing where that cannot be seen
 */
export async function hasRows(pool: Pool, facts: TableFacts): Promise<boolean | undefined> {
  if (facts.rlsEnabled && facts.rlsForced) return undefined
  const rows = await run(pool, `SELECT 1 AS found FROM ${quotedTable(facts)} LIMIT 1`, [])
  return rows.length > 0
}

async function run(pool: Pool, sql: string, values: readonly unknown[]): Promise<Row[]> {
  const { rows } = await pool.transaction((transaction) => transaction.query({ name: '', text: sql }, values))
  return [...rows]
}

function toColumn(row: Row): ColumnFacts {
  return {
    number: Number(row['number']),
    name: String(row['name']),
    type: String(row['type']),
    notNull: row['not_null'] === true,
    isGenerated: row['generated'] === true,
    isVague: row['vague'] === true,
  }
}

/** Names of columns by the catalog's numbers, `1 3`; an expression is number 0. */
function namesBy(numbers: unknown, columns: readonly ColumnFacts[]): string[] {
  if (typeof numbers !== 'string' || numbers === '') return []
  return numbers
    .split(' ')
    .map(Number)
    .map((number) => columns.find((column) => column.number === number)?.name ?? '')
}

const kinds: Readonly<Record<string, ConstraintFacts['kind']>> = {
  p: 'primary',
  u: 'unique',
  f: 'foreign',
  x: 'exclusion',
}

function toConstraint(
  row: Row,
  columns: readonly ColumnFacts[],
  targetColumns: readonly ColumnFacts[],
): ConstraintFacts {
  const deferred = row['deferred'] === true ? ' INITIALLY DEFERRED' : ''
  return {
    name: String(row['name']),
    kind: kinds[String(row['kind'])] ?? 'exclusion',
    columns: namesBy(row['columns'], columns),
    definition: String(row['definition']),
    target:
      row['kind'] === 'f' ? { schema: String(row['target_schema']), name: String(row['target_name']) } : undefined,
    targetColumns: namesBy(row['target_columns'], targetColumns),
    onDelete: String(row['on_delete']).trim(),
    onUpdate: String(row['on_update']).trim(),
    isFull: row['match_type'] === 'f',
    deferrable: row['deferrable'] === true ? ` DEFERRABLE${deferred}` : '',
  }
}

function toIndex(row: Row, columns: readonly ColumnFacts[]): IndexFacts {
  return {
    name: String(row['name']),
    isUnique: row['is_unique'] === true,
    columns: namesBy(row['columns'], columns),
    definition: String(row['definition']),
    head: String(row['head']),
    isOfConstraint: row['of_constraint'] === true,
  }
}

function toPolicy(row: Row): PolicyFacts {
  return {
    name: String(row['name']),
    permissive: String(row['permissive']).toUpperCase() === 'PERMISSIVE',
    roles: String(row['roles']),
    command: String(row['command']),
    using: String(row['using_text']),
    check: String(row['check_text']),
  }
}

function toGrants(rows: readonly Row[]): Map<string, Set<string>> {
  const grants = new Map<string, Set<string>>()
  for (const row of rows) {
    const grantee = String(row['grantee'])
    grants.set(grantee, (grants.get(grantee) ?? new Set()).add(String(row['privilege'])))
  }
  return grants
}
