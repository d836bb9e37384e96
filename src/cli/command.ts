import { parseArgs, type ParseArgsConfig } from 'node:util'

/** Where a command reads from and speaks to. */
export type Terminal = {
  /** one line of results */
  readonly out: (line: string) => void
  /** one line for people, beside the results */
  readonly err: (line: string) => void
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly directory: string
  /** whether escape sequences are welcome (NO_COLOR, and a terminal) */
  readonly color: boolean
}

/** A command: what it is for, how it is typed, what it does. */
export type Command = {
  readonly summary: string
  readonly help: string
  /** @returns the exit code: 0 done, 1 failed. @throws UsageError */
  run(args: readonly string[], terminal: Terminal): Promise<number>
}

/** The command was typed wrongly: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly code = 'usage'
}

type Options = NonNullable<ParseArgsConfig['options']>

/**
 * Reads a command's flags and arguments; a flag that is not known is an error.
 * @throws UsageError
 */
export function readArguments<Flags extends Options>(
  args: readonly string[],
  options: Flags,
  positionals: { readonly min: number; readonly max: number } = { min: 0, max: 0 },
) {
  let parsed: ReturnType<typeof parse<Flags>>
  try {
    parsed = parse(args, options)
  } catch (error) {
    throw new UsageError(firstSentence(error), { cause: error })
  }
  const count = parsed.positionals.length
  if (count < positionals.min) throw new UsageError('An argument is missing.')
  if (count > positionals.max)
    throw new UsageError(`"${parsed.positionals[positionals.max]}" is one argument too many.`)
  return parsed
}

function parse<Flags extends Options>(args: readonly string[], options: Flags) {
  return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
}

function firstSentence(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return `${message.split('. ')[0]?.replace(/\.$/, '')}.`
}
