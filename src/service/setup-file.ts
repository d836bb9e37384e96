import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where the one-time token of the first start lies, for whoever may read the data directory. */
export function setupFile(dataDirectory: string): string {
  return join(dataDirectory, 'setup-token')
}

/** Writes the token, readable by its owner alone (CWE-276), or removes the file when there is none. */
export function keepSetupToken(dataDirectory: string, token: string | undefined): void {
  const path = setupFile(dataDirectory)
  // an old file's mode would stay
  rmSync(path, { force: true })
  if (token === undefined) return
  mkdirSync(dataDirectory, { recursive: true, mode: 0o711 })
  writeFileSync(path, `${token}\n`, { mode: 0o600, flag: 'wx' })
  chmodSync(path, 0o600)
}
