/**
 * Statements from outside: what the kernel makes of a folder full of other people's SQL.
 *
 *   npx tsx test/outside/statements.ts FOLDER          .sql files and TypeScript, in a report
 *   … --json                                           the same as JSON
 *   … --brief                                          its figures alone, without examples
 *   … --tables FILE                                    CREATE TABLE for what the folder's statements do not make
 *
 * The folder stays what it is, and nothing of it is kept. An embedded PostgreSQL is started for it. Exit code 1 when a
 * statement that was admitted contradicts row-level security, or the kernel crashes or hangs.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { loadKernel } from '../../src/core/scope/grammar.ts'
import { connect, startBackends } from '../backends.ts'
import { examine } from './examine.ts'
import { tell, tellBriefly } from './report.ts'
import { type Message, watch } from './watch.ts'

/** Nothing that is asked of the kernel or of so small a database takes longer, in milliseconds: it hangs. */
const SILENCE_MS = 60_000

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean' }, brief: { type: 'boolean' }, tables: { type: 'string' } },
})
const [folder] = positionals

if (folder === undefined) {
  console.error('Usage: npx tsx test/outside/statements.ts FOLDER [--tables FILE] [--json | --brief]')
  process.exitCode = 2
} else if (process.send === undefined) process.exitCode = await main()
else await work(folder, (message) => new Promise((resolve) => process.send?.(message, resolve)))

async function main(): Promise<number> {
  const end = await watch(fileURLToPath(import.meta.url), process.argv.slice(2), SILENCE_MS)
  if ('died' in end) {
    console.error(`The examination ${end.died}.`)
    return 1
  }
  const { report } = end
  console.log(
    values.json === true ? JSON.stringify(report) : values.brief === true ? tellBriefly(report) : tell(report),
  )
  return report.contradictions.length > 0 ? 1 : 0
}

async function work(place: string, send: (message: Message) => Promise<unknown>): Promise<void> {
  await loadKernel()
  const [embedded] = await startBackends()
  if (embedded === undefined || 'skipped' in embedded.setup) throw new Error('The embedded PostgreSQL did not start.')
  const client = await connect(embedded.setup.superuser)
  try {
    const onProgress = (at: string): void => void send({ at })
    await send({ report: await examine(place, { client, tables: values.tables, onProgress }) })
  } finally {
    await client.end()
    await embedded.stop()
    process.disconnect()
  }
}
