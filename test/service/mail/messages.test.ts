import { expect, test } from 'vitest'
import { accountExistsMessage, invitationMessage, signUpMessage } from '../../../src/service/mail/messages.ts'

const token = `hfu_${'A'.repeat(43)}`
const origin = 'https://app.example.com'

test.each([
  ['sign-up', signUpMessage(origin, token, 30), true],
  ['account exists', accountExistsMessage(origin), false],
  ['invitation', invitationMessage(origin, token, { tenantSlug: 'acme', role: 'member', days: 7 }), true],
])('%s: links lead to the configured origin only, the token in the fragment', (_, { subject, text }, hasToken) => {
  expect(subject).not.toMatch(/[\r\n]/)
  const links = text.match(/https?:\/\/\S+/g) ?? []
  expect(links.length).toBeGreaterThan(0)
  for (const link of links) {
    const url = new URL(link)
    expect(url.origin).toBe(origin)
    expect(url.search).toBe('')
    expect(url.hash).toBe(hasToken ? `#token=${token}` : '')
  }
  expect(text.includes(`\n${token}\n`)).toBe(hasToken)
})
