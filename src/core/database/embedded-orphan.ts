import { execFile } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Account } from './embedded-account.ts'
import type { Binaries } from './embedded-binaries.ts'
import { finish, spawnProgram } from './embedded-program.ts'
import { readForeignNumber } from './private-file.ts'
import { processIdentity } from './process-identity.ts'

const run = promisify(execFile)
/** How long the orphan may take for a fast shutdown, in seconds; then its sessions are cut off. */
const fastSeconds = 10
/** How long the orphan may take once its sessions are cut off, in seconds: only processes have to end. */
const immediateSeconds = 5

/**
 * Stops a postgres of this data directory that outlived its parent (SIGKILL). Call only under the directory's lock:
 * then nobody else owns it.
 *
 * @returns true when there was one
 */
export async function stopOrphan(
  clusterDirectory: string,
  binaries: Binaries,
  account: Account,
  log: (line: string) => void,
): Promise<boolean> {
  const pid = readPid(clusterDirectory)
  if (pid === undefined) return false
  // pg_ctl signals whatever process has the id: make sure that it is our postgres and not a later stranger.
  const line = processIdentity(pid) === undefined ? 'gone' : await commandLine(pid)
  if (!line.includes(clusterDirectory)) {
    // PostgreSQL would take a zombie (a container without init) or a stranger of the same user for a living one. The
    // file may go: sessions that outlived a killed postmaster still hold the shared memory, which it finds by itself.
    if (line !== '') rmSync(join(clusterDirectory, 'postmaster.pid'), { force: true })
    return false
  }
  log(`stopping a PostgreSQL (process ${pid}) that an earlier run left behind`)
  for (const [mode, seconds] of [
    ['fast', fastSeconds],
    ['immediate', immediateSeconds],
  ] as const) {
    try {
      const parameters = ['stop', '-D', clusterDirectory, '-m', mode, '-w', '-t', String(seconds)]
      await finish(spawnProgram(binaries.pgCtl, parameters, account, clusterDirectory))
      return true
    } catch (error) {
      log(`pg_ctl stop -m ${mode} failed: ${(error as Error).message.trim()}`)
    }
  }
  return true
}

function readPid(clusterDirectory: string): number | undefined {
  try {
    const pid = readForeignNumber(join(clusterDirectory, 'postmaster.pid'))
    return pid !== undefined && pid > 1 ? pid : undefined
  } catch {
    return undefined
  }
}

async function commandLine(pid: number): Promise<string> {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    if (process.platform === 'win32')
      return (await run('wmic', ['process', 'where', `processid=${pid}`, 'get', 'commandline'])).stdout
    return (await run('ps', ['-o', 'command=', '-p', String(pid)])).stdout
  } catch {
    return ''
  }
}
