import { loadModule } from 'libpg-query'
import { beforeAll, describe, expect, test } from 'vitest'
import { ownMigrations, readMigrations } from '../../src/core/database/migration-file.ts'
import { roleStatements } from '../../src/core/database/roles.ts'
import { parseGrants } from '../../src/core/scope/grants.ts'
import { createScope, loadKernel } from '../../src/core/scope/scope.ts'
import { serviceManifest } from '../../src/service/tenancy/manifest.ts'
import { exceptions, kernelPages, outside, unread } from './exceptions.ts'
import { rules, tenantTables, textRules, type Rule, type Use } from './rules.ts'
import { filesOf, type Finding, looksLikeSql, read, readText, root, type Template, templatesOf } from './texts.ts'
import { readSql, type Reading } from './tree.ts'

type Item = { readonly place: string; readonly use: Use; readonly text: string }
type Breach = { readonly rule: string; readonly place: string; readonly found: string }

const dialects = ['postgresql', 'cockroachdb'] as const
/** The strings of src, and what each was found to be. */
let templates: (Template & { readonly finding: Finding })[]
let items: Item[]
let tables: Set<string>

beforeAll(async () => {
  await Promise.all([loadModule(), loadKernel()])
  templates = filesOf('src', '.ts')
    .flatMap((file) => templatesOf(file, readText(file)))
    .filter(({ place }) => !outside.some((each) => place.startsWith(each.place)))
    // what the kernel takes is read as it makes it; what says `only: 'postgresql'` never meets the other
    .map((template) => ({
      ...template,
      finding: template.tag === 'sql' || template.isPostgresqlOnly ? ({ kind: 'prose' } as const) : read(template),
    }))
  items = [...sent(), ...scoped(), ...roles(), ...(await migrations()), ...pages()]
  tables = tenantTables(items.filter(({ use }) => use === 'migration').map(({ text }) => readSql(text)))
})

/** What src sends: each string that is SQL, and each that becomes a part of it. */
function sent(): Item[] {
  return templates.flatMap(({ place, finding }) =>
    'text' in finding ? [{ place, use: 'sent', text: finding.text }] : [],
  )
}

/** What the kernel makes, for CockroachDB, of every statement of the service's routes. */
function scoped(): Item[] {
  const scope = createScope({ manifest: serviceManifest, dialect: 'cockroachdb' })
  const grants = parseGrants(serviceManifest.roles['owner'] ?? [])
  return templates
    .filter(({ tag }) => tag === 'sql')
    .map(({ place, pieces }) => {
      const text = pieces.reduce((left, right, index) => `${left}$${index}${right}`)
      return { place: `${place} as made`, use: 'scoped', text: scope.scope(text, grants, 'owner').text }
    })
}

function roles(): Item[] {
  const verifiers = { holdfast_migrator: 'v', holdfast_identity: 'v', holdfast_app: 'v' }
  return dialects.flatMap((dialect) => {
    const { cluster, database } = roleStatements({ dialect, database: 'holdfast', verifiers })
    return [...cluster, ...database].map((text) => ({ place: `roles, ${dialect}`, use: 'role' as const, text }))
  })
}

/** The package's migrations and the examples', as CockroachDB gets them. */
async function migrations(): Promise<Item[]> {
  const folders = [ownMigrations, ...exampleFolders()]
  const all = await Promise.all(
    folders.map(async (folder) =>
      (await readMigrations(folder, 'cockroachdb')).flatMap(({ name, steps }) =>
        steps.map(({ text }, index) => ({
          place: `${folder.pathname.slice(root.length)}${name}:${index + 1}`,
          use: 'migration' as const,
          text,
        })),
      ),
    ),
  )
  return all.flat()
}

function exampleFolders(): URL[] {
  const found = new Set(filesOf('examples', '.sql').map((file) => file.replace(/[^/]*$/, '')))
  return [...found].map((folder) => new URL(`../../${folder}`, import.meta.url))
}

