import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { type ConnectionAddress, readTarget } from '../src/core/database/connection-target.ts'
import type { Dialect } from '../src/core/database/dialect.ts'
import { startEmbedded } from '../src/core/database/embedded.ts'
import { migrate } from '../src/core/database/migrate.ts'
import { databaseGrants, type LoginRoleName, roleNames, roleStatements } from '../src/core/database/roles.ts'
import { scramVerifier } from '../src/core/database/scram.ts'

/** The databases the contract suite runs over; the last two are the embedded one behind something. */
export const backendNames = ['embedded', 'postgresql', 'cockroachdb', 'cockroachdb-standin', 'pgbouncer'] as const
export type BackendName = (typeof backendNames)[number]
export type TestRole = 'superuser' | 'migrator' | 'identity' | 'app'

/** What a test needs to make databases of its own on a backend; plain data, it travels to other processes. */
export type BackendSetup =
  | { readonly skipped: string }
  | {
      /** As which database it answers. */
      readonly dialect: Dialect
      /** The database itself, for making and looking. */
      readonly superuser: ConnectionAddress
      /** Where roles sign in that do not go to the database itself. */
      readonly via?: Readonly<Partial<Record<TestRole, { readonly host: string; readonly port: number }>>>
      readonly passwords: Record<Exclude<TestRole, 'superuser'>, string>
      /** A migrated database to copy; none where databases cannot be copied. */
      readonly template: string | undefined
    }

/** One that is there. */
export type ReadySetup = Exclude<BackendSetup, { skipped: string }>
export type Backend = { readonly name: BackendName; readonly setup: BackendSetup; stop(): Promise<void> }

/** Environment variables with a superuser's URL of an external database. Only ever a throw-away one: roles are made in it. */
const urlVariables = { postgresql: 'HOLDFAST_TEST_DATABASE_URL', cockroachdb: 'HOLDFAST_TEST_COCKROACH_URL' } as const

/**
 * Makes a CockroachDB to try, as its image documents: without --insecure it makes certificates and a user who is admin,
 * and passwords are asked for; with it there are none, and everybody is root.
 */
const cockroachHint = `docker run -d --name holdfast-cockroach -p 127.0.0.1:26257:26257 -e COCKROACH_USER=tester -e COCKROACH_PASSWORD=throw-away cockroachdb/cockroach:v25.4.11 start-single-node && until docker exec holdfast-cockroach test -e init_success; do sleep 1; done && docker cp holdfast-cockroach:/cockroach/certs/ca.crt /tmp/holdfast-cockroach.crt && export ${urlVariables.cockroachdb}='postgresql://tester:throw-away@127.0.0.1:26257/defaultdb?sslmode=verify-full&sslrootcert=/tmp/holdfast-cockroach.crt'`

/**
 * Starts what a whole run shares: the embedded one, and the external ones that were named. Others are made where a test
 * asks for them: `local-backends.ts`.
 */
export async function startBackends(): Promise<Backend[]> {
  const embedded = await attempt('embedded', startEmbeddedBackend)
  const backends = [embedded]
  for (const name of ['postgresql', 'cockroachdb'] as const) {
    const url = process.env[urlVariables[name]]
    if (url !== undefined) backends.push(await attempt(name, () => startExternalBackend(name, readTarget({ url }))))
  }
  return backends
}

/** Why an external one is not there, and what makes one. */
export function missingReason(name: BackendName): string {
  if (name === 'cockroachdb') return `${urlVariables.cockroachdb} is not set. To try it: ${cockroachHint}`
  return 'it was not started'
}

/** A backend that does not start must not stop the tests that need none. */
export async function attempt(name: BackendName, start: () => Promise<Omit<Backend, 'name'>>): Promise<Backend> {
  try {
    return { name, ...(await start()) }
  } catch (error) {
    const { message, cause } = error as Error
    const skipped = `${message}${cause instanceof Error ? ` (${cause.message})` : ''}`
    console.error(`\nThe backend "${name}" did not start: ${skipped}\n`)
    return { name, setup: { skipped }, stop: async () => undefined }
  }
}

