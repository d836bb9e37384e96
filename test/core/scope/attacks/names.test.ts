import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseGrants } from '../../../../src/core/scope/grants.ts'
import { type Manifest, ManifestError, parseManifest } from '../../../../src/core/scope/manifest.ts'
import { ScopeRefusal } from '../../../../src/core/scope/refusals.ts'
import { bind, createScope, loadKernel, type ScopedStatement } from '../../../../src/core/scope/scope.ts'
import { connect } from '../../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../../postgres.ts'
import { seeded } from '../oracle/dice.ts'

/**
 * An attacker who controls the manifest's names and the caller's ids: names that try to break out of their quotes, to be
 * another name, or to be a member that every object has. The manifest refuses them, or the statement stays sound.
 */

let database: TestDatabase
let client: pg.Client
beforeAll(async () => {
  await loadKernel()
  database = await createTestDatabase()
  client = await connect(database.target('superuser'))
  await client.query(`SET search_path = ''`)
})
afterAll(async () => {
  await client.end()
  await database.drop()
})

/** What names are made of. */
const PIECES = [
  '"',
  '""',
  "'",
  '$1',
  '$$',
  '--',
  '/*',
  '*/',
  ';',
  ')',
  '(',
  ',',
  '.',
  '*',
  ' ',
  '\n',
  '\r',
  '\t',
  '\0',
  '\\',
  '`',
  '%',
  '::int8',

  '" OR true --',
  '"."',
  '".docs WHERE true) --',
  "' OR '1'='1",
  'U&"d"',
  "E'",
  '\ud800',
  '\u202e',
  '\ufeff',
  '\u00a0',
  'é',
  'ı',
  '\u212a',
  'ｄocs',
  '🦊',

  'docs',
  'Docs',
  'tenant_id',
  'select',
  'SELECT',
  'user',
  'table',
  'current_user',
  'null',
  'true',
  'default',
  'lateral',
  'only',
  'values',
  'excluded',
  'old',
  'new',
  'row',
  'array',
  'case',
  'all',
  'end',
  'public',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'valueOf',
  '__defineGetter__',
  'length',
  'then',

  'pg_',
  'pg_catalog',
  'PG_CATALOG',
  'pg_temp',
  'information_schema',
  'crdb_internal',
  'system',
  'ctid',
  'tableoid',
  'xmin',
  'x'.repeat(62),
  'x'.repeat(63),
  'x'.repeat(64),
  '',
  '0',
  '9lives',
  '_',
  'a_1',
]

type Names = Record<
  'schema' | 'table' | 'tenant' | 'owner' | 'column' | 'resource' | 'role' | 'parent' | 'link' | 'key',
  string
>
const plain: Names = {
  schema: 'app',
  table: 'docs',
  tenant: 'tenant_id',
  owner: 'owner_id',
  column: 'body',
  resource: 'doc',
  role: 'clerk',
  parent: 'folders',
  link: 'folder_id',
  key: 'id',
}

/** A table and its parent under such names, with a child through that parent. */
function manifestOf({ schema, table, tenant, owner, column, resource, role, parent, link, key }: Names): unknown {
  return {
    tables: [
      {
        schema,
        name: table,
        resource,
        tenant,
        owner,
        columns: {
          [tenant]: { type: 'int8' },
          [owner]: { type: 'int8' },
          [column]: { type: 'text', readOnly: [role] },
        },
      },
      { schema, name: parent, resource, tenant, columns: { [key]: { type: 'int8' }, [tenant]: { type: 'int8' } } },
      {
        schema,
        name: 'lines',
        resource,
        through: { table: parent, column: link, references: key },
        columns: { [link]: { type: 'int8' }, [column]: { type: 'text' } },
      },
    ],
    roles: { [role]: [] },
    functions: [{ schema, name: table, reads: [`${schema}.${table}`] }],
    types: [{ schema, name: parent }],
  }
}

function parsed(names: Names): Manifest | ManifestError {
  try {
    return parseManifest(manifestOf(names))
  } catch (error) {
    if (error instanceof ManifestError) return error
    throw error
  }
}

