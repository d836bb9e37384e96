/** An SMTP relay. */
export type SmtpSettings = {
  readonly host: string
  readonly port: number
  /** TLS from the first byte (usually port 465); else STARTTLS, which is demanded of every host but loopback */
  readonly secure: boolean
  readonly user: string
  readonly password: string
  /** address of the sender */
  readonly from: string
}

/** How mail leaves: by a relay, or printed. */
export type MailSettings = { readonly smtp: SmtpSettings | undefined }

/** A setting of mail is not usable; the message names it and what is allowed. */
export class MailSettingsError extends Error {
  override readonly name = 'MailSettingsError'
  readonly code = 'mail_settings_invalid'
}

const FIELDS = new Set(['smtp_url', 'from'])

/**
 * @param input `{ smtp_url?: 'smtp://user:password@host:587' | 'smtps://…', from?: 'holdfast@example.com' }`; without
 *   `smtp_url` mail is printed
 * @throws MailSettingsError `mail_settings_invalid`; never with the URL in it, which may hold a password (CWE-532)
 */
export function parseMailSettings(input: unknown): MailSettings {
  if (input === undefined) return { smtp: undefined }
  if (typeof input !== 'object' || input === null) refuse('mail', 'an object')
  for (const field of Object.keys(input)) if (!FIELDS.has(field)) refuse(`mail.${field}`, 'absent: it is not known')
  const { smtp_url: urlText, from } = input as Record<string, unknown>
  if (urlText === undefined || urlText === '') return { smtp: undefined }
  if (typeof from !== 'string' || !/^[^\s@,;:"'<>()]+@[A-Za-z0-9.-]+$/.test(from))
    refuse('mail.from', 'one e-mail address')
  if (typeof urlText !== 'string' || !URL.canParse(urlText)) refuse('mail.smtp_url', 'a URL such as smtp://host:587')
  const url = new URL(urlText)
  const secure = url.protocol === 'smtps:'
  if ((!secure && url.protocol !== 'smtp:') || url.hostname === '') refuse('mail.smtp_url', 'smtp:// or smtps://')
  return {
    smtp: {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
      secure,
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      from,
    },
  }
}

function refuse(setting: string, allowed: string): never {
  throw new MailSettingsError(`${setting} must be ${allowed}`)
}
