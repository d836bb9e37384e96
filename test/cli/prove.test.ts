import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { urlOf } from '../service/http/open-service.ts'
import { holdfast, type Run } from './fake-terminal.ts'

let database: TestDatabase
let directory: string
beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  directory = mkdtempSync(join(tmpdir(), 'holdfast-prove-'))
})
afterAll(async () => {
  await database.drop()
  rmSync(directory, { recursive: true, force: true })
})

const migrate = (flags: readonly string[] = [], environment: Record<string, string> = {}): Promise<Run> =>
  holdfast(['migrate', ...flags], { HOLDFAST_MIGRATOR_URL: urlOf(database, 'migrator'), ...environment }, directory)

it('migrate ends with what the proof came to', async () => {
  const { code, out } = await migrate(['--json'])
  const { secondWall } = JSON.parse(out) as {
    secondWall: { proof: { rows: { verdict: string }[]; findings: unknown[] } }
  }
  expect([code, secondWall.proof.findings]).toEqual([0, []])
  expect(secondWall.proof.rows.map(({ verdict }) => verdict)).toEqual(Array.from({ length: 48 }, () => 'proven'))
})

it('a refutation is the exit code, the finding and what mends it', async () => {
  await database.owner('CREATE POLICY second ON tenancy.teams FOR SELECT USING (true)')
  try {
    const { code, out } = await migrate()
    expect(code).toBe(1)
    expect(out).toContain(
      'Second wall: 47 proven (28 by a privilege that is not granted), 1 refuted, 0 could not be tried.\nREFUTED tenancy.teams: SELECT ',
    )
    expect(out).toContain('  DROP POLICY "second" ON "tenancy"."teams";')
  } finally {
    await database.owner('DROP POLICY second ON tenancy.teams')
  }
})

it('in production it waits to be asked for, and says what it would do', async () => {
  const { code, out } = await migrate([], { NODE_ENV: 'production' })
  expect(code).toBe(0)
  expect(out).toMatch(
    /Second wall: not tried, this is taken for a database in production: NODE_ENV is production\..*--prove-in-production\.$/,
  )
  const { out: asked } = await migrate(['--prove-in-production'], { NODE_ENV: 'production' })
  expect(asked).toContain('Second wall: 48 proven')
})

describe('doctor --prove', () => {
  const doctor = (flags: readonly string[], environment: Record<string, string> = {}): Promise<Run> =>
    holdfast(
      ['doctor', ...flags],
      {
        DATABASE_URL: urlOf(database, 'app'),
        HOLDFAST_IDENTITY_URL: urlOf(database, 'identity'),
        HOLDFAST_MIGRATOR_URL: urlOf(database, 'migrator'),
        ...environment,
      },
      directory,
    )

  it('shows the table, and finds nothing on a clean database', async () => {
    const { code, out, err } = await doctor(['--prove'])
    expect([code, err]).toEqual([0, 'Nothing is wrong with this database.'])
    expect(out).toMatch(/^The second wall alone, as holdfast_app/)
    expect(out).toMatch(/tenancy.teams +MOVE +0\/2 +0\/1 +0\/3 +– +proven\n/)
  })

  it('adds what is refuted to the findings, and to what mends it only where nothing else was found', async () => {
    await database.owner('CREATE POLICY second ON tenancy.teams FOR SELECT USING (true)')
    try {
      const { code, out } = await doctor(['--prove', '--json'])
      const { findings } = JSON.parse(out) as { findings: { rule: string; object: string }[] }
      expect([code, findings.at(-1)]).toMatchObject([1, { rule: 'second-wall-proof', object: 'tenancy.teams' }])
      expect(findings.length).toBeGreaterThan(1)
      const { out: migration, err } = await doctor(['--prove', '--fix'])
      expect(migration.match(/DROP POLICY (?:IF EXISTS )?"?second/g)).toHaveLength(1)
      expect(err).toMatch(/tenancy.teams +SELECT .* REFUTED/)
    } finally {
      await database.owner('DROP POLICY second ON tenancy.teams')
    }
  })

  it('is asked for, and in production asked for twice', async () => {
    const { out } = await doctor([])
    expect(out).not.toContain('second wall')
    const production = { NODE_ENV: 'production' }
    const refusal = await doctor(['--prove'], production)
    expect([refusal.code, refusal.err]).toEqual([2, expect.stringMatching(/not tried: .*--prove-in-production/)])
    expect(await doctor(['--with-triggers'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('is for --prove') as unknown,
    })
  })
})
