import { describe, expect, it } from 'vitest'
import { formatGrants, GrantError, intersectGrants, parseGrants } from '../../../src/core/scope/grants.ts'
import { ManifestError, manifestSchema, parseManifest } from '../../../src/core/scope/manifest.ts'

const table = {
  schema: 'app',
  name: 'docs',
  resource: 'doc',
  tenant: 'tenant_id',
  columns: { id: { type: 'uuid' }, tenant_id: { type: 'uuid' } },
}
const roles = { clerk: ['doc:read'] }
const withColumn = (name: string) => ({
  tables: [{ ...table, columns: { ...table.columns, [name]: { type: 'text' } } }],
  roles,
})
const withField = (field: object) => ({
  tables: [{ ...table, columns: { ...table.columns, x: { type: 'text', ...field } } }],
  roles,
})
const child = {
  schema: 'app',
  name: 'lines',
  resource: 'line',
  through: { table: 'docs', column: 'doc_id', references: 'id' },
  columns: {
    id: { type: 'uuid' },
    doc_id: { type: 'uuid' },
    note: { type: 'text' },
    secret_id: { type: 'uuid', hidden: ['clerk'] },
  },
}
const withChild = (through: object) => ({
  tables: [table, { ...child, through: { ...child.through, ...through } }],
  roles,
})
const twice = { schema: 'app', name: 'twice', reads: [] as string[] }

