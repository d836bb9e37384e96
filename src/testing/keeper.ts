import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbedded } from '../core/database/embedded.ts'
import { DatabaseError } from '../core/database/errors.ts'
import { processIdentity } from '../core/database/process-identity.ts'
import { removeStaleRuns } from './stale-runs.ts'

// A program of its own: keeps the run's PostgreSQL as long as a test process is connected, or the runner may start more.
const [, , directory = '', runner = '0', linger = '0'] = process.argv
/** How often it is looked whether anybody still needs the database, in milliseconds. */
const LOOK_MS = 200
/** Nobody has come since the start: the process that asked for it is gone, in milliseconds. */
const FIRST_CLIENT_MS = 20_000

const runnerIdentity = processIdentity(Number(runner))
const dataDirectory = join(directory, 'data')

try {
  mkdirSync(dataDirectory, { recursive: true })
  chmodSync(dataDirectory, 0o711)
  await removeStaleRuns(directory)
  const embedded = await startEmbedded({ dataDirectory, log: () => undefined })
  const superuser = embedded.target('superuser', 'postgres')
  const client = new pg.Client(superuser)
  await client.connect()
  // the data lives no longer than the run: nothing need survive a power cut
  for (const name of ['fsync', 'full_page_writes', 'synchronous_commit']) {
    await client.query(`ALTER SYSTEM SET ${name} = 'off'`)
  }
  await client.query('SELECT pg_catalog.pg_reload_conf()')
  await client.end()

  let clients = 0
  let lastLeft = performance.now() + FIRST_CLIENT_MS
  const server = createServer((socket) => {
    clients++
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clients--
      lastLeft = performance.now()
    })
    socket.resume()
    socket.write(`${JSON.stringify(superuser)}\n`)
  })
  const path = join(directory, 'keeper.sock')
  rmSync(path, { force: true })
  server.listen(path)
  const stop = async (): Promise<void> => {
    clearInterval(timer)
    rmSync(path, { force: true })
    server.close()
    await embedded.stop()
    rmSync(directory, { recursive: true, force: true })
    process.exit(0)
  }
  const timer = setInterval(() => {
    if (clients > 0) return
    const isOver = processIdentity(Number(runner)) !== runnerIdentity || runnerIdentity === undefined
    if (performance.now() - lastLeft > (isOver ? 0 : Number(linger))) void stop()
  }, LOOK_MS)
  process.on('SIGTERM', () => void stop())
} catch (error) {
  // another keeper of the same run was faster
  if (error instanceof DatabaseError && error.code === 'embedded_in_use') process.exit(0)
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}
