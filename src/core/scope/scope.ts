import { createHash } from 'node:crypto'
import { admit } from './admit.ts'
import { ScopeCache } from './cache.ts'
import type { Draft } from './draft.ts'
import { loadKernel } from './grammar.ts'
import { FieldViews } from './fields.ts'
import type { Grants } from './grants.ts'
import { type Manifest, parseManifest } from './manifest.ts'
import { prove, type Slot, Unproven } from './prover/prove.ts'
import { ScopeRefusal } from './refusals.ts'
import { rewrite } from './rewrite.ts'
import { checkSizes, type Size } from './sizes.ts'

export { loadKernel }
export type { Slot }

/** Statements remembered in all; an application has a few hundred texts, each under a few sets of grants. */
const DEFAULT_CACHE_SIZE = 5_000
/**
 * Longest text that is remembered, and longest final text that is prepared under a name: a few kilobytes are usual, and this
 * bounds the memory here and in the database (CWE-770).
 */
const MAX_CACHED_LENGTH = 8_192

/** A statement that stays inside the caller's tenant, rows and grants, and was proven to. */
export type ScopedStatement = {
  /** of the main statement: one whose WITH writes may be a select */
  readonly verb: 'select' | 'insert' | 'update' | 'delete'
  /** changes rows, itself or in its WITH */
  readonly writes: boolean
  /** may run in a read-only transaction: neither writes nor locks */
  readonly readOnly: boolean
  /** final, proven text */
  readonly text: string
  /** name of the prepared statement: a digest of the final text, so that one name is one text (CWE-694); `''` for a long one */
  readonly name: string
  /** what `$1` … `$n` of the final text are bound to */
  readonly slots: readonly Slot[]
  /** number of values that the handler must give */
  readonly valueCount: number
  /** how the final text was proven, for people: one line a step, names and numbers of parameters alone */
  readonly proof: readonly string[]
  /** values of the handler that must name the caller's own tenant or user */
  readonly checks: readonly { readonly kind: 'tenant' | 'owner'; readonly index: number }[]
  /** how much its calls of generate_series, repeat, lpad and rpad make */
  readonly sizes: readonly Size[]
}

/** The kernel over one manifest and dialect; its cache is its own, so that these are part of every key. */
export type Scope = {
  /** The manifest that statements are checked against, frozen. */
  readonly manifest: Manifest
  /** statements that are remembered, and how often one was asked for that was, or was not */
  readonly stats: ScopeCache['stats']
  /**
   * Scopes a text for a set of grants and proves it. Pure: the same input gives the same statement.
   * @param role whose hidden and read-only columns count; without one that the manifest has, those of every role do
   * @throws ScopeRefusal when it cannot
   */
  scope(text: string, grants: Grants, role?: string): ScopedStatement
}

/**
 * @param options.manifest which tables there are; checked once more, copied and frozen
 * @param options.cacheSize statements remembered in all
 * @throws ManifestError `manifest_invalid`
 */
export function createScope(options: {
  readonly manifest: Manifest
  readonly dialect: 'postgresql' | 'cockroachdb'
  readonly cacheSize?: number
}): Scope {
  // a copy of its own: what was proven against it stays true
  const manifest = parseManifest(options.manifest)
  const cache = new ScopeCache(options.cacheSize ?? DEFAULT_CACHE_SIZE)
  const views = new FieldViews(manifest)
  return {
    manifest,
    get stats() {
      return cache.stats
    },
    scope(text, grants, role) {
      const viewer = views.roleOf(role)
      const key = cache.keyOf(grants, viewer)
      const known = cache.find(key, text)
      if (known !== undefined) return known
      const scoped = scopeShallow(text, views.of(viewer), grants)
      if (Math.max(text.length, scoped.text.length) <= MAX_CACHED_LENGTH) cache.add(key, text, scoped)
      return scoped
    },
  }
}

/**
 * The values of a scoped statement in the order of its parameters.
 * @throws ScopeRefusal `parameter_count`, `tenant_mismatch`, `owner_mismatch`, `size_too_large`
 */
export function bind(
  statement: ScopedStatement,
  caller: { readonly tenantId: string; readonly userId: string },
  values: readonly unknown[],
): unknown[] {
  if (values.length !== statement.valueCount) {
    throw new ScopeRefusal('parameter_count', { hint: `${statement.valueCount} expected, ${values.length} given` })
  }
  for (const { kind, index } of statement.checks) {
    const own = kind === 'tenant' ? caller.tenantId : caller.userId
    if (!names(values[index], own)) throw new ScopeRefusal(kind === 'tenant' ? 'tenant_mismatch' : 'owner_mismatch')
  }
  if (statement.sizes.length > 0) checkSizes(statement.sizes, values)
  return statement.slots.map((slot) => {
    if (slot.kind === 'value') return values[slot.index]
    const own = slot.kind === 'tenant' ? caller.tenantId : caller.userId
    // an empty id means that nobody is there: no statement runs for nobody (CWE-1188)
    if (own === '') throw new ScopeRefusal(slot.kind === 'tenant' ? 'tenant_mismatch' : 'owner_mismatch')
    return own
  })
}

/** Where little of the stack is left, a tree that is not too deep can be. */
function scopeShallow(text: string, manifest: Manifest, grants: Grants): ScopedStatement {
  try {
    return scopeAfresh(text, manifest, grants)
  } catch (error) {
    throw error instanceof RangeError ? new ScopeRefusal('text_too_deep') : error
  }
}

function scopeAfresh(text: string, manifest: Manifest, grants: Grants): ScopedStatement {
  const admitted = admit(text, manifest)
  const { sizes } = admitted
  const draft = rewrite(admitted, manifest, grants)
  const final = draft.apply()
  const { slots, checks } = draft
  let proof: readonly string[]
  try {
    proof = prove({ text: final, slots, manifest, grants })
  } catch (error) {
    if (error instanceof Unproven) throw unproven(error, draft)
    throw error
  }
  const writes = admitted.writes.length > 0
  return Object.freeze({
    verb: VERBS[admitted.kind],
    writes,
    readOnly: !writes && !admitted.locks,
    text: final,
    name: final.length > MAX_CACHED_LENGTH ? '' : nameOf(final),
    slots: Object.freeze(slots),
    valueCount: admitted.parameters,
    checks: Object.freeze(checks),
    sizes: Object.freeze(sizes),
    proof: Object.freeze(proof),
  })
}

function nameOf(final: string): string {
  return `hf_${createHash('sha256').update(final).digest('base64url').slice(0, 32)}`
}

const VERBS = { SelectStmt: 'select', InsertStmt: 'insert', UpdateStmt: 'update', DeleteStmt: 'delete' } as const

/** What the prover missed, at the place in the caller's own text. */
function unproven(error: Unproven, draft: Draft): ScopeRefusal {
  const { bytes } = draft.admitted
  const position = error.at === undefined ? undefined : bytes.toString('utf8', 0, draft.originOf(error.at)).length
  const isName = error.message.endsWith('whose a bare column is')
  return isName
    ? new ScopeRefusal('column_unknown', {
        position,
        hint: 'no table here has it; a column of a query is named with its alias: q.column',
        cause: error,
      })
    : new ScopeRefusal('not_proven', { position, cause: error })
}

/** Whether a value is the id itself; a UUID may be spelt in capitals. */
function names(value: unknown, id: string): boolean {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') return false
  const text = String(value)
  return text === id || (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text) && text.toLowerCase() === id)
}
