import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { roleSettings } from '../../../../src/core/database/dialect.ts'
import type { Table } from '../../../../src/core/scope/manifest.ts'
import { type Proof, type ProofOptions, prove } from '../../../../src/tools/inspect/proof/prove.ts'
import { connect } from '../../../backends.ts'
import { proofText } from '../../../../src/tools/inspect/proof/proof-text.ts'
import type { TestDatabase } from '../../../postgres.ts'
import { installStandin } from '../../../cockroach-standin/install.ts'
import { type Standin, startStandin } from '../../../cockroach-standin/standin.ts'
import { startWireProxy } from '../../../wire-proxy.ts'
import { allTables, contentsOf, makeProofDatabase, tablesOf } from './proof-database.ts'

let database: TestDatabase
let before: string
beforeAll(async () => {
  database = await makeProofDatabase()
  before = await contentsOf(database)
})
afterAll(async () => {
  // whatever the tests broke they have mended, and no proof has left a row
  expect(await contentsOf(database)).toBe(before)
  await database.drop()
})

const run = (tables: readonly Table[], o: Partial<ProofOptions> = {}): Promise<Proof> =>
  prove({ migrator: database.target('migrator'), tables, ...o })

/** What was refuted, as `verb caller reached/there`, the caller that reached most. */
function refuted({ rows }: Proof): string[] {
  return rows
    .filter(({ verdict }) => verdict === 'refuted')
    .map(({ verb, trials }) => {
      const [worst] = trials.toSorted((a, b) => b.foreign - a.foreign)
      return `${verb} ${worst?.caller} ${worst?.isLeast === true ? '≥' : ''}${worst?.foreign}/${worst?.there}`
    })
}

describe('a database as it should be', () => {
  let proof: Proof
  beforeAll(async () => {
    proof = await run(allTables)
  })

  it('has every verb proven on every table', () => {
    expect(proof.rows.filter(({ verdict }) => verdict !== 'proven')).toEqual([])
    expect(proof.rows).toHaveLength(allTables.length * 8)
    expect(allTables.length).toBe(10)
    expect(proof.findings).toEqual([])
    expect(proof.standing).toBe('SET ROLE')
  })

  it('tells how many rows of others were there', () => {
    const [select] = proof.rows.filter(({ table, verb }) => table === 'app.lines' && verb === 'SELECT')
    expect(select?.trials).toEqual([
      { caller: 'A', foreign: 0, there: 2, own: 1 },
      { caller: 'B', foreign: 0, there: 1, own: 2 },
      { caller: 'none', foreign: 0, there: 3 },
      { caller: 'never set', foreign: 0, there: 2 },
    ])
    for (const { trials } of proof.rows)
      for (const { caller, there } of trials) if (caller !== 'never set') expect(there).toBeGreaterThan(0)
  })

  it('shows that each verb that is granted reaches the caller’s own rows', () => {
    const own = proof.rows.filter(({ refusedFor }) => refusedFor === undefined)
    expect(own.length).toBe(6 * 8 + 4)
    for (const { trials } of own) {
      expect(trials.find(({ caller }) => caller === 'A')?.own).toBe(1)
      expect(trials.find(({ caller }) => caller === 'B')?.own).toBeGreaterThan(0)
    }
  })

  it('is said where a privilege alone refuses', () => {
    const refusals = proof.rows.filter(({ table }) => table === 'tenancy.profiles').map((row) => row.refusedFor)
    expect(refusals).toEqual([undefined, undefined, 'INSERT', undefined, 'DELETE', 'INSERT', 'INSERT', undefined])
    expect(proof.rows.filter(({ table, refusedFor }) => table === 'holdfast.memberships' && !refusedFor)).toEqual([])
  })
})

const tenant = `tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), '')::UUID`
const drop = 'DROP POLICY tenant_isolation ON app.customers'
const policy = (more: string, name = 'tenant_isolation'): string => `CREATE POLICY ${name} ON app.customers ${more}`
const replaced = (using: string, check = using): string[] => [drop, policy(`USING (${using}) WITH CHECK (${check})`)]
const byVerb = (update: string): string[] => [
  drop,
  policy(`FOR SELECT USING (${tenant})`),
  policy(`FOR INSERT WITH CHECK (${tenant})`, 'i'),
  policy(`FOR DELETE USING (${tenant})`, 'd'),
  policy(`FOR UPDATE ${update}`, 'u'),
]

