/**
 * The archive's tables with row-level security that is made from grants: reach comes from settings of the test's own, so
 * that one set of policies judges every set of grants. Defaults fill in what the kernel adds to an INSERT.
 */
export const oracleSchema = `
CREATE SCHEMA app;
CREATE TABLE app.docs (id int8 PRIMARY KEY, tenant_id int8 NOT NULL DEFAULT NULLIF(current_setting('oracle.tenant', true), '')::int8,
  owner_id int8 DEFAULT NULLIF(current_setting('oracle.owner', true), '')::int8, folder_id int8, title text, body text, size int4, UNIQUE (tenant_id, title));
CREATE TABLE app.notes (tenant_id int8 NOT NULL DEFAULT NULLIF(current_setting('oracle.tenant', true), '')::int8, id int8,
  author int8 DEFAULT NULLIF(current_setting('oracle.owner', true), '')::int8, doc_id int8, body text, PRIMARY KEY (tenant_id, id));
CREATE TABLE app.folders (id int8, name text, tenant_id int8 NOT NULL DEFAULT NULLIF(current_setting('oracle.tenant', true), '')::int8, PRIMARY KEY (tenant_id, id));
CREATE TABLE app.kinds (id int8 PRIMARY KEY, label text);
INSERT INTO app.kinds VALUES (1, 'memo'), (2, 'letter'), (3, NULL);
INSERT INTO app.folders SELECT i, 'folder ' || i % 3, t FROM unnest(ARRAY[7, 9]) t, generate_series(1, 5) i;
INSERT INTO app.docs SELECT t * 100 + i, t, 1 + i % 4, i % 6, (ARRAY['alpha', 'beta', 'Gamma', 'delta'])[1 + i % 4] || i, NULLIF('text ' || i % 5, 'text 2'), i % 7
  FROM unnest(ARRAY[7, 9]) t, generate_series(1, 14) i;
INSERT INTO app.notes SELECT t, i, 1 + i % 4, t * 100 + i % 9, 'note ' || i % 4 FROM unnest(ARRAY[7, 9]) t, generate_series(1, 12) i;
ANALYZE;
GRANT USAGE ON SCHEMA app TO holdfast_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON app.docs, app.notes, app.folders TO holdfast_app;
GRANT SELECT ON app.kinds TO holdfast_app;
${[
  ['docs', 'owner_id', 'doc'],
  ['notes', 'author', 'note'],
  ['folders', undefined, 'folder'],
]
  .map(([table, owner, resource]) => {
    const rows = (verb: string): string => {
      const tenant = `tenant_id = current_setting('oracle.tenant')::int8`
      if (owner === undefined) return tenant
      const reach = `current_setting('oracle.${resource}_${verb}')`
      return `${tenant} AND ${reach} <> 'none' AND (${reach} = 'tenant' OR ${owner} = current_setting('oracle.user')::int8)`
    }
    return `ALTER TABLE app.${table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY r ON app.${table} FOR SELECT USING (${rows('read')});
CREATE POLICY c ON app.${table} FOR INSERT WITH CHECK (${rows('create')});
CREATE POLICY u ON app.${table} FOR UPDATE USING (${rows('update')}) WITH CHECK (${rows('update')});
CREATE POLICY d ON app.${table} FOR DELETE USING (${rows('delete')});`
  })
  .join('\n')}
`

/** All rows of all tenants, as one text: what a statement left behind. */
export const effectsQuery = ['docs', 'notes', 'folders']
  .map(
    (table) =>
      `SELECT '${table}' AS t, coalesce(pg_catalog.string_agg(x::pg_catalog.text, E'\\n' ORDER BY x::pg_catalog.text), '') AS rows FROM app.${table} x`,
  )
  .join(' UNION ALL ')
