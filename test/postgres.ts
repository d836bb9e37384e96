import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { inject } from 'vitest'
import type { ConnectionAddress } from '../src/core/database/connection-target.ts'
import type { Dialect } from '../src/core/database/dialect.ts'
import { createPool } from '../src/core/database/pool.ts'
import { type RoleGrants, seedRoles } from '../src/core/database/role-seed.ts'
import type { Row } from '../src/core/database/statement.ts'
import {
  type BackendName,
  backendNames,
  type BackendSetup,
  connect,
  makeDatabase,
  missingReason,
  type ReadySetup,
  type TestRole,
} from './backends.ts'

/** A migrated database of its own for one test file. */
export type TestDatabase = {
  readonly name: string
  readonly dialect: Dialect
  /** Where to connect as a role. */
  readonly target: (role: TestRole) => ConnectionAddress
  /** Runs SQL as superuser, past both walls: for seeding and for looking, never for what is tested. */
  readonly owner: (sql: string, values?: readonly unknown[]) => Promise<Row[]>
  /** Removes it. Call in `afterAll`, after closing pools; at the end of the run all is removed anyway. */
  readonly drop: () => Promise<void>
}

/**
 * Makes a fresh migrated database.
 *
 * @param o.roleGrants - role definitions to make current in it
 * @param o.backend - HOLDFAST_TEST_BACKEND if left out, and without that `embedded`; or one that the test has started
 */
export async function createTestDatabase(
  o: { roleGrants?: RoleGrants; backend?: BackendName | ReadySetup } = {},
): Promise<TestDatabase> {
  const backend = o.backend ?? chosenBackend()
  const setup = typeof backend === 'string' ? setupOf(backend) : backend
  if ('skipped' in setup) throw new Error(`The backend is not there: ${setup.skipped}`)
  const database = `t_${randomBytes(6).toString('hex')}`
  await makeDatabase(setup, database)
  const target = (role: TestRole): ConnectionAddress =>
    role === 'superuser'
      ? { ...setup.superuser, database }
      : {
          ...setup.superuser,
          ...setup.via?.[role],
          user: `holdfast_${role}`,
          password: setup.passwords[role],
          database,
        }
  if (o.roleGrants !== undefined) {
    const pool = await createPool({
      connection: target('migrator'),
      size: 1,
      applicationName: 'seed',
      role: 'holdfast_owner',
    })
    await seedRoles(pool, o.roleGrants)
    await pool.close()
  }
  let client: Promise<pg.Client> | undefined
  let last: Promise<unknown> = Promise.resolve()
  return {
    name: database,
    dialect: setup.dialect,
    target,
    owner(sql, values = []) {
      client ??= connect(target('superuser'))
      const connected = client
      // One connection runs one statement at a time, also for tests that ask at once.
      const next = last.then(async () => (await (await connected).query<Row>(sql, [...values])).rows)
      last = next.catch(() => undefined)
      return next
    },
    async drop() {
      await (await client)?.end()
      const superuser = await connect(setup.superuser)
      await superuser.query(
        `DROP DATABASE IF EXISTS ${database}${setup.template === undefined ? ' CASCADE' : ' WITH (FORCE)'}`,
      )
      await superuser.end()
    },
  }
}

function setupOf(name: BackendName): BackendSetup {
  return inject('backends')[name] ?? { skipped: missingReason(name) }
}

/** The backend that all tests run on which name none: the whole suite runs on PostgreSQL 15, or on a cluster, by it. */
export function chosenBackend(): BackendName {
  const name = process.env['HOLDFAST_TEST_BACKEND'] ?? 'embedded'
  const found = backendNames.find((one) => one === name)
  if (found === undefined) throw new Error(`HOLDFAST_TEST_BACKEND must be one of ${backendNames.join(', ')}.`)
  return found
}

/**
 * Which backends are there, and why others are not. A skip is loud; where HOLDFAST_REQUIRE, a list with commas, names the
 * backend, it is a failure.
 */
export function backendState(
  name: BackendName,
  setup: BackendSetup = setupOf(name),
): { readonly isThere: boolean; readonly why: string } {
  if (!('skipped' in setup)) return { isThere: true, why: '' }
  if (process.env['HOLDFAST_REQUIRE']?.split(',').includes(name) === true)
    throw new Error(`The backend "${name}" is required: ${setup.skipped}`)
  console.warn(`SKIPPED: the backend "${name}" is not there: ${setup.skipped}`)
  return { isThere: false, why: setup.skipped }
}
