import { expect, test } from 'vitest'
import { hashSessionToken, newSessionToken } from '../../../src/core/guard/credential.ts'
import { newSecret, readSecret, type SecretPurpose } from '../../../src/service/identity/secret.ts'

const purposes: SecretPurpose[] = ['setup', 'sign_up', 'invitation']

test.each(purposes)('a %s token reads back as its purpose and hash', (purpose) => {
  const { token, hash } = newSecret(purpose)
  expect(token).toMatch(/^hf[pui]_[A-Za-z0-9_-]{43}$/)
  expect(hash).toHaveLength(32)
  expect(readSecret(token)).toEqual({ purpose, hash })
  expect(hashSessionToken(token)).toBeUndefined()
})

test('a token of one purpose with the prefix of another is another purpose, so it finds no row', () => {
  const { token } = newSecret('sign_up')
  expect(readSecret(token.replace('hfu_', 'hfi_'))?.purpose).toBe('invitation')
})

test('the randomness is passed in', () => {
  const zeros = newSecret('setup', () => Buffer.alloc(32))
  expect(zeros.token).toBe(`hfp_${'A'.repeat(43)}`)
})

const { token } = newSecret('invitation', () => Buffer.alloc(32))
test.each([
  '',
  'hfi_',
  token.slice(0, -1),
  `${token}A`,
  `${token}=`,
  ` ${token}`,
  token.toUpperCase(),
  `${token.slice(0, -1)}B`, // two bits too many
  newSessionToken().token,
])('%j is no token', (text) => {
  expect(readSecret(text)).toBeUndefined()
})
