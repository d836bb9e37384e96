/** Settings of this room. */
export type IdentitySettings = {
  /** Whether anyone may sign up and found tenants; closed by default: by invitation only. */
  readonly signUpOpen: boolean
  /** Origin of the links in mails, such as `https://app.example.com`; never taken from a request (CWE-640). */
  readonly publicOrigin: string
  readonly sessionIdleSeconds: number
  readonly sessionAbsoluteSeconds: number
  readonly signUpTokenSeconds: number
  readonly invitationSeconds: number
  readonly setupTokenSeconds: number
}

/** A setting is not usable; the message names it and the value allowed. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError'
  readonly code = 'identity_settings_invalid'
}

type Duration = { readonly seconds: number; readonly min: number; readonly max: number }

const HOUR = 3600
const DAY = 24 * HOUR

/** Each duration by its setting's name: default and range, in seconds. */
const DURATIONS = {
  /**
   * An hour without a request ends a session: NIST 800-63B-4 for AAL2, ASVS 7.3.1. Three minutes at least: its use is
   * written down once a minute.
   */
  session_idle_seconds: { seconds: HOUR, min: 180, max: 30 * DAY },
  /** A day ends it in any case: NIST 800-63B-4 for AAL2, ASVS 7.3.2. */
  session_absolute_seconds: { seconds: DAY, min: 300, max: 90 * DAY },
  /** Half an hour: long enough for a slow mail, short for a mailbox read by others. */
  sign_up_token_seconds: { seconds: HOUR / 2, min: 300, max: DAY },
  /** A week: invited people are not waiting at their mailbox. */
  invitation_seconds: { seconds: 7 * DAY, min: HOUR, max: 30 * DAY },
  /** A day: an operator who starts the server and comes back in the afternoon. A restart makes a new one. */
  setup_token_seconds: { seconds: DAY, min: 300, max: 7 * DAY },
} as const satisfies Record<string, Duration>

const FIELDS = new Set([...Object.keys(DURATIONS), 'sign_up', 'public_origin'])

/**
 * @param input `{ sign_up?: 'closed' | 'open', public_origin: 'https://…', session_idle_seconds?, … }`
 * @throws SettingsError `identity_settings_invalid`
 */
export function parseIdentitySettings(input: unknown): IdentitySettings {
  if (typeof input !== 'object' || input === null) refuse('identity', 'an object', input)
  const fields = input as Record<string, unknown>
  for (const name of Object.keys(fields)) if (!FIELDS.has(name)) refuse(name, `one of ${[...FIELDS].join(', ')}`, name)
  const signUp = fields.sign_up ?? 'closed'
  if (signUp !== 'closed' && signUp !== 'open') refuse('sign_up', "'closed' or 'open'", signUp)
  const settings = {
    signUpOpen: signUp === 'open',
    publicOrigin: origin(fields.public_origin),
    sessionIdleSeconds: duration(fields, 'session_idle_seconds'),
    sessionAbsoluteSeconds: duration(fields, 'session_absolute_seconds'),
    signUpTokenSeconds: duration(fields, 'sign_up_token_seconds'),
    invitationSeconds: duration(fields, 'invitation_seconds'),
    setupTokenSeconds: duration(fields, 'setup_token_seconds'),
  }
  if (settings.sessionIdleSeconds > settings.sessionAbsoluteSeconds) {
    refuse('session_idle_seconds', 'at most session_absolute_seconds', settings.sessionIdleSeconds)
  }
  return settings
}

function duration(fields: Record<string, unknown>, name: keyof typeof DURATIONS): number {
  const { seconds, min, max } = DURATIONS[name]
  const value = fields[name] ?? seconds
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    refuse(name, `a whole number of seconds from ${min} to ${max}`, value)
  }
  return value
}

function origin(value: unknown): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.href !== `${url.origin}/`) {
    return refuse('http.origin (HOLDFAST_ORIGIN)', 'an origin such as https://app.example.com', value)
  }
  return url.origin
}

function refuse(setting: string, allowed: string, value: unknown): never {
  throw new SettingsError(`${setting} must be ${allowed}, not ${JSON.stringify(value)}`)
}
