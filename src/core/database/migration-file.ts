import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { type Dialect, pinnedSearchPath } from './dialect.ts'
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

/** Whose files: this package's, or those of the application that it hosts; each set is numbered by itself. */
export type MigrationSource = 'holdfast' | 'application'

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

/**
 * Reads the numbered `.sql` files of a folder, in order. Statements are separated by a line `-- next`, or
 * `-- next as holdfast_enter` where that role is to own what is made.
 *
 * An application's files run as holdfast_owner alone: what holdfast_enter owns reads every session (CWE-269).
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
    if (origin === 'application' && steps.some(({ role }) => role !== 'holdfast_owner')) {
      throw new DatabaseError(
        'migration_file_invalid',
        `"${name}" names a role: an application's statements are the owner's.`,
      )
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
      text: raw.replaceAll('{{pinned_search_path}}', pinnedSearchPath(dialect)),
      role: parts[index - 1] === 'holdfast_enter' ? 'holdfast_enter' : 'holdfast_owner',
      digest: sha256(raw),
    })
  }
  return steps
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
