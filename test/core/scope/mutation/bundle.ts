import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Script } from 'node:vm'
import { build } from 'esbuild'
import { type Edit, hostsOf, instrument, type Mutant, readSource } from './instrument.ts'
import { mutantsOf } from './operators.ts'

export const kernel = fileURLToPath(new URL('../../../../src/core/scope/', import.meta.url))
const tests = fileURLToPath(new URL('../', import.meta.url))

/** What decides nothing: words for people, types, and the vocabulary's data, which the database's own catalog judges. */
const NOT_MUTATED: ReadonlySet<string> = new Set([
  'instead.ts',
  'define-manifest.ts',
  'excerpt.ts',
  'vocabulary/functions.ts',
  'vocabulary/refused-functions.ts',
  'vocabulary/operators.ts',
  'vocabulary/types.ts',
])

/** The files of the kernel that are mutated. */
export function mutatedFiles(): string[] {
  return readdirSync(kernel, { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.ts') && !NOT_MUTATED.has(file))
    .sort()
}

/** Every mutant of some files, numbered from 1, those of one node together. */
export function readMutants(files: readonly string[]): Mutant[] {
  return files.flatMap((file) => {
    const source = readSource(file, readFileSync(join(kernel, file), 'utf8'))
    const mutants = mutantsOf(file, source)
    return hostsOf(
      mutants.map((edit, id) => ({ id, edit })),
      source,
    ).hosts.flatMap((host) => host.mutants.map(({ id }) => mutants[id] as Mutant))
  })
}

/** Kernel and tests as one function: `(require, active, at)` gives the loaders of its entry. */
export type Bundle = {
  readonly script: Script
  readonly outside: readonly string[]
  /** of all that went into it */
  readonly digest: string
  /** by the number of a mutant: the first at its place, by which the place is known */
  readonly firsts: readonly number[]
}

/**
 * Bundles an entry with all its mutants in the kernel: which one is active is said when it is evaluated.
 * @param entry TypeScript that exports what the caller wants, with paths from the folder of the kernel's tests
 * @param edits of the kernel's files, numbered from 1
 */
export async function bundle(entry: string, edits: readonly (Edit & { readonly file: string })[]): Promise<Bundle> {
  const byFile = groupByFile(edits)
  const outside = new Set<string>()
  const firsts: number[] = []
  const result = await build({
    stdin: { contents: entry, resolveDir: tests, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    define: { 'import.meta.url': JSON.stringify(import.meta.url) },
    logLevel: 'error',
    metafile: true,
    plugins: [
      {
        name: 'mutants',
        setup(plugin) {
          plugin.onLoad({ filter: /test\/(?:postgres|backends)\.ts$/ }, () => ({
            contents: readFileSync(join(tests, 'mutation/no-database.ts'), 'utf8'),
            loader: 'ts',
          }))
          // a file of tests reads its page from where it stands
          plugin.onLoad({ filter: /\.test\.ts$/ }, ({ path }) => ({
            contents: readFileSync(path, 'utf8').replaceAll(
              'import.meta.url',
              JSON.stringify(pathToFileURL(path).href),
            ),
            loader: 'ts',
          }))
          plugin.onLoad({ filter: /core\/scope\/.*\.ts$/ }, ({ path }) => {
            const mine = byFile.get(relative(kernel, path).replaceAll('\\', '/'))
            if (mine === undefined) return undefined
            const source = readSource(path, readFileSync(path, 'utf8'))
            const { hosts, homeless } = hostsOf(mine, source)
            if (homeless.length > 0) throw new Error(`cannot be exchanged: ${homeless[0]?.text}`)
            for (const { mutants } of hosts) for (const { id } of mutants) firsts[id] = mutants[0]?.id ?? id
            return { contents: instrument(hosts, source), loader: 'ts' }
          })
        },
      },
    ],
  })
  for (const { imports } of Object.values(result.metafile.inputs)) {
    for (const { path, external } of imports) if (external === true) outside.add(path)
  }
  const [file] = result.outputFiles
  if (file === undefined) throw new Error('esbuild made nothing')
  const text = `(function (require, __active, __at) { const module = { exports: {} }; ${file.text}\n return module.exports })`
  return {
    script: new Script(text, { filename: 'mutants.cjs' }),
    outside: [...outside].filter((name) => name !== 'vitest'),
    firsts,
    digest: createHash('sha256').update(file.text).digest('hex').slice(0, 16),
  }
}

function groupByFile(
  edits: readonly (Edit & { readonly file: string })[],
): ReadonlyMap<string, readonly { readonly id: number; readonly edit: Edit }[]> {
  const byFile = new Map<string, { readonly id: number; readonly edit: Edit }[]>()
  for (const [index, edit] of edits.entries()) {
    const mine = byFile.get(edit.file) ?? []
    mine.push({ id: index + 1, edit })
    byFile.set(edit.file, mine)
  }
  return byFile
}
