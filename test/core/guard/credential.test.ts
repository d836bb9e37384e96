import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { credentialOf, hashSessionToken, newSessionToken, SESSION_COOKIE } from '../../../src/core/guard/credential.ts'
import { Denial } from '../../../src/core/guard/denial.ts'

const { token, hash } = newSessionToken()
const other = newSessionToken().token

describe('a session token', () => {
  it('carries 256 random bits and is known by the SHA-256 of its bytes', () => {
    const secret = Buffer.from(token.slice(4), 'base64url')
    expect(secret).toHaveLength(32)
    expect(hash).toEqual(createHash('sha256').update(secret).digest())
    expect(hashSessionToken(token)).toEqual(hash)
  })

  it('has one spelling only', () => {
    const last = token.at(-1) ?? ''
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const twins = alphabet
      .split('')
      .filter((letter) => letter !== last)
      .map((letter) => token.slice(0, -1) + letter)
    const sameSecret = twins.filter((twin) =>
      Buffer.from(twin.slice(4), 'base64url').equals(Buffer.from(token.slice(4), 'base64url')),
    )
    expect(sameSecret).toHaveLength(3)
    for (const twin of sameSecret) expect(hashSessionToken(twin)).toBeUndefined()
  })

  it('is never found in other text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => hashSessionToken(text) === undefined),
      { numRuns: 500 },
    )
  })
})

describe('the credential of a request', () => {
  const cookie = `${SESSION_COOKIE}=${token}`
  const cases: [name: string, headers: string[], outcome: string][] = [
    ['a bearer token', ['Authorization', `Bearer ${token}`], 'bearer'],
    ['a bearer token under another spelling of the scheme', ['authorization', `bearer ${token}`], 'bearer'],
    ['a cookie', ['Cookie', `a=b; ${cookie}; c=d`], 'cookie'],
    ['nothing', ['accept', '*/*'], 'credential_missing'],
    ['an empty authorization', ['authorization', ''], 'credential_malformed'],
    ['another scheme', ['authorization', `Basic ${token}`], 'credential_malformed'],
    ['a token cut short', ['authorization', `Bearer ${token.slice(0, -1)}`], 'credential_malformed'],
    ['a token made longer', ['authorization', `Bearer ${token}A`], 'credential_malformed'],
    ['a token without its prefix', ['authorization', `Bearer ${token.slice(4)}`], 'credential_malformed'],
    ['two spaces', ['authorization', `Bearer  ${token}`], 'credential_malformed'],
    ['two tokens in one header', ['authorization', `Bearer ${token}, Bearer ${other}`], 'credential_malformed'],
    ['a broken bearer beside a good cookie', ['authorization', 'Bearer x', 'cookie', cookie], 'credential_ambiguous'],
    ['bearer and cookie', ['authorization', `Bearer ${token}`, 'cookie', cookie], 'credential_ambiguous'],
    [
      'two authorizations',
      ['authorization', `Bearer ${token}`, 'Authorization', `Bearer ${other}`],
      'credential_ambiguous',
    ],
    ['two session cookies', ['cookie', `${cookie}; ${SESSION_COOKIE}=${other}`], 'credential_ambiguous'],
    ['session cookies in two headers', ['cookie', cookie, 'Cookie', cookie], 'credential_ambiguous'],
    ['a cookie of a like name', ['cookie', `x${cookie}`], 'credential_missing'],
    ['a cookie under another case', ['cookie', cookie.toLowerCase()], 'credential_missing'],
    ['a quoted cookie', ['cookie', `${SESSION_COOKIE}="${token}"`], 'credential_malformed'],
    ['an empty cookie', ['cookie', `${SESSION_COOKIE}=`], 'credential_malformed'],
  ]

  it.each(cases)('%s', (_, headers, outcome) => {
    if (outcome === 'bearer' || outcome === 'cookie') {
      expect(credentialOf(headers)).toEqual({ kind: 'session', transport: outcome, hash })
      return
    }
    expect(() => credentialOf(headers)).toThrow(Denial)
    try {
      credentialOf(headers)
    } catch (error) {
      expect((error as Denial).because).toBe(outcome)
      expect((error as Denial).status).toBe(401)
    }
  })
})
