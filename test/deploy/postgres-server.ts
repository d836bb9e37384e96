import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { chooseAccount } from '../../src/core/database/embedded-account.ts'
import { findBinaries } from '../../src/core/database/embedded-binaries.ts'
import { freePort } from '../serve-process.ts'
import { readYaml, root } from './read.ts'

const START_MS = 30_000

/** Who PostgreSQL runs as; as root another account, whose uid takes the place of the container's 999. */
export const account = await chooseAccount()

/** A PostgreSQL with the very arguments of deploy/compose.yaml and the pg_hba.conf beside it. */
export type PostgresServer = { readonly port: number; stop(): Promise<void> }

/**
 * @param directory with `database/superuser_password` and `tls/`, as the scripts make them; the data go to `data`
 * @param port 0: one that is free
 */
export async function startPostgres(directory: string): Promise<PostgresServer> {
  const binaries = await findBinaries()
  const data = join(directory, 'data')
  const socket = join(directory, 'run')
  for (const folder of [data, socket]) {
    mkdirSync(folder, { mode: 0o700 })
    if (account.uid !== undefined) chownSync(folder, account.uid, account.gid ?? 0)
  }
  const as = { ...(account.uid === undefined ? {} : { uid: account.uid, gid: account.gid }), cwd: data }
  const password = join(directory, 'database/superuser_password')
  const auth = '--auth=scram-sha-256'
  execFileSync(
    binaries.initdb,
    ['-D', data, '-U', 'postgres', `--pwfile=${password}`, auth, '--no-sync', '--encoding=UTF8', '--locale=C'],
    { ...as, stdio: 'pipe' },
  )
  const port = await freePort()
  const own = [
    `-D${data}`,
    `-k${socket}`,
    `-p${port}`,
    '--fsync=off',
    '--listen_addresses=127.0.0.1,127.0.0.2,127.0.0.3',
  ]
  const child = spawn(binaries.postgres, [...own, ...composeArguments(directory)], {
    ...as,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await ready(child)
  return {
    port,
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGINT')
      await ended
      rmSync(data, { recursive: true, force: true })
    },
  }
}

/** The command of the service `database`, its container's paths exchanged for those here. */
function composeArguments(directory: string): string[] {
  const [{ services }] = readYaml('deploy/compose.yaml') as [{ services: { database: { command: string[] } } }]
  const [program, ...rest] = services.database.command
  if (program !== 'postgres') throw new Error('the database runs postgres')
  return rest.map((part) =>
    part.replace('/run/tls/', `${directory}/tls/`).replace('/etc/holdfast/pg_hba.conf', join(directory, 'pg_hba.conf')),
  )
}

async function ready(child: ChildProcess): Promise<void> {
  let log = ''
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`PostgreSQL did not start:\n${log}`)), START_MS)
    child.stderr?.on('data', (chunk: Buffer) => {
      log += chunk.toString()
      if (!log.includes('ready to accept connections')) return
      clearTimeout(timer)
      resolve()
    })
    child.once('exit', () => {
      clearTimeout(timer)
      reject(new Error(`PostgreSQL ended:\n${log}`))
    })
  })
}

export const hbaFile = join(root, 'deploy/postgres/pg_hba.conf')
