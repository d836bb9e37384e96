import type { ConnectionTarget } from './connection-target.ts'
import { Hosts } from './hosts.ts'

/** Schemas the package owns. */
const ownSchemas = ['holdfast', 'tenancy'] as const

/**
 * One query a section; each yields `heading` and `line`. The expressions come from the server with an empty
 * search_path, so every name is qualified. What differs between PostgreSQL 15 and 18 for the same schema – NOT NULL as
 * constraints, new privileges of an owner – is left out.
 */
const sections = [
  `SELECT 'schema ' || n.nspname AS heading, 'owner ' || pg_catalog.pg_get_userbyid(n.nspowner) AS line
FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY ($1::TEXT[])`,
  `SELECT 'schema ' || n.nspname AS heading, 'grant ' || a.privilege_type || ' to ' || ${grantee('a')} AS line
FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a WHERE n.nspname = ANY ($1::TEXT[]) AND a.grantee <> n.nspowner`,
  `SELECT ${tableName()} AS heading, 'owner ' || pg_catalog.pg_get_userbyid(c.relowner)
|| CASE WHEN c.relrowsecurity THEN ', row-level security' ELSE '' END
|| CASE WHEN c.relforcerowsecurity THEN ', forced' ELSE '' END AS line
FROM ${tables()}`,
  `SELECT ${tableName()} AS heading, 'column ' || pg_catalog.lpad(a.attnum::TEXT, 2, '0') || ' ' || a.attname || ' '
|| pg_catalog.format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
|| COALESCE(' default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid), '')
|| CASE WHEN l.collname IS NULL OR l.collname = 'default' THEN '' ELSE ' collate ' || l.collname END AS line
FROM ${tables()} JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation`,
  `SELECT ${tableName()} AS heading, 'constraint ' || k.conname || ' ' || pg_catalog.pg_get_constraintdef(k.oid) AS line
FROM ${tables()} JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype <> 'n'`,
  `SELECT ${tableName()} AS heading, 'index ' || pg_catalog.pg_get_indexdef(i.indexrelid) AS line
FROM ${tables()} JOIN pg_catalog.pg_index i ON i.indrelid = c.oid`,
  `SELECT ${tableName()} AS heading, 'policy ' || p.policyname || ' ' || pg_catalog.lower(p.permissive) || ' for ' || p.cmd
|| ' to ' || pg_catalog.array_to_string(p.roles, ', ') || COALESCE(' using ' || p.qual, '')
|| COALESCE(' with check ' || p.with_check, '') AS line
FROM ${tables()} JOIN pg_catalog.pg_policies p ON p.schemaname = n.nspname AND p.tablename = c.relname`,
  `SELECT ${tableName()} AS heading, 'trigger ' || pg_catalog.pg_get_triggerdef(t.oid) AS line
FROM ${tables()} JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal`,
  `SELECT ${tableName()} AS heading, 'grant ' || a.privilege_type || ' to ' || ${grantee('a')} AS line
FROM ${tables()} CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a WHERE a.grantee <> c.relowner`,
  `SELECT ${functionName()} AS heading, 'returns ' || pg_catalog.pg_get_function_result(f.oid) || ', owner '
|| pg_catalog.pg_get_userbyid(f.proowner) || ', ' || l.lanname
|| CASE f.provolatile WHEN 'i' THEN ' immutable' WHEN 's' THEN ' stable' ELSE ' volatile' END
|| CASE WHEN f.prosecdef THEN ', security definer' ELSE ', security invoker' END
|| CASE WHEN f.proisstrict THEN ', strict' ELSE '' END
|| COALESCE(', ' || pg_catalog.array_to_string(f.proconfig, ', '), '')
|| ', body sha256 ' || pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(f.prosrc, 'UTF8')), 'hex') AS line
FROM ${functions()}`,
  `SELECT ${functionName()} AS heading, 'grant ' || a.privilege_type || ' to ' || ${grantee('a')} AS line
FROM ${functions()}
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(f.proacl, pg_catalog.acldefault('f', f.proowner))) a
WHERE a.grantee <> f.proowner`,
]

function tables(): string {
  return `pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY ($1::TEXT[])
AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')`
}

function functions(): string {
  return `pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace AND n.nspname = ANY ($1::TEXT[])
JOIN pg_catalog.pg_language l ON l.oid = f.prolang`
}

function tableName(): string {
  return `CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence ' WHEN 'f' THEN 'foreign table '
ELSE 'table ' END || n.nspname || '.' || c.relname`
}

function functionName(): string {
  return `'function ' || n.nspname || '.' || f.proname || '(' || pg_catalog.pg_get_function_identity_arguments(f.oid) || ')'`
}

function grantee(acl: string): string {
  return `CASE ${acl}.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(${acl}.grantee) END
|| CASE WHEN ${acl}.is_grantable THEN ' with grant option' ELSE '' END`
}

/**
 * Writes down what the migrations have made – tables, columns, constraints, indexes, policies, functions, grants – as
 * text that is equal for equal schemas, to be kept in the repository and compared.
 *
 * @param target - any role: the catalogs are readable by all
 * @throws DatabaseError those of a connection
 */
export async function dumpSchema(target: ConnectionTarget, schemas: readonly string[] = ownSchemas): Promise<string> {
  const connection = await new Hosts(target).open(
    {
      applicationName: 'holdfast schema dump',
      connectTimeoutMs: 5_000,
      statementLimit: sections.length,
      statementTimeoutMs: 30_000,
      idleInTransactionTimeoutMs: 0,
    },
    () => undefined,
  )
  try {
    const blocks = new Map<string, string[]>()
    for (const [section, text] of sections.entries()) {
      const { rows } = await connection.client.query<{ heading: string; line: string }>(text, [schemas])
      for (const { heading, line } of rows) {
        const lines = blocks.get(heading) ?? []
        // Sections keep their order, lines within a section are sorted.
        lines.push(`${String(section).padStart(2, '0')}${line.replaceAll(/\s+/g, ' ')}`)
        blocks.set(heading, lines)
      }
    }
    return [...blocks]
      .sort(([a], [b]) => compare(a, b))
      .map(([heading, lines]) => [heading, ...lines.sort(compare).map((line) => `  ${line.slice(2)}`)].join('\n'))
      .join('\n\n')
      .concat('\n')
  } finally {
    await connection.close()
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
