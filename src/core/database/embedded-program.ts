import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import type { Account } from './embedded-account.ts'

/** Nothing of our environment reaches the programs: it may hold secrets (CWE-526) or PG* settings that mislead them. */
function programEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { LC_ALL: 'C', TZ: 'UTC', PATH: process.env['PATH'] ?? '/usr/bin:/bin' }
  if (process.platform === 'win32' && process.env['SystemRoot'] !== undefined) {
    environment['SystemRoot'] = process.env['SystemRoot']
  }
  return environment
}

/**
 * Starts one of PostgreSQL's programs under the account, in a session of its own: Ctrl-C in a terminal reaches us alone,
 * so that requests under way can finish first; and its whole group can be ended at once.
 */
export function spawnProgram(file: string, parameters: readonly string[], account: Account, cwd: string): ChildProcess {
  const options: SpawnOptions = {
    cwd,
    env: programEnvironment(),
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: process.platform !== 'win32',
    ...(account.uid === undefined ? {} : { uid: account.uid }),
    ...(account.gid === undefined ? {} : { gid: account.gid }),
  }
  return spawn(file, parameters, options)
}

/**
 * Waits for a program to end well.
 *
 * @throws Error with what it wrote to stderr
 */
export async function finish(child: ChildProcess): Promise<void> {
  let output = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(output.trim() || `ended with ${code ?? child.signalCode}`)
}
