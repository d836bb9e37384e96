import { createRequire } from 'node:module'

/** The package's version, from its own manifest: two folders up from here in the sources and in the build. */
export const version: string = (createRequire(import.meta.url)('../../package.json') as { version: string }).version
