import type { Attack } from '../attack.ts'

/** Row locks: whoever holds a row holds up whoever changes it. */
export const locks: readonly Attack[] = [
  ['FOR UPDATE of all', 'work', 'SELECT id FROM docs FOR UPDATE', 'scoped'],
  ['FOR UPDATE of another’s id', 'work', 'SELECT id FROM docs WHERE id = 900101 FOR UPDATE', 'scoped'],
  ['FOR SHARE in a subquery', 'work', 'SELECT * FROM (SELECT id FROM docs FOR SHARE) x', 'scoped'],
  ['FOR UPDATE of a subquery', 'work', 'SELECT * FROM (SELECT id FROM docs OFFSET 0) x FOR UPDATE', 'scoped'],
  ['FOR KEY SHARE through a CTE', 'work', 'WITH x AS (SELECT id FROM docs FOR KEY SHARE) SELECT * FROM x', 'scoped'],
  ['SKIP LOCKED as an oracle', 'oracle', 'SELECT id FROM docs FOR UPDATE SKIP LOCKED', 'scoped'],
  ['NOWAIT as an oracle', 'oracle', 'SELECT id FROM docs WHERE id >= 900101 FOR UPDATE NOWAIT', 'scoped'],
  ['one of two tables', 'work', 'SELECT d.id FROM docs d JOIN notes n ON true FOR NO KEY UPDATE OF n', 'scoped'],
  ['a join’s alias locked', 'work', 'SELECT * FROM (docs d JOIN notes n ON true) j FOR UPDATE OF j', 'scoped'],
  ['a table locked by its full name', 'work', 'SELECT id FROM app.docs FOR UPDATE OF app.docs', 'relation_not_accepted'],
  ['reach own: all locked', 'others', 'SELECT id FROM docs FOR UPDATE', 'scoped', { as: 'own', leaks: { second: 'own' } }],
  ['reach own to change: the tenant’s rows locked', 'others', 'SELECT id FROM docs FOR UPDATE', 'scoped', { as: 'mixed' }],
  ['a lock without the grant to change', 'grants', 'SELECT id FROM docs FOR UPDATE', 'grant_missing', { as: 'reader' }],
  ['the weakest lock without the grant to change', 'grants', 'SELECT id FROM docs FOR KEY SHARE', 'grant_missing', { as: 'reader' }],
  ['a lock in a scalar subquery without the grant', 'grants', 'SELECT (SELECT id FROM docs LIMIT 1 FOR SHARE)', 'grant_missing', { as: 'reader' }],
  ['a lock from without, without the grant', 'grants', 'SELECT * FROM (SELECT id FROM docs) x FOR UPDATE', 'grant_missing', { as: 'reader' }],
  ['a lock by the alias within', 'grants', 'SELECT d.id FROM docs d, users u FOR UPDATE OF d', 'grant_missing', { as: 'reader' }],
  ['a shared table locked', 'work', 'SELECT id FROM users FOR SHARE', 'relation_shared'],
  ['a child locked', 'work', 'SELECT id FROM lines FOR UPDATE', 'scoped', { pending: true, leaks: { second: 'through' } }],
  ['LOCK TABLE', 'work', 'LOCK TABLE docs IN ACCESS SHARE MODE', 'statement_not_accepted'],
]
