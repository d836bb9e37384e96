import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConfigError } from './config-error.ts'

/** Names that are looked for in the working directory, in no order: there may be only one. */
const NAMES = ['holdfast.config.ts', 'holdfast.config.mjs', 'holdfast.config.json']

/** A configuration file and what it exports. */
export type ConfigFile = { readonly path: string; readonly value: unknown }

/**
 * Reads the configuration file, if there is one. TypeScript is loaded by jiti, and only then.
 *
 * @param directory where to look @param named a path given by flag: then it must be there
 * @throws ConfigError when there are several, or it cannot be read
 */
export async function readConfigFile(directory: string, named: string | undefined): Promise<ConfigFile | undefined> {
  const path = named === undefined ? findIn(directory) : resolve(directory, named)
  if (path === undefined) return undefined
  if (!existsSync(path)) throw new ConfigError(`The configuration file ${path} is not there.`)
  try {
    return { path, value: await load(path) }
  } catch (error) {
    throw new ConfigError(`The configuration file ${path} cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

function findIn(directory: string): string | undefined {
  const found = NAMES.map((name) => join(directory, name)).filter((path) => existsSync(path))
  if (found.length > 1) throw new ConfigError(`There are several configuration files: ${found.join(', ')}. Keep one.`)
  return found[0]
}

async function load(path: string): Promise<unknown> {
  if (path.endsWith('.json')) return JSON.parse(readFileSync(path, 'utf8'))
  if (path.endsWith('.ts')) {
    const { createJiti } = await import('jiti')
    const [core, plugin] = await Promise.all([import('../index.ts'), import('../fastify.ts')])
    // what the file takes of Holdfast is what runs it: a copy's access or problem would not be known as one
    const virtualModules = { holdfast: core, 'holdfast/fastify': plugin, ...(await loadPlugs()) }
    return createJiti(import.meta.url, { fsCache: false, virtualModules }).import(path, { default: true })
  }
  return ((await import(pathToFileURL(path).href)) as { default?: unknown }).default
}

/** Of the query builders' plugs those whose package is installed. */
async function loadPlugs(): Promise<Record<string, unknown>> {
  const absent = (error: unknown): undefined => {
    if ((error as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') throw error
  }
  const [kysely, drizzle] = await Promise.all([
    import('../kysely.ts').catch(absent),
    import('../drizzle.ts').catch(absent),
  ])
  return {
    ...(kysely === undefined ? {} : { 'holdfast/kysely': kysely }),
    ...(drizzle === undefined ? {} : { 'holdfast/drizzle': drizzle }),
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
