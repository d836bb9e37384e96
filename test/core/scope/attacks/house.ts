import { type Grants, parseGrants } from '../../../../src/core/scope/grants.ts'
import { type Manifest, parseManifest } from '../../../../src/core/scope/manifest.ts'

/**
 * The house that is attacked: tenants 7, 800008 and 900009. Tenant 7 asks, as its user 2. Whatever belongs to somebody
 * else bears a mark that is found again wherever it comes out: see {@link MARKS}.
 */
export const TENANT = '7'
export const USER = '2'

const own = { id: { type: 'int8' }, tenant_id: { type: 'int8' }, owner_id: { type: 'int8' } } as const

export const manifest: Manifest = parseManifest({
  tables: [
    {
      schema: 'app',
      name: 'docs',
      resource: 'doc',
      tenant: 'tenant_id',
      owner: 'owner_id',
      columns: {
        ...own,
        folder_id: { type: 'int8' },
        title: { type: 'text' },
        body: { type: 'text' },
        size: { type: 'int4' },
        salary: { type: 'int4', hidden: ['clerk'] },
        state: { type: 'text', readOnly: ['clerk'] },
      },
    },
    {
      schema: 'app',
      name: 'notes',
      resource: 'note',
      tenant: 'tenant_id',
      owner: 'author',
      columns: {
        tenant_id: { type: 'int8' },
        id: { type: 'int8' },
        author: { type: 'int8' },
        doc_id: { type: 'int8' },
        body: { type: 'text' },
      },
    },
    {
      schema: 'app',
      name: 'folders',
      resource: 'folder',
      tenant: 'tenant_id',
      columns: { id: { type: 'int8' }, name: { type: 'text' }, tenant_id: { type: 'int8' } },
    },
    {
      schema: 'app',
      name: 'labels',
      resource: 'label',
      tenant: 'org',
      owner: 'made_by',
      columns: { id: { type: 'int8' }, org: { type: 'text' }, made_by: { type: 'text' }, name: { type: 'text' } },
    },
    {
      schema: 'app',
      name: 'invoices',
      resource: 'invoice',
      tenant: 'tenant_id',
      owner: 'owner_id',
      columns: { ...own, number: { type: 'text' } },
    },
    {
      schema: 'app',
      name: 'lines',
      resource: 'line',
      through: { table: 'invoices', column: 'invoice_id', references: 'id' },
      columns: { id: { type: 'int8' }, invoice_id: { type: 'int8' }, item: { type: 'text' }, amount: { type: 'int4' } },
    },
    {
      schema: 'app',
      name: 'recent',
      resource: 'doc',
      tenant: 'tenant_id',
      owner: 'owner_id',
      view: true,
      columns: { ...own, title: { type: 'text' } },
    },
    {
      schema: 'app',
      name: 'users',
      resource: 'user',
      shared: true,
      columns: { id: { type: 'int8' }, name: { type: 'text' } },
    },
  ],
  roles: { clerk: [], chief: [] },
  functions: [
    { schema: 'app', name: 'title_of', reads: ['app.docs'] },
    { schema: 'app', name: 'double', reads: [] },
  ],
  types: [
    { schema: 'app', name: 'mood' },
    { schema: 'app', name: 'short' },
  ],
})

const verbs = ['read', 'create', 'update', 'delete']
const owned = ['doc', 'note', 'label', 'invoice', 'line']
const every = (resources: readonly string[], reach = ''): string[] =>
  resources.flatMap((resource) => verbs.map((verb) => `${resource}:${verb}${reach}`))

/** Who attacks: what they hold, and for which role the manifest hides columns from them. */
export type Actor = {
  readonly grants: Grants
  readonly role: string | undefined
  /** which rows, besides other tenants', they must not see */
  readonly apart: 'nobody' | 'other owners' | 'everyone'
  /** which rows, besides other tenants', they must not change or lock */
  readonly untouched: 'none' | 'other owners' | 'all' | 'all but docs'
}

export const actors = {
  /** every verb on all rows of the tenant */
  tenant: {
    grants: parseGrants([...every([...owned, 'folder']), 'user:read']),
    role: 'clerk',
    apart: 'nobody',
    untouched: 'none',
  },
  /** every verb on their own rows; folders have no owner */
  own: {
    grants: parseGrants([...every(owned, '@own'), ...every(['folder']), 'user:read']),
    role: 'clerk',
    apart: 'other owners',
    untouched: 'other owners',
  },
  /** writes docs and reads none */
  blind: {
    grants: parseGrants(['doc:create', 'doc:update', 'doc:delete', 'user:read']),
    role: 'clerk',
    apart: 'everyone',
    untouched: 'all but docs',
  },
  /** reads the tenant's rows, writes none */
  reader: {
    grants: parseGrants([...owned, 'folder', 'user'].map((resource) => `${resource}:read`)),
    role: 'clerk',
    apart: 'nobody',
    untouched: 'all',
  },
  /** reads all, changes their own */
  mixed: {
    grants: parseGrants([
      ...[...owned, 'folder', 'user'].map((resource) => `${resource}:read`),
      ...owned.flatMap((resource) => ['create', 'update', 'delete'].map((verb) => `${resource}:${verb}@own`)),
    ]),
    role: 'clerk',
    apart: 'nobody',
    untouched: 'other owners',
  },
  /** every verb, from a role that the manifest does not know */
  stranger: { grants: parseGrants(every(owned)), role: 'constructor', apart: 'nobody', untouched: 'none' },
} as const satisfies Record<string, Actor>
export type ActorName = keyof typeof actors