/** What a table without any wall lets happen: of the planted rows, and of the two that were there before. */
const everything = [
  'SELECT none 5/3',
  'SELECT FOR UPDATE none 3/3',
  'INSERT A 1/1',
  'UPDATE none 5/3',
  'DELETE none 3/3',
  'ON CONFLICT DO UPDATE A 1/2',
  'ON CONFLICT DO NOTHING A 1/2',
  'MOVE A 1/2',
]

/** What breaks a table's wall, and what is then refuted: verb, the caller that reached most, how many of how many. */
const holes: readonly [name: string, statements: readonly string[], found: readonly string[], cwe: string][] = [
  ['row-level security is off', ['ALTER TABLE app.customers DISABLE ROW LEVEL SECURITY'], everything, 'CWE-863'],
  [
    'not forced, and the app role is the owner',
    ['ALTER TABLE app.customers NO FORCE ROW LEVEL SECURITY', 'ALTER TABLE app.customers OWNER TO holdfast_app'],
    everything,
    'CWE-863',
  ],
  ['USING (true)', replaced('true'), everything, 'CWE-863'],
  ['tenant_id IS NOT NULL', replaced('tenant_id IS NOT NULL'), everything, 'CWE-863'],
  [
    'OR the setting is NULL',
    replaced(`${tenant} OR current_setting('holdfast.tenant_id', true) IS NULL`),
    ['SELECT never set 2/2', 'INSERT never set 1/1', 'UPDATE never set 2/2', 'DELETE never set ≥1/2'],
    'CWE-284',
  ],
  [
    'OR the setting is empty',
    replaced(`${tenant} OR current_setting('holdfast.tenant_id', true) = ''`),
    everything.map((one) => one.replace('A 1/1', 'none 1/1').replace('A 1/2', 'none 1/3')),
    'CWE-284',
  ],
  ['a second policy for SELECT', [policy('FOR SELECT USING (true)', 'second')], ['SELECT none 5/3'], 'CWE-639'],
  [
    'a second policy for the app role',
    [policy('FOR SELECT TO holdfast_app USING (true)', 'second')],
    ['SELECT none 5/3'],
    'CWE-639',
  ],
  [
    'a second policy for whoever owns the row',
    [policy(`USING (created_by::TEXT = current_setting('holdfast.user_id', true)) WITH CHECK (false)`, 'second')],
    ['SELECT none 2/3', 'SELECT FOR UPDATE none 2/3', 'DELETE none 2/3', 'MOVE A 1/2'],
    'CWE-863',
  ],
  ['a hole for DELETE alone', [policy('FOR DELETE USING (true)', 'second')], ['DELETE A ≥1/2'], 'CWE-863'],
  ['a hole for UPDATE alone', byVerb('USING (true)'), ['UPDATE none 5/3', 'MOVE A ≥1/2'], 'CWE-863'],
  ['rows may be given away', byVerb(`USING (${tenant}) WITH CHECK (true)`), ['MOVE A 1/2'], 'CWE-863'],
  [
    'WITH CHECK (true) alone',
    replaced(tenant, 'true'),
    ['INSERT A 1/1', 'ON CONFLICT DO NOTHING A 1/2', 'MOVE A 1/2'],
    'CWE-863',
  ],
  [
    'a key without the tenant, and UPDATE of whatever it meets',
    [
      'ALTER TABLE app.customers ADD CONSTRAINT global UNIQUE (id)',
      ...byVerb('USING (true) WITH CHECK (true)'),
      'ALTER POLICY tenant_isolation ON app.customers USING (true)',
    ],
    ['SELECT none 5/3', 'SELECT FOR UPDATE none 3/3', 'UPDATE none 5/3', 'ON CONFLICT DO UPDATE A 1/2', 'MOVE A 1/2'],
    'CWE-863',
  ],
]

