import { fork } from 'node:child_process'
import type { Report } from './examine.ts'

/** What the process at work says: where it is, and in the end what it found. */
export type Message = { readonly at: string } | { readonly report: Report }

/**
 * Runs the work in another process, which can be ended where it hangs: the parser's WebAssembly cannot be.
 * @param silenceMs how long nothing may be heard, in milliseconds
 * @returns the report, or where it hung or died
 */
export async function watch(
  script: string,
  args: readonly string[],
  silenceMs: number,
): Promise<{ readonly report: Report } | { readonly died: string }> {
  const child = fork(script, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  let place = 'the start'
  let report: Report | undefined
  let isSilent = false
  let timer: NodeJS.Timeout | undefined
  const listen = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      isSilent = true
      child.kill('SIGKILL')
    }, silenceMs)
  }
  listen()
  child.on('message', (message: Message) => {
    listen()
    if ('at' in message) place = message.at
    else report = message.report
  })
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  clearTimeout(timer)
  if (isSilent) return { died: `hangs at ${place}` }
  return report === undefined || code !== 0 ? { died: `ended with ${code} at ${place}` } : { report }
}