describe('names of a manifest', () => {
  const places = Object.keys(plain) as (keyof Names)[]

  it.each(places)('%s: each is refused, or is a plain name of at most 63 letters', (place) => {
    const accepted: string[] = []
    for (const name of PIECES) {
      const manifest = parsed({ ...plain, [place]: name })
      if (!(manifest instanceof ManifestError)) accepted.push(name)
    }
    expect(accepted.length).toBeGreaterThan(10)
    expect(accepted.filter((name) => !/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(name) || name === '__proto__')).toEqual([])
    if (place === 'schema')
      expect(accepted.filter((name) => /^(?:pg_|information_schema|crdb_internal|system)/i.test(name))).toEqual([])
  })

  it('refuses whatever thousands of random names hold', () => {
    const random = seeded(3)
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
    let accepted = 0
    for (let index = 0; index < 4_000; index++) {
      const name = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(PIECES)).join('')
      const manifest = parsed({ ...plain, [pick(places)]: name })
      if (manifest instanceof ManifestError) continue
      accepted++
      expect(name).toMatch(/^[A-Za-z_][A-Za-z0-9_]{0,62}$/)
    }
    expect(accepted).toBeGreaterThan(200)
  })

  it.each(['constructor', 'toString', 'valueOf', 'hasOwnProperty', '__proto__'])(
    'takes %s for no column, table or role that is not listed',
    (name) => {
      const table = { schema: 'app', name: 'docs', resource: 'doc', columns: { id: { type: 'int8' } } }
      const refused = (input: unknown): void => expect(() => parseManifest(input)).toThrow(ManifestError)
      refused({ tables: [{ ...table, tenant: name }], roles: {} })
      refused({ tables: [{ ...table, tenant: 'id', owner: name }], roles: {} })
      refused({
        tables: [{ ...table, tenant: 'id', columns: { id: { type: 'int8' }, x: { type: 'text', hidden: [name] } } }],
        roles: {},
      })
      refused({ tables: [{ ...table, through: { table: name, column: 'id', references: 'id' } }], roles: {} })
      refused({
        tables: [{ ...table, tenant: 'id' }],
        roles: {},
        functions: [{ schema: 'app', name: 'f', reads: [`app.${name}`] }],
      })
    },
  )
})

/** Names that the manifest takes: as table, schema, tenant, owner and column they are run. */
const TAKEN = PIECES.filter((name) => /^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(name) && name !== '__proto__')
const RESERVED = /^(?:pg_|information_schema$|crdb_internal$|system$)/i
/** PostgreSQL makes no column of such a name. */
const SYSTEM_COLUMN = /^(?:ctid|tableoid|xmin)$/
const quoted = (name: string): string => pg.escapeIdentifier(name)

