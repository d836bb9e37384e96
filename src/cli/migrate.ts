import type { OptionalSet } from '../core/database/dialect.ts'
import type { MigrationPlan, PlannedFile } from '../core/database/migration-plan.ts'
import type { Pool } from '../core/database/pool.ts'
import type { Application } from '../service/application.ts'
import { visible } from '../core/scope/excerpt.ts'
import { type Command, readArguments, type Terminal, UsageError } from './command.ts'
import { jsonLine } from './json-line.ts'

const help = `holdfast migrate [apply|plan|status]: bring a database up to date, and make the configured roles current

  apply          applies what is pending, one statement after another; what is meant without a word
  plan           print the statements that apply would run now, and as whom; change nothing
  status         say what is applied, what is pending, and who is migrating now; change nothing

  --url URL      the database, as holdfast_migrator; or HOLDFAST_MIGRATOR_URL, which other users of the machine
                 can not read off the list of processes
  --wait SECONDS how long to wait while another process migrates; without it, apply says who that is, and fails
  --with SETS    optional migrations to have from now on, CockroachDB's alone: ttl, hash-sharded, regional;
                 a list with commas. What was chosen once is kept current without being named again
  --config FILE  configuration file with the roles and the application, whose own migrations follow Holdfast's
  --json         print the result, or the failure, as a line of JSON; no progress is told
  --status       the same as status
  --prove-in-production
                 afterwards row-level security is tried by statements that are rolled back, see docs/proof.md: on a
                 database for development always, on one in production with this flag

\`serve\` migrates the embedded database by itself. The roles of the database are made by \`holdfast db roles\`.`

const FLAGS = {
  url: { type: 'string' },
  status: { type: 'boolean' },
  wait: { type: 'string' },
  with: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  'prove-in-production': { type: 'boolean' },
} as const

type Action = 'apply' | 'plan' | 'status'

/** What was asked for, with what the configuration says. */
type Work = {
  readonly url: string
  readonly waitMs: number
  readonly optional: readonly OptionalSet[]
  readonly roles: Readonly<Record<string, readonly string[]>>
  readonly application: Application | undefined
  readonly json: boolean
  readonly inProduction: boolean
}

/** `holdfast migrate` and `holdfast db migrate`. */
export const migrateCommand: Command = {
  help,
  async run(args, terminal) {
    const { values, positionals } = readArguments(args, FLAGS, { min: 0, max: 1 })
    const { environment, directory } = terminal
    const action = readAction(positionals[0], values.status === true)
    const url = values.url ?? environment['HOLDFAST_MIGRATOR_URL']
    if (url === undefined || url === '') throw new UsageError('Give --url, or set HOLDFAST_MIGRATOR_URL.')
    if (action === 'status' && values.with !== undefined) throw new UsageError('--status takes no --with.')
    if (action !== 'apply' && values.wait !== undefined) throw new UsageError(`${action} takes no --wait.`)
    const optional = await readOptional(values.with)
    const waitMs = readWait(values.wait)
    const { loadSchema } = await import('../service/config.ts')
    const { roles, application } = await loadSchema({
      environment,
      directory,
      ...(values.config === undefined ? {} : { file: values.config }),
    })
    const json = values.json === true
    const inProduction = values['prove-in-production'] === true
    const work: Work = { url, waitMs, optional, roles, application, json, inProduction }
    if (!json) return actions[action](work, terminal)
    try {
      return await actions[action](work, terminal)
    } catch (error) {
      const failure = await asJson(error)
      if (failure === undefined) throw error
      terminal.out(failure)
      return 1
    }
  },
}

const actions: Readonly<Record<Action, (work: Work, terminal: Terminal) => Promise<number>>> = { apply, plan, status }

function readAction(word: string | undefined, status: boolean): Action {
  if (word === undefined) return status ? 'status' : 'apply'
  if (word !== 'apply' && word !== 'plan' && word !== 'status') {
    throw new UsageError(`"${word}" is none of apply, plan and status.`)
  }
  if (status && word !== 'status') throw new UsageError(`--status does not go with ${word}.`)
  return word
}

function readWait(seconds = '0'): number {
  if (!/^\d{1,6}$/.test(seconds)) throw new UsageError('--wait takes whole seconds.')
  return Number(seconds) * 1000
}

async function readOptional(list: string | undefined): Promise<OptionalSet[]> {
  const { isOptionalSet, optionalSets } = await import('../core/database/dialect.ts')
  return (list?.split(',') ?? []).map((name) => {
    if (!isOptionalSet(name)) throw new UsageError(`--with takes of ${optionalSets.join(', ')}; not "${name}".`)
    return name
  })
}

/** A failure of the database's room as a line of JSON; nothing for any other. */
async function asJson(error: unknown): Promise<string | undefined> {
  const { DatabaseError } = await import('../core/database/errors.ts')
  const { MigrationError } = await import('../core/database/migration-error.ts')
  if (!(error instanceof DatabaseError)) return undefined
  const { code, message } = error
  if (!(error instanceof MigrationError)) return jsonLine({ error: { code, message } })
  const { migration, statement = null, sqlstate = null, next } = error
  return jsonLine({ error: { code, message, migration, statement, sqlstate, next } })
}

