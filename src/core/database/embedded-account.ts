import { readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DatabaseError } from './errors.ts'

/** The account PostgreSQL runs under; undefined ids mean: the account of this process. */
export type Account = { readonly name: string; readonly uid: number | undefined; readonly gid: number | undefined }

/** Existing accounts that are tried, in this order, when this process is root: PostgreSQL refuses to run as root. */
const unprivilegedNames = ['holdfast', 'postgres', 'nobody'] as const

/**
 * Chooses the account that PostgreSQL runs under: our own, or – as root – the first existing unprivileged one.
 *
 * @throws DatabaseError `embedded_account` when this process is root and none of the accounts exists
 */
export async function chooseAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return { name: 'own', uid: undefined, gid: undefined }
  const entries = new Map<string, Account>()
  for (const line of (await readFile('/etc/passwd', 'utf8')).split('\n')) {
    const [name = '', , uid = '', gid = ''] = line.split(':')
    if (/^\d+$/.test(uid) && /^\d+$/.test(gid) && uid !== '0')
      entries.set(name, { name, uid: Number(uid), gid: Number(gid) })
  }
  for (const name of unprivilegedNames) {
    const entry = entries.get(name)
    if (entry !== undefined) return entry
  }
  throw new DatabaseError(
    'embedded_account',
    `PostgreSQL does not run as root, and none of the accounts ${unprivilegedNames.join(', ')} exists. ` +
      'Start Holdfast as an ordinary user, or create one: useradd --system holdfast.',
  )
}

/**
 * Checks that the account may pass every folder on the way to `path`, so that a refusal names the folder that is in
 * the way. Access lists are not read: what they grant beyond the mode bits is not seen.
 *
 * @throws DatabaseError `embedded_unreachable`
 */
export async function assertReachable(path: string, account: Account, what: string, mend: string): Promise<void> {
  if (account.uid === undefined) return
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const { mode, uid, gid } = await stat(folder)
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
    if ((mode & bit) === 0) {
      throw new DatabaseError(
        'embedded_unreachable',
        `As root, PostgreSQL runs under the account "${account.name}", which cannot enter ${folder} on the way to ${what} (${path}). ${mend}`,
      )
    }
    if (folder === dirname(folder)) return
  }
}
