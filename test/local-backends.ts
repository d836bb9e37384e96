import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { roleSettings } from '../src/core/database/dialect.ts'
import { chooseAccount } from '../src/core/database/embedded-account.ts'
import { migrate } from '../src/core/database/migrate.ts'
import { databaseGrants } from '../src/core/database/roles.ts'
import {
  attempt,
  type Backend,
  type BackendName,
  type BackendSetup,
  connect,
  type ReadySetup,
  startExternalBackend,
} from './backends.ts'
import { installStandin } from './cockroach-standin/install.ts'
import { startStandin } from './cockroach-standin/standin.ts'

export type LocalName = Exclude<BackendName, 'embedded' | 'cockroachdb'>
type Started = Omit<Backend, 'name'>

const starts: Readonly<Record<LocalName, (embedded: ReadySetup) => Promise<Started>>> = {
  postgresql: startDebian,
  'cockroachdb-standin': startBehindStandin,
  pgbouncer: (embedded) => startBehindPgbouncer(embedded),
}

/** Is it one that is made here? */
export function isLocal(name: string | undefined): name is LocalName {
  return name !== undefined && Object.hasOwn(starts, name)
}

/** Starts a backend that needs no server of somebody's; one whose programs are missing comes back as skipped. */
export async function startLocal(name: LocalName, embedded: BackendSetup): Promise<Backend> {
  if ('skipped' in embedded) return skip(name, `the embedded PostgreSQL is not there: ${embedded.skipped}`)
  const missing = missingProgram(name)
  return missing === undefined ? attempt(name, () => starts[name](embedded)) : skip(name, missing)
}

function skip(name: BackendName, skipped: string): Backend {
  return { name, setup: { skipped }, stop: async () => undefined }
}

/** Debian's PostgreSQL 15, the oldest that is promised. */
const debianBinaries = '/usr/lib/postgresql/15/bin'

function missingProgram(name: LocalName): string | undefined {
  if (name === 'postgresql' && !existsSync(join(debianBinaries, 'initdb')))
    return `${debianBinaries}/initdb is not there (apt-get install postgresql-15), and HOLDFAST_TEST_DATABASE_URL is not set`
  if (name === 'pgbouncer' && findProgram('pgbouncer') === undefined)
    return 'pgbouncer is not there (apt-get install pgbouncer)'
  return undefined
}

function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin']
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
}

type Ids = { readonly uid?: number; readonly gid?: number }

/** A folder of an account, and what to remove it and a program in it. */
function makeFolder(prefix: string, { uid, gid }: Ids): string {
  const folder = mkdtempSync(join(tmpdir(), prefix))
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid)
  return folder
}

async function endProgram(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await ended
}

