import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'
import type { ConnectionAddress } from '../core/database/connection-target.ts'
import { migrate } from '../core/database/migrate.ts'
import { ownMigrations } from '../core/database/migration-file.ts'
import { databaseGrants, roleNames, roleStatements } from '../core/database/roles.ts'
import type { Manifest } from '../core/scope/manifest.ts'

/** Number of the advisory lock under which databases of tests are made: one process of a server at a time. */
const ADVISORY_LOCK = 4_815_162

/** A database of its own: a copy of a migrated template. */
export type TestDatabase = {
  readonly address: ConnectionAddress
  readonly again: () => Promise<void>
  readonly drop: () => Promise<void>
}

/**
 * Makes a database with the service's schema, the application's migrations and the manifest's roles. What is migrated
 * is a template, made once a run; each test file has a copy, which takes a tenth of a second.
 *
 * @throws DatabaseError those of `migrate`
 */
export async function makeTestDatabase(
  server: ConnectionAddress,
  manifest: Manifest,
  migrations: URL | undefined,
): Promise<TestDatabase> {
  const template = `holdfast_testing_${await digestOf(manifest, migrations)}`
  const name = `holdfast_test_${randomBytes(6).toString('hex')}`
  const make = async (): Promise<void> => {
    const client = await connect(server)
    try {
      await client.query(`SELECT pg_catalog.pg_advisory_lock(${ADVISORY_LOCK})`)
      await sweep(client)
      const { rows } = await client.query('SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1::TEXT', [template])
      if (rows.length === 0) await makeTemplate(server, client, template, manifest, migrations)
      await client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`)
      const inside = await connect({ ...server, database: name })
      for (const statement of databaseGrants(name)) await inside.query(statement)
      await inside.end()
    } finally {
      await client.end()
    }
  }
  const drop = async (): Promise<void> => {
    const client = await connect(server)
    await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    await client.end()
  }
  await make()
  return {
    address: { ...server, database: name },
    async again() {
      await drop()
      await make()
    },
    drop,
  }
}

async function makeTemplate(
  server: ConnectionAddress,
  client: pg.Client,
  template: string,
  manifest: Manifest,
  migrations: URL | undefined,
): Promise<void> {
  const draft = `${template}_draft`
  await client.query(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`)
  await client.query(`CREATE DATABASE ${draft}`)
  const found = await client.query<{ rolname: string }>(
    "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname LIKE 'holdfast%'",
  )
  const existing = new Set(found.rows.map(({ rolname }) => rolname))
  const statements = roleStatements({ dialect: 'postgresql', database: draft, existing: existing as never })
  if (!roleNames.every((role) => existing.has(role))) {
    for (const statement of statements.cluster) await client.query(statement)
  }
  const target = { ...server, database: draft }
  const inside = await connect(target)
  try {
    for (const statement of statements.database) await inside.query(statement)
    await migrate({ target, application: migrations, roleGrants: manifest.roles })
  } finally {
    await inside.end()
  }
  // whole, or not there under its name
  await client.query(`ALTER DATABASE ${draft} RENAME TO ${template}`)
}

/** Databases of processes that ended without dropping theirs: nobody is connected to them. */
async function sweep(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ datname: string }>(
    `SELECT d.datname FROM pg_catalog.pg_database d WHERE d.datname LIKE 'holdfast\\_test\\_%'
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity a WHERE a.datname = d.datname)
     AND pg_catalog.pg_stat_file('base/' || d.oid::TEXT || '/PG_VERSION', true) IS NOT NULL
     AND (pg_catalog.pg_stat_file('base/' || d.oid::TEXT || '/PG_VERSION', true)).modification < now() - INTERVAL '10 minutes'`,
  )
  for (const { datname } of rows) await client.query(`DROP DATABASE IF EXISTS ${datname}`).catch(() => undefined)
}

async function digestOf(manifest: Manifest, migrations: URL | undefined): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(manifest.roles))
  for (const folder of [ownMigrations, migrations]) {
    if (folder === undefined) continue
    for (const file of (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort()) {
      hash.update(file).update(await readFile(new URL(file, folder)))
    }
  }
  return hash.digest('hex').slice(0, 16)
}

async function connect({ host, port, user, password, database, ssl }: ConnectionAddress): Promise<pg.Client> {
  const client = new pg.Client({ host, port, user, password, database, ssl: ssl ?? false })
  client.on('error', () => undefined)
  await client.connect()
  return client
}
