import { describe, expect, it } from 'vitest'
import { newSessionToken } from '../../../src/core/guard/credential.ts'
import { createHints, formatHint, hintKey, parseHint } from '../../../src/core/guard/hint.ts'

const hint = { userId: 'u', tenantId: 't', role: 'viewer', version: 'v' }

describe('hints', () => {
  it('forget the least recently used', () => {
    const hints = createHints(2)
    hints.set('a', hint)
    hints.set('b', hint)
    hints.get('a')
    hints.set('c', hint)
    expect([hints.get('a'), hints.get('b'), hints.get('c')]).toEqual([hint, undefined, hint])
    hints.forget('a')
    expect(hints.get('a')).toBeUndefined()
  })

  it('travel as text and back', () => {
    expect(parseHint(formatHint(hint))).toEqual(hint)
    expect(parseHint(formatHint({ ...hint, tenantId: '', role: '' }))).toEqual({ ...hint, tenantId: '', role: '' })
    expect(formatHint(undefined)).toBe('')
    for (const broken of [undefined, '', 'u|t|r', 'u|t|r|v|x', '|t|r|v', 'u|t|r|'])
      expect(parseHint(broken)).toBeUndefined()
  })

  it('are kept apart by credential, tenant and need', () => {
    const one = { kind: 'session', transport: 'bearer', hash: newSessionToken().hash } as const
    const two = { ...one, hash: newSessionToken().hash }
    const keys = [hintKey(one, [], true), hintKey(one, [], false), hintKey(one, ['acme'], true), hintKey(two, [], true)]
    expect(new Set(keys).size).toBe(4)
    expect(hintKey({ ...one, transport: 'cookie' }, [], true)).toBe(keys[0])
  })
})
