#!/usr/bin/env node
import { once } from 'node:events'
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Command, type Terminal, UsageError } from './command.ts'
import { visible } from '../core/scope/excerpt.ts'
import { explainFailure } from './failure.ts'

/** Commands by what is typed; each is loaded when it is. */
const commands: Readonly<Record<string, { summary: string; load: () => Promise<Command> }>> = {
  serve: { summary: 'run the service', load: async () => (await import('./serve.ts')).serve },
  migrate: {
    summary: 'bring a database up to date (the same as `db migrate`)',
    load: async () => (await import('./migrate.ts')).migrateCommand,
  },
  'db migrate': {
    summary: 'bring a database up to date',
    load: async () => (await import('./migrate.ts')).migrateCommand,
  },
  doctor: {
    summary: 'say what is wrong with a database, and what mends it (the same as `db doctor`)',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  protect: {
    summary: 'write the migration that puts a new table under row-level security (the same as `db protect`)',
    load: async () => (await import('./protect.ts')).protectCommand,
  },
  'db protect': {
    summary: 'write the migration that puts a new table under row-level security',
    load: async () => (await import('./protect.ts')).protectCommand,
  },
  'db roles': {
    summary: 'print the SQL that makes the database roles',
    load: async () => (await import('./db-roles.ts')).dbRoles,
  },
  'db doctor': {
    summary: 'say what is wrong with a database, and what mends it',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  'setup-token': {
    summary: 'make a one-time token for a further tenant and its owner',
    load: async () => (await import('./setup-token.ts')).setupToken,
  },
  routes: { summary: 'list all routes and who may use them', load: async () => (await import('./routes.ts')).routes },
  explain: {
    summary: 'show what statements become, or why they are refused',
    load: async () => (await import('./explain.ts')).explain,
  },
}

/** Runs what was typed. @returns the exit code: 0 done, 1 failed, 2 wrong usage */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  const [first] = args
  if (first === '--version' || first === '-v') {
    terminal.out((await import('../service/version.ts')).version)
    return 0
  }
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    terminal.out(overview())
    return first === undefined ? 2 : 0
  }
  const group = Object.keys(commands).filter((each) => each.startsWith(`${first} `))
  if (group.length > 0 && (args[1] === '--help' || args[1] === '-h')) {
    terminal.out(group.map((name) => `holdfast ${name}: ${commands[name]?.summary}`).join('\n'))
    return 0
  }
  const words = Object.hasOwn(commands, args.slice(0, 2).join(' ')) ? 2 : 1
  const name = args.slice(0, words).join(' ')
  const found = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (found === undefined) {
    const inside = Object.keys(commands).filter((each) => each.startsWith(`${name} `))
    terminal.err(
      inside.length > 0 ? `holdfast ${name} needs one of: ${inside.join(', ')}.` : `holdfast has no command "${name}".`,
    )
    terminal.err('Try: holdfast --help')
    return 2
  }
  const rest = args.slice(words)
  const flags = rest.slice(0, rest.includes('--') ? rest.indexOf('--') : undefined)
  if (flags.includes('--version')) return main(['--version'], terminal)
  const command = await found.load()
  if (flags.includes('--help') || flags.includes('-h')) {
    terminal.out(command.help)
    return 0
  }
  try {
    return await command.run(rest, terminal)
  } catch (error) {
    if (error instanceof UsageError) {
      // what it quotes, such as a manifest's names, may hold anything (CWE-150)
      terminal.err(visible(`${error.message}\nTry: holdfast ${name} --help`))
      return 2
    }
    terminal.err(visible(explainFailure(error, terminal.environment)))
    return 1
  }
}

function overview(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length))
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`)
  return [
    'holdfast: every SQL statement confined to its caller’s tenant and role',
    '',
    ...lines,
    '',
    '  holdfast COMMAND --help   what a command takes',
    '  holdfast --version',
  ].join('\n')
}

/** Writes a line over the one before; back to its beginning, so that what follows writes over this one. */
function overwrite(line: string): void {
  process.stderr.write(`\u001b[2K${line.slice(0, (process.stderr.columns ?? 80) - 1)}\r`)
}

/** The real terminal. A reader that has gone (`| head`) is no failure. */
function ownTerminal(): Terminal {
  const isPlain = process.env['NO_COLOR'] || process.env['TERM'] === 'dumb'
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0)
      throw error
    })
  }
  return {
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
    input: () => process.stdin,
    drained: async () => {
      if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
    },
    environment: process.env,
    directory: process.cwd(),
    // results and what is said beside them may go to different places
    color: process.stdout.isTTY === true && process.stderr.isTTY === true && !isPlain,
    ...(process.stderr.isTTY === true && !isPlain ? { status: overwrite } : {}),
  }
}

const [, script] = process.argv
if (script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2), ownTerminal())
}
