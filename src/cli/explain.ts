import type { Grants } from '../core/scope/grants.ts'
import type { Manifest } from '../core/scope/manifest.ts'
import type { ScopeRefusal } from '../core/scope/refusals.ts'
import type { ScopedStatement } from '../core/scope/scope.ts'
import { type Command, readArguments, type Terminal, UsageError } from './command.ts'

const help = `holdfast explain "SELECT …": show what a statement becomes on its way to the database, or why it is refused

  --role ROLE    under the grants of this role; without it: every grant, with reach "own"
  --config FILE  configuration file with the roles and the application
  --json         print it as JSON

Values are named slots: "tenant" and "user" are Holdfast's, "p1" is your $1.`

/** `holdfast explain`: needs no database. Exit code 1 when the statement is refused. */
export const explain: Command = {
  help,
  async run(args, terminal) {
    const { values, positionals } = readArguments(
      args,
      { role: { type: 'string' }, config: { type: 'string' }, json: { type: 'boolean' } },
      { min: 1, max: 1, hint: 'Put the statement in quotes.' },
    )
    const { environment, directory } = terminal
    const { loadSchema } = await import('../service/config.ts')
    const { hostedManifest } = await import('../service/application.ts')
    const { createScope, loadKernel } = await import('../core/scope/scope.ts')
    const { ScopeRefusal } = await import('../core/scope/refusals.ts')
    const { roles, application } = await loadSchema({
      environment,
      directory,
      ...(values.config === undefined ? {} : { file: values.config }),
    })
    const manifest = hostedManifest(application, roles)
    const grants = await grantsOf(manifest, values.role)
    await loadKernel()
    const text = positionals[0] ?? ''
    const asJson = values.json === true
    try {
      const scoped = createScope({ manifest, dialect: 'postgresql' }).scope(text, grants, values.role)
      show(scoped, asJson, terminal)
      return 0
    } catch (error) {
      if (!(error instanceof ScopeRefusal)) throw error
      refuse(error, text, asJson, terminal)
      return 1
    }
  },
}

async function grantsOf(manifest: Manifest, role: string | undefined): Promise<Grants> {
  const { parseGrants } = await import('../core/scope/grants.ts')
  if (role === undefined) {
    const verbs = ['read', 'create', 'update', 'delete']
    return parseGrants(manifest.tables.flatMap(({ resource }) => verbs.map((verb) => `${resource}:${verb}@own`)))
  }
  const granted = Object.hasOwn(manifest.roles, role) ? manifest.roles[role] : undefined
  if (granted === undefined) {
    throw new UsageError(`There is no role "${role}". There are: ${Object.keys(manifest.roles).join(', ')}.`)
  }
  return parseGrants(granted)
}

function show(scoped: ScopedStatement, asJson: boolean, { out }: Terminal): void {
  const slots = scoped.slots.map((slot) => (slot.kind === 'value' ? `p${slot.index + 1}` : slot.kind))
  if (asJson) {
    out(JSON.stringify({ verb: scoped.verb, readOnly: scoped.readOnly, text: scoped.text, values: slots }))
    return
  }
  out(scoped.text)
  if (slots.length > 0) out('')
  for (const [index, slot] of slots.entries()) out(`  $${index + 1} = ${slot}`)
}

function refuse(
  { code, message, position, hint }: ScopeRefusal,
  text: string,
  asJson: boolean,
  terminal: Terminal,
): void {
  if (asJson) {
    terminal.out(JSON.stringify({ refused: code, message, position: position ?? null, hint: hint ?? null }))
    return
  }
  terminal.err(`Refused (${code}): ${message}`)
  if (position !== undefined) terminal.err(caret(text, position, terminal.color))
  if (hint !== undefined) terminal.err(`Hint: ${hint}`)
}

/** The line of the text that is meant, and a caret under the place. */
function caret(text: string, position: number, color: boolean): string {
  const start = text.lastIndexOf('\n', position - 1) + 1
  const end = text.indexOf('\n', position)
  const line = text.slice(start, end === -1 ? undefined : end).replaceAll('\t', ' ')
  const mark = color ? '\u001b[31m^\u001b[0m' : '^'
  return `  ${line}\n  ${' '.repeat(position - start)}${mark}`
}
