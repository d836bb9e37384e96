import type { ConnectionTarget } from '../core/database/connection-target.ts'
import type { Pool } from '../core/database/pool.ts'
import type { Manifest } from '../core/scope/manifest.ts'
import { visible } from '../core/scope/excerpt.ts'
import type { Protection, ProtectRequest } from '../tools/protect/protect.ts'
import { type Command, readArguments, type Terminal, UsageError } from './command.ts'
import { jsonLine } from './json-line.ts'

const help = `holdfast protect SCHEMA.TABLE: write the migration that puts a new, empty table under row-level security

  --tenant COLUMN    the column that holds the tenant; made where it is missing    tenant_id
  --type TYPE        its type where it is made: uuid, text or int8                 uuid
  --owner COLUMN     the column that holds whose a row is
  --parent TABLE     rows belong to a row of this table, which is protected already …
  --link COLUMN      … by this column
  --on-delete WHAT   what happens to them when that row goes: cascade or restrict
  --grant VERBS      what holdfast_app may: of read, create, update, delete; a list with commas
  --shared TABLES    tables that foreign keys lead to and that all tenants read
  --resource NAME    what grants name; the table's name in the singular if left out

  --config FILE      configuration file with the application, its manifest and its migrations
  --migrations DIR   folder that the file is written to; the application's if left out
  --stdout           print the statements instead
  --url URL          the database, as holdfast_migrator; or HOLDFAST_MIGRATOR_URL
  --data-dir DIR     else the embedded database of a running \`serve\`               HOLDFAST_DATA_DIR   .holdfast
  --json             print the result as JSON

It looks at the table and changes nothing; \`holdfast migrate\` applies the file. Names are taken as written. Without --grant
the manifest says what is granted.`

const FLAGS = {
  tenant: { type: 'string' },
  type: { type: 'string' },
  owner: { type: 'string' },
  parent: { type: 'string' },
  link: { type: 'string' },
  'on-delete': { type: 'string' },
  grant: { type: 'string' },
  shared: { type: 'string' },
  resource: { type: 'string' },
  config: { type: 'string' },
  migrations: { type: 'string' },
  stdout: { type: 'boolean' },
  url: { type: 'string' },
  'data-dir': { type: 'string' },
  json: { type: 'boolean' },
} as const

type Values = { readonly [Name in Exclude<keyof typeof FLAGS, 'stdout' | 'json'>]?: string } & {
  readonly stdout?: boolean
  readonly json?: boolean
}

/** `holdfast protect` and `holdfast db protect`. */
export const protectCommand: Command = {
  help,
  async run(args, terminal) {
    const { values, positionals } = readArguments(args, FLAGS, { min: 1, max: 1 })
    const { environment, directory } = terminal
    const request = await readRequest(positionals[0] ?? '', values)
    const { loadSchema } = await import('../service/config.ts')
    const { application } = await loadSchema({
      environment,
      directory,
      ...(values.config === undefined ? {} : { file: values.config }),
    })
    const folder = await folderOf(values, directory, application?.migrations)
    const { createPool } = await import('../core/database/pool.ts')
    const pool = await createPool({
      connection: await targetOf(values, environment),
      size: 1,
      applicationName: 'holdfast protect',
      role: 'holdfast_owner',
    })
    try {
      if (folder !== undefined) await refusePending(pool, folder)
      return await tell(await protectedBy(pool, request, application?.manifest), request, folder, values, terminal)
    } finally {
      await pool.close()
    }
  },
}

async function protectedBy(pool: Pool, request: ProtectRequest, manifest: Manifest | undefined): Promise<Protection> {
  const { protect } = await import('../tools/protect/protect.ts')
  return protect(pool, { ...request, manifest })
}

async function readRequest(table: string, values: Values): Promise<ProtectRequest> {
  const { readTableName } = await import('../tools/protect/names.ts')
  const { PRIVILEGES } = await import('../tools/protect/grants.ts')
  const named = (text: string): { schema: string; name: string } => {
    const name = readTableName(text)
    if (name === undefined) throw new UsageError(`"${text}" is not a table with its schema, such as app.invoices.`)
    return name
  }
  const { tenant, type, owner, parent, link, grant, shared, resource } = values
  if (type !== undefined && !['uuid', 'text', 'int8'].includes(type)) {
    throw new UsageError('--type is uuid, text or int8.')
  }
  if ((parent === undefined) !== (link === undefined)) throw new UsageError('--parent and --link go together.')
  const onDelete = (values['on-delete'] ?? '').toUpperCase()
  if (!['', 'CASCADE', 'RESTRICT'].includes(onDelete)) throw new UsageError('--on-delete is cascade or restrict.')
  if (onDelete !== '' && parent === undefined) throw new UsageError('--on-delete goes with --parent.')
  if (resource !== undefined && !/^[a-z][a-z0-9_]{0,62}$/.test(resource)) {
    throw new UsageError('--resource is lower-case letters, digits and underscores.')
  }
  const verbs = grant?.split(',')
  const unknown = verbs?.find((verb) => !Object.hasOwn(PRIVILEGES, verb))
  if (unknown !== undefined) throw new UsageError(`--grant takes of read, create, update, delete; not "${unknown}".`)
  return {
    table: named(table),
    tenant,
    type,
    owner,
    parent: parent === undefined ? undefined : { table: named(parent), link: link ?? '', onDelete },
    verbs,
    shared: (shared?.split(',') ?? []).map((text) => {
      const { schema, name } = named(text)
      return `${schema}.${name}`
    }),
    resource,
  }
}

