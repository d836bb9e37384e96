import { join, resolve } from 'node:path'
import type { ConnectionAddress } from './connection-target.ts'
import { databaseName } from './embedded-cluster.ts'
import { socketPort } from './embedded-socket.ts'
import { readState } from './embedded-state.ts'
import { DatabaseError } from './errors.ts'

/**
 * Where another process's embedded PostgreSQL is reached, as the identity role unless told otherwise: for commands beside a running `serve`.
 * Only who may read the data directory's state file can (mode 0600).
 *
 * @throws DatabaseError `embedded_failed` when the data directory has no database, or on Windows, where its port is not kept
 */
export function runningEmbedded(dataDirectory: string, role: 'identity' | 'migrator' = 'identity'): ConnectionAddress {
  const directory = resolve(dataDirectory)
  const state = readState(directory)
  if (state === undefined || !state.ready) {
    throw new DatabaseError('embedded_failed', `There is no database in ${directory}: start \`holdfast serve\` first.`)
  }
  if (process.platform === 'win32') {
    throw new DatabaseError('embedded_failed', 'On Windows the embedded database is reached by its own process only.')
  }
  return {
    host: state.socketDirectory ?? join(directory, 'run'),
    port: socketPort,
    user: `holdfast_${role}`,
    password: state.passwords[role],
    database: databaseName,
  }
}
