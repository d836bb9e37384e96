import type { Credential } from './credential.ts'

/** How many callers a process remembers: about 300 bytes each. The least recently used is forgotten. */
const MAX_HINTS = 10_000

/**
 * What a process last saw for a credential. Untrusted: a statement may be bound from it,
 * and *enter* aborts the flight unless it is still true.
 */
export type Hint = {
  readonly userId: string
  readonly tenantId: string
  readonly role: string
  readonly version: string
}

/** Remembers hints by credential and the request's own tenant selectors. */
export type Hints = {
  get(key: string): Hint | undefined
  set(key: string, hint: Hint): void
  forget(key: string): void
}

export function createHints(capacity: number = MAX_HINTS): Hints {
  const known = new Map<string, Hint>()
  return {
    get(key) {
      const hint = known.get(key)
      if (hint !== undefined) {
        known.delete(key)
        known.set(key, hint)
      }
      return hint
    },
    set(key, hint) {
      known.delete(key)
      known.set(key, hint)
      if (known.size > capacity) known.delete(known.keys().next().value ?? key)
    },
    forget(key) {
      known.delete(key)
    },
  }
}

export function hintKey(credential: Credential, selectors: readonly string[], tenantNeeded: boolean): string {
  return `${credential.kind} ${credential.hash.toString('base64url')} ${tenantNeeded} ${selectors.join(' ')}`
}

/** The text that *enter* compares with the truth; `''` for none. */
export function formatHint(hint: Hint | undefined): string {
  return hint === undefined ? '' : `${hint.userId}|${hint.tenantId}|${hint.role}|${hint.version}`
}

/** Reads the truth that *enter* reported when a hint was stale. */
export function parseHint(text: string | undefined): Hint | undefined {
  const [userId, tenantId, role, version, ...rest] = (text ?? '').split('|')
  if (!userId || tenantId === undefined || role === undefined || !version || rest.length > 0) return undefined
  return { userId, tenantId, role, version }
}
