import type { Message } from './messages.ts'
import type { SmtpSettings } from './settings.ts'

/** A mail on its way out. */
export type OutgoingMail = { readonly id: string; readonly recipient: string; readonly message: Message }

/** Carries one mail; resolves when the next hop has taken it. */
export type Transport = {
  send(mail: OutgoingMail): Promise<void>
  close(): void
}

/** How long SMTP may take to connect, greet and answer: a worker must not hang on a dead relay. */
const SMTP_TIMEOUT_MS = 15_000

/**
 * SMTP by nodemailer, loaded when first needed.
 * The recipient goes as one address object, never as text to be parsed into several (CWE-93).
 */
export async function createSmtpTransport(settings: SmtpSettings): Promise<Transport> {
  const { createTransport } = await import('nodemailer')
  const { from, host, port, secure, user, password } = settings
  const relay = createTransport({
    host,
    port,
    secure,
    // CWE-319: a mail carries secrets, so it leaves the machine over TLS or not at all
    requireTLS: !secure && !isLoopback(host),
    ignoreTLS: !secure && isLoopback(host),
    ...(user === '' ? {} : { auth: { user, pass: password } }),
    connectionTimeout: SMTP_TIMEOUT_MS,
    greetingTimeout: SMTP_TIMEOUT_MS,
    socketTimeout: SMTP_TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  const domain = from.slice(from.lastIndexOf('@') + 1)
  return {
    async send({ id, recipient, message }) {
      await relay.sendMail({
        from: { address: from, name: 'Holdfast' },
        to: { address: recipient, name: '' },
        subject: message.subject,
        text: message.text,
        // delivered at least once: the same mail sent twice has the same id, so a reader shows it once
        messageId: `<${id}@${domain}>`,
        headers: { 'Auto-Submitted': 'auto-generated' },
      })
    },
    close: () => relay.close(),
  }
}

/** For development: prints each mail. */
export function createConsoleTransport(print: (text: string) => void): Transport {
  return {
    async send({ recipient, message }) {
      print(`--- mail to ${recipient}: ${message.subject}\n${message.text}---`)
    },
    close() {},
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}