/** SQL of the documentation that a reader would run: what makes tables, policies, grants. */
function pages(): Item[] {
  const files = [...filesOf('docs', '.md'), ...filesOf('examples', '.md'), 'README.md'].filter(
    (file) => !kernelPages.has(file),
  )
  return files.flatMap((file) =>
    [...readText(file).matchAll(/```sql\n([^]*?)```/g)]
      .flatMap(([, block = '']) => block.split(/;\s*(?:--.*)?$|^-- next.*$/m))
      .filter((text) => text.trim() !== '' && !/\bSET LOCALITY\b|\bUSING HASH\b|\bSET \(ttl/.test(text))
      .map((text) => ({ place: file, use: 'migration' as const, text })),
  )
}

function findIn(rule: Rule, reading: Reading): readonly string[] {
  return [...rule.find(reading, tables), ...reading.bodies.flatMap((body) => findIn(rule, body))]
}

function breachesOf({ place, use, text }: Item): Breach[] {
  const reading = readSql(text)
  return rules
    .filter(({ uses }) => uses?.includes(use) ?? true)
    .flatMap((rule) => findIn(rule, reading).map((found) => ({ rule: rule.name, place, found })))
}

const isException = ({ rule, place, found }: Breach): boolean =>
  exceptions.some(
    (each) => each.rule === rule && place.startsWith(each.place) && (each.found === undefined || each.found === found),
  )

describe('every SQL text of the project', () => {
  test('is found: by kind, so many at least', () => {
    const count = (use: Use): number => items.filter((item) => item.use === use).length
    expect(count('sent')).toBeGreaterThan(200)
    expect(count('scoped')).toBeGreaterThan(12)
    expect(count('role')).toBeGreaterThan(50)
    expect(count('migration')).toBeGreaterThan(120)
    expect(items.some(({ place }) => place === 'docs/library.md')).toBe(true)
    expect(items.some(({ place }) => place.startsWith('examples/'))).toBe(true)
  })

  test('of src is read by the grammar, or named with why not', () => {
    const texts = templates
      .filter(({ finding }) => finding.kind === 'unread')
      .map(({ place, pieces }) => ({ place, text: (pieces[0] ?? '').trim() }))
    expect(texts.filter(({ text }) => !unread.some((each) => each.text === text))).toEqual([])
    for (const each of unread)
      expect(
        texts.map(({ text }) => text),
        each.why,
      ).toContain(each.text)
  })

  test('keeps the rules', () => {
    expect(items.flatMap(breachesOf).filter((breach) => !isException(breach))).toEqual([])
  })

  test('and each exception is needed', () => {
    const breaches = items.flatMap(breachesOf)
    const idle = exceptions.filter(
      (each) =>
        !breaches.some(
          ({ rule, place, found }) =>
            each.rule === rule && place.startsWith(each.place) && (each.found === undefined || each.found === found),
        ),
    )
    expect(idle).toEqual([])
  })

  test('has nothing that the grammar of PostgreSQL does not take', () => {
    const texts = [
      ...templates.map(({ place, pieces }) => ({ place, text: pieces.join('') })),
      ...items.map(({ place, text }) => ({ place, text })),
    ]
    const found = texts.flatMap(({ place, text }) =>
      textRules
        .filter(({ pattern }) => pattern.test(text) && looksLikeSql(text))
        .map(({ name }) => `${name}: ${place}`),
    )
    expect(found).toEqual([])
  })
})

describe('a rule', () => {
  const planted = rules.flatMap((rule) => rule.planted.map((text) => [rule.name, text] as const))
  const child = new Set(['planted.child'])

  test('has a name of its own, a reason, a source, and something planted', () => {
    const all = [...rules, ...textRules]
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length)
    for (const { name, why, source, planted: texts } of all) {
      expect([why.length > 20, source.length > 2, texts.length > 0], name).toEqual([true, true, true])
    }
    expect(all.length).toBeGreaterThan(25)
  })

  test.each(planted)('%s sees: %s', (name, text) => {
    const rule = rules.find((each) => each.name === name) as Rule
    const reading = readSql(text)
    expect([reading, ...reading.bodies].flatMap((each) => rule.find(each, child))).not.toEqual([])
  })

  test.each(
    textRules.flatMap(({ name, pattern, planted: texts }) => texts.map((text) => [name, pattern, text] as const)),
  )('%s, by its text, sees %s in: %s', (_, pattern, text) => {
    expect(pattern.test(text)).toBe(true)
    expect(looksLikeSql(text)).toBe(true)
  })

  test('sees what is planted in TypeScript, in every way of writing a string', () => {
    const source = [
      `const a = 'SELECT * FROM holdfast.users'`,
      'const b = `SELECT c FROM users WHERE d = ${e}`',
      `client.query("LISTEN channel")`,
      `const frag = "FROM users u JOIN holdfast.tenants t ON t.id = u.id"`,
      'const f = cond ? `SELECT pg_catalog.pg_advisory_lock(${key})` : undefined',
      `const obj = { text: 'select id from users' }`,
      'type T = "SELECT 1 FROM b"',
    ].join('\n')
    const found = templatesOf('planted.ts', source).flatMap((template) => {
      const finding = read(template)
      return 'text' in finding ? breachesOf({ place: template.place, use: 'sent', text: finding.text }) : []
    })
    const lines = (rule: string): string[] => found.filter((each) => each.rule === rule).map(({ place }) => place)
    expect(lines('no-select-star')).toEqual(['planted.ts:1'])
    expect(lines('qualified-names')).toEqual(['planted.ts:2', 'planted.ts:4', 'planted.ts:6'])
    expect(lines('no-listen')).toEqual(['planted.ts:3'])
    expect(lines('no-advisory-lock')).toEqual(['planted.ts:5'])
  })

  test('is not broken by the same in the right way', () => {
    for (const text of [
      "CREATE POLICY p ON a.b FOR ALL TO PUBLIC USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID) WITH CHECK (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID)",
      'GRANT SELECT, INSERT ON TABLE a.b TO holdfast_app',
      "SELECT set_config('holdfast.tenant_id', $1::TEXT, true) AS s, count(*) AS n, 1::INT8 AS c, 1::INT4 AS d FROM a.b",
      'CREATE TABLE a.b (tenant_id UUID NOT NULL, id UUID NOT NULL, n BIGINT, PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, id) REFERENCES planted.child (tenant_id, id))',
      'WITH w AS (DELETE FROM a.b WHERE c = $1::UUID RETURNING c) INSERT INTO a.d (c) SELECT w.c FROM w',
      'CREATE TRIGGER t BEFORE UPDATE ON a.b FOR EACH ROW EXECUTE FUNCTION a.f()',
    ]) {
      expect(breachesOf({ place: 'right', use: 'migration', text }), text).toEqual([])
    }
  })
})
