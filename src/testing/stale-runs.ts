import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { chooseAccount } from '../core/database/embedded-account.ts'
import { findBinaries } from '../core/database/embedded-binaries.ts'
import { stopOrphan } from '../core/database/embedded-orphan.ts'
import { assertOwnDirectory } from '../core/database/private-file.ts'
import { processIdentity } from '../core/database/process-identity.ts'

/** Stops and removes what keepers that were killed have left behind, beside our own directory. */
export async function removeStaleRuns(directory: string): Promise<void> {
  const parent = dirname(resolve(directory))
  const prefix = `holdfast-testing-${process.getuid?.() ?? 0}-`
  for (const name of readdirSync(parent).filter((each) => each.startsWith(prefix))) {
    const stale = join(parent, name)
    if (stale === resolve(directory)) continue
    try {
      assertOwnDirectory(stale)
      const lock = JSON.parse(readFileSync(join(stale, 'data', 'holdfast.lock'), 'utf8')) as {
        pid: number
        identity: string
      }
      if (processIdentity(lock.pid) === lock.identity) continue
      await stopOrphan(join(stale, 'data', 'postgres'), await findBinaries(), await chooseAccount(), () => undefined)
      rmSync(stale, { recursive: true, force: true })
    } catch {
      // it is starting, it is somebody else's, or another keeper is removing it
    }
  }
}
