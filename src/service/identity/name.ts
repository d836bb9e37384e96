import { IdentityError } from './errors.ts'

/** Longest name in characters, as the tables have it. */
const NAME_MAX = 200
/** Longest user agent that is kept: enough to tell one's devices apart. */
const USER_AGENT_MAX = 200

/** Controls, format characters (direction overrides among them), line separators, unpaired surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu
/** Characters that show nothing, though they are letters, marks or symbols by name: fillers, selectors, blank Braille. */
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\u2800]/u
/** Something to see: a letter, number, sign or symbol, not only spaces and marks. */
const VISIBLE = /[\p{L}\p{N}\p{P}\p{S}]/u
/** What scripts and emoji need inside a name: joiners, and the selectors of text and emoji style. */
const JOINERS = /[\u200c\u200d]|\ufe0e|\ufe0f/g

/**
 * A name as it is shown to others: trimmed, NFC, 1 to 200 characters, nothing invisible (CWE-451).
 * @throws IdentityError the given code
 */
export function parseName(text: string, code: 'display_name_invalid' | 'tenant_name_invalid'): string {
  const name = text.trim().normalize('NFC')
  const rest = name.replace(JOINERS, '')
  const isShown = VISIBLE.test(rest) && !INVISIBLE.test(rest) && rest.search(UNPRINTABLE) === -1
  if (!isShown || Array.from(name).length > NAME_MAX) throw new IdentityError(code)
  return name
}

/** A User-Agent header as it is kept with a session: cut and cleaned (CWE-117). */
export function userAgentOf(header: string | undefined): string {
  return Array.from((header ?? '').replace(UNPRINTABLE, ''))
    .slice(0, USER_AGENT_MAX)
    .join('')
}
