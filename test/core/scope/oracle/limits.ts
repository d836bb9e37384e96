import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Batch, Done } from './limits-worker.ts'

/** Texts at once: the watchdog sees no closer. */
const BATCH = 500
/** How long a batch may take, in milliseconds: it takes a second, and ten on a busy machine. */
const PATIENCE_MS = 60_000

/**
 * Scopes random bytes, damaged statements and deep nests in a process of its own, for a parser in WebAssembly that hangs
 * or crashes takes its process with it.
 *
 * @returns how many were scoped, and refusals by code
 * @throws Error which batch ended it, or did not end
 */
export async function torment(
  seed: number,
  texts: number,
): Promise<{ scoped: number; refused: Record<string, number> }> {
  const child = fork(fileURLToPath(new URL('limits-worker.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4_000)
  })
  const refused: Record<string, number> = {}
  let scoped = 0
  try {
    for (let from = 0; from < texts; from += BATCH) {
      const batch = { seed, from, to: Math.min(from + BATCH, texts) }
      const done = await new Promise<Done>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`hangs: ${JSON.stringify(batch)}`)), PATIENCE_MS)
        child.once('message', (message) => {
          clearTimeout(timer)
          resolve(message as Done)
        })
        child.once('exit', (code, signal) => {
          clearTimeout(timer)
          reject(new Error(`ended with ${code ?? signal}: ${JSON.stringify(batch)}\n${said}`))
        })
        child.send(batch satisfies Batch)
      }).finally(() => child.removeAllListeners())
      scoped += done.scoped
      for (const [code, number] of Object.entries(done.refused)) refused[code] = (refused[code] ?? 0) + number
    }
    return { scoped, refused }
  } finally {
    child.kill('SIGKILL')
  }
}
