import { IdentityError } from './errors.ts'

/** Longest name in characters, as the tables have it. */
const NAME_MAX = 200
/** Longest user agent that is kept: enough to tell one's devices apart. */
const USER_AGENT_MAX = 200

/** Controls, format characters (direction overrides among them), line separators, unpaired surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu
/** Joiners that scripts and emoji need inside a name. */
const JOINERS = /[\u200c\u200d]/g

/**
 * A name as it is shown to others: trimmed, NFC, 1 to 200 characters, nothing invisible (CWE-451).
 * @throws IdentityError the given code
 */
export function parseName(text: string, code: 'display_name_invalid' | 'tenant_name_invalid'): string {
  const name = text.trim().normalize('NFC')
  const visible = name.replace(JOINERS, '')
  if (visible === '' || Array.from(name).length > NAME_MAX || visible.search(UNPRINTABLE) !== -1)
    throw new IdentityError(code)
  return name
}

/** A User-Agent header as it is kept with a session: cut and cleaned (CWE-117). */
export function userAgentOf(header: string | undefined): string {
  return Array.from((header ?? '').replace(UNPRINTABLE, ''))
    .slice(0, USER_AGENT_MAX)
    .join('')
}