/**
 * What a database of the tests holds: everything; or no other tenants; or besides that other values in hidden columns;
 * or besides that no rows of other owners; or other texts in the caller's own rows.
 */
export type Population = 'everything' | 'one tenant' | 'nothing hidden' | 'one owner' | 'other texts'

/** The database with which that of all rows must agree: it lacks what the actor must not see, or has it otherwise. */
export const twinOf: Readonly<Record<Actor['apart'], Population>> = {
  nobody: 'nothing hidden',
  'other owners': 'one owner',
  everyone: 'other texts',
}

/**
 * What must not come out, by whose it is. Numbers and texts that occur nowhere else: `900101` is a document of tenant
 * 900009, `700101` one of another owner in tenant 7, `600101` and `hidden-…` stand in columns that are hidden.
 */
export const MARKS = {
  foreign: /\b[89]00\d{3}\b|canary-\d+/g,
  'other owners': /\b700\d{3}\b|other-\d+/g,
  hidden: /\b600\d{3}\b|hidden-\d+/g,
  everyone: /mine-\d+/g,
} as const

/** Tables whose rows are compared before and after. */
export const tables = ['docs', 'notes', 'folders', 'labels', 'invoices', 'lines', 'vault', 'users'] as const

/** SQL of a database of this house, with the rows of a population; each part is sent by itself. */
export function schemaOf(population: Population): readonly string[] {
  const tenants = population === 'everything' ? [7, 8, 9] : [7]
  const mine = population === 'other texts' ? 'else' : 'mine'
  // in another order too
  const hidden = population === 'everything' || population === 'one tenant' ? '600100 + i' : '600509 - i'
  const rows = tenants.flatMap((tenant) => {
    const owners = tenant !== 7 ? ['foreign'] : population === 'one owner' ? ['user'] : ['user', 'other']
    return owners.flatMap((owner) => rowsOf(owner, tenant, mine, hidden))
  })
  return [STRUCTURE, rows.join('\n'), WALL, KEEP]
}

/** The rows of one owner. */
function rowsOf(whose: string, tenant: number, mine: string, hidden: string): string[] {
  // 900009 is the tenant, 900011 its user, 900101 … its documents; 700101 … are those of another owner of tenant 7
  const base = whose === 'user' ? 0 : tenant * 100_000
  const id = tenant === 7 ? 7 : base + tenant
  const owner = whose === 'user' ? 2 : base + 11
  const mark = whose === 'user' ? `'${mine}-'` : whose === 'other' ? `'other-'` : `'canary-'`
  const size = whose === 'user' ? 'i' : `${base} + 800 + i`
  const concealed = `'hidden-' || ${hidden}`
  const series = 'FROM generate_series(1, 3) i;'
  return [
    `INSERT INTO app.docs SELECT ${base} + 100 + i, ${id}, ${owner}, ${base} + 300 + i, ${mark} || ${base} + 100 + i, ${mark} || ${base} + 400 + i || '${whose === 'foreign' ? ' (' : ''}', ${size}, ${hidden}, 'open', ${concealed} ${series}`,
    `INSERT INTO app.notes SELECT ${id}, ${base} + 200 + i, ${owner}, ${base} + 100 + i, ${mark} || ${base} + 500 + i ${series}`,
    whose === 'other'
      ? ''
      : `INSERT INTO app.folders SELECT ${base} + 300 + i, ${mark} || ${base} + 600 + i, ${id} ${series}`,
    `INSERT INTO app.labels SELECT ${base} + 600 + i, '${id}', '${owner}', ${mark} || ${base} + 700 + i ${series}`,
    `INSERT INTO app.invoices SELECT ${base} + 400 + i, ${id}, ${owner}, ${mark} || ${base} + 800 + i ${series}`,
    `INSERT INTO app.lines SELECT ${base} + 500 + i, ${base} + 400 + i, ${mark} || ${base} + 900 + i, ${base} + 950 + i ${series}`,
    `INSERT INTO app.vault SELECT ${base} + 700 + i, ${id}, ${mark} || ${base} + 980 + i ${series}`,
  ]
}