describe('statements under such names', () => {
  let ran = 0
  const cases = TAKEN.flatMap((name) => [
    ...(RESERVED.test(name) ? [] : [{ place: 'schema', name, names: { ...plain, schema: name } }]),
    ...(/^pg_/i.test(name)
      ? []
      : [
          { place: 'table', name, names: { ...plain, table: name } },
          { place: 'parent', name, names: { ...plain, parent: name } },
        ]),
    ...(SYSTEM_COLUMN.test(name)
      ? []
      : (['tenant', 'owner', 'column', 'link', 'key'] as const).map((place) => ({
          place,
          name,
          names: { ...plain, [place]: name },
        }))),
    // all the same: the table, its columns and what speaks of them
    ...(RESERVED.test(name) || SYSTEM_COLUMN.test(name)
      ? []
      : [{ place: 'schema, table and column', name, names: { ...plain, schema: name, table: name, column: name } }]),
  ]).filter(
    ({ place, name, names }) =>
      !(parsed(names) instanceof ManifestError) && (place === 'table' || !Object.values(plain).includes(name)),
  )

  it.each(cases)('$place $name: nothing of another tenant is seen or changed', async ({ names }) => {
    const { schema, table, tenant, owner, column, parent, link, key } = names
    const [s, t, p] = [quoted(schema), quoted(table), quoted(parent)]
    await client.query('BEGIN')
    try {
      await client.query(`CREATE SCHEMA IF NOT EXISTS ${s};
        CREATE TABLE ${s}.${t} (${quoted(tenant)} int8, ${quoted(owner)} int8, ${quoted(column)} text);
        CREATE TABLE ${s}.${p} (${quoted(key)} int8, ${quoted(tenant)} int8);
        CREATE TABLE ${s}.lines (${quoted(link)} int8, ${quoted(column)} text);
        INSERT INTO ${s}.${t} SELECT n, o, 'row ' || n || o FROM unnest(ARRAY[7, 8, 9]) n, unnest(ARRAY[2, 3]) o;
        INSERT INTO ${s}.${p} SELECT n * 10, n FROM unnest(ARRAY[7, 8, 9]) n;
        INSERT INTO ${s}.lines SELECT n * 10, 'line ' || n FROM unnest(ARRAY[7, 8, 9]) n`)
      const kernel = createScope({ manifest: parsed(names) as Manifest, dialect: 'postgresql' })
      const grants = parseGrants(['doc:read', 'doc:create', 'doc:update', 'doc:delete'])
      /** Rows, or nothing where the kernel will not have the name there. */
      const run = async (text: string, reach = grants): Promise<unknown[][] | undefined> => {
        let scoped: ScopedStatement
        try {
          scoped = kernel.scope(text, reach)
        } catch (error) {
          if (error instanceof ScopeRefusal) return undefined
          throw error
        }
        ran++
        const values = bind(scoped, { tenantId: '7', userId: '2' }, [])
        return (await client.query<unknown[]>({ text: scoped.text, values, rowMode: 'array' })).rows
      }
      const from = `${s}.${t}`
      const own = parseGrants(['doc:read@own'])
      expect((await run(`SELECT * FROM ${from} WHERE true OR true`))?.map(([id]) => id) ?? ['7', '7']).toEqual([
        '7',
        '7',
      ])
      expect((await run(`SELECT "t".${quoted(owner)} FROM ${from} AS "t"`, own)) ?? [['2']]).toEqual([['2']])
      expect((await run(`SELECT count(*) FROM ${from} NATURAL JOIN ${from} AS "again"`)) ?? [['2']]).toEqual([['2']])
      expect((await run(`SELECT * FROM ${s}.lines`)) ?? [['70', 'line 7']]).toEqual([['70', 'line 7']])
      await run(`INSERT INTO ${from} (${quoted(owner)}) VALUES (5)`)
      await run(`UPDATE ${s}.lines SET ${quoted(column)} = 'changed'`)
      await run(`DELETE FROM ${from} AS "t" WHERE true OR "t".${quoted(tenant)} <> 7`)
      const left = await client.query<{ rows: string }>(
        `SELECT coalesce((SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM ${from} x), '') || (SELECT string_agg(y::text, ' ' ORDER BY y::text) FROM ${s}.lines y) AS rows`,
      )
      const others = [...(left.rows[0]?.rows ?? '').matchAll(/\((?!7)[^)]*\)/g)].map(([row]) => row)
      expect(others).toEqual([
        '(8,2,"row 82")',
        '(8,3,"row 83")',
        '(9,2,"row 92")',
        '(9,3,"row 93")',
        '(80,"line 8")',
        '(90,"line 9")',
      ])
    } finally {
      await client.query('ROLLBACK')
    }
  })

  it('runs nearly all', () => expect(ran).toBeGreaterThan(cases.length * 6))
})

