import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../serve-process.ts'

/** The interpreter that Debian's packages belong to; another one may come first in PATH. */
const PYTHON = '/usr/bin/python3'
const example = fileURLToPath(new URL('../../examples/fastapi/', import.meta.url))
const here = fileURLToPath(new URL('./', import.meta.url))
const START_MS = 20_000

/** Why the example cannot run here, or `''`. @throws Error where HOLDFAST_REQUIRE names `fastapi`, and it cannot */
export function whyNoFastapi(): string {
  const { status } = spawnSync(PYTHON, ['-c', 'import fastapi, asyncpg, uvicorn'])
  if (status === 0) return ''
  const why = "FastAPI is not there: install Debian's python3-fastapi, python3-asyncpg and uvicorn"
  if (process.env['HOLDFAST_REQUIRE']?.split(',').includes('fastapi') === true) throw new Error(why)
  console.warn(`SKIPPED: ${why}`)
  return why
}

/** A uvicorn in a process of its own. */
export type Uvicorn = {
  readonly origin: string
  output(): string
  /** what was found on each connection that was checked out since the last time */
  found(): string[]
  /** whether checkouts are looked at, which costs messages */
  watch(on: boolean): void
  stop(): Promise<number | null>
}

/** Starts the example, watched, and waits until it answers. @throws Error with what it printed, when it ends before */
export async function startUvicorn(databaseUrl: string): Promise<Uvicorn> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-fastapi-'))
  const [watchFile, paused] = [join(directory, 'watched'), join(directory, 'paused')]
  writeFileSync(watchFile, '')
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const child = spawn(
    PYTHON,
    [
      '-m',
      'uvicorn',
      '--factory',
      'watched_app:make',
      '--host',
      '127.0.0.1',
      '--port',
      String(port),
      '--no-access-log',
    ],
    {
      env: {
        PATH: process.env['PATH'],
        PYTHONPATH: `${example}:${here}`,
        PYTHONDONTWRITEBYTECODE: '1',
        DATABASE_URL: databaseUrl,
        WATCH_FILE: watchFile,
        WATCH_PAUSED: paused,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  const deadline = performance.now() + START_MS
  while (!(await listens(origin))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill('SIGKILL')
      rmSync(directory, { recursive: true, force: true })
      throw new Error(`uvicorn did not start:\n${output}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  return {
    origin,
    output: () => output,
    found() {
      const lines = readFileSync(watchFile, 'utf8').split('\n').filter(Boolean)
      writeFileSync(watchFile, '')
      return lines
    },
    watch(on) {
      if (on) rmSync(paused, { force: true })
      else writeFileSync(paused, '')
    },
    async stop() {
      child.kill('SIGTERM')
      const code = await ended
      rmSync(directory, { recursive: true, force: true })
      return code
    },
  }
}

async function listens(url: string): Promise<boolean> {
  try {
    await fetch(url)
    return true
  } catch {
    return false
  }
}
