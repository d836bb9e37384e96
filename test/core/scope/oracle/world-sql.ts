import { type Column, type Role, type Table, type Verb, VERBS, visibleColumns, type World } from './world.ts'
import { sqlType } from './types.ts'

/** Whose statement it is. */
export type Caller = { readonly tenantId: string; readonly userId: string; readonly role: Role }

/** A text in quotes, as a literal of SQL. */
export const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`

const name = ({ schema, name: table }: Table): string => `"${schema}"."${table}"`
const setting = (key: string): string => `NULLIF(current_setting('oracle.${key}', true), '')`

/**
 * A world as SQL: tables, rows, and policies made from the grants, which come from settings of the test's own, so that one
 * set of policies judges every role. Defaults fill in what the kernel adds to an INSERT.
 *
 * @param isNarrow - without the columns that are hidden from the narrow role
 */
export function worldSql(world: World, isNarrow: boolean): string {
  const columnsOf = (table: Table): readonly Column[] =>
    isNarrow ? table.columns.filter(({ hidden }) => hidden === undefined) : table.columns
  const tables = world.tables.filter(({ kind }) => kind !== 'view')
  return [
    'DROP SCHEMA IF EXISTS app, ledger, wall CASCADE; CREATE SCHEMA app; CREATE SCHEMA ledger; CREATE SCHEMA wall;',
    "CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'glad');",
    ...tables.map((table) => tableSql(table, columnsOf(table))),
    ...tables.map((table) => foreignKeySql(world, table)),
    ...world.rows.map(({ table, rows }) => rowsSql(tableNamed(world, table), rows, columnsOf)),
    functionsSql(world),
    ...tables.map((table) => policiesSql(world, table)),
    ...world.tables.filter(({ kind }) => kind === 'view').map((view) => viewSql(world, view)),
    'GRANT USAGE ON SCHEMA app, ledger, wall TO holdfast_app;',
    'GRANT SELECT ON ALL TABLES IN SCHEMA app, ledger, wall TO holdfast_app;',
    ...tables.map((t) => (t.kind === 'shared' ? '' : `GRANT INSERT, UPDATE, DELETE ON ${name(t)} TO holdfast_app;`)),
    'ANALYZE;',
  ].join('\n')
}

function tableNamed(world: World, wanted: string): Table {
  return world.tables.find((table) => table.name === wanted) as Table
}

function tableSql(table: Table, columns: readonly Column[]): string {
  const definition = (column: Column): string => {
    const isTenant = column.name === table.tenant
    const isOwner = column.name === table.owner
    const key = isTenant ? 'tenant' : `${table.resource}_owner`
    const preset = isTenant || isOwner ? `${setting(key)}::${sqlType(column.type)}` : column.preset
    return `"${column.name}" ${sqlType(column.type)}${column.notNull === true ? ' NOT NULL' : ''}${preset === undefined ? '' : ` DEFAULT ${preset}`}`
  }
  const list = (names: readonly string[]): string => names.map((each) => `"${each}"`).join(', ')
  const keys = table.uniques.map((unique) => `UNIQUE (${list(unique)})`)
  return `CREATE TABLE ${name(table)} (${[...columns.map(definition), `PRIMARY KEY (${list(table.primary)})`, ...keys].join(', ')});`
}

function foreignKeySql(world: World, table: Table): string {
  const { link } = table
  if (link === undefined || link.key === 'none') return ''
  const parent = tableNamed(world, link.parent)
  const [own, theirs] =
    link.key === 'leads'
      ? [`"${table.tenant}", "${link.column}"`, `"${parent.tenant}", "${link.references}"`]
      : [`"${link.column}"`, `"${link.references}"`]
  return `ALTER TABLE ${name(table)} ADD FOREIGN KEY (${own}) REFERENCES ${name(parent)} (${theirs})${link.cascades ? ' ON DELETE CASCADE' : ''};`
}

function rowsSql(
  table: Table,
  rows: readonly (readonly (string | null)[])[],
  columnsOf: (table: Table) => readonly Column[],
): string {
  const columns = columnsOf(table)
  const line = (row: readonly (string | null)[]): string =>
    `(${table.columns.flatMap((column, index) => (columns.includes(column) ? [row[index] == null ? 'NULL' : quote(row[index])] : [])).join(', ')})`
  return `INSERT INTO ${name(table)} VALUES ${rows.map(line).join(', ')};`
}

/** The application's own functions: one that reads nothing, one that reads a table and confines itself. */
function functionsSql(world: World): string {
  const [table] = world.tables
  if (table === undefined) throw new TypeError('a world has a table')
  const tenant = table.columns.find((column) => column.name === table.tenant)
  return `CREATE FUNCTION app.twice(int8) RETURNS int8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION app.total() RETURNS int8 LANGUAGE sql STABLE AS $$ SELECT pg_catalog.count(*) FROM ${name(table)} x
  WHERE x."${table.tenant}" = pg_catalog.current_setting('oracle.reader')::${tenant?.type} $$;`
}

/** `wall` shows what a policy may look up of a parent, whatever the caller may read. */
function policiesSql(world: World, table: Table): string {
  if (table.kind === 'shared') return ''
  const { resource } = table
  const rows = (verb: Verb): string => {
    const reach = `current_setting('oracle.${resource}_${verb}')`
    return `${reach} <> 'none' AND ${reachSql(world, table, `"${table.name}"`, `${reach} = 'tenant'`)}`
  }
  return `CREATE VIEW wall."${table.name}" AS SELECT * FROM ${name(table)};
