import type { OptionalSet } from '../core/database/dialect.ts'
import { type Command, readArguments, UsageError } from './command.ts'

const help = `holdfast migrate: bring a database up to date, and make the configured roles current

  --url URL      the database, as holdfast_migrator; or HOLDFAST_MIGRATOR_URL, which other users of the machine
                 can not read off the list of processes
  --status       only say what is applied and what is pending
  --with SETS    optional migrations to have from now on, CockroachDB's alone: ttl, hash-sharded, regional;
                 a list with commas. What was chosen once is kept current without being named again
  --config FILE  configuration file with the roles and the application, whose own migrations follow Holdfast's
  --json         print the result as JSON
  --prove-in-production
                 afterwards row-level security is tried by statements that are rolled back, see docs/proof.md: on a
                 database for development always, on one in production with this flag

\`serve\` migrates the embedded database by itself. The roles of the database are made by \`holdfast db roles\`.`

/** `holdfast migrate` and `holdfast db migrate`. */
export const migrateCommand: Command = {
  help,
  async run(args, { out, err, environment, directory }) {
    const { values } = readArguments(args, {
      url: { type: 'string' },
      status: { type: 'boolean' },
      with: { type: 'string' },
      config: { type: 'string' },
      json: { type: 'boolean' },
      'prove-in-production': { type: 'boolean' },
    })
    const url = values.url ?? environment['HOLDFAST_MIGRATOR_URL']
    if (url === undefined || url === '') throw new UsageError('Give --url, or set HOLDFAST_MIGRATOR_URL.')
    if (values.status === true && values.with !== undefined) throw new UsageError('--status takes no --with.')
    const optional = await readOptional(values.with)
    const { loadSchema } = await import('../service/config.ts')
    const { roles, application } = await loadSchema({
      environment,
      directory,
      ...(values.config === undefined ? {} : { file: values.config }),
    })
    const { migrate, migrationStatus } = await import('../core/database/migrate.ts')
    if (values.status === true) {
      const { ownMigrations } = await import('../core/database/migration-file.ts')
      const { createPool } = await import('../core/database/pool.ts')
      // the migrator inherits nothing: as itself it may not even look
      const pool = await createPool({
        connection: { url },
        size: 1,
        applicationName: 'holdfast migrate',
        role: 'holdfast_owner',
      })
      const status = await migrationStatus(pool, ownMigrations, application?.migrations).finally(() => pool.close())
      if (values.json === true) out(JSON.stringify(status))
      else {
        for (const name of status.applied) out(`applied  ${name}`)
        for (const name of status.pending) out(`pending  ${name}`)
        out(status.current ? 'The database is up to date.' : `${status.pending.length} migrations are pending.`)
      }
      return 0
    }
    const report = await migrate({
      target: { url },
      application: application?.migrations,
      optional,
      roleGrants: roles,
      log: values.json === true ? err : out,
    })
    const { proofAfterMigration } = await import('./prove.ts')
    const { hostedManifest } = await import('../service/application.ts')
    const app = environment['DATABASE_URL']
    const { lines, code, answer } = await proofAfterMigration(
      {
        migrator: { url },
        app: app === undefined || app === '' ? undefined : { url: app },
        tables: hostedManifest(application, roles).tables,
        inProduction: values['prove-in-production'] === true,
      },
      environment,
    )
    if (values.json === true) out(JSON.stringify({ ...report, secondWall: answer }))
    else {
      out(`The database is up to date: ${report.applied.length} of ${report.total} migrations were applied now.`)
      out(
        `Roles: version ${report.roles?.version.slice(0, 12)}${report.roles?.changed === true ? ', made current now' : ''}.`,
      )
      for (const line of lines) out(line)
    }
    return code
  },
}

async function readOptional(list: string | undefined): Promise<OptionalSet[]> {
  const { isOptionalSet, optionalSets } = await import('../core/database/dialect.ts')
  return (list?.split(',') ?? []).map((name) => {
    if (!isOptionalSet(name)) throw new UsageError(`--with takes of ${optionalSets.join(', ')}; not "${name}".`)
    return name
  })
}
