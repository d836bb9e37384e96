import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import {
  type Dialect,
  dropUnique,
  type OptionalSet,
  optionalSetsOf,
  pinnedSearchPath,
  productNames,
} from './dialect.ts'
import { DatabaseError } from './errors.ts'

/** One statement of a migration. */
export type MigrationStep = {
  /** The text, with what depends on the dialect filled in. */
  readonly text: string
  /** Whose statement it is: the owner's, or that of the role a separator names. */
  readonly role: 'holdfast_owner' | 'holdfast_enter'
  /** SHA-256 of the text as it stands in the file, in hex. */
  readonly digest: string
}

/** Sets that every database has: this package's, and those of the application that it hosts. */
export type RequiredSource = 'holdfast' | 'application'
/** Whose files: a required set's, or one that was chosen; each set is numbered by itself. */
export type MigrationSource = RequiredSource | OptionalSet

/** One numbered file. */
export type Migration = {
  readonly source: MigrationSource
  readonly version: number
  /** Such as `0001-identity`. */
  readonly name: string
  /** SHA-256 of the file with line feeds as line ends, in hex. */
  readonly digest: string
  readonly steps: readonly MigrationStep[]
}

const fileName = /^(\d{4})-[a-z0-9-]+\.sql$/
const separator = /^-- next(?: as (holdfast_owner|holdfast_enter))?[ \t]*$/m

/** The migrations that come with this package. */
export const ownMigrations = new URL('../../../migrations/', import.meta.url)

/** The files of one set. */
export type MigrationSet = { readonly source: MigrationSource; readonly files: readonly Migration[] }

/** Which sets are read. */
export type SetChoice = {
  /** Folder of the package's own files. */
  readonly own: URL
  /** Folder of an application's. */
  readonly application?: URL | undefined
  readonly dialect: Dialect
  /** Optional sets that are wanted, or that the database has already. */
  readonly optional: ReadonlySet<string>
}

/**
 * Reads the sets that a database is to have, in the order in which they are applied: the package's, those optional ones
 * that were chosen, the application's.
 *
 * @throws DatabaseError `migration_file_invalid`, also for an optional set that is another database's
 */
export async function readSets({ own, application, dialect, optional }: SetChoice): Promise<MigrationSet[]> {
  const offered = optionalSetsOf(dialect)
  for (const name of optional) {
    if (offered.some((each) => each === name)) continue
    throw new DatabaseError('migration_file_invalid', `There is no set "${name}" for ${productNames[dialect]}.`)
  }
  const sets: MigrationSet[] = [{ source: 'holdfast', files: await readMigrations(own, dialect) }]
  for (const source of offered.filter((name) => optional.has(name))) {
    const folder = new URL(`${dialect}/${source}/`, ownMigrations)
    sets.push({ source, files: await readMigrations(folder, dialect, source) })
  }
  if (application !== undefined) {
    sets.push({ source: 'application', files: await readMigrations(application, dialect, 'application') })
  }
  return sets
}

/**
 * Reads the numbered `.sql` files of a folder, in order. Statements are separated by a line `-- next`, or
 * `-- next as holdfast_enter` where that role is to own what is made.
 *
 * Files of any set but the package's own run as holdfast_owner alone: what holdfast_enter owns reads every session (CWE-269).
 *
 * @throws DatabaseError `migration_file_invalid`
 */
export async function readMigrations(
  directory: URL,
  dialect: Dialect,
  origin: MigrationSource = 'holdfast',
): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort()
  const migrations: Migration[] = []
  for (const name of names) {
    const match = fileName.exec(name)
    if (match === null) throw new DatabaseError('migration_file_invalid', `"${name}" is not named NNNN-words.sql.`)
    const version = Number(match[1])
    if (version !== migrations.length + 1) {
      throw new DatabaseError('migration_file_invalid', `"${name}" does not follow number ${migrations.length}.`)
    }
    // A checkout on Windows may have other line ends: that is no change.
    const source = (await readFile(new URL(name, directory), 'utf8')).replaceAll('\r\n', '\n')
    const steps = splitSteps(source, dialect, name)
    if (origin !== 'holdfast' && steps.some(({ role }) => role !== 'holdfast_owner')) {
      throw new DatabaseError('migration_file_invalid', `"${name}" names a role: its statements are the owner's.`)
    }
    migrations.push({
      source: origin,
      version,
      name: name.slice(0, -4),
      digest: sha256(source),
      steps,
    })
  }
  return migrations
}

function splitSteps(source: string, dialect: Dialect, name: string): MigrationStep[] {
  // With one group in the separator, split gives text, role, text, role, text …
  const parts = source.split(separator)
  const steps: MigrationStep[] = []
  for (let index = 0; index < parts.length; index += 2) {
    const raw = (parts[index] ?? '').trim()
    if (raw.replaceAll(/^--.*$/gm, '').trim() === '') {
      throw new DatabaseError('migration_file_invalid', `Statement ${index / 2 + 1} of "${name}" is empty.`)
    }
    steps.push({
      text: fillIn(raw, dialect),
      role: parts[index - 1] === 'holdfast_enter' ? 'holdfast_enter' : 'holdfast_owner',
      digest: sha256(raw),
    })
  }
  return steps
}

const name = '(?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")'
const dropUniqueMark = new RegExp(String.raw`\{\{drop_unique (${name}\.${name}) (${name})\}\}`, 'g')

/** Puts in what the dialects say differently. */
function fillIn(raw: string, dialect: Dialect): string {
  return raw
    .replaceAll('{{pinned_search_path}}', pinnedSearchPath(dialect))
    .replaceAll(dropUniqueMark, (_, table: string, key: string) => dropUnique(dialect, table, key))
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
