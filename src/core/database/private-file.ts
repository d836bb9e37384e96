import {
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import type { Account } from './embedded-account.ts'
import { DatabaseError } from './errors.ts'

const isWindows = process.platform === 'win32'
/** Neither a link is followed nor a pipe waited for (CWE-59). Windows knows neither flag. */
const readFlags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

/**
 * Refuses a directory in which somebody else could plant files (CWE-59, CWE-732). On Windows nothing is checked.
 *
 * @throws DatabaseError `embedded_account` when it is somebody else's, `embedded_failed` unless it is a real directory
 * that only we can write to
 */
export function assertOwnDirectory(path: string): void {
  const stats = lstatSync(path)
  if (!stats.isDirectory())
    throw new DatabaseError('embedded_failed', `${path} must be a directory, and no link to one.`)
  if (isWindows) return
  const uid = process.getuid?.()
  if (stats.uid !== uid) {
    const mend = `If nobody else has put files there, take it over: chown ${uid} ${path}`
    throw new DatabaseError(
      'embedded_account',
      `${path} belongs to user id ${stats.uid}, not to ours (${uid}). ${mend}`,
    )
  }
  if ((stats.mode & 0o022) !== 0) {
    const mend = `If nobody has put files there, close it: chmod go-w ${path}`
    throw new DatabaseError('embedded_failed', `Others may write to ${path}. ${mend}`)
  }
}

/**
 * Reads a file that only we may read or change. What is checked is what is read: the open file, not its path (CWE-367).
 *
 * @returns undefined when there is none
 * @throws DatabaseError `embedded_failed` when it is a link, somebody else's or open to others
 */
export function readPrivateFile(path: string): string | undefined {
  const file = openNoFollow(path)
  if (file === undefined) return undefined
  try {
    const stats = fstatSync(file)
    if (!stats.isFile()) throw new DatabaseError('embedded_failed', `${path} must be a regular file.`)
    const uid = process.getuid?.()
    if (!isWindows && (stats.uid !== uid || (stats.mode & 0o077) !== 0)) {
      const mend = `If you trust its content: chown ${uid} ${path} && chmod 600 ${path}`
      throw new DatabaseError('embedded_failed', `${path} must belong to user id ${uid} with mode 0600. ${mend}`)
    }
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

/**
 * Makes a file of mode 0600 in a directory of ours, instead of what lies there; never through a link (CWE-59).
 *
 * @param owner - the account that is to own it; ourselves if left out
 */
export function writePrivateFile(path: string, text: string, owner?: Account): void {
  rmSync(path, { force: true })
  // `wx` is O_EXCL: what appears in between is refused, links included.
  const file = openSync(path, 'wx', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
    if (owner?.uid !== undefined && owner.gid !== undefined) fchownSync(file, owner.uid, owner.gid)
  } finally {
    closeSync(file)
  }
}

/** First line of a file that PostgreSQL's account wrote, so untrusted: at most this many bytes of it are looked at. */
const foreignBytes = 64

/**
 * Reads the number that a file of PostgreSQL begins with. Its directory is the account's, so it may be anything: nothing
 * but the number leaves this function (CWE-59).
 *
 * @returns undefined when there is no such file, or no number in its first line
 */
export function readForeignNumber(path: string): number | undefined {
  const file = openNoFollow(path)
  if (file === undefined) return undefined
  try {
    if (!fstatSync(file).isFile()) return undefined
    const bytes = Buffer.alloc(foreignBytes)
    const length = readSync(file, bytes, 0, foreignBytes, 0)
    const line = bytes.toString('latin1', 0, length).split('\n', 1)[0] ?? ''
    return /^\d{1,10}$/.test(line.trim()) ? Number(line) : undefined
  } finally {
    closeSync(file)
  }
}

function openNoFollow(path: string): number | undefined {
  try {
    return openSync(path, readFlags)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP' || code === 'EMLINK' || code === 'ENXIO')
      throw new DatabaseError('embedded_failed', `${path} must be a regular file, not a link.`, error)
    throw error
  }
}
