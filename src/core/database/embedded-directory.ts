import { closeSync, constants, fchmodSync, fchownSync, fstatSync, lstatSync, mkdirSync, openSync } from 'node:fs'
import type { Account } from './embedded-account.ts'
import { DatabaseError } from './errors.ts'

/**
 * Makes a directory of mode 0700 that belongs to the account, or checks that it is one.
 *
 * @throws DatabaseError `embedded_failed` when something else is there
 */
export function makeOwnDirectory(path: string, account: Account): void {
  const uid = account.uid ?? process.getuid?.()
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) {
    mkdirSync(path, { mode: 0o700 })
    giveAway(path, account)
    return
  }
  if (!found.isDirectory()) throw new DatabaseError('embedded_failed', `${path} is in the way: it is no directory.`)
  if (uid !== undefined && found.uid !== uid) {
    throw new DatabaseError(
      'embedded_account',
      `${path} belongs to user id ${found.uid}, but PostgreSQL would run as ${account.name} (${uid}). ` +
        `Start as the same user as before, or give it away: chown -R ${uid} ${path}`,
    )
  }
  if (process.platform === 'win32' || (found.mode & 0o077) === 0) return
  onDirectory(path, (open) => {
    // What was looked at and what is closed are the same, or nothing is done (CWE-367).
    const { ino, dev } = fstatSync(open)
    if (ino !== found.ino || dev !== found.dev)
      throw new DatabaseError('embedded_failed', `${path} was replaced just now.`)
    fchmodSync(open, 0o700)
  })
}

/** Gives a directory that we have just made to the account, if that is not ours. */
export function giveAway(path: string, account: Account): void {
  const { uid, gid } = account
  if (uid !== undefined && gid !== undefined) onDirectory(path, (open) => fchownSync(open, uid, gid))
}

/** Works on the open directory instead of its path, which may come to mean something else (CWE-59). */
function onDirectory(path: string, work: (open: number) => void): void {
  const open = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    work(open)
  } finally {
    closeSync(open)
  }
}
