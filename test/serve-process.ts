import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))

/** How long a start may take before the test gives up, in milliseconds: a busy machine is slower than the promise. */
const START_MS = 30_000

/** A real `holdfast serve`, in a process of its own. */
export type ServeProcess = {
  readonly origin: string
  readonly child: ChildProcess
  /** everything it has printed so far */
  output(): string
  /** SIGTERM, and waits for the end. @returns the exit code */
  stop(): Promise<number | null>
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>
}

/** Starts `holdfast serve` and waits until it answers. @throws Error with what it printed, when it ends before */
export async function startServe(
  environment: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<ServeProcess> {
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^(PATH|HOME|TMPDIR|LANG)$/.test(name)),
  )
  const child = spawn(process.execPath, ['--import', 'tsx', main, 'serve', ...flags], {
    env: { ...inherited, PORT: String(port), METRICS_PORT: 'off', LOG_LEVEL: 'warn', NO_COLOR: '1', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> => {
    child.kill(signal)
    return ended
  }
  const deadline = performance.now() + START_MS
  while (!(await answers(`${origin}/health`))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await end('SIGKILL')
      throw new Error(`holdfast serve did not start:\n${output}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  return {
    origin,
    child,
    output: () => output,
    stop: () => end('SIGTERM'),
    async kill() {
      await end('SIGKILL')
    },
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok
  } catch {
    return false
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port')
  return address.port
}
