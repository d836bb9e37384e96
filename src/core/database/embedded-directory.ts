import { chmodSync, chownSync, lstatSync, mkdirSync } from 'node:fs'
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
    if (account.uid !== undefined && account.gid !== undefined) chownSync(path, account.uid, account.gid)
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
  if (process.platform !== 'win32' && (found.mode & 0o077) !== 0) chmodSync(path, 0o700)
}
