/** What a message says; whom it goes to is the outbox's business. */
export type Message = { readonly subject: string; readonly text: string }

/** Page of the console that completes a sign-up; the token stands in the fragment, which no server or Referer sees. */
const COMPLETE_PATH = '/complete'

/**
 * To an address without an account: proves the address, and nothing was decided before it (CWE-640).
 * @param origin the configured origin, `https://app.example.com`; never from a Host header (CWE-640)
 */
export function signUpMessage(origin: string, token: string, minutes: number): Message {
  return {
    subject: 'Confirm your e-mail address',
    text: `Somebody – you, we hope – asked to sign up with this address.

To go on, open this link within ${minutes} minutes and choose a password:
${link(origin, token)}

Or send the token to POST /v1/sign-up/complete:
${token}

If it was not you, do nothing: without this link no account is made.
`,
  }
}

/** To an address that has an account: the sign-up's answer is the same, only this mail says so (CWE-204). */
export function accountExistsMessage(origin: string): Message {
  return {
    subject: 'You have an account already',
    text: `Somebody – you, perhaps – asked to sign up with this address, which has an account already.

Sign in at ${new URL('/', origin).href}

If it was not you, do nothing: nothing has changed, and whoever asked was not told that you have an account.
`,
  }
}

/**
 * To an invited address.
 * @param tenantSlug the slug, not the name: a slug cannot carry a link or a sentence of a stranger's (CWE-451)
 */
export function invitationMessage(
  origin: string,
  token: string,
  invitation: { readonly tenantSlug: string; readonly role: string; readonly days: number },
): Message {
  return {
    subject: `Invitation to ${invitation.tenantSlug}`,
    text: `You are invited to join "${invitation.tenantSlug}" as ${invitation.role}.

To accept, open this link within ${invitation.days} days:
${link(origin, token)}

With an account for this address, sign in and send the token to POST /v1/invitations/accept;
without one, send it to POST /v1/sign-up/complete with a password:
${token}

The invitation holds for this address only. If you do not know who sent it, do nothing.
`,
  }
}

function link(origin: string, token: string): string {
  const url = new URL(COMPLETE_PATH, origin)
  url.hash = `token=${token}`
  return url.href
}
