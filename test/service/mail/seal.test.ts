import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { type SealKeys, seal, unseal } from '../../../src/service/mail/seal.ts'

const keys: SealKeys = { current: 2, keys: new Map([1, 2].map((id) => [id, randomBytes(32)])) }

test.each(['', 'a', 'grüße 🔑', 'x'.repeat(100_000)])('%j comes back', (text) => {
  const sealed = seal(keys, 'purpose', text)
  expect(sealed[0]).toBe(2)
  expect(unseal(keys, 'purpose', sealed)).toBe(text)
  expect(seal(keys, 'purpose', text).equals(sealed)).toBe(false)
})

test('an older key still opens what it sealed', () => {
  const older = seal({ ...keys, current: 1 }, 'purpose', 'text')
  expect(unseal(keys, 'purpose', older)).toBe('text')
})

test('every changed bit, every cut, another purpose and another key break the seal', () => {
  const sealed = seal(keys, 'purpose', 'text')
  for (let index = 0; index < sealed.length; index++) {
    for (const bit of [1, 128]) {
      const changed = Buffer.from(sealed)
      changed[index] = (changed[index] ?? 0) ^ bit
      expect(() => unseal(keys, 'purpose', changed)).toThrowError(expect.objectContaining({ code: 'seal_broken' }))
    }
    expect(() => unseal(keys, 'purpose', sealed.subarray(0, index))).toThrow()
  }
  expect(() => unseal(keys, 'purpose2', sealed)).toThrowError(expect.objectContaining({ code: 'seal_broken' }))
  const others: SealKeys = { current: 2, keys: new Map([[2, randomBytes(32)]]) }
  expect(() => unseal(others, 'purpose', sealed)).toThrowError(expect.objectContaining({ code: 'seal_broken' }))
  // the id is part of what is sealed: the same key under another id does not open it
  const renamed: SealKeys = { current: 1, keys: new Map([[1, keys.keys.get(2) ?? Buffer.of()]]) }
  expect(() => unseal(renamed, 'purpose', Buffer.concat([Buffer.of(1), sealed.subarray(1)]))).toThrow()
})
