/** Statements over the office, of every kind: what the rewriter makes of them is proven, and made faulty by the tests. */
export const bases: readonly string[] = [
  'SELECT id, title FROM docs WHERE id = $1',
  'SELECT d.*, n.body FROM docs AS d LEFT JOIN notes AS n ON n.doc_id = d.id WHERE d.size > $1 OR true',
  'WITH x AS (SELECT id FROM docs) SELECT * FROM x JOIN folders AS f ON f.id = x.id',
  'SELECT (SELECT max(id) FROM notes AS n WHERE n.doc_id = d.id) FROM docs AS d UNION ALL SELECT $1::int8',
  'SELECT * FROM docs AS d, kinds AS k WHERE k.id = d.id FOR UPDATE OF d',
  'INSERT INTO docs (id, title) VALUES ($1, $2), (2, DEFAULT) RETURNING id',
  'INSERT INTO docs (id, tenant_id) VALUES ($1, $2)',
  'INSERT INTO docs (id, title) SELECT n.id, n.body FROM notes AS n UNION SELECT 2, $1',
  'INSERT INTO docs (id, title) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET title = excluded.title WHERE docs.size > 1',
  'UPDATE docs SET title = $1 WHERE id = $2 OR true RETURNING *',
  'UPDATE docs AS d SET title = f.name FROM folders AS f WHERE f.id = d.folder_id',
  'DELETE FROM docs WHERE size > $1',
  'DELETE FROM docs AS d USING notes AS n WHERE n.doc_id = d.id RETURNING d.id',
  'INSERT INTO docs DEFAULT VALUES',
  'SELECT l.item, p.title FROM lines AS l JOIN papers AS p ON p.id = l.doc_id FOR UPDATE OF l',
  'INSERT INTO lines (id, doc_id, item) SELECT $1, d.id, $2 FROM docs AS d WHERE d.id = 3 ON CONFLICT (id) DO UPDATE SET item = excluded.item RETURNING lines.item',
  'INSERT INTO lines (id, doc_id) SELECT 1, d.id FROM docs AS d JOIN kinds AS k ON k.id = d.folder_id UNION SELECT 2, e.id FROM docs AS e',
  'UPDATE lines SET item = $1 WHERE id = $2 OR true',
  'DELETE FROM lines AS l USING docs AS e WHERE e.id = l.doc_id RETURNING l.item',
  'WITH gone AS (DELETE FROM notes AS n WHERE n.id = $1 RETURNING n.doc_id) UPDATE docs SET title = $2 FROM gone WHERE docs.id = gone.doc_id',
  'WITH made AS (INSERT INTO docs (id, title) VALUES ($1, $2) RETURNING id), kept AS (UPDATE lines SET item = $3 WHERE item IS NULL RETURNING id) SELECT id FROM made UNION ALL SELECT id FROM kept',
  'SELECT app.shorten(title), $1::app.mood FROM docs',
]

/** More of them, to be mutilated. */
export const more: readonly string[] = [
  'SELECT item, price FROM lines ORDER BY item, id LIMIT 3',
  'UPDATE lines AS l SET (item, id) = (d.title, l.id) FROM docs AS d WHERE d.id = l.doc_id AND l.item LIKE $1 RETURNING l.id, old.item',
  'DELETE FROM lines WHERE EXISTS (SELECT 1 FROM notes AS n WHERE n.doc_id = lines.doc_id AND n.body IS NOT NULL)',
  'WITH x AS (SELECT id, title FROM docs), gone AS (DELETE FROM lines USING x WHERE x.id = lines.doc_id RETURNING lines.item) SELECT item FROM gone ORDER BY item',
  'INSERT INTO notes (id, body) SELECT p.id, p.title FROM papers AS p ON CONFLICT (tenant_id, id) DO UPDATE SET body = excluded.body WHERE notes.body IS DISTINCT FROM excluded.body RETURNING notes.body',
  'WITH gone AS (DELETE FROM notes RETURNING id, body) INSERT INTO docs (id, title) SELECT g.id + 5000, g.body FROM gone AS g RETURNING title',
  'SELECT f.name, (SELECT count(*) FROM lines AS l JOIN docs AS d ON d.id = l.doc_id WHERE d.folder_id = f.id) FROM folders AS f ORDER BY f.name, f.id',
  'INSERT INTO lines (id, doc_id, item) SELECT d.id + 7000, d.id, d.title FROM docs AS d LEFT JOIN lines AS l ON l.doc_id = d.id WHERE l.item IS NULL',
  'UPDATE docs AS d SET body = app.shorten(d.title) WHERE d.id IN (SELECT l.doc_id FROM lines AS l WHERE l.price > 1)',
  'WITH a AS (UPDATE docs SET body = $1 WHERE folder_id = 1 RETURNING id), b AS (DELETE FROM folders WHERE id = 5 RETURNING name) SELECT a.id, b.name FROM a, b',
]
