import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'
import { type ConnectionAddress, readTarget } from '../core/database/connection-target.ts'
import { assertOwnDirectory } from '../core/database/private-file.ts'

/** Making the cluster takes some seconds, on a busy machine many, in milliseconds. */
const START_TIMEOUT_MS = 90_000
/** Pause between two looks at a keeper that is starting, in milliseconds. */
const STEP_MS = 50
/** A runner starts its next process within moments; so long the database waits for it, in milliseconds. */
const LINGER_MS = 10_000

let known: Promise<ConnectionAddress> | undefined

/**
 * The superuser's address of the PostgreSQL that the whole test run shares: HOLDFAST_TEST_DATABASE_URL, or an embedded
 * one that the first process of the run starts and that ends by itself after the last.
 *
 * @throws Error when it does not start, with what it said
 */
export function serverOfRun(): Promise<ConnectionAddress> {
  const url = process.env['HOLDFAST_TEST_DATABASE_URL']
  if (url !== undefined && url !== '') return Promise.resolve(readTarget({ url }))
  known ??= joinKeeper().catch((error: unknown) => {
    known = undefined
    throw error
  })
  return known
}

/** A runner that starts processes is their parent; whoever runs alone is the run. */
function runner(): { readonly pid: number; readonly lingerMs: number } {
  const isChild =
    isMainThread && ['VITEST', 'NODE_TEST_CONTEXT', 'JEST_WORKER_ID'].some((name) => process.env[name] !== undefined)
  return isChild ? { pid: process.ppid, lingerMs: LINGER_MS } : { pid: process.pid, lingerMs: 0 }
}

async function joinKeeper(): Promise<ConnectionAddress> {
  const { pid, lingerMs } = runner()
  const directory = join(tmpdir(), `holdfast-testing-${process.getuid?.() ?? 0}-${pid}`)
  // the name can be guessed, so what lies there must be ours (CWE-377)
  mkdirSync(directory, { recursive: true, mode: 0o711 })
  assertOwnDirectory(directory)
  const socket = join(directory, 'keeper.sock')
  const end = performance.now() + START_TIMEOUT_MS
  const said: string[] = []
  let isRunning = false
  for (;;) {
    const address = await ask(socket)
    if (address !== undefined) return address
    if (said.length > 0) throw new Error(`The PostgreSQL for the tests did not start: ${said.join('').trim()}`)
    if (performance.now() > end)
      throw new Error(`The PostgreSQL for the tests did not start in ${START_TIMEOUT_MS} ms.`)
    if (!isRunning) {
      isRunning = true
      mkdirSync(directory, { recursive: true, mode: 0o711 })
      startKeeper(directory, pid, lingerMs, said, () => {
        isRunning = false
      })
    }
    await new Promise((resolve) => setTimeout(resolve, STEP_MS))
  }
}

function startKeeper(directory: string, pid: number, lingerMs: number, said: string[], onEnd: () => void): void {
  const here = import.meta.url
  const program = new URL(here.endsWith('.ts') ? 'keeper.ts' : 'keeper.js', here)
  // from its sources it needs what the sources need
  const loader = here.endsWith('.ts') ? ['--import', 'tsx'] : []
  const child = spawn(process.execPath, [...loader, fileURLToPath(program), directory, String(pid), String(lingerMs)], {
    cwd: fileURLToPath(new URL('../../', here)),
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()))
  child.on('error', (error) => said.push(error.message))
  child.on('exit', onEnd)
  child.unref()
  ;(child.stderr as unknown as { unref(): void }).unref()
}

/** Asks the keeper, and stays connected: that is how it knows that we live. */
function ask(path: string): Promise<ConnectionAddress | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path)
    let text = ''
    socket.on('error', () => resolve(undefined))
    socket.on('close', () => resolve(undefined))
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (!text.endsWith('\n')) return
      // it must not keep the process alive
      socket.unref()
      resolve(JSON.parse(text) as ConnectionAddress)
    })
  })
}
