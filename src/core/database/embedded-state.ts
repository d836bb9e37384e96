import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseError } from './errors.ts'
import { readPrivateFile, writePrivateFile } from './private-file.ts'

/** Who may connect to the embedded database. */
export type EmbeddedRole = 'superuser' | 'migrator' | 'identity' | 'app'

/** What is remembered beside the cluster, in a file only its owner can read. */
export type EmbeddedState = {
  readonly passwords: Readonly<Record<EmbeddedRole, string>>
  /** True once the roles exist; until then a first start that broke off is begun again. */
  readonly ready: boolean
  /** Where the socket is, if its path would be too long inside the data directory. */
  readonly socketDirectory?: string
}

const fileName = 'embedded.json'
/** 256 bits: far beyond guessing, so the SCRAM iterations do not matter. */
const passwordBytes = 32

/** State of a data directory that has never been started: new passwords. */
export function freshState(): EmbeddedState {
  const password = (): string => randomBytes(passwordBytes).toString('base64url')
  const passwords = { superuser: password(), migrator: password(), identity: password(), app: password() }
  return { passwords, ready: false }
}

/**
 * Reads the state of a data directory.
 *
 * @returns undefined when there is none yet
 * @throws DatabaseError `embedded_failed` when the file is damaged, a link, somebody else's or open to others
 */
export function readState(dataDirectory: string): EmbeddedState | undefined {
  const path = join(dataDirectory, fileName)
  try {
    const text = readPrivateFile(path)
    return text === undefined ? undefined : (JSON.parse(text) as EmbeddedState)
  } catch (error) {
    if (error instanceof DatabaseError) throw error
    throw new DatabaseError(
      'embedded_failed',
      `${path} cannot be read; it holds the passwords of the embedded database.`,
      error,
    )
  }
}

/** Writes the state so that a crash leaves the old or the new one, never half of it. Mode 0600 (CWE-276). */
export function writeState(dataDirectory: string, state: EmbeddedState): void {
  const path = join(dataDirectory, fileName)
  const draft = `${path}.new`
  writePrivateFile(draft, JSON.stringify(state))
  renameSync(draft, path)
  syncDirectory(dataDirectory)
}

function syncDirectory(path: string): void {
  // A directory cannot be opened on Windows; its file system orders renames itself.
  if (process.platform === 'win32') return
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}
