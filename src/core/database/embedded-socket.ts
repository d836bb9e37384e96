import { lstatSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Account } from './embedded-account.ts'
import { giveAway, makeOwnDirectory } from './embedded-directory.ts'
import type { EmbeddedState } from './embedded-state.ts'

/** A Unix socket's path must fit `sockaddr_un`: 107 bytes and a NUL on Linux, 103 on macOS and the BSDs. */
const longestPath = process.platform === 'linux' ? 107 : 103
/** Port in the socket's file name; nothing listens on a network. */
export const socketPort = 5432

/**
 * Finds or makes the directory of the Unix socket, of mode 0700: inside the data directory, or – where that path would
 * be too long – a fresh one under the temporary directory, which the state then remembers.
 */
export function socketDirectory(dataDirectory: string, state: EmbeddedState, account: Account): string {
  const inside = join(dataDirectory, 'run')
  if (Buffer.byteLength(socketPath(inside)) <= longestPath) {
    makeOwnDirectory(inside, account)
    return inside
  }
  const known = state.socketDirectory
  if (known !== undefined && isOwn(known, account)) return known
  const made = mkdtempSync(join(tmpdir(), 'holdfast-'))
  giveAway(made, account)
  return made
}

/** Removes what a killed server left there; whoever reads the lock file would take a zombie for a living one. */
export function clearSocket(directory: string): void {
  rmSync(socketPath(directory), { force: true })
  rmSync(`${socketPath(directory)}.lock`, { force: true })
}

/** The socket's file. */
function socketPath(directory: string): string {
  return join(directory, `.s.PGSQL.${socketPort}`)
}

/** The temporary directory is everybody's: what is reused there must be ours, closed, and no link (CWE-379). */
function isOwn(path: string, account: Account): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  return (
    stats?.isDirectory() === true && stats.uid === (account.uid ?? process.getuid?.()) && (stats.mode & 0o777) === 0o700
  )
}
