import { describe, expect, it } from 'vitest'
import { roleVersion } from '../../src/core/database/role-seed.ts'
import { loadConfig } from '../../src/service/config.ts'
import { openDatabase } from '../../src/service/database.ts'
import { defaultRoles } from '../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../postgres.ts'
import { urlOf } from './http/open-service.ts'

async function withDatabase(work: (database: TestDatabase) => Promise<void>): Promise<void> {
  const database = await createTestDatabase({ roleGrants: defaultRoles })
  try {
    await work(database)
  } finally {
    await database.drop()
  }
}

const open = async (database: TestDatabase, more: Record<string, string> = {}) => {
  const told: string[] = []
  const config = await loadConfig({
    directory: '/',
    environment: {
      DATABASE_URL: urlOf(database, 'app'),
      HOLDFAST_IDENTITY_URL: urlOf(database, 'identity'),
      HOLDFAST_KEY: 'A'.repeat(43),
      ...more,
    },
  })
  const opened = await openDatabase(config, (line) => void told.push(line))
  await opened.close()
  return told
}

const connections = async ({ owner }: TestDatabase): Promise<unknown> =>
  (
    await owner(
      `SELECT count(*)::INT4 AS n FROM pg_stat_activity WHERE application_name LIKE 'holdfast%' AND datname = current_database()`,
    )
  )[0]?.['n']

describe('a database of yours', () => {
  it('is taken as it is, without a word', () =>
    withDatabase(async (database) => {
      expect(await open(database)).toEqual([])
    }))

  it('is refused when migrations are pending, with the command that helps, and no connection stays', () =>
    withDatabase(async (database) => {
      await database.owner('DELETE FROM holdfast.migrations WHERE version >= 2')
      await expect(open(database)).rejects.toThrow(
        /lacks \d+ migrations \(0002-tenancy.*\)\. Set HOLDFAST_MIGRATOR_URL .* run: holdfast migrate/,
      )
      await expect.poll(() => connections(database)).toBe(0)
    }))

  it('is refused when nothing was ever migrated', () =>
    withDatabase(async (database) => {
      await database.owner('DROP SCHEMA holdfast, tenancy CASCADE')
      await expect(open(database)).rejects.toThrow(/run: holdfast migrate/)
    }))

  it('is named when its roles are others than the configured', () =>
    withDatabase(async (database) => {
      const { version } = roleVersion({ owner: ['team:read'] })
      await database.owner('INSERT INTO holdfast.role_versions (version) VALUES ($1)', [version])
      await database.owner('UPDATE holdfast.current_roles SET version = $1', [version])
      expect(await open(database)).toEqual([expect.stringMatching(/roles are not the ones.*holdfast migrate/)])
    }))

  it.each([
    ['DATABASE_URL', 'identity'],
    ['HOLDFAST_IDENTITY_URL', 'app'],
    ['DATABASE_URL', 'migrator'],
    ['HOLDFAST_IDENTITY_URL', 'migrator'],
  ] as const)('is refused when %s is the URL of the role %s (CWE-250)', (name, role) =>
    withDatabase(async (database) => {
      await expect(open(database, { [name]: urlOf(database, role) })).rejects.toThrow(new RegExp(`${name} must be`))
    }),
  )

  it('is refused as its superuser (CWE-250)', () =>
    withDatabase(async (database) => {
      const { user, password, host, port } = database.target('superuser')
      const url = `postgresql://${user}:${encodeURIComponent(password)}@localhost:${port}/${database.name}?host=${encodeURIComponent(host)}`
      await expect(open(database, { DATABASE_URL: url })).rejects.toThrow(/DATABASE_URL must be .*holdfast_app/)
    }))

  it('is refused when the two URLs lead to two databases', () =>
    withDatabase((database) =>
      withDatabase(async (other) => {
        await expect(open(database, { HOLDFAST_IDENTITY_URL: urlOf(other, 'identity') })).rejects.toThrow(
          /two databases/,
        )
      }),
    ))
})