async function targetOf(values: Values, environment: Terminal['environment']): Promise<ConnectionTarget> {
  const url = values.url ?? environment['HOLDFAST_MIGRATOR_URL']
  if (url !== undefined && url !== '') return { url }
  const { runningEmbedded } = await import('../core/database/embedded-target.ts')
  return runningEmbedded(values['data-dir'] ?? environment['HOLDFAST_DATA_DIR'] ?? '.holdfast', 'migrator')
}

/** The folder that the file goes to; nothing where it is printed and there is none. */
async function folderOf(
  { migrations, stdout }: Values,
  directory: string,
  application: URL | undefined,
): Promise<URL | undefined> {
  if (migrations === undefined && application !== undefined) return application
  if (migrations === undefined) {
    if (stdout === true) return undefined
    throw new UsageError('Give --migrations DIR or --stdout, or say application.migrations in the configuration.')
  }
  const { existsSync, statSync } = await import('node:fs')
  const path = await import('node:path')
  const { pathToFileURL } = await import('node:url')
  const folder = path.resolve(directory, migrations)
  if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new UsageError(`There is no folder ${folder}.`)
  return pathToFileURL(`${folder}/`)
}

/** What the files will still change is not what the catalog shows. */
async function refusePending(pool: Pool, folder: URL): Promise<void> {
  const { migrationStatus } = await import('../core/database/migrate.ts')
  const { ownMigrations } = await import('../core/database/migration-file.ts')
  const { ProtectError } = await import('../tools/protect/protect-error.ts')
  const { pending } = await migrationStatus(pool, ownMigrations, folder)
  if (pending.length === 0) return
  throw new ProtectError(
    'migrations_pending',
    `Migrations are pending (${pending.join(', ')}), so the table may be about to change.`,
    'Apply them first: holdfast migrate',
  )
}

async function tell(
  { statements, notes, entry }: Protection,
  request: ProtectRequest,
  folder: URL | undefined,
  values: Values,
  { out, err }: Terminal,
): Promise<number> {
  const name = `${request.table.schema}.${request.table.name}`
  const isDone = statements.length === 0
  const file =
    folder === undefined || values.stdout === true || isDone ? undefined : await write(folder, request, statements)
  if (values.json === true) {
    out(jsonLine({ table: name, protected: isDone, file: file ?? null, statements, notes, entry }))
    return 0
  }
  const { entryText } = await import('../tools/protect/manifest-entry.ts')
  const isPiped = values.stdout === true
  const say = isPiped ? err : out
  if (isDone) say(`${name} is protected already: nothing to do.`)
  else if (isPiped) out(fileText(name, statements).trimEnd())
  else {
    say(`Written: ${file}, ${statements.length} statements. Read it, then apply it: holdfast migrate`)
  }
  for (const note of notes) say(visible(`Note: ${note}`))
  say('\nIn the manifest:\n')
  for (const line of entryText(entry)) say(line)
  return 0
}

function fileText(name: string, statements: readonly string[]): string {
  return `-- ${name} under row-level security: on before anything else, keys led by the tenant, grants last.
${statements.join('\n-- next\n')}
`
}

async function write(folder: URL, { table }: ProtectRequest, statements: readonly string[]): Promise<string> {
  const { readdir, writeFile } = await import('node:fs/promises')
  const { fileURLToPath } = await import('node:url')
  const count = (await readdir(folder)).filter((each) => each.endsWith('.sql')).length
  const words = table.name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
  const name = `${String(count + 1).padStart(4, '0')}-protect-${words === '' ? 'table' : words}.sql`
  const path = fileURLToPath(new URL(name, folder))
  // never over a file that somebody else has just written
  await writeFile(path, fileText(`${table.schema}.${table.name}`, statements), { flag: 'wx' })
  return path
}
