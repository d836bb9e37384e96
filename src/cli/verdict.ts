import { type Grants, parseGrants } from '../core/scope/grants.ts'
import { type Manifest, parentOf, type Table } from '../core/scope/manifest.ts'
import { refusalCodes, ScopeRefusal } from '../core/scope/refusals.ts'
import type { Scope, ScopedStatement } from '../core/scope/scope.ts'
import { UsageError } from './command.ts'
import type { Question, Unreadable } from './input-lines.ts'

/** What became of a statement, as `--json` and `--jsonl` print it. */
export type Verdict = Scoped | Refused

/** A statement that may be sent. */
export type Scoped = {
  readonly verdict: 'scoped'
  /** the proven text */
  readonly sql: string
  /** what `$1` … `$n` of it are bound to: `tenant`, `user`, `p1` … */
  readonly values: readonly string[]
  /** the proof, a step a line, indented */
  readonly proof: readonly string[]
}

/** Why a statement is not sent. */
export type Refused = {
  readonly verdict: 'refused'
  /** one of the kernel's, or `role_unknown`, `line_malformed`, `kernel_failed` */
  readonly code: string
  /** offset in the statement in UTF-16 code units; `null` where the whole is meant */
  readonly position: number | null
  readonly message: string
  /** how to write it instead */
  readonly hint?: string
}

/** Judges one statement under its role. */
export type Judge = (question: Question) => Verdict

const VERBS = ['read', 'create', 'update', 'delete']

/**
 * A judge over the kernel.
 * @param role of questions that name none; without it they get every grant, with reach `own` where rows have an owner
 * @param note takes what is worth saying once, beside the answers
 * @throws UsageError where there is no such role
 */
export function createJudge(scope: Scope, role: string | undefined, note: (line: string) => void): Judge {
  const { roles } = scope.manifest
  const granted = new Map(Object.entries(roles).map(([name, grants]) => [name, parseGrants(grants)]))
  const known = granted.size === 0 ? 'It has none.' : `There are: ${[...granted.keys()].join(', ')}.`
  if (role !== undefined && !granted.has(role)) throw new UsageError(`There is no role "${role}". ${known}`)
  let withoutRole: Grants | undefined
  const grantsOf = (name: string | undefined): Grants | undefined => {
    if (name !== undefined) return granted.get(name)
    if (withoutRole === undefined) note(noteOf(scope.manifest))
    withoutRole ??= everyGrant(scope.manifest)
    return withoutRole
  }
  return (question) => {
    const holder = question.role ?? role
    const grants = grantsOf(holder)
    if (grants === undefined) return refused('role_unknown', 'The manifest has no such role.', known)
    try {
      return scopedAs(scope.scope(question.sql, grants, holder))
    } catch (error) {
      if (error instanceof ScopeRefusal) return refusedBy(error)
      // refused too, and the next statement is judged for itself: whoever sent a thousand gets a thousand answers
      note(`The kernel failed: ${error instanceof Error ? error.stack : String(error)}`)
      return refused('kernel_failed', 'The kernel failed on this statement. Please report it.')
    }
  }
}

/** The answer to a line that asks for nothing. */
export function unreadable({ unreadable: code, hint }: Unreadable): Refused {
  if (code === 'line_malformed')
    return refused(code, 'The line is not an object {"sql": text, "role": text} in JSON.', hint)
  return refused(code, refusalCodes[code], hint)
}

function scopedAs({ text, slots, proof }: ScopedStatement): Scoped {
  const values = slots.map((slot) => (slot.kind === 'value' ? `p${slot.index + 1}` : slot.kind))
  return { verdict: 'scoped', sql: text, values, proof }
}

/** A refusal of the kernel's, as an answer. */
export function refusedBy({ code, message, hint, position }: ScopeRefusal): Refused {
  return { ...refused(code, message, hint), position: position ?? null }
}

function refused(code: string, message: string, hint?: string): Refused {
  return { verdict: 'refused', code, position: null, message, ...(hint === undefined ? {} : { hint }) }
}

/** Every verb on every table: one's own rows, and all of the tenant's where nobody owns any. */
function everyGrant(manifest: Manifest): Grants {
  const owned = new Set(manifest.tables.filter((table) => isOwned(manifest, table)).map(({ resource }) => resource))
  return parseGrants(
    manifest.tables.flatMap(({ resource }) =>
      VERBS.map((verb) => `${resource}:${verb}${owned.has(resource) ? '@own' : ''}`),
    ),
  )
}

function isOwned(manifest: Manifest, table: Table): boolean {
  return (parentOf(manifest, table) ?? table).owner !== undefined
}

function noteOf(manifest: Manifest): string {
  const ownerless = manifest.tables.filter((table) => !isOwned(manifest, table))
  const names = ownerless.map(({ schema, name }) => `${schema}.${name}`).join(', ')
  const beyond = names === '' ? '' : ` Nobody owns rows of ${names}: there it is the tenant’s.`
  return `No role is named: every grant is held, with reach own.${beyond}`
}