/** As the owner: the migrator inherits nothing, and as itself may not even look. */
async function withOwner<T>(url: string, work: (pool: Pool) => Promise<T>): Promise<T> {
  const { createPool } = await import('../core/database/pool.ts')
  const pool = await createPool({
    connection: { url },
    size: 1,
    applicationName: 'holdfast migrate',
    role: 'holdfast_owner',
  })
  return work(pool).finally(() => pool.close())
}

async function apply(work: Work, terminal: Terminal): Promise<number> {
  const { url, waitMs, optional, roles, application, json, inProduction } = work
  const { out, environment } = terminal
  const { migrate } = await import('../core/database/migrate.ts')
  const { tellProgress } = await import('./migrate-progress.ts')
  const progress = json ? undefined : tellProgress(terminal)
  const report = await migrate({
    target: { url },
    application: application?.migrations,
    optional,
    roleGrants: roles,
    waitMs,
    ...(progress === undefined ? {} : { progress: progress.tell }),
  }).finally(() => progress?.end())
  const { proofAfterMigration } = await import('./prove.ts')
  const { hostedManifest } = await import('../service/application.ts')
  const app = environment['DATABASE_URL']
  const { lines, code, answer } = await proofAfterMigration(
    {
      migrator: { url },
      app: app === undefined || app === '' ? undefined : { url: app },
      tables: hostedManifest(application, roles).tables,
      inProduction,
    },
    environment,
  )
  if (json) out(jsonLine({ ...report, secondWall: answer }))
  else {
    out(`The database is up to date: ${report.applied.length} of ${report.total} migrations were applied now.`)
    out(
      `Roles: version ${report.roles?.version.slice(0, 12)}${report.roles?.changed === true ? ', made current now' : ''}.`,
    )
    for (const line of lines) out(line)
  }
  return code
}

async function planOf({ url, application, optional, roles }: Work): Promise<MigrationPlan> {
  const { ownMigrations } = await import('../core/database/migration-file.ts')
  const { planMigration } = await import('../core/database/migration-plan.ts')
  return withOwner(url, (pool) =>
    planMigration({
      pool,
      directory: ownMigrations,
      application: application?.migrations,
      optional,
      roleGrants: roles,
    }),
  )
}

async function plan(work: Work, { out }: Terminal): Promise<number> {
  const planned = await planOf(work)
  if (work.json) {
    out(jsonLine(planned))
    return 0
  }
  const { runner, files, roles } = planned
  if (runner.length > 0) out('-- the runner itself: as holdfast_owner')
  for (const text of runner) out(`${visible(text)};\n`)
  for (const file of files) for (const line of tellFile(file)) out(line)
  const count = files.reduce((sum, { statements }) => sum + statements.length, 0)
  const filesText = files.length === 1 ? '1 file' : `${files.length} files`
  out(files.length === 0 ? '-- No migration is pending.' : `-- ${filesText}, ${count} statements to run.`)
  if (roles !== undefined) {
    out(`-- Roles: version ${roles.version.slice(0, 12)} ${roles.changes ? 'would be made current' : 'is current'}.`)
  }
  return 0
}

function tellFile({ name, digest, total, statements }: PlannedFile): string[] {
  return [
    `-- ${name}: ${statements.length} of ${total} statements, file SHA-256 ${digest}`,
    ...statements.flatMap(({ number, role, digest: checksum, text, begun }) => [
      `-- ${number} of ${total} as ${role}, SHA-256 ${checksum}${begun ? '; begun before, its end was not recorded' : ''}`,
      `${visible(text).replace(/;?\s*$/, ';')}\n`,
    ]),
  ]
}

async function status(work: Work, { out }: Terminal): Promise<number> {
  const { migrationStatus } = await import('../core/database/migrate.ts')
  const { readMigrator } = await import('../core/database/migrate-lease.ts')
  const { ownMigrations } = await import('../core/database/migration-file.ts')
  const { application, json, url } = work
  const { state, migrator } = await withOwner(url, async (pool) => ({
    state: await migrationStatus(pool, ownMigrations, application?.migrations),
    migrator: await readMigrator(pool),
  }))
  if (json) {
    out(jsonLine({ ...state, migrator: migrator ?? null }))
    return 0
  }
  for (const name of state.applied) out(`applied  ${name}`)
  for (const name of state.pending) out(`pending  ${name}`)
  if (migrator !== undefined) out(`Under way: ${migrator.holder}; its lease runs out in ${migrator.secondsLeft} s.`)
  const count = state.pending.length
  out(
    state.current
      ? 'The database is up to date.'
      : `${count} ${count === 1 ? 'migration is' : 'migrations are'} pending. What they would do: holdfast migrate plan`,
  )
  return 0
}
