import type { ChildProcess } from 'node:child_process'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Account } from './embedded-account.ts'
import type { Binaries } from './embedded-binaries.ts'
import { recordChild } from './embedded-child.ts'
import { spawnProgram } from './embedded-program.ts'
import { DatabaseError } from './errors.ts'

/** A running postgres process that we are the parent of. */
export type Server = {
  readonly pid: number
  /** Stops it cleanly: fast shutdown, then immediate, then SIGKILL, each bounded. */
  stop(): Promise<void>
  /** Settles when the process has ended, for whatever reason. */
  readonly ended: Promise<void>
}

/** Where the server keeps its files and how it is reached. */
export type ServerPlace = {
  readonly clusterDirectory: string
  /** Directory of the Unix socket; undefined: loopback TCP (Windows). */
  readonly socketDirectory: string | undefined
  readonly port: number
}

/** Replaying the log of a crash on a slow disk takes its time; as long as the process lives, there is hope. */
const startTimeoutMs = 120_000
/** A fast shutdown ends sessions and writes a checkpoint; it may take this long, in milliseconds. */
const fastStopTimeoutMs = 30_000
/** An immediate shutdown only has to end processes; it may take this long, in milliseconds. */
const immediateStopTimeoutMs = 5_000
/** After a killed postmaster its sessions need a moment to notice, and hold the shared memory: pause between tries, in milliseconds. */
const sharedMemoryRetryMs = 100
/** So many further tries, five seconds in all, wait for the shared memory of a killed postmaster. */
const sharedMemoryRetries = 50

const readyLine = 'database system is ready to accept connections'
const busyLine = 'pre-existing shared memory block'

/** Durability is never traded for speed: fsync, full_page_writes and synchronous_commit stay on. */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  password_encryption: 'scram-sha-256',
  shared_buffers: '64MB',
  max_connections: '100',
  huge_pages: 'off',
  jit: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  // What is logged must not hold data of rows or parameters (CWE-532): only LOG, FATAL and PANIC, and no DETAIL.
  log_min_messages: 'log',
  log_error_verbosity: 'terse',
  log_min_error_statement: 'panic',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  log_checkpoints: 'off',
  log_line_prefix: '',
}

/**
 * Starts postgres and waits until it answers.
 *
 * @throws DatabaseError `embedded_failed` with the last lines of its log
 */
export async function startServer(
  binaries: Binaries,
  place: ServerPlace,
  account: Account,
  log: (line: string) => void,
): Promise<Server> {
  for (let attempt = 0; ; attempt++) {
    const lines: string[] = []
    const started = await launch(binaries, place, account, log, lines)
    if (started !== undefined) return started
    if (attempt >= sharedMemoryRetries || !lines.some((line) => line.includes(busyLine))) {
      throw new DatabaseError(
        'embedded_failed',
        `PostgreSQL did not start: ${lines.slice(-5).join(' | ') || 'no output'}`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, sharedMemoryRetryMs))
  }
}

async function launch(
  binaries: Binaries,
  place: ServerPlace,
  account: Account,
  log: (line: string) => void,
  lines: string[],
): Promise<Server | undefined> {
  const child = spawnProgram(binaries.postgres, serverArguments(place), account, place.clusterDirectory)
  recordChild(dirname(place.clusterDirectory), child)
  const failed = new Promise<Error>((resolve) => child.once('error', resolve))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const ready = new Promise<'ready'>((resolve) => {
    createInterface({ input: child.stderr as Readable }).on('line', (line) => {
      if (line.includes(readyLine)) resolve('ready')
      if (lines.length < 100) lines.push(line)
      if (/^(FATAL|PANIC):/.test(line)) log(`postgres: ${line}`)
    })
  })
  const timeout = new AbortController()
  const late = new Promise<'late'>((resolve) => {
    const timer = setTimeout(() => resolve('late'), startTimeoutMs)
    timeout.signal.addEventListener('abort', () => clearTimeout(timer))
  })
  const outcome = await Promise.race([ready, failed, late, ended.then(() => 'ended' as const)])
  timeout.abort()
  if (outcome instanceof Error)
    throw new DatabaseError('embedded_failed', `${binaries.postgres} cannot be run: ${outcome.message}`, outcome)
  if (outcome === 'ended') return undefined
  if (outcome === 'late') {
    lines.push(`no answer within ${startTimeoutMs / 1000} s`)
    await stopChild(child, ended)
    return undefined
  }
  return supervise(child, ended)
}

function supervise(child: ChildProcess, ended: Promise<void>): Server {
  // Best effort for a process.exit() that nobody announced; what even this misses is found at the next start.
  const lastSignal = (): void => void child.kill('SIGINT')
  process.once('exit', lastSignal)
  void ended.then(() => process.removeListener('exit', lastSignal))
  child.unref()
  unrefStream(child)
  return { pid: child.pid ?? -1, ended, stop: () => stopChild(child, ended) }
}

/** The database must not keep a process alive that has nothing else to do. */
function unrefStream(child: ChildProcess): void {
  const stream = child.stderr as unknown as { unref?: () => void } | null
  stream?.unref?.()
}

async function stopChild(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.ref()
  for (const [signal, timeoutMs] of [
    ['SIGINT', fastStopTimeoutMs],
    ['SIGQUIT', immediateStopTimeoutMs],
    ['SIGKILL', immediateStopTimeoutMs],
  ] as const) {
    if (child.exitCode !== null || child.signalCode !== null) break
    child.kill(signal)
    if (await settles(ended, timeoutMs)) return
  }
}

async function settles(promise: Promise<void>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs)
  })
  const done = await Promise.race([promise.then(() => true as const), late])
  clearTimeout(timer)
  return done
}

function serverArguments(place: ServerPlace): string[] {
  const all: Record<string, string> = { ...settings }
  if (place.socketDirectory === undefined) all['listen_addresses'] = '127.0.0.1'
  else all['unix_socket_directories'] = place.socketDirectory
  all['port'] = String(place.port)
  return ['-D', place.clusterDirectory, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
}
