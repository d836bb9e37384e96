/** Mutants that no test can kill, for they do the same as what they stand for: each with the reason. */
export const equivalents: Readonly<Record<string, string>> = {}
