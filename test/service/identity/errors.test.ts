import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { IdentityError, type IdentityErrorCode, identityErrors } from '../../../src/service/identity/errors.ts'

const codes = Object.keys(identityErrors) as IdentityErrorCode[]
const rooms = ['identity', 'tenancy'].map((room) =>
  readFileSync(new URL(`../../../src/service/${room}/README.md`, import.meta.url), 'utf8'),
)

test.each(codes)('%s: an answer for the client, and a place in a README', (code) => {
  const error = new IdentityError(code, { cause: new Error('private') })
  expect(error.status).toBeGreaterThanOrEqual(400)
  expect(error.status === 503 || error.status < 500).toBe(true)
  expect(error.message).toMatch(/^[A-Z].*\.$/)
  expect(error.message).not.toContain('private')
  expect(error.stack).toContain('errors.test.ts')
  expect(rooms.join('')).toContain(`\`${code}\``)
})