async function startEmbeddedBackend(): Promise<Omit<Backend, 'name'>> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
  // As root, PostgreSQL runs under another account, which must pass through.
  chmodSync(directory, 0o711)
  try {
    const embedded = await startEmbedded({ dataDirectory: directory, log: () => undefined })
    const stop = async (): Promise<void> => {
      await embedded.stop()
      rmSync(directory, { recursive: true, force: true })
    }
    try {
      await migrate({ target: embedded.target('migrator'), roleGrants: {} })
      const passwordOf = (role: TestRole): string => embedded.target(role).password
      const passwords = { migrator: passwordOf('migrator'), identity: passwordOf('identity'), app: passwordOf('app') }
      const superuser = embedded.target('superuser', 'postgres')
      return { setup: { dialect: 'postgresql', superuser, passwords, template: 'holdfast' }, stop }
    } catch (error) {
      await stop()
      throw error
    }
  } catch (error) {
    rmSync(directory, { recursive: true, force: true })
    throw error
  }
}

/** Makes roles and a migrated template on a server. */
export async function startExternalBackend(
  dialect: Dialect,
  superuser: ConnectionAddress,
): Promise<Omit<Backend, 'name'>> {
  const client = await connect(superuser)
  const created: string[] = []
  const template = `holdfast_template_${randomBytes(4).toString('hex')}`
  const password = (): string => randomBytes(24).toString('base64url')
  const passwords = { migrator: password(), identity: password(), app: password() }
  try {
    const { rows } = await client.query<{ rolname: string }>(
      "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname LIKE 'holdfast%'",
    )
    const existing = new Set(rows.map(({ rolname }) => rolname))
    created.push(...roleNames.filter((name) => !existing.has(name)))
    await client.query(`CREATE DATABASE ${template}`)
    const statements = roleStatements({ dialect, database: template, existing })
    for (const statement of statements.cluster) await client.query(statement)
    for (const [role, secret] of Object.entries(passwords)) {
      await client.query(
        `ALTER ROLE holdfast_${role as 'app'} PASSWORD '${dialect === 'postgresql' ? scramVerifier(secret) : secret}'`,
      )
    }
    const inside = await connect({ ...superuser, database: template })
    for (const statement of statements.database) await inside.query(statement)
    await inside.end()
    const target = {
      ...superuser,
      user: 'holdfast_migrator' satisfies LoginRoleName,
      password: passwords.migrator,
      database: template,
    }
    await migrate({ target, roleGrants: {} })
  } finally {
    await client.end()
  }
  const setup = { dialect, superuser, passwords, template: dialect === 'postgresql' ? template : undefined }
  return { setup, stop: () => removeExternal(superuser, template, created) }
}

async function removeExternal(superuser: ConnectionAddress, template: string, roles: readonly string[]): Promise<void> {
  const client = await connect(superuser)
  try {
    await client.query(`DROP DATABASE IF EXISTS ${template}`)
    for (const role of roles) await client.query(`DROP ROLE IF EXISTS ${role}`)
  } finally {
    await client.end()
  }
}

/** A plain client, without any of what is tested. */
export async function connect({ host, port, user, password, database, ssl }: ConnectionAddress): Promise<pg.Client> {
  const client = new pg.Client({ host, port, user, password, database, ssl: ssl ?? false })
  await client.connect()
  client.on('error', () => undefined)
  return client
}

/** Makes a database like the template. */
export async function makeDatabase(setup: ReadySetup, name: string): Promise<void> {
  const client = await connect(setup.superuser)
  try {
    await client.query(`CREATE DATABASE ${name}${setup.template === undefined ? '' : ` TEMPLATE ${setup.template}`}`)
  } finally {
    await client.end()
  }
  const inside = await connect({ ...setup.superuser, database: name })
  try {
    for (const statement of databaseGrants(name)) await inside.query(statement)
  } finally {
    await inside.end()
  }
  if (setup.template === undefined) {
    const target = { ...setup.superuser, user: 'holdfast_migrator', password: setup.passwords.migrator, database: name }
    await migrate({ target, roleGrants: {} })
  }
}