/** Tries until it succeeds; gives up after ten seconds, or when the program has ended. */
async function waitFor(child: ChildProcess, what: string, isThere: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await isThere()
      return
    } catch (error) {
      if (tries >= 200 || child.exitCode !== null) throw new Error(`${what} did not start`, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

async function knock(path: string): Promise<void> {
  const socket = createConnection(path)
  await once(socket, 'connect')
  socket.destroy()
}

async function startDebian(): Promise<Started> {
  const { uid, gid } = await chooseAccount()
  const ids: Ids = uid === undefined || gid === undefined ? {} : { uid, gid }
  const folder = makeFolder('holdfast-pg15-', ids)
  const password = randomBytes(18).toString('base64url')
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, password, { mode: 0o600 })
  if (ids.uid !== undefined && ids.gid !== undefined) chownSync(passwordFile, ids.uid, ids.gid)
  const data = join(folder, 'data')
  const made = spawnSync(
    join(debianBinaries, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-N', '-E', 'UTF8', '--locale=C'],
    { ...ids, cwd: '/', encoding: 'utf8' },
  )
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`)
  const settings = ['listen_addresses=', `unix_socket_directories=${folder}`, 'fsync=off', 'max_connections=50']
  const server = spawn(join(debianBinaries, 'postgres'), ['-D', data, ...settings.flatMap((one) => ['-c', one])], {
    ...ids,
    cwd: '/',
    stdio: 'ignore',
  })
  const remove = async (): Promise<void> => {
    await endProgram(server, 'SIGINT')
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', () => server.kill('SIGKILL'))
  const superuser = { host: folder, port: 5432, user: 'postgres', password, database: 'postgres' }
  try {
    await waitFor(server, 'PostgreSQL 15', async () => (await connect(superuser)).end())
    const { setup } = await startExternalBackend('postgresql', superuser)
    return { setup, stop: remove }
  } catch (error) {
    await remove()
    throw error
  }
}

/** What `db roles` gives the login roles there. */
const roleBrings = Object.fromEntries(roleSettings('cockroachdb').map(({ name, value }) => [name, value]))

async function startBehindStandin(embedded: ReadySetup): Promise<Started> {
  const template = `standin_${randomBytes(4).toString('hex')}`
  const admin = await connect(embedded.superuser)
  await admin.query(`CREATE DATABASE ${template}`)
  await admin.end()
  const inside = { ...embedded.superuser, database: template }
  await installStandin(inside)
  const owner = await connect(inside)
  for (const statement of databaseGrants(template)) await owner.query(statement)
  await owner.end()
  const standin = await startStandin(embedded.superuser, { settings: roleBrings })
  const at = { host: standin.address.host, port: standin.address.port }
  const target = {
    ...embedded.superuser,
    ...at,
    user: 'holdfast_migrator',
    password: embedded.passwords.migrator,
    database: template,
  }
  await migrate({ target, roleGrants: {} })
  await standin.quiet()
  return {
    setup: {
      ...embedded,
      dialect: 'cockroachdb',
      template,
      via: { migrator: at, identity: at, app: at },
    },
    stop: () => standin.close(),
  }
}

/** @param more - further lines of its configuration */
export async function startBehindPgbouncer(embedded: ReadySetup, more: readonly string[] = []): Promise<Started> {
  const { host, port } = embedded.superuser
  // As root it runs under another account: under that which may use the socket.
  const { uid, gid } = statSync(host)
  const ids: Ids = process.getuid?.() === 0 ? { uid, gid } : {}
  const folder = makeFolder('pgbouncer-', ids)
  chmodSync(folder, 0o700)
  const users = Object.entries(embedded.passwords).map(([role, password]) => `"holdfast_${role}" "${password}"`)
  const at = { host: folder, port: 6432 }
  const configuration = [
    '[databases]',
    `* = host=${host} port=${port}`,
    '[pgbouncer]',
    'listen_addr =',
    `listen_port = ${at.port}`,
    `unix_socket_dir = ${folder}`,
    'auth_type = scram-sha-256',
    `auth_file = ${join(folder, 'users')}`,
    'pool_mode = transaction',
    // Fewer sessions than connections, so that they are shared.
    'default_pool_size = 2',
    'max_client_conn = 200',
    'log_connections = 0',
    'log_disconnections = 0',
    ...(canKeepNames() ? ['max_prepared_statements = 100'] : []),
    ...more,
  ]
  for (const [name, lines] of [
    ['users', users],
    ['pgbouncer.ini', configuration],
  ] as const) {
    const path = join(folder, name)
    writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 })
    if (ids.uid !== undefined && ids.gid !== undefined) chownSync(path, ids.uid, ids.gid)
  }
  const pooler = spawn(findProgram('pgbouncer') ?? 'pgbouncer', ['-q', join(folder, 'pgbouncer.ini')], {
    ...ids,
    cwd: '/',
    stdio: 'ignore',
  })
  process.once('exit', () => pooler.kill('SIGKILL'))
  const stop = async (): Promise<void> => {
    await endProgram(pooler, 'SIGTERM')
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    // No session in the template, or it could not be copied.
    await waitFor(pooler, 'PgBouncer', () => knock(join(folder, `.s.PGSQL.${at.port}`)))
    return { setup: { ...embedded, via: { identity: at, app: at } }, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** PgBouncer keeps track of prepared statements from 1.21 on. */
export function canKeepNames(): boolean {
  const { stdout } = spawnSync(findProgram('pgbouncer') ?? 'pgbouncer', ['--version'], { encoding: 'utf8' })
  const [, major = '0', minor = '0'] = /PgBouncer (\d+)\.(\d+)/.exec(stdout) ?? []
  return Number(major) > 1 || Number(minor) >= 21
}
