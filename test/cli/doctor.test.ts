import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readMigrations } from '../../src/core/database/migration-file.ts'
import { loadConfig } from '../../src/service/config.ts'
import { openDatabase } from '../../src/service/database.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import type { Finding } from '../../src/tools/inspect/finding.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { urlOf } from '../service/http/open-service.ts'
import { holdfast } from './fake-terminal.ts'

let database: TestDatabase
let directory: string
beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  directory = mkdtempSync(join(tmpdir(), 'holdfast-doctor-'))
})
afterAll(async () => {
  await database.drop()
  rmSync(directory, { recursive: true, force: true })
})

const urls = (): Record<string, string> => ({
  DATABASE_URL: urlOf(database, 'app'),
  HOLDFAST_IDENTITY_URL: urlOf(database, 'identity'),
})
const doctor = (...args: string[]) => holdfast(['doctor', ...args], urls(), directory)

describe('holdfast doctor', () => {
  it('finds nothing in a database that is as it is made', async () => {
    expect(await doctor()).toEqual({ code: 0, out: '', err: 'Nothing is wrong with this database.' })
    const migrator = { HOLDFAST_MIGRATOR_URL: urlOf(database, 'migrator') }
    expect((await holdfast(['db', 'doctor', '--json'], migrator, directory)).out).toBe('{"findings":[]}')
  })

  it.each([
    [{ DATABASE_URL: 'postgresql://a@localhost/b' }, [], /Set both/],
    [{}, [], /Set DATABASE_URL and HOLDFAST_IDENTITY_URL/],
    [{}, ['--fix', '--json'], /one of --fix and --json/],
  ])('is typed wrongly: %o %o', async (environment, args, message) => {
    const { code, err } = await holdfast(['doctor', ...args], environment as Record<string, string>, directory)
    expect([code, err]).toEqual([2, expect.stringMatching(message)])
  })

  describe('on a broken one', () => {
    const breaking = [
      'ALTER TABLE tenancy.teams NO FORCE ROW LEVEL SECURITY',
      'DROP POLICY tenant_isolation ON tenancy.team_members',
      'CREATE POLICY open ON tenancy.team_members USING (tenant_id IS NOT NULL)',
      'GRANT CREATE ON SCHEMA public TO PUBLIC',
      ...Array.from({ length: 12 }, (_, index) => `CREATE TABLE tenancy.secret_${index} (id INT8)`),
      ...Array.from({ length: 12 }, (_, index) => `GRANT SELECT ON TABLE tenancy.secret_${index} TO holdfast_app`),
    ]
    beforeAll(async () => {
      for (const statement of breaking) await database.owner(statement)
    })

    it('tells each with why, weakness and statement', async () => {
      const { code, out, err } = await doctor()
      expect([code, err]).toEqual([1, '15 errors, 0 warnings.'])
      expect(out).toContain(
        'error tenancy.team_members lets SELECT, INSERT, UPDATE, DELETE reach rows of another tenant',
      )
      expect(out).toContain('  ALTER TABLE tenancy.teams FORCE ROW LEVEL SECURITY;')
      expect(out).toContain('(CWE-863)')
      expect(out).not.toContain('\u001b[')
      const { findings } = JSON.parse((await doctor('--json')).out) as { findings: Finding[] }
      expect(findings).toHaveLength(15)
      for (const finding of findings)
        expect(Object.keys(finding)).toEqual(['rule', 'level', 'object', 'what', 'why', 'cwe', 'mend'])
    })

    it('keeps serve from starting, on one screen', async () => {
      const config = await loadConfig({ directory, environment: { ...urls(), HOLDFAST_KEY: 'A'.repeat(43) } })
      const refused = await openDatabase(config, () => undefined).catch((error: Error) => error)
      if (!(refused instanceof Error)) return expect.unreachable('it started')
      // as `main` prints it
      const lines = `holdfast: ${refused.message}`.split('\n')
      expect(refused.name).toBe('StartError')
      expect(lines.length).toBeLessThanOrEqual(24)
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100)
      expect(lines[0]).toMatch(/15 errors/)
      expect(refused.message).toMatch(/FORCE ROW LEVEL SECURITY;/)
      expect(refused.message).toMatch(/and \d+ more\.\n\n.*holdfast doctor/)
    })

    it('--fix prints a migration, which mends what is the owner’s; the rest is told beside it', async () => {
      const { code, out } = await doctor('--fix')
      expect(code).toBe(1)
      writeFileSync(join(directory, '0001-mend.sql'), out)
      const [migration] = await readMigrations(pathToFileURL(`${directory}/`), 'postgresql', 'application')
      expect(out).toContain('--   REVOKE CREATE ON SCHEMA public FROM PUBLIC;')
      for (const { text } of migration?.steps ?? []) {
        await database.owner('SET ROLE holdfast_owner')
        // tables that a superuser made here are not the owner's
        if (text.includes('secret_')) await database.owner('RESET ROLE')
        await database.owner(text)
      }
      await database.owner('RESET ROLE')
      const { findings } = JSON.parse((await doctor('--json')).out) as { findings: Finding[] }
      expect(findings.map(({ rule }) => rule)).toEqual(['public-create'])
    })
  })
})
