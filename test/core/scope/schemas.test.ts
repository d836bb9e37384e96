import { beforeAll, expect, it } from 'vitest'
import { parseGrants } from '../../../src/core/scope/grants.ts'
import { parseManifest } from '../../../src/core/scope/manifest.ts'
import { createScope, loadKernel, type Scope } from '../../../src/core/scope/scope.ts'
import { outcomeOf, refusalOf } from './shop.ts'

/** Two tables of one name, in two schemas, with other columns; a function and a type of one name in each. */
const docs = (schema: string, column: string, resource: string): object => ({
  schema,
  name: 'docs',
  resource,
  tenant: 'tenant_id',
  columns: { tenant_id: { type: 'int8' }, [column]: { type: 'text' } },
})
const manifest = parseManifest({
  tables: [docs('a', 'in_a', 'one'), docs('b', 'in_b', 'two'), { ...docs('b', 'x', 'three'), name: 'only' }],
  roles: { admin: [] },
  functions: [
    { schema: 'a', name: 'f', reads: [] },
    { schema: 'b', name: 'f', reads: ['b.docs'] },
    { schema: 'b', name: 'g', reads: [] },
  ],
  types: [
    { schema: 'a', name: 't' },
    { schema: 'b', name: 'u' },
  ],
})
const all = parseGrants(
  ['one', 'two', 'three'].flatMap((resource) =>
    ['read', 'create', 'update', 'delete'].map((verb) => `${resource}:${verb}`),
  ),
)
const first = parseGrants(['one:read', 'one:update', 'one:delete', 'one:create'])

let scope: Scope
beforeAll(async () => {
  await loadKernel()
  scope = createScope({ manifest, dialect: 'postgresql' })
})

it('each is the one of its schema', () => {
  expect(outcomeOf(scope, 'SELECT in_a FROM a.docs', first)).toContain('"docs"."in_a" FROM "a"."docs" WHERE')
  expect(outcomeOf(scope, 'SELECT in_b FROM b.docs', all)).toContain('"docs"."in_b" FROM "b"."docs" WHERE')
  expect(outcomeOf(scope, 'SELECT in_b FROM b.docs', first)).toMatch(/^grant_missing at b\.docs/)
  expect(outcomeOf(scope, 'DELETE FROM a.docs WHERE in_a IS NULL RETURNING *', first)).toContain(
    'RETURNING "docs"."tenant_id", "docs"."in_a"',
  )
  expect(outcomeOf(scope, 'UPDATE b.docs SET in_a = $1', all)).toMatch(/^column_unknown at in_a/)
  expect(outcomeOf(scope, 'INSERT INTO b.docs (in_b) VALUES ($1)', all)).toContain(
    'INTO "b"."docs" ("tenant_id", in_b)',
  )
  expect(outcomeOf(scope, 'SELECT x FROM only_', all)).toMatch(/^relation_unknown/)
  expect(outcomeOf(scope, 'SELECT x FROM b."only"', all)).toContain('FROM "b"."only"')
  expect(outcomeOf(scope, 'SELECT x FROM a."only"', all)).toMatch(/^relation_unknown/)
})

it.each([
  'SELECT 1 FROM docs',
  'SELECT 1 FROM b.docs, docs',
  'DELETE FROM docs',
  'INSERT INTO docs (in_a) VALUES ($1)',
])('without its schema it could be either: %s', (text) => {
  const refusal = refusalOf(scope, text, all)
  expect(refusal.code).toBe('relation_not_accepted')
  expect(refusal.hint).toBe('name its schema: schema.table')
  expect(text.slice(refusal.position)).toMatch(/^docs/)
})

it('a column by its schema is that table’s', () => {
  expect(outcomeOf(scope, 'SELECT a.docs.in_a FROM a.docs', first)).toMatch(/^SELECT docs\.in_a FROM/)
  expect(outcomeOf(scope, 'SELECT b.docs.in_b FROM b.docs', all)).toMatch(/^SELECT docs\.in_b FROM/)
  expect(outcomeOf(scope, 'SELECT a.docs.in_a FROM b.docs', all)).toMatch(/^column_unknown at a\.docs/)
  expect(outcomeOf(scope, 'SELECT c.docs.in_a FROM a.docs', first)).toMatch(/^column_not_accepted at c\.docs/)
  expect(outcomeOf(scope, 'SELECT a.only.x FROM b."only"', all)).toMatch(/^column_not_accepted at a\.only/)
})

it('functions and types are those of their schema', () => {
  expect(outcomeOf(scope, 'SELECT a.f()', first)).toBe('SELECT a.f()')
  expect(outcomeOf(scope, 'SELECT b.f()', first)).toMatch(/^grant_missing at b\.f/)
  expect(outcomeOf(scope, 'SELECT b.f()', all)).toBe('SELECT b.f()')
  expect(outcomeOf(scope, 'SELECT a.g()', all)).toMatch(/^function_not_accepted at a\.g/)
  expect(outcomeOf(scope, 'SELECT b.g()', first)).toBe('SELECT b.g()')
  expect(outcomeOf(scope, 'SELECT $1::a.t, $2::b.u', first)).toBe('SELECT $1::a.t, $2::b.u')
  expect(outcomeOf(scope, 'SELECT $1::a.u', first)).toMatch(/^type_not_accepted at a\.u/)
  expect(outcomeOf(scope, 'SELECT $1::b.t', first)).toMatch(/^type_not_accepted at b\.t/)
})
