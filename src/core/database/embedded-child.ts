import type { ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { readPrivateFile, writePrivateFile } from './private-file.ts'
import { processIdentity } from './process-identity.ts'

const fileName = 'holdfast.child'
/** A killed group is gone within moments; it is waited for this long, in milliseconds. */
const waitMs = 5_000
const stepMs = 5

/** Remembers which program runs on the data directory, for whoever starts after we were killed. */
export function recordChild(dataDirectory: string, child: ChildProcess): void {
  if (child.pid === undefined) return
  const record = { pid: child.pid, identity: processIdentity(child.pid) ?? '' }
  writePrivateFile(join(dataDirectory, fileName), JSON.stringify(record))
}

/**
 * Ends what a killed run left behind and what did not stop by itself: an initdb amid its work, or a postgres so young
 * that it has no postmaster.pid. Call only under the directory's lock.
 */
export async function endRecordedChild(dataDirectory: string): Promise<void> {
  const path = join(dataDirectory, fileName)
  let record: { pid: number; identity: string }
  try {
    record = JSON.parse(readPrivateFile(path) ?? '') as typeof record
  } catch {
    return
  }
  const end = performance.now() + waitMs
  while (isGroupAlive(record) && performance.now() < end) {
    signalGroup(record.pid, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, stepMs))
  }
  rmSync(path, { force: true })
}

/** The leader tells whether the group is still the one that was recorded: a later process may have its number. */
function isGroupAlive({ pid, identity }: { pid: number; identity: string }): boolean {
  return identity !== '' && processIdentity(pid) === identity
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, signal)
  } catch {
    // It ended in between.
  }
}
