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

describe('parseManifest', () => {
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
    ['a name in capitals', { tables: [{ ...table, name: 'Docs' }], roles }, '/tables/0/name'],
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
    ['a column in capitals', withColumn('Id'), '/tables/0/columns'],
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
