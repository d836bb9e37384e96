import { describe, expect, it } from 'vitest'
import { AccessError, can, isAccess, minutes, open, signedIn } from '../../../src/core/guard/access.ts'

describe('an access', () => {
  it('asks for what it says', () => {
    expect(can('invoice:read', 'invoice:read', 'line:read')).toMatchObject({
      kind: 'can',
      permissions: ['invoice:read', 'line:read'],
      maxAgeSeconds: 0,
      assurance: 'aal1',
    })
    expect(can('member:remove').within(minutes(5)).withSecondFactor()).toMatchObject({
      permissions: ['member:remove'],
      maxAgeSeconds: 300,
      assurance: 'aal2',
    })
    expect(signedIn()).toMatchObject({ kind: 'signed-in' })
    expect(open('liveness probe of the load balancer')).toMatchObject({ kind: 'open' })
  })

  const nonsense: [string, () => unknown][] = [
    ['no permission', () => can()],
    ['an empty one', () => can('')],
    ['no verb', () => can('invoice')],
    ['upper case', () => can('Invoice:read')],
    ['a wildcard', () => can('invoice:*')],
    ['a reach', () => can('invoice:read@own')],
    ['an age of nothing', () => can('a:b').within(minutes(0))],
    ['an age over a day', () => can('a:b').within(minutes(1441))],
    ['no reason', () => open('')],
    ['a reason that says nothing', () => open('because')],
  ]
  it.each(nonsense)('is refused for %s', (_, make) => {
    expect(make).toThrow(AccessError)
  })

  it('cannot be forged by a look-alike', () => {
    expect(isAccess(can('a:b'))).toBe(true)
    expect(isAccess(signedIn().within(minutes(1)))).toBe(true)
    expect(isAccess(open('liveness probe'))).toBe(true)
    expect(isAccess({ kind: 'can', permissions: [], maxAgeSeconds: 0, assurance: 'aal1' })).toBe(false)
    expect(isAccess({ ...can('a:b') })).toBe(false)
    expect(isAccess({ kind: 'open', because: 'liveness probe' })).toBe(false)
    expect(isAccess(Object.freeze({ kind: 'open', because: 'liveness probe' }))).toBe(false)
    expect(isAccess(undefined)).toBe(false)
    expect(isAccess(true)).toBe(false)
  })
})
