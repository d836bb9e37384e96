import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Table } from '../../src/core/scope/manifest.ts'
import { defaultRoles, serviceManifest } from '../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { urlOf } from '../service/http/open-service.ts'
import { openInspected } from '../tools/inspect/inspected.ts'
import { holdfast, type Run } from './fake-terminal.ts'

const first = `CREATE SCHEMA app
-- next
CREATE TABLE app.invoices (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  created_by UUID NOT NULL,
  number TEXT NOT NULL UNIQUE,
  total INT8 NOT NULL
)
-- next
CREATE TABLE app.lines (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  invoice_id UUID NOT NULL,
  title TEXT NOT NULL
)
`
const page = (name: string): string => readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8')

let database: TestDatabase
let directory: string
let migrations: string
const run = (...args: string[]): Promise<Run> =>
  holdfast(args, { HOLDFAST_MIGRATOR_URL: urlOf(database, 'migrator') }, directory)
const files = (): string[] => readdirSync(migrations).sort()

beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  directory = mkdtempSync(join(tmpdir(), 'holdfast-protect-'))
  migrations = mkdtempSync(join(directory, 'migrations-'))
  writeFileSync(join(migrations, '0001-app.sql'), first)
  writeFileSync(
    join(directory, 'holdfast.config.json'),
    JSON.stringify({ application: { migrations, manifest: { tables: [], roles: {} } } }),
  )
})
afterAll(async () => {
  await database.drop()
  rmSync(directory, { recursive: true, force: true })
})

describe('from a table to the second wall', () => {
  const invoices = ['protect', 'app.invoices', '--owner', 'created_by', '--grant', 'read,create,update']
  const lines = ['protect', 'app.lines', '--parent', 'app.invoices', '--link', 'invoice_id', '--grant', 'read,create']
  const entries: Table[] = []

  it('the plan is what docs/migrate.md shows', async () => {
    const { code, out } = await run('migrate', 'plan')
    expect(code).toBe(0)
    expect(page('migrate')).toContain(`\n${out.split('\n-- 1 file')[0]?.trimEnd()}\n`)
    expect(await database.owner("SELECT to_regclass('app.invoices') AS t")).toEqual([{ t: null }])
  })

  it('what is pending comes first', async () => {
    const { code, err } = await run(...invoices)
    expect([code, err]).toEqual([1, expect.stringContaining('Apply them first: holdfast migrate')])
    const { code: done, out, err: told } = await run('migrate')
    expect([done, out]).toEqual([0, expect.stringContaining('1 of')])
    expect(told).toMatch(/^applying application\/0001-app \(file 1 of 1\)\napplied application\/0001-app in [\d.]+ s$/)
  })

  it('prints what docs/protect.md shows, and writes nothing', async () => {
    const { code, out, err } = await run(...invoices, '--stdout')
    expect(code).toBe(0)
    expect(page('protect')).toContain(`\n\`\`\`\n${out}\n\`\`\`\n`)
    expect(page('protect')).toContain(err.split('In the manifest:\n\n')[1] ?? 'nothing was said')
    expect(files()).toEqual(['0001-app.sql'])
  })

  it('writes the next file, and migrate applies it; the child after it', async () => {
    for (const [command, file] of [
      [invoices, '0002-protect-invoices.sql'],
      [lines, '0003-protect-lines.sql'],
    ] as const) {
      const { code, out } = await run(...command, '--json')
      const { entry, file: written } = JSON.parse(out) as { entry: Table; file: string }
      expect([code, written]).toEqual([0, join(migrations, file)])
      entries.push(entry)
      expect((await run('migrate', '--json')).code).toBe(0)
      expect((await run(...command)).out).toContain('is protected already: nothing to do.')
      expect(files().at(-1)).toBe(file)
    }
    expect(page('protect')).toContain(
      `\n\`\`\`sql\n${readFileSync(join(migrations, '0003-protect-lines.sql'), 'utf8')}\`\`\`\n`,
    )
  })

  it('and the doctor finds nothing', async () => {
    const roles = {
      ...defaultRoles,
      clerk: ['invoice:read', 'invoice:create', 'invoice:update@own', 'line:read', 'line:create'],
    }
    const inspected = await openInspected(database, { tables: [...serviceManifest.tables, ...entries], roles })
    try {
      expect(entries).toHaveLength(2)
      expect(await inspected.undone(() => inspected.findings())).toEqual([])
      // and it would see it
      const [rule] = await inspected.undone(async () => {
        await inspected.run(['ALTER TABLE app.lines NO FORCE ROW LEVEL SECURITY'])
        return inspected.findings()
      })
      expect(rule).toMatchObject({ object: 'app.lines' })
    } finally {
      await inspected.close()
    }
  })

  it('a refusal is one screen, with the way', async () => {
    const { code, err } = await run('protect', 'app.missing')
    expect([code, err]).toEqual([1, expect.stringMatching(/^holdfast: There is no table app\.missing\.\n/)])
  })

  it('a failure of migrate as JSON', async () => {
    writeFileSync(join(migrations, '0004-bad.sql'), 'CREATE TABLE app.lines (id INT8)')
    const { code, out, err } = await run('migrate', '--json')
    expect([code, err]).toEqual([1, ''])
    expect(JSON.parse(out)).toMatchObject({
      error: { code: 'migration_failed', migration: 'application/0004-bad', statement: 1, sqlstate: '42P07' },
    })
    const { err: told } = await run('migrate')
    expect(told).toContain(`${page('migrate').split('<!-- failure -->\n```\n')[1]?.split('\n```')[0]}`)
  })
})
