import { expect, test } from 'vitest'
import { deriveKeys } from '../../../src/service/identity/keys.ts'

test('each purpose has its own key, the same each time, and none is the root', () => {
  const root = Buffer.alloc(32, 7)
  const { throttle, cursor, outbox } = deriveKeys(root)
  const seal = outbox.keys.get(outbox.current)
  expect(throttle).toHaveLength(32)
  expect(cursor).toHaveLength(32)
  expect(seal).toHaveLength(32)
  expect(new Set([root, throttle, cursor, seal].map((key) => key?.toString('hex'))).size).toBe(4)
  expect(deriveKeys(root).throttle.equals(throttle)).toBe(true)
  expect(deriveKeys(Buffer.alloc(32, 8)).throttle.equals(throttle)).toBe(false)
})

test.each([0, 16, 31, 33, 64])('a root of %i bytes is refused', (length) => {
  expect(() => deriveKeys(Buffer.alloc(length))).toThrow('32 bytes')
})