describe('parseManifest', () => {
  it('takes names as the database has them, capitals too', () => {
    const input = {
      tables: [{ ...table, name: 'Docs', columns: { ...table.columns, createdAt: { type: 'timestamptz' } } }],
      roles,
    }
    expect(Object.keys(parseManifest(input).tables[0]?.columns ?? {})).toContain('createdAt')
  })

  it('takes a child, functions, types and columns by role', () => {
    const input = {
      ...withChild({}),
      functions: [{ ...twice, reads: ['app.docs'] }],
      types: [{ schema: 'app', name: 'state' }],
    }
    expect(parseManifest(input)).toEqual(input)
    expect(() => parseManifest(withField({ hidden: ['clerk'], readOnly: true }))).not.toThrow()
  })

  it('freezes a copy, however deep', () => {
    const input = { tables: [structuredClone(table)], roles }
    const manifest = parseManifest(input)
    input.tables[0]!.name = 'other'
    expect(manifest.tables[0]?.name).toBe('docs')
    expect(
      [manifest, manifest.tables, manifest.tables[0], manifest.tables[0]?.columns, manifest.roles['clerk']].every(
        Object.isFrozen,
      ),
    ).toBe(true)
  })

  it.each([
    ['no object', undefined, ''],
    ['an unknown key', { tables: [], roles, x: 1 }, '/x'],
    ['a name with a blank', { tables: [{ ...table, name: 'my docs' }], roles }, '/tables/0/name'],
    ['a name beyond ASCII', { tables: [{ ...table, name: 'döcs' }], roles }, '/tables/0/name'],
    ['a table of the catalog in capitals', { tables: [{ ...table, schema: 'PG_catalog' }], roles }, '/tables/0'],
    ['a name with a quote', { tables: [{ ...table, name: 'd"' }], roles }, '/tables/0/name'],
    ['a name of 64 bytes', { tables: [{ ...table, name: 'a'.repeat(64) }], roles }, '/tables/0/name'],
    [
      'a column with a prototype',
      { tables: [{ ...table, columns: JSON.parse('{"__proto__":{"type":"uuid"}}') as unknown }], roles },
      '/tables/0',
    ],
    ['a type that is SQL', { tables: [{ ...table, columns: { id: { type: 'int8; drop' } } }], roles }, '/tables/0'],
    ['a table twice', { tables: [table, table], roles }, '/tables/1'],
    ['a table of the catalog', { tables: [{ ...table, schema: 'pg_catalog' }], roles }, '/tables/0'],
    ['a table of the information schema', { tables: [{ ...table, schema: 'information_schema' }], roles }, '/tables/0'],
    ['a table whose name could be the catalog’s', { tables: [{ ...table, name: 'pg_class' }], roles }, '/tables/0'],
    ['no columns', { tables: [{ ...table, columns: {} }], roles }, '/tables/0/columns'],
    ['a hidden column for a role that is not there', withField({ hidden: ['clark'] }), '/tables/0/columns/x'],
    [
      'a column that is read-only for a role that is not there',
      withField({ readOnly: ['clark'] }),
      '/tables/0/columns/x',
    ],
    ['a column that is hidden from nobody', withField({ hidden: [] }), '/tables/0/columns/x'],
    [
      'a tenant that is hidden',
      { tables: [{ ...table, columns: { tenant_id: { type: 'uuid', hidden: ['clerk'] } } }], roles },
      '/tables/0/tenant',
    ],
    ['a child without its parent', withChild({ table: 'none' }), '/tables/1/through/table'],
    ['a child of a child', withChild({ table: 'lines' }), '/tables/1/through/table'],
    ['a child by a column that it lacks', withChild({ column: 'none' }), '/tables/1/through/column'],
    ['a child by a column that the parent lacks', withChild({ references: 'none' }), '/tables/1/through/references'],
    ['a child whose link is of another type', withChild({ column: 'note' }), '/tables/1/through'],
    ['a child whose link is hidden', withChild({ column: 'secret_id' }), '/tables/1/through/column'],
    ['a child with an owner', { ...withChild({}), tables: [table, { ...child, owner: 'doc_id' }] }, '/tables/1'],
    ['a child with a tenant', { ...withChild({}), tables: [table, { ...child, tenant: 'doc_id' }] }, '/tables/1'],
    [
      'a child of the same name',
      { tables: [table, { ...child, schema: 'b', name: 'docs', through: { ...child.through, schema: 'app' } }], roles },
      '/tables/1/through',
    ],
    [
      'a function of the catalog',
      { tables: [table], roles, functions: [{ ...twice, schema: 'pg_catalog' }] },
      '/functions/0',
    ],
    [
      'a function of the guard',
      { tables: [table], roles, functions: [{ ...twice, schema: 'holdfast', name: 'enter' }] },
      '/functions/0',
    ],
    [
      'a function that reads an unknown table',
      { tables: [table], roles, functions: [{ ...twice, reads: ['app.none'] }] },
      '/functions/0/reads',
    ],
    [
      'a function that reads a table with one wall',
      { ...withChild({}), functions: [{ ...twice, reads: ['app.lines'] }] },
      '/functions/0/reads',
    ],
    [
      'a function that says nothing of what it reads',
      { tables: [table], roles, functions: [{ schema: 'app', name: 'f' }] },
      '/functions/0',
    ],
    [
      'a type of the catalog',
      { tables: [table], roles, types: [{ schema: 'pg_catalog', name: 'regclass' }] },
      '/types/0',
    ],
    ['neither tenant nor shared', { tables: [{ ...table, tenant: undefined }], roles }, '/tables/0'],
    ['tenant and shared', { tables: [{ ...table, shared: true }], roles }, '/tables/0'],
    ['a tenant that is no column', { tables: [{ ...table, tenant: 'x' }], roles }, '/tables/0/tenant'],
    ['a tenant that is a prototype’s', { tables: [{ ...table, tenant: 'constructor' }], roles }, '/tables/0/tenant'],
    [
      'a tenant of a folding type',
      { tables: [{ ...table, columns: { id: { type: 'uuid' }, tenant_id: { type: 'citext' } } }], roles },
      '/tables/0/tenant',
    ],
    ['an owner that is the tenant', { tables: [{ ...table, owner: 'tenant_id' }], roles }, '/tables/0'],
    ['a column with a quote', withColumn('a" AS b, (SELECT 1) AS "c'), '/tables/0/columns'],
    ['a column with a dollar', withColumn('a$b'), '/tables/0/columns'],
    ['a column of 64 bytes', withColumn('a'.repeat(64)), '/tables/0/columns'],
    [
      'a column that is no object',
      { tables: [{ ...table, columns: { ...table.columns, x: 42 } }], roles },
      '/tables/0',
    ],
    ['a role with a bar', { tables: [table], roles: { 'a|b': [] } }, '/roles'],
    ['a role with a hyphen', { tables: [table], roles: { 'read-only': [] } }, '/roles'],
    ['a role that is no list', { tables: [table], roles: { clerk: 7 } }, '/roles/clerk'],
    ['a grant that is none', { tables: [table], roles: { clerk: ['read everything'] } }, '/roles/clerk'],
  ])('refuses %s', (_, input, path) => {
    const problem = caught(() => parseManifest(input))
    expect(problem).toBeInstanceOf(ManifestError)
    expect((problem as ManifestError).path.startsWith(path)).toBe(true)
  })
})

describe('grants', () => {
  it.each([
    [['team:read'], 'team:read'],
    [['team:read@own', 'team:read'], 'team:read'],
    [['team:read', 'team:read@own'], 'team:read'],
    [['b:read@own', 'a:read', 'b:read@own'], 'a:read b:read@own'],
    [[], ''],
  ])('%j is "%s"', (texts, canonical) => {
    expect(formatGrants(parseGrants(texts))).toBe(canonical)
  })

  it.each([
    'team',
    'team:',
    ':read',
    'Team:read',
    'team:read@',
    'team:read@all',
    'team:read@own@own',
    'team:*',
    'a b:read',
    'team:read\n',
  ])('refuses %j', (text) => {
    expect(() => parseGrants([text])).toThrow(GrantError)
  })

  it('keeps the named permissions with their reach', () => {
    const grants = parseGrants(['a:read@own', 'b:read', 'c:read'])
    expect(formatGrants(intersectGrants(grants, ['a:read', 'b:read', 'd:read', 'toString']))).toBe('a:read@own b:read')
  })
})

function caught(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  return undefined
}

it('docs/manifest.schema.json is the schema that manifests are checked by', async () => {
  await expect(`${JSON.stringify(manifestSchema, undefined, 2)}\n`).toMatchFileSnapshot(
    '../../../docs/manifest.schema.json',
  )
})
