import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate } from '../../../src/core/database/migrate.ts'
import { connect } from '../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'
import { urlOf } from '../../service/http/open-service.ts'

/** Kills in `npm test`; the long run kills at each statement. */
const KILLS = Number(process.env['HOLDFAST_MIGRATE_KILLS'] ?? 1)

const statements = [
  'CREATE SCHEMA app',
  'CREATE TABLE app.log (note TEXT NOT NULL)',
  "INSERT INTO app.log (note) VALUES ('once')",
  'ALTER TABLE app.log ADD COLUMN more INT8 NOT NULL DEFAULT 0',
  'UPDATE app.log SET more = more + 1',
]
const main = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url))

let database: TestDatabase
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-kill-'))
})
afterAll(async () => {
  await database.drop()
  rmSync(folder, { recursive: true, force: true })
})

const until = async (isSo: () => Promise<boolean>): Promise<void> => {
  for (let look = 0; look < 1_200; look++) {
    if (await isSo()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('it never came to that')
}

// the server notices by itself that its client is gone, or goes on; neither may do anything twice
test.each(
  Array.from({ length: Math.min(KILLS, statements.length + 1) }, (_, kill) => (kill + 2) % (statements.length + 1)),
)(
  'killed in the middle, before statement %i is done: the next run does the rest, each once',
  { timeout: 120_000 },
  async (at) => {
    await database?.drop()
    database = await createTestDatabase()
    const gated = [...statements]
    gated.splice(at, 0, 'DELETE FROM public.gate')
    const migrations = mkdtempSync(join(folder, 'migrations-'))
    writeFileSync(join(migrations, '0001-app.sql'), gated.join('\n-- next\n'))
    const config = join(migrations, 'config.json')
    writeFileSync(config, JSON.stringify({ application: { migrations, manifest: { tables: [], roles: {} } } }))
    for (const sql of [
      'CREATE TABLE public.gate (id INT8)',
      'INSERT INTO public.gate VALUES (1)',
      'ALTER TABLE public.gate OWNER TO holdfast_owner',
      'GRANT USAGE ON SCHEMA public TO holdfast_owner',
    ])
      await database.owner(sql)
    const gate = await connect(database.target('superuser'))
    await gate.query('BEGIN')
    await gate.query('LOCK TABLE public.gate IN ACCESS EXCLUSIVE MODE')
    const child = spawn(process.execPath, ['--import', 'tsx', main, 'migrate', '--config', config], {
      env: { ...process.env, HOLDFAST_MIGRATOR_URL: urlOf(database, 'migrator') },
      stdio: 'ignore',
    })
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))
    const waiting = async (): Promise<number> =>
      (await database.owner("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'public.gate'::regclass")).length
    await until(async () => (await waiting()) === 1)
    child.kill('SIGKILL')
    expect(await ended).toBe('SIGKILL')
    // nobody gives its lease back: it runs out
    await database.owner("UPDATE holdfast.leases SET expires_at = now() - INTERVAL '1 second'")
    const next = migrate({
      target: database.target('migrator'),
      application: pathToFileURL(`${migrations}/`),
      roleGrants: {},
    })
    await until(async () => {
      const [lease] = await database.owner('SELECT 1 FROM holdfast.leases WHERE expires_at > now()')
      return lease !== undefined && (await waiting()) > 0
    })
    await gate.query('COMMIT')
    expect((await next).applied).toEqual(['application/0001-app'])
    await gate.end()
    // whatever the dead one's server was at has ended
    await until(
      async () =>
        (
          await database.owner(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND usename = 'holdfast_migrator'",
          )
        ).length === 0,
    )
    expect(await database.owner('SELECT note, more::INT4 AS more FROM app.log')).toEqual([{ note: 'once', more: 1 }])
    expect(
      await database.owner(`SELECT (SELECT count(*)::INT4 FROM holdfast.migration_steps) AS steps,
        (SELECT count(*)::INT4 FROM holdfast.migrations WHERE source = 'application') AS files,
        (SELECT count(*)::INT4 FROM holdfast.leases) AS leases`),
    ).toEqual([{ steps: 0, files: 1, leases: 0 }])
  },
)
