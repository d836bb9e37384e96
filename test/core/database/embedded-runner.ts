import { createPool } from '../../../src/core/database/pool.ts'
import { startEmbedded } from '../../../src/core/database/embedded.ts'
import { hydrateLinks } from '../../../src/core/database/embedded-binaries.ts'
import { DatabaseError } from '../../../src/core/database/errors.ts'

// A process for the tests of the embedded database to run as somebody else, to kill, or to leave.
const [, , command = '', directory = ''] = process.argv
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

try {
  if (command === 'hydrate') {
    await hydrateLinks(directory)
    say({ done: true })
  } else {
    const embedded = await startEmbedded({ dataDirectory: directory, log: () => undefined })
    say({ started: true, firstStart: embedded.firstStart, uid: process.getuid?.() })
    if (command === 'start and stop') await embedded.stop()
    if (command === 'start and exit') process.exit(0)
    if (command === 'write') {
      const pool = await createPool({ connection: embedded.target('migrator'), size: 4, applicationName: 'writer' })
      let next = 0
      const writer = async (): Promise<void> => {
        for (;;) {
          const id = next++
          // Two rows a transaction: both are there, or none.
          const insert = {
            name: 'insert',
            text: 'INSERT INTO public.acknowledged (id, half) VALUES ($1::INT8, $2::INT8)',
          }
          await pool.transaction((transaction) =>
            transaction.send(
              [
                { statement: insert, values: [id, 1] },
                { statement: insert, values: [id, 2] },
              ],
              { commit: true },
            ),
          )
          say({ id })
        }
      }
      await Promise.all([writer(), writer(), writer(), writer()])
    }
  }
} catch (error) {
  say({ code: error instanceof DatabaseError ? error.code : 'other', message: (error as Error).message })
}
