import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { manifest as tickets } from '../../../examples/drizzle/manifest.ts'
import { manifest as invoices } from '../../../examples/invoices/manifest.ts'
import { manifest as bookings } from '../../../examples/kysely/manifest.ts'
import { migrate } from '../../../src/core/database/migrate.ts'
import type { Manifest } from '../../../src/core/scope/manifest.ts'
import { hostedManifest, withRolesOf } from '../../../src/service/application.ts'
import { defaultRoles } from '../../../src/service/tenancy/manifest.ts'
import type { Evidence, SessionRow } from '../../../src/tools/inspect/catalog.ts'
import { expectedOf } from '../../../src/tools/inspect/expected.ts'
import type { Finding } from '../../../src/tools/inspect/finding.ts'
import type { LoginFacts } from '../../../src/tools/inspect/rule.ts'
import { rules } from '../../../src/tools/inspect/rules.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { type Breakage, breakages } from './breakages.ts'
import { type Inspected, openInspected } from './inspected.ts'

const hosted = (manifest: Manifest): Manifest => {
  const application = { manifest, migrations: undefined, routes: undefined }
  return hostedManifest(application, withRolesOf(application, defaultRoles))
}

async function open(manifest: Manifest, example: string): Promise<{ database: TestDatabase; inspected: Inspected }> {
  const database = await createTestDatabase()
  const migrations = new URL(`../../../examples/${example}/migrations/`, import.meta.url)
  await migrate({ target: database.target('migrator'), application: migrations, roleGrants: {} })
  return { database, inspected: await openInspected(database, hosted(manifest)) }
}

let database: TestDatabase
let inspected: Inspected
beforeAll(async () => {
  ;({ database, inspected } = await open(invoices, 'invoices'))
})
afterAll(async () => {
  await inspected.close()
  await database.drop()
})

describe('a database as it is made', () => {
  it('has nothing: the service with examples/invoices', () =>
    inspected.undone(async () => {
      expect(await inspected.findings()).toEqual([])
    }))

  it.each([
    ['kysely', bookings],
    ['drizzle', tickets],
  ] as const)('has nothing: examples/%s', async (example, manifest) => {
    const other = await open(manifest, example)
    try {
      await other.inspected.undone(async () => expect(await other.inspected.findings()).toEqual([]))
    } finally {
      await other.inspected.close()
      await other.database.drop()
    }
  })
})

/** The example's manifest with what a breakage declares besides. */
function manifestOf({ tables = [], grants = [], declared = {} }: Breakage): Manifest {
  return hosted({
    ...invoices,
    ...declared,
    tables: [...invoices.tables, ...tables],
    roles: { ...invoices.roles, extra: grants.length === 0 ? ['line:read'] : grants },
  })
}

const rulesOf = (found: readonly Finding[]): string[] => [...new Set(found.map(({ rule }) => rule))]

describe('a database that breaks one rule', () => {
  it.each(breakages)('$rule: $name', (breakage) =>
    inspected.undone(async () => {
      await inspected.run(breakage.sql)
      const besides = breakage.besides === undefined ? [] : [breakage.besides]
      const over = { manifest: manifestOf(breakage) }
      const found = await inspected.findings(over)
      expect(rulesOf(found)).toEqual([breakage.rule, ...besides])
      if (breakage.unmended === true) return expect(found.flatMap(({ mend }) => mend)).toEqual([])
      await inspected.run(found.flatMap(({ mend }) => mend))
      expect(rulesOf(await inspected.findings(over))).toEqual(besides)
    }),
  )
})

const SETTING = "current_setting('holdfast.tenant_id', true)"

describe('a policy that does the same in other words is none of a finding', () => {
  it.each([
    `tenant_id::TEXT = ${SETTING}`,
    `tenant_id = (SELECT NULLIF(${SETTING}, '')::UUID)`,
    `tenant_id IS NOT NULL AND NOT (tenant_id IS DISTINCT FROM NULLIF(${SETTING}, '')::UUID)`,
    `CASE WHEN COALESCE(${SETTING}, '') = '' THEN false ELSE tenant_id = ${SETTING}::UUID END`,
    // fails where no tenant is set, and so shows nothing
    `tenant_id = current_setting('HOLDFAST.tenant_id')::UUID`,
  ])('%s', (condition) =>
    inspected.undone(async () => {
      await inspected.run([
        `ALTER POLICY tenant_isolation ON app.invoices USING (${condition}) WITH CHECK (${condition})`,
      ])
      expect(await inspected.findings()).toEqual([])
    }),
  )
})

const login: LoginFacts = {
  url: 'DATABASE_URL',
  wanted: 'holdfast_app',
  role: 'holdfast_app',
  database: 'd',
  isSafe: true,
}

describe('what no catalog tells', () => {
  it.each([
    ['login-role', [{ ...login, role: 'postgres' }]],
    ['login-database', [login, { ...login, url: 'HOLDFAST_IDENTITY_URL', database: 'e' }]],
    ['tls-verified', [{ ...login, isSafe: false }]],
  ] as const)('%s', (rule, logins) =>
    inspected.undone(async () => {
      expect(await inspected.findings({ logins: [login] })).toEqual([])
      expect((await inspected.findings({ logins })).map((found) => found.rule)).toEqual([rule])
    }),
  )

  it.each([-3_600_000, 3_600_000])('clock-skew of %i ms', (skew) =>
    inspected.undone(async () => {
      const found = await inspected.findings({ now: () => Date.now() + skew })
      expect(found.map(({ rule, what }) => [rule, what])).toEqual([['clock-skew', expect.stringContaining('3600 s')]])
    }),
  )
})

describe('servers that are not here', () => {
  const session = {
    database: 'd',
    version: 'CockroachDB CCL v25.4.9 (linux)',
    version_number: '130000',
    autocommit_before_ddl: 'off',
  }
  it.each([
    ['setting-autocommit-ddl', { autocommit_before_ddl: 'on' }],
    ['version-repaired', { version: 'CockroachDB CCL v25.2.17 (linux)' }],
    ['version-repaired', { version: 'PostgreSQL 16.4 on x86_64', version_number: '160004' }],
  ])('%s: %o', async (id, other) => {
    const rule = Object.values(rules)
      .flat()
      .find((one) => one.id === id)
    const expected = await expectedOf(hosted(invoices), 'cockroachdb')
    const judge = (row: object): number => {
      const evidence = { session: [row as SessionRow] } as unknown as Evidence
      return rule?.judge(evidence, expected, { logins: [], asked: 0, answered: 0, policies: [] }).length ?? -1
    }
    expect([judge(session), judge({ ...session, ...other })]).toEqual([0, 1])
  })
})

it('every rule has a database that breaks it, or stands in a list with the reason', () => {
  const broken = new Set([
    ...breakages.map(({ rule }) => rule),
    'login-role',
    'login-database',
    'tls-verified',
    'clock-skew',
    'setting-autocommit-ddl',
    'version-repaired',
  ])
  const rest = Object.values(rules)
    .flat()
    .map(({ id }) => id)
    .filter((id) => !broken.has(id))
  expect(rest).toEqual([])
})