describe('roles', () => {
  const secret: Manifest = parseManifest({
    tables: [
      {
        schema: 'app',
        name: 'docs',
        resource: 'doc',
        tenant: 'tenant_id',
        columns: {
          tenant_id: { type: 'int8' },
          salary: { type: 'int4', hidden: ['clerk'] },
          state: { type: 'text', readOnly: ['clerk'] },
        },
      },
    ],
    roles: { clerk: [], chief: [], constructor: [] },
  })
  const grants = parseGrants(['doc:read', 'doc:update'])

  it.each([...PIECES, 'clerk', 'CLERK', 'clerk ', 'chief\0', 'Chief', 'chief,clerk', undefined])(
    '%j is no role that sees more',
    (role) => {
      const kernel = createScope({ manifest: secret, dialect: 'postgresql' })
      // one of the manifest's, whatever else its name is
      if (role === 'constructor')
        return expect(kernel.scope('SELECT * FROM docs', grants, role).text).toContain('salary')
      expect(kernel.scope('SELECT * FROM docs', grants, role).text).not.toContain('salary')
      expect(() => kernel.scope("UPDATE docs SET state = 'x'", grants, role)).toThrow(ScopeRefusal)
      // nor one that was asked for before
      expect(kernel.scope('SELECT * FROM docs', grants, 'chief').text).toContain('salary')
      expect(kernel.scope('SELECT * FROM docs', grants, role).text).not.toContain('salary')
    },
  )
})

describe("the caller's own ids", () => {
  const IDS = [
    ...PIECES,
    '7',
    '7 ',
    '07',
    "7' OR true --",
    '7) OR (true',
    '$1',
    '{7,8}',
    'NULL',
    '７',
    '7\u0000',
    '%',
    '_',
    'A',
    'a',
    'å',
    'å',
  ]
  const labels: Manifest = parseManifest({
    tables: [
      {
        schema: 'ids',
        name: 'labels',
        resource: 'label',
        tenant: 'org',
        owner: 'made_by',
        columns: { org: { type: 'text' }, made_by: { type: 'text' }, name: { type: 'text' } },
      },
    ],
    roles: {},
  })
  const stored = [...new Set(IDS.filter((id) => id !== '' && !id.includes('\0') && Buffer.from(id).toString() === id))]

  beforeAll(async () => {
    await client.query(
      'CREATE SCHEMA ids; CREATE TABLE ids.labels (org text COLLATE "C" NOT NULL, made_by text, name text)',
    )
    await client.query(`INSERT INTO ids.labels SELECT a, b, a FROM unnest($1::text[]) a, unnest($1::text[]) b`, [
      stored,
    ])
  })

  const grants = parseGrants(['label:read@own', 'label:update@own', 'label:create@own'])
  it.each(IDS)('%j is one tenant and one user, and no SQL', async (id) => {
    const kernel = createScope({ manifest: labels, dialect: 'postgresql' })
    const scoped = kernel.scope('SELECT org, made_by FROM labels WHERE true OR name = $1', grants)
    if (id === '') return expect(() => bind(scoped, { tenantId: id, userId: '2' }, ['x'])).toThrow(ScopeRefusal)
    const values = bind(scoped, { tenantId: id, userId: id }, ['x'])
    const rows = await client.query<unknown[]>({ text: scoped.text, values, rowMode: 'array' }).then(
      (result) => result.rows,
      (error: pg.DatabaseError) => error.code,
    )
    // a text that the database cannot hold names nobody: it fails, or finds nothing
    if (!stored.includes(id)) expect(rows === '22021' || JSON.stringify(rows) === '[]').toBe(true)
    else expect(rows).toEqual([[id, id]])
    return undefined
  })

  it.each(IDS.filter((id) => id !== ''))('%j as a value for the tenant is accepted from its own tenant alone', (id) => {
    const kernel = createScope({ manifest: labels, dialect: 'postgresql' })
    const scoped = kernel.scope('INSERT INTO labels (org, made_by, name) VALUES ($1, $2, $3)', grants)
    const attempt = (tenantId: string, userId: string) => (): unknown =>
      bind(scoped, { tenantId, userId }, [id, id, 'x'])
    expect(attempt(id, id)).not.toThrow()
    expect(attempt('another', id)).toThrow(ScopeRefusal)
    expect(attempt(id, 'another')).toThrow(ScopeRefusal)
  })
})
