/** What a change is based on: revisions as decimal texts, or whatever is there. */
export type Expected = readonly string[] | 'any'

/** The two parameters by which a statement compares revisions: whether any will do, and which. */
export function revisionValues(expected: Expected): [boolean, readonly string[]] {
  return expected === 'any' ? [true, []] : [false, expected]
}
