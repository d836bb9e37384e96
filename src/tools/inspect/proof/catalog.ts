import { type Dialect, hasTriggerCatalog } from '../../../core/database/dialect.ts'
import type { Statement } from '../../../core/database/statement.ts'
import { quoted } from '../../../core/scope/leaf.ts'
import type { Stage } from './stage.ts'

/** A column, as far as a row can be made from it. */
export type ProofColumn = {
  readonly name: string
  /** as it is written in a cast, such as `uuid`, `character varying(40)`, `app.status` */
  readonly type: string
  /** short name of the type that stores it, a domain's base: `uuid`, `varchar`, `_text` */
  readonly base: string
  /** labels of an enum, in order; else none */
  readonly labels: readonly string[]
  readonly notNull: boolean
  readonly hasDefault: boolean
  /** its default takes a number from a sequence, which ROLLBACK does not give back */
  readonly isSerial: boolean
  /** GENERATED ALWAYS AS IDENTITY */
  readonly isIdentity: boolean
  /** most characters; 0: no limit */
  readonly limit: number
}

/** A CHECK; its text is empty where it could not be read. */
type Check = { readonly name: string; readonly columns: readonly string[]; readonly text: string }
/** A foreign key; deleting or changing the parent may reach the child. */
export type Reference = {
  readonly columns: readonly string[]
  readonly target: string
  readonly targets: readonly string[]
  readonly cascades: boolean
}
/** What PostgreSQL would run besides: a user trigger or a rule, and on which events. */
type Hook = { readonly name: string; readonly events: readonly string[] }
type Policy = { readonly name: string; readonly roles: readonly string[] }

/** A relation of the database. */
export type Shape = {
  /** `schema.table`, as it is kept and shown */
  readonly name: string
  /** r table, p partitioned, v view, m materialized view, f foreign */
  readonly kind: string
  readonly owner: string
  readonly columns: readonly ProofColumn[]
  readonly checks: readonly Check[]
  readonly references: readonly Reference[]
  /** primary key and unique constraints that ON CONFLICT can name, the primary key first */
  readonly keys: readonly (readonly string[])[]
  readonly hooks: readonly Hook[]
  readonly policies: readonly Policy[]
}

/** All relations outside the system's schemas, by `schema.table`. */
export type Catalog = ReadonlyMap<string, Shape>

const OURS = `n.nspname !~ '^(pg_|information_schema$|crdb_internal$|pg_extension$)'`
const NAMES = (numbers: string, relation: string): string =>
  `ARRAY(SELECT a.attname::TEXT FROM unnest(${numbers}) WITH ORDINALITY AS k(num, ord) JOIN pg_catalog.pg_attribute a ON a.attrelid = ${relation} AND a.attnum = k.num ORDER BY k.ord)`