const tenantDefault = `DEFAULT NULLIF(current_setting('holdfast.tenant_id', true), '')::int8`

/** What the manifest speaks of; and what it does not: a table without row-level security, a definer's function and view, an operator that is always true. */
const STRUCTURE = `
CREATE SCHEMA app;
CREATE TABLE app.docs (id int8 PRIMARY KEY, tenant_id int8 NOT NULL ${tenantDefault}, owner_id int8 DEFAULT 2, folder_id int8,
  title text, body text, size int4, salary int4 DEFAULT 1, state text DEFAULT 'open', secret text);
CREATE TABLE app.notes (tenant_id int8 NOT NULL ${tenantDefault}, id int8, author int8 DEFAULT 2,
  doc_id int8 REFERENCES app.docs ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, body text, PRIMARY KEY (tenant_id, id));
CREATE TABLE app.folders (id int8, name text, tenant_id int8 NOT NULL ${tenantDefault}, PRIMARY KEY (tenant_id, id));
CREATE TABLE app.labels (id int8, org text COLLATE "C" NOT NULL DEFAULT current_setting('holdfast.tenant_id', true), made_by text DEFAULT '2',
  name text, PRIMARY KEY (org, id));
CREATE TABLE app.invoices (id int8 PRIMARY KEY, tenant_id int8 NOT NULL ${tenantDefault}, owner_id int8 DEFAULT 2, number text);
CREATE TABLE app.lines (id int8, invoice_id int8 NOT NULL, item text, amount int4, PRIMARY KEY (invoice_id, id));
CREATE TABLE app.users (id int8 PRIMARY KEY, name text);
CREATE TABLE app.vault (id int8, tenant_id int8, content text);
CREATE SEQUENCE app.s;
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE DOMAIN app.short AS text CHECK (length(VALUE) < 9);
CREATE FUNCTION app.title_of(int8) RETURNS text LANGUAGE sql STABLE AS 'SELECT title FROM app.docs WHERE id = $1';
CREATE FUNCTION app.double(int4) RETURNS int4 LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
CREATE VIEW app.recent WITH (security_invoker = true) AS SELECT id, tenant_id, owner_id, title FROM app.docs;
CREATE VIEW app.everything AS SELECT * FROM app.docs;
CREATE SCHEMA evil;
CREATE FUNCTION evil.f(app.docs) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT string_agg(title, '','' ORDER BY id) FROM app.docs';
CREATE FUNCTION evil.yes(int8, int8) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR evil.= (LEFTARG = int8, RIGHTARG = int8, FUNCTION = evil.yes);
INSERT INTO app.users SELECT i, 'user ' || i FROM generate_series(1, 5) i;
`

const confinements: readonly [table: string, condition: string][] = [
  ...['docs', 'notes', 'folders', 'invoices'].map((table): [string, string] => [
    table,
    `tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::int8`,
  ]),
  ['labels', `org = NULLIF(current_setting('holdfast.tenant_id', true), '')`],
]

/** The second wall as decided: one policy for all verbs. `lines` have none: a policy holds no subquery on CockroachDB. */
const WALL = `
${confinements
  .map(
    ([table, condition]) =>
      `ALTER TABLE app.${table} ENABLE ROW LEVEL SECURITY; ALTER TABLE app.${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON app.${table} FOR ALL TO PUBLIC USING (${condition}) WITH CHECK (${condition});`,
  )
  .join('\n')}
GRANT USAGE ON SCHEMA app, evil TO holdfast_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.docs, app.notes, app.folders, app.labels, app.invoices, app.lines, app.vault TO holdfast_app;
GRANT SELECT ON app.users, app.recent, app.everything TO holdfast_app;
GRANT USAGE ON app.s TO holdfast_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA app, evil TO holdfast_app;
GRANT USAGE ON TYPE app.mood, app.short TO holdfast_app;
`

/** A copy of all rows, to mend what a statement did; and no statistics, so that all databases plan alike. */
const KEEP = `
CREATE SCHEMA keep;
${tables.map((table) => `CREATE TABLE keep.${table} AS TABLE app.${table}; ALTER TABLE app.${table} SET (autovacuum_enabled = false);`).join('\n')}
`

/** SQL that puts the rows of some tables back; what is deleted takes its notes along. */
export function restoreOf(changed: ReadonlySet<string>): string {
  const all = tables.filter((table) => changed.has(table) || (table === 'notes' && changed.has('docs')))
  return all.map((table) => `DELETE FROM app.${table}; INSERT INTO app.${table} TABLE keep.${table};`).join('\n')
}

/** SQL that puts every row back in its place in the file too, which unordered answers show. It is slow. */
export const restoreAfresh = `TRUNCATE ${tables.map((table) => `app.${table}`).join(', ')};
${tables.map((table) => `INSERT INTO app.${table} TABLE keep.${table};`).join('\n')}`
