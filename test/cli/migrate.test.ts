import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { urlOf } from '../service/http/open-service.ts'
import { holdfast } from './fake-terminal.ts'

let database: TestDatabase
let directory: string

beforeAll(async () => {
  database = await createTestDatabase({ roleGrants: defaultRoles })
  directory = mkdtempSync(join(tmpdir(), 'holdfast-migrate-'))
})
afterAll(async () => {
  await database.drop()
  rmSync(directory, { recursive: true, force: true })
})

const migrator = (): Record<string, string> => ({ HOLDFAST_MIGRATOR_URL: urlOf(database, 'migrator') })

describe('holdfast migrate', () => {
  it('has nothing to do on a database that is up to date', async () => {
    const { code, out } = await holdfast(['migrate'], migrator(), directory)
    expect(code).toBe(0)
    expect(out).toMatch(/up to date: 0 of \d+ migrations/)
    expect(out).not.toContain('made current')
  })

  it('needs no other setting, and no usable one', async () => {
    expect((await holdfast(['db', 'migrate'], { ...migrator(), PORT: 'nonsense' }, directory)).code).toBe(0)
  })

  it('tells the state, as the migrator', async () => {
    const { code, out } = await holdfast(['migrate', '--status'], migrator(), directory)
    expect([code, out.split('\n').at(-1)]).toEqual([0, 'The database is up to date.'])
    const { out: json } = await holdfast(['migrate', '--status', '--json'], migrator(), directory)
    expect(JSON.parse(json)).toMatchObject({ current: true, pending: [] })
  })

  it('makes the configured roles current, once', async () => {
    writeFileSync(
      join(directory, 'holdfast.config.json'),
      JSON.stringify({ tenancy: { roles: { owner: ['team:read'] } } }),
    )
    const first = await holdfast(['migrate', '--json'], migrator(), directory)
    const second = await holdfast(['migrate', '--json'], migrator(), directory)
    expect(
      [first, second].map(({ out }) => (JSON.parse(out) as { roles: { changed: boolean } }).roles.changed),
    ).toEqual([true, false])
    expect(await database.owner('SELECT count(*)::INT4 AS n FROM holdfast.role_versions')).toEqual([{ n: 2 }])
  })

  it('refuses a role that grants nonsense', async () => {
    writeFileSync(
      join(directory, 'holdfast.config.json'),
      JSON.stringify({ tenancy: { roles: { owner: ['everything'] } } }),
    )
    const { code, err } = await holdfast(['migrate'], migrator(), directory)
    expect([code, err]).toEqual([1, expect.stringMatching(/role "owner": "everything" is not resource:verb/)])
  })
})
