import { type Command, readArguments, UsageError } from './command.ts'

const help = `holdfast db roles: print the SQL that makes the five database roles

A superuser runs it once; then set a password for each of the three login roles.

  --database NAME    the database that Holdfast will use          holdfast
  --dialect DIALECT  postgresql or cockroachdb                    postgresql
  --json             print the statements as JSON`

/** `holdfast db roles`. */
export const dbRoles: Command = {
  help,
  async run(args, { out }) {
    const { values } = readArguments(args, {
      database: { type: 'string' },
      dialect: { type: 'string' },
      json: { type: 'boolean' },
    })
    const { isDialect } = await import('../core/database/dialect.ts')
    const { database = 'holdfast', dialect = 'postgresql' } = values
    if (!isDialect(dialect)) {
      throw new UsageError('--dialect must be postgresql or cockroachdb.')
    }
    if (!/^[a-z_][a-z0-9_]{0,62}$/.test(database)) throw new UsageError('--database must be a plain lower-case name.')
    const { roleNames, roleStatements } = await import('../core/database/roles.ts')
    const { cluster, database: inside } = roleStatements({ dialect, database })
    if (values.json === true) {
      out(JSON.stringify({ cluster, database: inside }))
      return 0
    }
    out('-- Once, as a superuser:')
    for (const statement of cluster) out(`${statement};`)
    out(`\n-- Then, connected to the database ${database}:`)
    for (const statement of inside) out(`${statement};`)
    out('\n-- And a password for each login role; in psql, so that it is in no history:')
    for (const role of roleNames.filter((name) => !['holdfast_owner', 'holdfast_enter'].includes(name)))
      out(`--   \\password ${role}`)
    return 0
  },
}
