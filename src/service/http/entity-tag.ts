import { Type } from '@sinclair/typebox'
import { HttpProblem } from './problem.ts'

/** Largest revision: the column is an INT8. */
const LARGEST_REVISION = 9_223_372_036_854_775_807n

/** Headers of a request that changes what it has read, for a route's schema. */
export const conditional = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'The ETag that the change is based on, or * for whatever is there (RFC 9110).' }),
  ),
})

/** The strong entity tag of a revision (RFC 9110 section 8.8.3). @param revision as the database gives it */
export function entityTag(revision: unknown): string {
  return `"${String(revision)}"`
}

/**
 * The revisions that `If-Match` lets be changed (RFC 9110 section 13.1.1), for the UPDATE's WHERE, so that nothing comes
 * between comparing and writing (CWE-362). Tags that no revision of ours can have, weak ones among them, are left out:
 * they match nothing, and an empty answer is a list that nothing matches.
 * @param o optional: undefined without the header, where it is required otherwise (RFC 6585 section 3)
 * @returns decimal texts that fit an INT8, none twice, or `any` for `*`
 * @throws HttpProblem precondition_required, malformed_request
 */
export function expectedRevision(
  headers: { readonly 'if-match'?: string | undefined },
  o: { readonly optional: true },
): readonly string[] | 'any' | undefined
export function expectedRevision(headers: { readonly 'if-match'?: string | undefined }): readonly string[] | 'any'
export function expectedRevision(
  headers: { readonly 'if-match'?: string | undefined },
  o: { readonly optional?: true } = {},
): readonly string[] | 'any' | undefined {
  const field = headers['if-match']
  if (field === undefined) {
    if (o.optional === true) return undefined
    throw new HttpProblem('precondition_required')
  }
  const text = field.replace(/^[ \t]+|[ \t]+$/g, '')
  if (text === '*') return 'any'
  return [...new Set(tagsOf(text).filter(isRevision))]
}

/** Opaque parts of the strong tags of a list; empty elements are passed over (RFC 9110 section 5.6.1.2). */
function tagsOf(text: string): string[] {
  // bytes above 0x7F come from Node as latin1: obs-text
  const element = /[ \t]*(?:(W\/)?"([!\x23-\x7e\x80-\xff]*)")?[ \t]*(,|$)/y
  const tags: string[] = []
  for (let isLast = false; !isLast; ) {
    const match = element.exec(text)
    if (match === null) throw new HttpProblem('malformed_request', { errors: [FAULT] })
    const [, weak, tag, end] = match
    if (tag !== undefined && weak === undefined) tags.push(tag)
    isLast = end === ''
  }
  return tags
}

function isRevision(tag: string): boolean {
  return /^[1-9]\d{0,18}$/.test(tag) && BigInt(tag) <= LARGEST_REVISION
}

const FAULT = { path: '/if-match', in: 'headers', message: 'must be * or a list of entity tags' } as const
