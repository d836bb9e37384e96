/**
 * Statements from outside: what the kernel makes of a folder full of other people's SQL.
 *
 *   npx tsx test/outside/statements.ts FOLDER          .sql files and TypeScript, in a report
 *   npx tsx test/outside/statements.ts FOLDER --json   the same as JSON
 *
 * The folder stays what it is, and nothing of it is kept. An embedded PostgreSQL is started for it. Exit code 1 when a
 * statement that was admitted contradicts row-level security, or the kernel crashes or hangs.
 */
import { fileURLToPath } from 'node:url'
import { loadKernel } from '../../src/core/scope/grammar.ts'
import { connect, startBackends } from '../backends.ts'
import { examine } from './examine.ts'
import { tell } from './report.ts'
import { type Message, watch } from './watch.ts'

/** Nothing that is asked of the kernel or of so small a database takes longer, in milliseconds: it hangs. */
const SILENCE_MS = 60_000

if (process.send === undefined) process.exitCode = await main(process.argv.slice(2))
else await work(String(process.argv[2]), (message) => new Promise((resolve) => process.send?.(message, resolve)))

async function main(args: readonly string[]): Promise<number> {
  const [folder] = args.filter((arg) => arg !== '--json')
  if (folder === undefined) {
    console.error('Usage: npx tsx test/outside/statements.ts FOLDER [--json]')
    return 2
  }
  const end = await watch(fileURLToPath(import.meta.url), [folder], SILENCE_MS)
  if ('died' in end) {
    console.error(`The examination ${end.died}.`)
    return 1
  }
  console.log(args.includes('--json') ? JSON.stringify(end.report) : tell(end.report))
  return end.report.contradictions.length > 0 ? 1 : 0
}

async function work(folder: string, send: (message: Message) => Promise<unknown>): Promise<void> {
  await loadKernel()
  const [embedded] = await startBackends()
  if (embedded === undefined || 'skipped' in embedded.setup) throw new Error('The embedded PostgreSQL did not start.')
  const client = await connect(embedded.setup.superuser)
  try {
    await send({ report: await examine(folder, { client, onProgress: (at) => void send({ at }) }) })
  } finally {
    await client.end()
    await embedded.stop()
    process.disconnect()
  }
}
