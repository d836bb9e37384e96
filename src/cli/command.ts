import { parseArgs } from 'node:util'

/** Where a command reads from and speaks to. */
export type Terminal = {
  /** one line of results */
  readonly out: (line: string) => void
  /** one line for people, beside the results */
  readonly err: (line: string) => void
  /** standard input, as it comes */
  readonly input: () => AsyncIterable<Uint8Array>
  /** waits until whoever reads the results has caught up */
  readonly drained: () => Promise<void>
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly directory: string
  /** whether escape sequences are welcome (NO_COLOR, and a terminal) */
  readonly color: boolean
  /** beside the results, a line that the next one writes over; not there without a terminal */
  readonly status?: (line: string) => void
}

/** A command: how it is typed, what it does; `main.ts` says in a line what it is for. */
export type Command = {
  readonly help: string
  /** @returns the exit code: 0 done, 1 failed. @throws UsageError */
  run(args: readonly string[], terminal: Terminal): Promise<number>
}

/** The command was typed wrongly: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly code = 'usage'
}

/** Flags by name: text, or there at all. */
type Flags = Readonly<Record<string, { readonly type: 'string' | 'boolean' }>>

/** What was typed. */
export type Arguments<Known extends Flags> = {
  readonly values: { readonly [Name in keyof Known]?: Known[Name]['type'] extends 'boolean' ? boolean : string }
  readonly positionals: readonly string[]
}

/**
 * Reads a command's flags and arguments; a flag that is not known is an error.
 * @throws UsageError
 */
export function readArguments<const Known extends Flags>(
  args: readonly string[],
  options: Known,
  positionals: { readonly min: number; readonly max: number; readonly hint?: string } = { min: 0, max: 0 },
): Arguments<Known> {
  let parsed: Arguments<Known>
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true }) as Arguments<Known>
  } catch (error) {
    throw new UsageError(firstSentence(error), { cause: error })
  }
  const count = parsed.positionals.length
  if (count < positionals.min) throw new UsageError('An argument is missing.')
  if (count > positionals.max)
    throw new UsageError(
      `"${parsed.positionals[positionals.max]}" is one argument too many.${positionals.hint === undefined ? '' : ` ${positionals.hint}`}`,
    )
  return parsed
}

function firstSentence(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return `${message.split('. ')[0]?.replace(/\.$/, '')}.`
}