describe('a wall with a hole', () => {
  /** Breaks the table, proves, and puts everything back. */
  async function broken(statements: readonly string[]): Promise<Proof> {
    const policies = async (): Promise<string[]> =>
      (await database.owner(`SELECT policyname FROM pg_policies WHERE tablename = 'customers'`)).map((row) =>
        String(row['policyname']),
      )
    for (const statement of statements) await database.owner(statement)
    try {
      return await run(tablesOf('customers'))
    } finally {
      for (const name of await policies()) await database.owner(`DROP POLICY ${name} ON app.customers`)
      await database.owner('ALTER TABLE app.customers OWNER TO holdfast_owner')
      await database.owner('ALTER TABLE app.customers DROP CONSTRAINT IF EXISTS global')
      await database.owner('ALTER TABLE app.customers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
      await database.owner(policy(`USING (${tenant}) WITH CHECK (${tenant})`))
      await database.owner('GRANT SELECT, INSERT, UPDATE, DELETE ON app.customers TO holdfast_app')
    }
  }

  it.each(holes)('%s', async (_name, statements, found, cwe) => {
    const proof = await broken(statements)
    expect(refuted(proof)).toEqual(found)
    expect(proof.findings.map(({ rule, object, cwe: weakness }) => [rule, object, weakness])).toEqual([
      ['second-wall-proof', 'app.customers', cwe],
    ])
  })
})

it('a policy for another role is none of the app role’s', async () => {
  await database.owner('CREATE POLICY other ON app.payments TO holdfast_identity USING (true)')
  const proof = await run(tablesOf('payments')).finally(() => database.owner('DROP POLICY other ON app.payments'))
  expect(verdicts(proof)).toEqual(['proven'])
})

it('a role that no policy holds is refuted, and told by its name', async () => {
  const name = `above_${database.name}`
  const role = { ...database.target('app'), user: name, password: 'above' }
  await database.owner(`CREATE ROLE ${name} LOGIN BYPASSRLS PASSWORD 'above' IN ROLE holdfast_app`)
  await database.owner(`GRANT CONNECT ON DATABASE ${database.name} TO ${name}`)
  try {
    const proof = await prove({ app: role, tables: tablesOf('payments', 'invoices', 'customers') })
    expect(proof.findings.map(({ object }) => object)).toEqual(['app.customers', 'app.invoices', 'app.payments'])
    expect(proof.findings[0]?.mend).toEqual([`ALTER ROLE "${name}" NOSUPERUSER NOBYPASSRLS`])
  } finally {
    await database.owner(`REVOKE CONNECT ON DATABASE ${database.name} FROM ${name}`)
    await database.owner(`DROP ROLE ${name}`)
  }
})

it('a privilege on some columns alone is not taken for none', async () => {
  const make = [
    `CREATE TABLE app.part (${keys}, open TEXT)`,
    ...wall('part'),
    'REVOKE ALL ON app.part FROM holdfast_app',
    'GRANT SELECT (open), DELETE ON app.part TO holdfast_app',
  ]
  const proof = await withTable('part', make, () => run([own('part')]))
  expect(proof.rows.map(({ verb, verdict }) => `${verb} ${verdict}`)).toContain('SELECT untried')
  expect(proof.rows.map(({ verb, verdict }) => `${verb} ${verdict}`)).toContain('DELETE proven')
  expect(proof.rows[0]?.why).toBe('SELECT on app.part is granted on some columns alone')
  const open = await withTable('part', [...make, 'ALTER TABLE app.part DISABLE ROW LEVEL SECURITY'], () =>
    run([own('part')]),
  )
  expect(refuted(open)).toEqual(['DELETE none 3/3'])
})

describe('what is told to mend a hole', () => {
  it.each([
    [
      'of a table that the app role owns',
      ['ALTER TABLE app.lines OWNER TO holdfast_app', 'ALTER TABLE app.lines NO FORCE ROW LEVEL SECURITY'],
    ],
    ['of a policy too many', ['CREATE POLICY second ON app.lines FOR DELETE USING (true)']],
    ['of no policy asked', ['ALTER TABLE app.lines DISABLE ROW LEVEL SECURITY']],
  ])('mends that %s', async (_name, statements) => {
    for (const statement of statements) await database.owner(statement)
    const { findings } = await run(tablesOf('lines'))
    expect(findings).toHaveLength(1)
    for (const statement of findings[0]?.mend ?? []) await database.owner(statement)
    await database.owner('GRANT SELECT, INSERT, UPDATE, DELETE ON app.lines TO holdfast_app')
    const after = await run(tablesOf('lines'))
    expect(after.rows.map(({ verdict }) => verdict)).toEqual(Array.from({ length: 8 }, () => 'proven'))
  })
})

/** A table of the manifest, made for one test. */
const own = (name: string, more: Partial<Table> = {}): Table => ({
  schema: 'app',
  name,
  resource: 'thing',
  columns: { tenant_id: { type: 'uuid' }, created_by: { type: 'uuid' } },
  tenant: 'tenant_id',
  owner: 'created_by',
  ...more,
})
const wall = (name: string): string[] => [
  `ALTER TABLE app.${name} OWNER TO holdfast_owner`,
  `ALTER TABLE app.${name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`,
  `CREATE POLICY tenant_isolation ON app.${name} USING (${tenant}) WITH CHECK (${tenant})`,
  `GRANT SELECT, INSERT, UPDATE, DELETE ON app.${name} TO holdfast_app`,
]
const keys = 'tenant_id UUID NOT NULL, created_by UUID NOT NULL'
async function withTable<T>(name: string, statements: readonly string[], work: () => Promise<T>): Promise<T> {
  try {
    for (const statement of statements) await database.owner(statement)
    return await work()
  } finally {
    await database.owner(`DROP TABLE IF EXISTS app.${name} CASCADE`)
  }
}
const verdicts = ({ rows }: Proof): string[] => [
  ...new Set(rows.map(({ verdict, why = '' }) => `${verdict} ${why}`.trim())),
]

describe('rows are made', () => {
  it('of columns of many kinds, in the order of their foreign keys, and no sequence moves', async () => {
    const proof = await withTable(
      'kinds',
      [
        `CREATE TYPE app.colour AS ENUM ('red', 'green')`,
        `CREATE DOMAIN app.short AS TEXT CHECK (length(VALUE) <= 20)`,
        `CREATE TABLE app.kinds (${keys}, id BIGINT GENERATED ALWAYS AS IDENTITY, serial BIGSERIAL, colour app.colour NOT NULL,
          short app.short NOT NULL, code VARCHAR(3) NOT NULL, mail TEXT NOT NULL CHECK (mail ~ '^[^@]+@[^@]+$'),
          state TEXT NOT NULL CHECK (state IN ('on', 'off')), share NUMERIC NOT NULL CHECK (share > 1 AND share < 50),
          starts DATE NOT NULL, ends DATE NOT NULL, CHECK (starts < ends), tags TEXT[] NOT NULL, more JSONB NOT NULL,
          twice INT4 GENERATED ALWAYS AS (length(mail)) STORED, invoice UUID NOT NULL, parent BIGINT,
          "odd ""name" BYTEA NOT NULL, PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, serial),
          FOREIGN KEY (tenant_id, invoice) REFERENCES app.invoices (tenant_id, id),
          FOREIGN KEY (tenant_id, parent) REFERENCES app.kinds (tenant_id, id))`,
        `GRANT USAGE ON TYPE app.colour, app.short TO holdfast_app, holdfast_owner`,
        ...wall('kinds'),
      ],
      async () => {
        const made = await run([...tablesOf('invoices', 'customers'), own('kinds')])
        const sequences = await database.owner(
          `SELECT last_value, is_called FROM app.kinds_id_seq UNION ALL SELECT last_value, is_called FROM app.kinds_serial_seq`,
        )
        expect(sequences.map(({ is_called: isCalled }) => isCalled)).toEqual([false, false])
        return made
      },
    ).finally(() => database.owner('DROP TYPE app.colour; DROP DOMAIN app.short'))
    expect(verdicts(proof)).toEqual(['proven'])
  })

  it('or it is said why not: nothing passes in silence', async () => {
    const cases: readonly [columns: string, why: RegExp][] = [
      [`x TEXT NOT NULL CHECK (md5(x) = 'nothing has this')`, /no value was found that the check hard_x_check admits/],
      ['x TSQUERY NOT NULL', /no value of type tsquery is known, for app.hard.x/],
      ['x UUID NOT NULL REFERENCES app.hard (x) UNIQUE', /app.hard needs a row of itself first/],
      [
        `x INT4 NOT NULL DEFAULT 1 UNIQUE, y TEXT NOT NULL DEFAULT 1/0`,
        /no row of app.hard can be made: .* SQLSTATE 22012/,
      ],
    ]
    for (const [columns, why] of cases) {
      const statements = [`CREATE TABLE app.hard (${keys}, ${columns})`, ...wall('hard')]
      const proof = await withTable('hard', statements, () => run([own('hard')]))
      expect(proof.rows).toHaveLength(8)
      for (const row of proof.rows) expect([row.verdict, row.why]).toEqual(['untried', expect.stringMatching(why)])
      expect(proof.findings).toEqual([])
    }
  })

  it('and where none can be made, those of two tenants that are there are reached for', async () => {
    const [a, b] = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222']
    const make = [
      `CREATE TABLE app.hard (${keys}, x TSQUERY NOT NULL)`,
      `INSERT INTO app.hard SELECT id, id, 'a' FROM (VALUES ('${a}'::UUID), ('${b}'), ('${b}')) AS v(id)`,
      ...wall('hard'),
    ]
    const proof = await withTable('hard', make, () => run([own('hard')]))
    const tried = proof.rows.filter(({ rows }) => rows === 'existing')
    expect(tried.map(({ verb, verdict }) => `${verb} ${verdict}`)).toEqual([
      'SELECT proven',
      'SELECT FOR UPDATE proven',
      'UPDATE proven',
      'DELETE proven',
    ])
    expect(tried[0]?.trials[0]).toEqual({ caller: 'A', foreign: 0, there: 2, own: 1 })
    const open = [...make, 'ALTER TABLE app.hard DISABLE ROW LEVEL SECURITY']
    const broken = await withTable('hard', open, () => run([own('hard')]))
    expect(refuted(broken)).toEqual([
      'SELECT none 3/3',
      'SELECT FOR UPDATE none 3/3',
      // the column is NOT NULL, which is looked at after the policy
      'UPDATE A ≥1/2',
      'DELETE none 3/3',
    ])
  })

  it('and a table without its policy is closed to all, which proves nothing', async () => {
    const proof = await withTable(
      'closed',
      [`CREATE TABLE app.closed (${keys})`, ...wall('closed'), 'DROP POLICY tenant_isolation ON app.closed'],
      () => run([own('closed')]),
    )
    expect(verdicts(proof)).toEqual(['untried no row of app.closed can be made: who plants may not insert there'])
  })
})

it('a hole is shown by a thousand rows, and no statement goes on beyond', async () => {
  const id = '11111111-1111-4111-8111-111111111111'
  const make = [
    `CREATE TABLE app.many (${keys})`,
    `INSERT INTO app.many SELECT '${id}', '${id}' FROM pg_catalog.generate_series(1, 1500)`,
    ...wall('many'),
    'CREATE POLICY d ON app.many FOR DELETE USING (true)',
    'CREATE POLICY s ON app.many FOR SELECT USING (true)',
  ]
  const proof = await withTable('many', make, () => run([own('many')]))
  expect(refuted(proof)).toEqual(['SELECT A ≥1000/2', 'DELETE A ≥1000/2'])
})

describe('triggers', () => {
  const swallow = [
    `CREATE TABLE app.quiet (${keys})`,
    `CREATE FUNCTION app.swallow() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
    'CREATE TRIGGER swallow BEFORE INSERT ON app.quiet FOR EACH ROW EXECUTE FUNCTION app.swallow()',
    ...wall('quiet'),
  ]
  const without = async (work: () => Promise<Proof>): Promise<Proof> =>
    withTable('quiet', swallow, work).finally(() => database.owner('DROP FUNCTION app.swallow()'))

  it('are not set off', async () => {
    const proof = await without(() => run([own('quiet')]))
    expect(verdicts(proof)).toEqual([
      'untried app.quiet has the trigger or rule swallow, which may reach outside: with --with-triggers it is tried',
    ])
  })

  it('are, where that is said; a proof that planted nothing proves nothing', async () => {
    const proof = await without(() => run([own('quiet')], { withTriggers: true }))
    expect(verdicts(proof)).toEqual(['untried app.quiet took no row, and said nothing'])
  })

  it('of a child that a DELETE goes on to keep the DELETE from being tried', async () => {
    const child = [
      `CREATE TABLE app.child (${keys}, id UUID NOT NULL, FOREIGN KEY (tenant_id, id) REFERENCES app.customers (tenant_id, id) ON DELETE CASCADE)`,
      `CREATE RULE away AS ON DELETE TO app.child DO INSTEAD NOTHING`,
    ]
    const proof = await withTable('child', child, () => run(tablesOf('customers')))
    expect(proof.rows.flatMap(({ verb, verdict }) => (verdict === 'untried' ? [verb] : []))).toEqual(['DELETE', 'MOVE'])
  })
})

describe('a tenant column', () => {
  it('of text, to whose collation capitals are small letters, shows', async () => {
    const text = (more: string): string =>
      `tenant_id TEXT ${more} NOT NULL, created_by UUID NOT NULL, id UUID PRIMARY KEY`
    const open = [
      `ALTER TABLE app.cased OWNER TO holdfast_owner`,
      'ALTER TABLE app.cased ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
      `CREATE POLICY p ON app.cased USING (tenant_id = NULLIF(current_setting('holdfast.tenant_id', true), ''))`,
      'GRANT SELECT, INSERT, UPDATE, DELETE ON app.cased TO holdfast_app',
    ]
    const table = own('cased', { columns: { tenant_id: { type: 'text' }, created_by: { type: 'uuid' } } })
    const tried = (columns: string): Promise<Proof> =>
      withTable('cased', [`CREATE TABLE app.cased (${columns})`, ...open], () => run([table]))
    await database.owner(`CREATE COLLATION app.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`)
    try {
      expect(refuted(await tried(text('COLLATE app.ci')))).toEqual([
        'SELECT A 2/2',
        'SELECT FOR UPDATE A 2/2',
        'INSERT A 1/1',
        'UPDATE A 2/2',
        'DELETE A 2/2',
        'ON CONFLICT DO UPDATE A 1/2',
        'ON CONFLICT DO NOTHING A 1/2',
        'MOVE A 2/2',
      ])
    } finally {
      await database.owner('DROP COLLATION app.ci')
    }
    expect(verdicts(await tried(text('COLLATE "C"')))).toEqual(['proven'])
    expect(verdicts(await tried(text('CHECK (tenant_id = lower(tenant_id))')))).toEqual(['proven'])
  })

  it('that may be empty takes no row of nobody', async () => {
    const make = [
      `CREATE TABLE app.empty (tenant_id UUID, created_by UUID NOT NULL, id UUID PRIMARY KEY)`,
      ...wall('empty'),
    ]
    expect(verdicts(await withTable('empty', make, () => run([own('empty')])))).toEqual(['proven'])
    const hole = [...make, 'CREATE POLICY n ON app.empty FOR INSERT WITH CHECK (tenant_id IS NULL)']
    expect(refuted(await withTable('empty', hole, () => run([own('empty')])))).toEqual(['INSERT A 1/1'])
  })
})

it('a policy that takes its time leaves its table untried, and the others are tried', async () => {
  const slow = [
    `CREATE TABLE app.slow (${keys})`,
    ...wall('slow'),
    'CREATE POLICY nap ON app.slow AS RESTRICTIVE USING (pg_catalog.pg_sleep(0.1) IS NOT NULL)',
  ]
  const proof = await withTable('slow', slow, () =>
    run([own('slow'), ...tablesOf('customers')], { tableTimeoutMs: 1_000 }),
  )
  const of = (name: string): string[] => verdicts({ ...proof, rows: proof.rows.filter(({ table }) => table === name) })
  expect(of('app.slow')).toEqual(['untried the table took too long'])
})

it('a table that all read is written by nobody', async () => {
  const shared: Table = {
    schema: 'app',
    name: 'rates',
    resource: 'rate',
    columns: { id: { type: 'int8' } },
    shared: true,
  }
  const make = ['CREATE TABLE app.rates (id INT8)', 'GRANT SELECT ON app.rates TO holdfast_app']
  const proof = await withTable('rates', make, () => run([shared]))
  expect(proof.rows.map(({ verb, verdict, refusedFor }) => [verb, verdict, refusedFor])).toEqual(
    ['INSERT', 'UPDATE', 'DELETE'].map((verb) => [verb, 'proven', verb]),
  )
  const open = await withTable('rates', [...make, 'GRANT UPDATE ON app.rates TO holdfast_app'], () => run([shared]))
  expect(open.findings).toMatchObject([{ object: 'app.rates', mend: [expect.stringMatching(/^REVOKE/)] }])
  expect(open.rows.map(({ verdict }) => verdict)).toEqual(['proven', 'refuted', 'proven'])
})

it('a view that runs with its owner’s rights shows the rows of others', async () => {
  const view = own('everyone', { view: true })
  const body = 'AS SELECT tenant_id, created_by, name FROM app.customers'
  const prove_ = async (options: string): Promise<Proof> => {
    await database.owner(`CREATE VIEW app.everyone ${options} ${body}`)
    await database.owner('GRANT SELECT ON app.everyone TO holdfast_app')
    return run([view, ...tablesOf('customers')]).finally(() => database.owner('DROP VIEW app.everyone'))
  }
  const good = await prove_('WITH (security_invoker = true)')
  expect(good.rows[0]).toMatchObject({ verb: 'SELECT', verdict: 'proven' })
  expect(good.rows[0]?.trials[0]).toEqual({ caller: 'A', foreign: 0, there: 2, own: 1 })
  const bad = await prove_('')
  expect(refuted(bad)).toEqual(['SELECT none 5/3'])
})

it('what the manifest says of a table is not believed: one that is not there, one with one wall', async () => {
  const through = own('notes', { through: { table: 'customers', column: 'id', references: 'id' } })
  const { tenant: _, owner: __, ...child } = through
  const proof = await run([own('nowhere'), child, ...tablesOf('customers')])
  expect(proof.rows.filter(({ table }) => table === 'app.nowhere').map(({ why }) => why)).toEqual(
    Array.from({ length: 8 }, () => 'the database has no such table'),
  )
})

describe('as the app role alone', () => {
  const proof = (): Promise<Proof> =>
    prove({ app: database.target('app'), tables: tablesOf('teams', 'customers', 'invoices') })

  it('what it may insert is proven, the rest is said', async () => {
    const { rows, standing, note } = await proof()
    expect([standing, note]).toEqual(['signed in', expect.stringMatching(/^signed in as the app role alone/)])
    const proven = new Set(rows.filter(({ verdict }) => verdict === 'proven').map(({ table }) => table))
    expect([...proven]).toEqual(['app.customers', 'app.invoices'])
    const open = new Set(
      rows.filter(({ verdict }) => verdict === 'untried').map(({ table, why }) => `${table}: ${why}`),
    )
    expect([...open]).toContainEqual(
      expect.stringMatching(/^tenancy.teams: no row of holdfast.tenants can be made: who plants/),
    )
  })

  it('is what is left when the migrator may not become it', async () => {
    const other = database.target('identity')
    const { standing, note } = await prove({ app: database.target('app'), migrator: other, tables: [] })
    expect([standing, note]).toEqual(['signed in', expect.stringContaining('GRANT holdfast_app TO holdfast_migrator')])
    await expect(prove({ migrator: other, tables: [] })).rejects.toThrow('GRANT holdfast_app TO holdfast_migrator')
    await expect(prove({ tables: [] })).rejects.toMatchObject({ code: 'unsupported_use' })
  })
})

it('waits for no lock', async () => {
  const other = await connect(database.target('superuser'))
  await other.query('BEGIN')
  await other.query('LOCK TABLE app.customers IN ACCESS EXCLUSIVE MODE')
  try {
    const proof = await run(tablesOf('customers'), { lockTimeoutMs: 100 })
    expect(verdicts(proof)).toEqual(['untried no row of app.customers can be made: a lock was not had in time'])
  } finally {
    await other.end()
  }
})

describe('through the stand-in for CockroachDB', () => {
  let standin: Standin
  beforeAll(async () => {
    await installStandin(database.target('superuser'))
    const settings = Object.fromEntries(roleSettings('cockroachdb').map(({ name, value }) => [name, value]))
    standin = await startStandin(database.target('migrator'), { settings })
  })
  afterAll(() => standin.close())
  const through = (o: Partial<ProofOptions>): Promise<Proof> =>
    run(tablesOf('payments'), { migrator: standin.address, ...o })

  it('triggers that are not told count as there', async () => {
    const { dialect, rows } = await through({})
    expect(dialect).toBe('cockroachdb')
    expect(rows.filter(({ verdict }) => verdict === 'proven').every(({ rows: which }) => which === 'existing')).toBe(
      true,
    )
    expect(rows.find(({ verdict }) => verdict === 'untried')?.why).toMatch(/trigger or rule that could not be listed/)
  })

  it('all is proven in transactions that are said, one that collides is run again', async () => {
    standin.faults.fail('40001', 40)
    const proof = await through({ withTriggers: true })
    expect(standin.faults.isArmed).toBe(false)
    expect([proof.dialect, ...verdicts(proof)]).toEqual(['cockroachdb', 'proven'])
    await database.owner('CREATE POLICY second ON app.payments FOR DELETE USING (true)')
    const broken = await through({ withTriggers: true }).finally(() =>
      database.owner('DROP POLICY second ON app.payments'),
    )
    expect(refuted(broken)).toEqual(['DELETE none 5/3'])
  })
})

it('docs/proof.md shows what it says', async () => {
  const page = readFileSync(new URL('../../../../docs/proof.md', import.meta.url), 'utf8')
  const shown = [...page.matchAll(/```text\n([\s\S]*?)\n```/g)].map(([, text = '']) => text.split('\n'))
  const good = await run(tablesOf('profiles', 'customers'))
  expect(shown[0]).toEqual(proofText(good))
  await database.owner('CREATE POLICY sweep ON app.payments FOR DELETE USING (true)')
  try {
    const bad = await run(tablesOf('payments'))
    expect(shown[1]).toEqual([...proofText(bad), ...bad.findings.map(({ what }) => what)])
  } finally {
    await database.owner('DROP POLICY sweep ON app.payments')
  }
})

describe('a proof that ends in the middle leaves nothing', () => {
  /** Waits until a proof has written something: it has a transaction number then. */
  async function untilItWrites(): Promise<number> {
    // a process of its own takes a while to start where others work
    for (const until = performance.now() + 40_000; performance.now() < until; ) {
      const [row] = await database.owner(
        `SELECT pid FROM pg_catalog.pg_stat_activity WHERE application_name = 'holdfast proof' AND datname = current_database() AND backend_xid IS NOT NULL`,
      )
      if (row !== undefined) return Number(row['pid'])
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    throw new Error('no proof was seen to write')
  }
  const isGone = async (pid: number): Promise<void> => {
    await expect
      .poll(() => database.owner('SELECT 1 FROM pg_catalog.pg_stat_activity WHERE pid = $1::INT4', [pid]), {
        timeout: 10_000,
      })
      .toEqual([])
    expect(await contentsOf(database)).toBe(before)
  }

  it('when its process is killed', async () => {
    const file = fileURLToPath(new URL('prove-process.ts', import.meta.url))
    const child = spawn(process.execPath, ['--import', 'tsx', file], {
      env: { PATH: process.env['PATH'] ?? '', PROOF_TARGET: JSON.stringify(database.target('migrator')) },
      stdio: 'ignore',
    })
    const pid = await untilItWrites()
    child.kill('SIGKILL')
    await isGone(pid)
  })

  it('when the server ends its session', async () => {
    const failing = expect(run(allTables)).rejects.toMatchObject({ code: 'connection_lost' })
    const pid = await untilItWrites()
    await database.owner('SELECT pg_catalog.pg_terminate_backend($1::INT4)', [pid])
    await failing
    await isGone(pid)
  })

  it('when the connection is cut', async (context) => {
    const target = database.target('migrator')
    if (!target.host.startsWith('/')) return context.skip('the proxy speaks over Unix sockets')
    const proxy = await startWireProxy(target)
    try {
      const failing = expect(run(allTables, { migrator: proxy.address })).rejects.toMatchObject({
        code: 'connection_lost',
      })
      const pid = await untilItWrites()
      proxy.cutAll()
      await failing
      await isGone(pid)
    } finally {
      await proxy.close()
    }
  })
})
