import { main } from '../../src/cli/main.ts'

export type Run = { readonly code: number; readonly out: string; readonly err: string }

/** Runs a command in this process. */
export async function holdfast(
  args: readonly string[],
  environment: Record<string, string> = {},
  directory = '/',
  input: Iterable<Uint8Array> = [],
): Promise<Run> {
  const out: string[] = []
  const err: string[] = []
  const code = await main(args, {
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    async *input() {
      yield* input
    },
    drained: () => Promise.resolve(),
    environment,
    directory,
    color: false,
  })
  return { code, out: out.join('\n'), err: err.join('\n') }
}
