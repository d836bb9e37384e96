import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Manifest } from '../core/scope/manifest.ts'
import { type Command, readArguments, type Terminal, UsageError } from './command.ts'
import { excerpt, placeOf, visible } from '../core/scope/excerpt.ts'
import { jsonLine } from './json-line.ts'
import type { Judge, Refused, Scoped, Verdict } from './verdict.ts'

const help = `holdfast explain "SELECT …": show what a statement becomes on its way to the database, or why it is refused

  --file FILE      the statements of a file, instead of the argument
  --jsonl          one object a line on standard input, {"sql": …, "role": …}; one answer a line, in order
  --role ROLE      under the grants of this role; without it: every grant, with reach "own"
  --manifest FILE  tables and roles: a manifest in JSON, or a configuration file
  --config FILE    configuration file with the roles and the application
  --json           print each answer as a line of JSON

It needs no database. Exit code 1 when a statement was refused.
Values are named slots: "tenant" and "user" are Holdfast's, "p1" is your $1.`

const FLAGS = {
  file: { type: 'string' },
  jsonl: { type: 'boolean' },
  role: { type: 'string' },
  manifest: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
} as const

/** `holdfast explain`: needs no database. Exit code 1 when a statement is refused. */
export const explain: Command = {
  help,
  async run(args, terminal) {
    const { values, positionals } = readArguments(args, FLAGS, { min: 0, max: 1, hint: 'Put the statement in quotes.' })
    const { file, jsonl, role, json = false } = values
    const [sql] = positionals
    const sources = [sql, file, jsonl].filter((source) => source !== undefined)
    if (sources.length === 0) throw new UsageError('An argument is missing.')
    if (sources.length > 1) throw new UsageError('Give one of these: a statement, --file, --jsonl.')
    const { createScope, loadKernel } = await import('../core/scope/scope.ts')
    const { createJudge } = await import('./verdict.ts')
    const scope = createScope({ manifest: await readManifest(values, terminal), dialect: 'postgresql' })
    const judge = createJudge(scope, role, terminal.err)
    await loadKernel()
    if (file !== undefined) return explainFile(file, judge, json, terminal)
    if (sql === undefined) return explainLines(judge, terminal)
    const verdict = judge({ sql, role })
    if (json) terminal.out(jsonLine(verdict))
    else show(verdict, { sql, line: 1 }, terminal)
    return verdict.verdict === 'scoped' ? 0 : 1
  },
}

/** Answers each line of standard input by a line, no faster than they are read. */
async function explainLines(judge: Judge, { input, out, drained }: Terminal): Promise<number> {
  const { readLines, readQuestion } = await import('./input-lines.ts')
  const { unreadable } = await import('./verdict.ts')
  let code = 0
  for await (const line of readLines(input())) {
    const question = readQuestion(line)
    const verdict = 'unreadable' in question ? unreadable(question) : judge(question)
    if (verdict.verdict === 'refused') code = 1
    out(jsonLine(verdict))
    await drained()
  }
  return code
}

async function explainFile(file: string, judge: Judge, json: boolean, terminal: Terminal): Promise<number> {
  const { SqlFileError, statementsOf } = await import('./sql-file.ts')
  const counts = { scoped: 0, refused: 0 }
  try {
    for (const { sql, line } of statementsOf(readGiven(file, terminal))) {
      const verdict = judge({ sql, role: undefined })
      counts[verdict.verdict]++
      if (json) terminal.out(jsonLine({ line, ...verdict }))
      else show(verdict, { sql, line, file }, terminal)
      await terminal.drained()
    }
  } catch (error) {
    if (error instanceof SqlFileError)
      throw new UsageError(`${file} cannot be read: ${error.message}.`, { cause: error })
    throw error
  }
  terminal.err(`${file}: ${counts.scoped} scoped, ${counts.refused} refused.`)
  return counts.refused > 0 ? 1 : 0
}

function readGiven(file: string, { directory }: Terminal): Buffer {
  try {
    return readFileSync(resolve(directory, file))
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}.`, { cause: error })
  }
}

/** The manifest that is named, or the project's with the service's own tables. @throws UsageError */
async function readManifest(
  { manifest, config }: { readonly manifest?: string; readonly config?: string },
  { environment, directory }: Terminal,
): Promise<Manifest> {
  if (manifest !== undefined && config !== undefined) throw new UsageError('Give either --manifest or --config.')
  const { ManifestError, parseManifest } = await import('../core/scope/manifest.ts')
  const { ConfigError } = await import('../service/config-error.ts')
  const file = manifest ?? config
  try {
    if (manifest !== undefined) {
      const { readConfigFile } = await import('../service/config-file.ts')
      const value = (await readConfigFile(directory, manifest))?.value
      if (typeof value === 'object' && value !== null && Object.hasOwn(value, 'tables')) return parseManifest(value)
    }
    const { loadSchema } = await import('../service/config.ts')
    const { hostedManifest } = await import('../service/application.ts')
    const { roles, application } = await loadSchema({ environment, directory, ...(file === undefined ? {} : { file }) })
    return hostedManifest(application, roles)
  } catch (error) {
    if (error instanceof ManifestError) throw new UsageError(`${file}: ${error.message}.`, { cause: error })
    if (error instanceof ConfigError) throw new UsageError(error.message, { cause: error })
    throw error
  }
}

/** A statement, and where it is from: its first line in the file, from 1. */
type Source = { readonly sql: string; readonly line: number; readonly file?: string }

/** For people: the proven statement to the output, a refusal beside it. */
function show(verdict: Verdict, source: Source, { out, err, color }: Terminal): void {
  if (verdict.verdict === 'refused') for (const line of tellRefusal(verdict, source, color)) err(line)
  else for (const line of tellScoped(verdict, source)) out(line)
}

function tellScoped({ sql, values, proof }: Scoped, { file, line }: Source): string[] {
  const slots = values.map((value, index) => `  $${index + 1} = ${value}`)
  const steps = proof.map((step) => `  ${visible(step)}`)
  return [
    ...(file === undefined ? [] : [`${file}:${line}: scoped`]),
    visible(sql),
    ...(slots.length === 0 ? [] : ['', ...slots]),
    ...(steps.length === 0 ? [] : ['', 'Proof:', ...steps]),
    ...(file === undefined ? [] : ['']),
  ]
}

/** A refusal as lines: what, the place with a caret, and how to write it instead. */
export function tellRefusal({ code, position, message, hint }: Refused, source: Source, color: boolean): string[] {
  const { line, column } = placeOf(source.sql, position ?? 0)
  const number = source.line + line - 1
  const place = position === null ? `${number}` : `${number}:${column}`
  return [
    `${source.file === undefined ? '' : `${source.file}:${place}: `}Refused (${code}): ${message}`,
    ...(position === null ? [] : excerpt(source.sql, position, number, color)),
    ...(hint === undefined ? [] : [`Hint: ${hint}`]),
  ]
}