ALTER TABLE ${name(table)} ENABLE ROW LEVEL SECURITY;
CREATE POLICY r ON ${name(table)} FOR SELECT USING (${rows('read')});
CREATE POLICY c ON ${name(table)} FOR INSERT WITH CHECK (${rows('create')});
CREATE POLICY u ON ${name(table)} FOR UPDATE USING (${rows('update')}) WITH CHECK (${rows('update')});
CREATE POLICY d ON ${name(table)} FOR DELETE USING (${rows('delete')});`
}

/** Whether a row is within reach: of the tenant, and – unless `isTenant` – the user's own. */
function reachSql(world: World, table: Table, alias: string, isTenant: string): string {
  if (table.kind === 'through' && table.link !== undefined) {
    const parent = tableNamed(world, table.link.parent)
    const { column, references } = table.link
    return `EXISTS (SELECT FROM wall."${parent.name}" parent WHERE parent."${references}" = ${alias}."${column}" AND ${reachSql(world, parent, 'parent', isTenant)})`
  }
  const typeOf = (wanted: string): string => sqlType(table.columns.find((each) => each.name === wanted)?.type ?? 'text')
  const mine = `${alias}."${table.tenant}" = current_setting('oracle.tenant')::${typeOf(table.tenant ?? '')}`
  if (table.owner === undefined) return mine
  return `${mine} AND (${isTenant} OR ${alias}."${table.owner}" = current_setting('oracle.user')::${typeOf(table.owner)})`
}

function viewSql(world: World, view: Table): string {
  const columns = view.columns.map((column) => `"${column.name}"`).join(', ')
  return `CREATE VIEW ${name(view)} WITH (security_invoker) AS SELECT ${columns} FROM ${name(tableNamed(world, view.shows ?? ''))};`
}

/** Makes a session the caller's, for row-level security. */
export function callerSql(world: World, { tenantId, userId, role }: Caller): string {
  const reaches = new Map(
    role.grants.map((grant) => {
      const [permission = '', own] = grant.split('@')
      return [permission.replace(':', '_'), own === undefined ? 'tenant' : 'own']
    }),
  )
  const pairs: [string, string][] = [
    ['tenant', tenantId],
    ['user', userId],
  ]
  for (const table of world.tables) {
    for (const verb of VERBS)
      pairs.push([`${table.resource}_${verb}`, reaches.get(`${table.resource}_${verb}`) ?? 'none'])
    // whoever creates for themselves creates what is theirs
    pairs.push([`${table.resource}_owner`, reaches.get(`${table.resource}_create`) === 'own' ? userId : ''])
  }
  const settings = pairs.map(([key, value]) => `set_config('oracle.${key}', ${quote(value)}, false)`)
  return `RESET ROLE; SELECT ${settings.join(', ')}`
}

/**
 * What a statement left behind, a line for each table: digests of the tenant's rows, of other tenants', and of those that
 * are nobody's, such as a child whose parent is gone; within the columns that the role sees. Sums of 64-bit hashes, for
 * which the order of the rows is nothing.
 */
export function effectsSql(world: World, { tenantId, role }: Caller): string {
  return world.tables
    .filter(({ kind }) => kind === 'tenant' || kind === 'through')
    .map((table) => {
      const row = visibleColumns(table, role).map((column) => `x."${column.name}"`)
      const mine = withinSql(world, table, 'x', `= ${quote(tenantId)}`, undefined)
      const others = withinSql(world, table, 'x', `<> ${quote(tenantId)}`, undefined)
      const rows = `SELECT hashtextextended(ROW(${row.join(', ')})::text, 0)::numeric, ${mine}, ${others} FROM ${name(table)} x OFFSET 0`
      const digest = (which: string): string =>
        `sum(h) FILTER (WHERE ${which}) || ' of ' || count(*) FILTER (WHERE ${which})`
      return `SELECT '${table.name}' AS t, ${digest('mine')} AS mine, ${digest('others')} AS others, ${digest('NOT mine AND NOT others')} AS strays FROM (${rows}) y(h, mine, others)`
    })
    .join(' UNION ALL ')
}

/** Whether hidden columns hold anything but what they were given. */
export function sealedSql(world: World): string {
  const tables = world.tables.filter(
    ({ kind, columns }) => kind !== 'view' && columns.some((column) => column.name === 'secret'),
  )
  const counts = tables.map(
    (table) => `SELECT count(*) FROM ${name(table)} WHERE secret NOT LIKE 'secret %' AND secret <> 'unset'`,
  )
  return `SELECT coalesce(sum(count), 0)::int4 AS broken FROM (${[...counts, 'SELECT 0'].join(' UNION ALL ')}) s(count)`
}

/** Leaves nothing but the tenant's rows; of the named tables nothing but what the user owns. */
export function onlySql(
  world: World,
  tenantId: string,
  owned: { userId: string; tables: ReadonlySet<string> },
): string {
  const removals = world.tables
    .filter(({ kind }) => kind === 'tenant' || kind === 'through')
    // children first: whose they are is told by their parent
    .toReversed()
    .map((table) => {
      const user = owned.tables.has(table.name) ? owned.userId : undefined
      return `DELETE FROM ${name(table)} x WHERE (${withinSql(world, table, 'x', `= ${quote(tenantId)}`, user)}) IS NOT TRUE`
    })
  return `SET LOCAL session_replication_role = replica; ${removals.join('; ')}; SET LOCAL session_replication_role = origin`
}

/**
 * Whether a row is a tenant's: through its parent, where it has no tenant column.
 * @param tenant - such as `= '7'`, or `<> '7'` for all others
 * @param userId - and this user's own
 */
function withinSql(world: World, table: Table, alias: string, tenant: string, userId: string | undefined): string {
  if (table.kind === 'through' && table.link !== undefined) {
    const parent = tableNamed(world, table.link.parent)
    const { references, column } = table.link
    return `EXISTS (SELECT FROM ${name(parent)} p WHERE p."${references}" = ${alias}."${column}" AND ${withinSql(world, parent, 'p', tenant, userId)})`
  }
  const mine = `${alias}."${table.tenant}"::text ${tenant}`
  return userId === undefined || table.owner === undefined
    ? mine
    : `${mine} AND ${alias}."${table.owner}"::text = ${quote(userId)}`
}