const texts = {
  relations: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS name, c.relkind::TEXT AS kind,
  pg_catalog.pg_get_userbyid(c.relowner)::TEXT AS owner
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ${OURS}`,
  // pg_get_expr would wait for locks; 1574 is nextval in PostgreSQL's stored form, CockroachDB stores the words
  columns: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS table, a.attname::TEXT AS name,
  pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, COALESCE(b.typname, t.typname)::TEXT AS base,
  ARRAY(SELECT e.enumlabel::TEXT FROM pg_catalog.pg_enum e WHERE e.enumtypid = COALESCE(b.oid, t.oid) ORDER BY e.enumsortorder) AS labels,
  a.attnotnull OR t.typnotnull AS not_null, a.atthasdef AS has_default, a.attidentity::TEXT AS identity,
  COALESCE(d.adbin::TEXT ~ ':funcid 1574 |nextval|unique_rowid', false) AS serial,
  CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 ELSE 0 END AS limit
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd'
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated::TEXT = '' AND ${OURS}
ORDER BY a.attrelid, a.attnum`,
  constraints: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS table, o.conname::TEXT AS name, o.contype::TEXT AS kind,
  ${NAMES('o.conkey', 'o.conrelid')} AS columns, ${NAMES('o.confkey', 'o.confrelid')} AS targets,
  f.nspname::TEXT AS target_schema, r.relname::TEXT AS target, o.condeferrable AS deferrable,
  o.confdeltype::TEXT NOT IN ('a', 'r', ' ', '') OR o.confupdtype::TEXT NOT IN ('a', 'r', ' ', '') AS cascades
FROM pg_catalog.pg_constraint o
JOIN pg_catalog.pg_class c ON c.oid = o.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class r ON r.oid = o.confrelid
LEFT JOIN pg_catalog.pg_namespace f ON f.oid = r.relnamespace
WHERE o.contype IN ('c', 'f', 'p', 'u') AND ${OURS}
ORDER BY o.contype, o.conname`,
  // it waits for the lock of a table that somebody changes
  checks: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS table, o.conname::TEXT AS name, pg_catalog.pg_get_constraintdef(o.oid) AS text
FROM pg_catalog.pg_constraint o
JOIN pg_catalog.pg_class c ON c.oid = o.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE o.contype = 'c' AND ${OURS}`,
  // 4 INSERT, 8 DELETE, 16 UPDATE: the events of a trigger, as bits
  triggers: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS table, g.tgname::TEXT AS name,
  (g.tgtype::INT8 & 4) <> 0 AS on_insert, (g.tgtype::INT8 & 8) <> 0 AS on_delete, (g.tgtype::INT8 & 16) <> 0 AS on_update
FROM pg_catalog.pg_trigger g
JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT g.tgisinternal AND g.tgenabled::TEXT <> 'D' AND ${OURS}`,
  rules: `SELECT n.nspname::TEXT AS schema, c.relname::TEXT AS table, w.rulename::TEXT AS name,
  w.ev_type::TEXT = '3' AS on_insert, w.ev_type::TEXT = '4' AS on_delete, w.ev_type::TEXT = '2' AS on_update
FROM pg_catalog.pg_rewrite w
JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE w.ev_type::TEXT <> '1' AND w.ev_enabled::TEXT <> 'D' AND ${OURS}`,
  policies: `SELECT schemaname::TEXT AS schema, tablename::TEXT AS table, policyname::TEXT AS name, roles::TEXT[] AS roles
FROM pg_catalog.pg_policies ORDER BY policyname`,
} as const

type Found = {
  schema: string
  table: string
  name: string
  [more: string]: unknown
}
type Draft = { -readonly [Key in keyof Shape]: Shape[Key] extends readonly (infer One)[] ? One[] : Shape[Key] }

/** Reads what there is; nothing of it is privileged. @throws DatabaseError as any statement */
export async function readCatalog(stage: Stage, dialect: Dialect): Promise<Catalog> {
  const ask = async (text: string): Promise<Found[]> =>
    (await stage.transaction.query({ name: '', text } satisfies Statement)).rows as Found[]
  const drafts = new Map<string, Draft>()
  for (const { schema, name, kind, owner } of await ask(texts.relations)) {
    const empty = { columns: [], checks: [], references: [], keys: [], hooks: [], policies: [] }
    drafts.set(`${schema}.${name}`, {
      name: `${schema}.${name}`,
      kind: String(kind),
      owner: String(owner),
      ...empty,
    })
  }
  const of = ({ schema, table }: Found): Draft | undefined => drafts.get(`${schema}.${table}`)
  for (const one of await ask(texts.columns)) of(one)?.columns.push(columnOf(one))
  const checks = await stage.attempt([{ statement: { name: '', text: texts.checks }, values: [] }])
  const found = new Map<string, string>()
  for (const row of checks.kind === 'done' ? (checks.results[0]?.rows ?? []) : []) {
    const { schema, table, name, text } = row as Found
    found.set(`${schema}.${table}.${name}`, String(text))
  }
  for (const one of await ask(texts.constraints)) addConstraint(of(one), one, found)
  if (hasTriggerCatalog(dialect)) {
    for (const text of [texts.triggers, texts.rules])
      for (const one of await ask(text)) of(one)?.hooks.push(hookOf(one))
  } else
    for (const draft of drafts.values())
      if (draft.kind === 'r') draft.hooks.push(...(await shownTriggers(stage, draft)))
  for (const one of await ask(texts.policies))
    of(one)?.policies.push({ name: one.name, roles: one['roles'] as string[] })
  return drafts
}

function columnOf(one: Found): ProofColumn {
  return {
    name: one.name,
    type: String(one['type']),
    base: String(one['base']),
    labels: one['labels'] as string[],
    notNull: one['not_null'] === true,
    hasDefault: one['has_default'] === true || one['identity'] !== '',
    isSerial: one['serial'] === true || one['identity'] !== '',
    isIdentity: one['identity'] === 'a',
    limit: Number(one['limit']),
  }
}

function addConstraint(draft: Draft | undefined, one: Found, checks: ReadonlyMap<string, string>): void {
  const columns = one['columns'] as string[]
  if (one['kind'] === 'c') {
    const text = checks.get(`${one.schema}.${one.table}.${one.name}`) ?? ''
    draft?.checks.push({ name: one.name, columns, text })
  } else if (one['kind'] === 'f') {
    const target = `${String(one['target_schema'])}.${String(one['target'])}`
    const targets = one['targets'] as string[]
    draft?.references.push({ columns, target, targets, cascades: one['cascades'] === true })
  } else if (one['deferrable'] !== true) draft?.keys.push(columns)
}

function hookOf(one: Found): Hook {
  const events = (['insert', 'update', 'delete'] as const).filter((event) => one[`on_${event}`] === true)
  return { name: one.name, events: events.map((event) => event.toUpperCase()) }
}

const everyEvent = ['INSERT', 'UPDATE', 'DELETE'] as const

/**
 * CockroachDB tells triggers by SHOW alone, without their events; one that cannot be told counts as there. Written to
 * its documentation (SHOW TRIGGERS), not run there yet.
 */
async function shownTriggers(stage: Stage, { name }: Draft): Promise<Hook[]> {
  const dot = name.indexOf('.')
  const text = `SHOW TRIGGERS FROM ${quoted(name.slice(0, dot))}.${quoted(name.slice(dot + 1))}`
  const outcome = await stage.attempt([{ statement: { name: '', text }, values: [] }])
  if (outcome.kind === 'failed') return [{ name: 'that could not be listed', events: everyEvent }]
  const shown = outcome.results[0]?.rows ?? []
  return shown
    .filter(({ enabled }) => enabled !== false)
    .map((row) => ({ name: String(row['trigger_name']), events: everyEvent }))
}
