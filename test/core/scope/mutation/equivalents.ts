/** Mutants that no test can kill, for nothing that a caller could see differs: by the reason. */
const groups: readonly (readonly [why: string, keys: readonly string[]])[] = []

/** The reason by the name of a mutant. */
export const equivalents: Readonly<Record<string, string>> = Object.fromEntries(
  groups.flatMap(([why, keys]) => keys.map((key) => [key, why] as const)),
)
