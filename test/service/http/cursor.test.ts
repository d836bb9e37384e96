import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CURSOR_CHARACTERS, createCursors } from '../../../src/service/http/cursor.ts'
import { HttpProblem } from '../../../src/service/http/problem.ts'

const cursors = createCursors(Buffer.alloc(32, 3))
const scope = ['GET /v1/teams', '6f7e0e1c-0000-4000-8000-000000000001', 'name=a']

const texts = fc.array(fc.string({ unit: 'binary', maxLength: 20 }), { maxLength: 4 })
const positions = fc.array(fc.string({ unit: 'grapheme', maxLength: 12 }), { maxLength: 3 })

function refusal(open: () => unknown): string {
  try {
    open()
  } catch (error) {
    if (error instanceof HttpProblem) return `${error.problem.status} ${error.problem.code}`
    throw error
  }
  return 'opened'
}

describe('a cursor', () => {
  it('gives its position back in its own scope', () => {
    fc.assert(
      fc.property(texts, positions, (own, position) => {
        const text = cursors.seal(own, position)
        expect(text).toMatch(/^[\w-]+$/)
        expect(text.length).toBeLessThanOrEqual(CURSOR_CHARACTERS)
        expect(cursors.open(own, text)).toEqual(position)
        expect(cursors.peek(text)).toEqual(position)
      }),
    )
  })

  it('opens in no other scope', () => {
    fc.assert(
      fc.property(texts, texts, positions, (own, other, position) => {
        fc.pre(JSON.stringify(own) !== JSON.stringify(other))
        expect(refusal(() => cursors.open(other, cursors.seal(own, position)))).toBe('400 cursor_invalid')
      }),
    )
  })

  it.each([
    [['a', 'b'], ['ab']],
    [['a', ''], ['a']],
    [['a","b'], ['a', 'b']],
    [['a\nb'], ['a', 'b']],
    [[], ['']],
  ])('knows where a part of its scope ends: %j is not %j', (own, other) => {
    expect(refusal(() => cursors.open(other, cursors.seal(own, ['x'])))).toBe('400 cursor_invalid')
  })

  it('opens with no other key', () => {
    const other = createCursors(randomBytes(32))
    expect(refusal(() => other.open(scope, cursors.seal(scope, ['core'])))).toBe('400 cursor_invalid')
  })

  it('is refused with any one bit turned', () => {
    const text = cursors.seal(scope, ['c\ufffdre', '6f7e0e1c-0000-4000-8000-000000000002'])
    const bytes = Buffer.from(text, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const turned = Buffer.from(bytes)
      turned.writeUInt8(turned.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      expect(refusal(() => cursors.open(scope, turned.toString('base64url')))).toBe('400 cursor_invalid')
    }
  })

  it('is refused with any one character changed, cut off or added', () => {
    const text = cursors.seal(scope, ['core'])
    for (let at = 0; at < text.length; at++) {
      const changed = [text.slice(0, at), text.slice(at + 1), text.slice(0, at) + text.slice(at + 1)]
      for (const letter of 'Aa0-_=+/. \n\u0000é') {
        changed.push(text.slice(0, at) + letter + text.slice(at), text.slice(0, at) + letter + text.slice(at + 1))
      }
      for (const one of changed.filter((other) => other !== text))
        expect(refusal(() => cursors.open(scope, one))).toBe('400 cursor_invalid')
    }
    for (const end of ['=', '==', 'A', ' ', '\n', '.', '\u0000', text])
      expect(refusal(() => cursors.open(scope, text + end))).toBe('400 cursor_invalid')
  })

  it('has one spelling: spare bits of the last character are none', () => {
    const position = ['x', 'xx', 'xxx'].find((x) => Buffer.from(cursors.seal(scope, [x]), 'base64url').length % 3 === 1)
    const text = cursors.seal(scope, [position ?? ''])
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const last = alphabet.indexOf(text.at(-1) ?? '')
    const twin = text.slice(0, -1) + alphabet[last + 1]
    expect(Buffer.from(twin, 'base64url').equals(Buffer.from(text, 'base64url'))).toBe(true)
    expect(refusal(() => cursors.open(scope, twin))).toBe('400 cursor_invalid')
  })

  it.each(['', 'A', 'A'.repeat(60), Buffer.from(`${'x'.repeat(32)}{"0":"a"}`).toString('base64url')])(
    'says nothing that could be taken for a position: %j',
    (text) => {
      expect(cursors.peek(text)).toBeUndefined()
    },
  )

  it('is not anything else', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary', maxLength: 600 }),
          fc.base64String({ maxLength: 600 }),
          fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
        ),
        (text) => {
          expect(refusal(() => cursors.open(scope, text))).toBe('400 cursor_invalid')
        },
      ),
    )
  })

  it('has a greatest length, made and taken', () => {
    expect(() => cursors.seal(scope, ['x'.repeat(CURSOR_CHARACTERS)])).toThrow(RangeError)
    expect(refusal(() => cursors.open(scope, 'A'.repeat(CURSOR_CHARACTERS + 4)))).toBe('400 cursor_invalid')
    // what is after the limit is not even decoded
    expect(refusal(() => cursors.open(scope, 'A'.repeat(10_000_000)))).toBe('400 cursor_invalid')
  })
})
