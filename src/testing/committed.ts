import { createPool, type Pool } from '../core/database/pool.ts'
import type { Rehearsal } from './rehearsal.ts'
import type { TestDatabase } from './test-database.ts'

/** Connections of the app role: enough for a race, few enough for many test files at once. */
const POOL_SIZE = 8

/** Real connections and commits: undone by making the database again, which takes a tenth of a second. */
export async function openCommitted(database: TestDatabase): Promise<Rehearsal> {
  const connect = (role: 'holdfast_app' | undefined, size: number): Promise<Pool> =>
    createPool({
      connection: database.address,
      size,
      applicationName: 'holdfast testing',
      ...(role === undefined ? {} : { role }),
    })
  let app = await connect('holdfast_app', POOL_SIZE)
  let owner = await connect(undefined, 1)
  const close = async (): Promise<void> => void (await Promise.all([app.close(), owner.close()]))
  const rollback = async (): Promise<void> => {
    await close()
    await database.again()
    app = await connect('holdfast_app', POOL_SIZE)
    owner = await connect(undefined, 1)
  }
  return {
    // whoever holds it keeps it over a rollback
    pool: {
      get dialect() {
        return app.dialect
      },
      get stats() {
        return app.stats
      },
      begin: (o) => app.begin(o),
      transaction: (work, o) => app.transaction(work, o),
      close: async () => undefined,
    },
    asOwner: async (text, values = []) =>
      (await owner.transaction((each) => each.query({ name: '', text }, values))).rows,
    rollback,
    checkpoint: () => Promise.reject(new TypeError('expectIsolated needs the isolation "transaction"')),
    close,
  }
}
