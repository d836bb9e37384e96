import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseError, EmbeddedInUseError } from './errors.ts'
import { processIdentity } from './process-identity.ts'

/** An exclusive lock on a data directory, held until `release`. */
export type DirectoryLock = { release(): void }

type Holder = { pid: number; identity: string; nonce: string }

/** How often a lock that vanished or was found stale in between is tried again. */
const attempts = 5

/**
 * Takes the lock of a data directory. A lock whose process is gone (SIGKILL, power loss, id used again) is recognised
 * by process id and start time, and replaced.
 *
 * @throws EmbeddedInUseError `embedded_in_use`, naming the living process
 */
export function lockDirectory(dataDirectory: string): DirectoryLock {
  const path = join(dataDirectory, 'holdfast.lock')
  const nonce = randomBytes(8).toString('hex')
  const own: Holder = { pid: process.pid, identity: processIdentity(process.pid) ?? '', nonce }
  const draft = `${path}.${nonce}`
  // Written beside and linked into place, so that nobody ever reads a half-written lock.
  writeFileSync(draft, JSON.stringify(own), { mode: 0o600, flag: 'wx' })
  try {
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (link(draft, path)) return confirm(path, own, dataDirectory)
      const holder = read(path)
      if (holder === undefined) continue
      if (processIdentity(holder.pid) === holder.identity) throw new EmbeddedInUseError(holder.pid, dataDirectory)
      setAside(path, holder, nonce)
    }
  } finally {
    rmSync(draft, { force: true })
  }
  throw new DatabaseError('embedded_failed', `The lock ${path} keeps changing; is another process starting right now?`)
}

function link(draft: string, path: string): boolean {
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function read(path: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(path, 'utf8')) as Holder
    return holder
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new DatabaseError(
      'embedded_failed',
      `The lock ${path} cannot be read. If no Holdfast runs here, delete it.`,
      error,
    )
  }
}

/** Moves a stale lock out of the way – and back, should another process have replaced it in between (CWE-367). */
function setAside(path: string, stale: Holder, nonce: string): void {
  const aside = `${path}.stale.${nonce}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (read(aside)?.nonce !== stale.nonce) link(aside, path)
  rmSync(aside, { force: true })
}

function confirm(path: string, own: Holder, dataDirectory: string): DirectoryLock {
  const holder = read(path)
  if (holder !== undefined && holder.nonce !== own.nonce) throw new EmbeddedInUseError(holder.pid, dataDirectory)
  return {
    release() {
      if (read(path)?.nonce === own.nonce) rmSync(path, { force: true })
    },
  }
}
