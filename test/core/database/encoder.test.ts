import { createRequire } from 'node:module'
import fc from 'fast-check'
import pg from 'pg'
import { expect, test } from 'vitest'
import { encodeFlight, encodeValues, type WireStep, type WireValue } from '../../../src/core/database/encoder.ts'

type Serialize = {
  close(message: { type: string; name: string }): Uint8Array
  parse(message: { name: string; text: string; types: number[] }): Uint8Array
  bind(message: { statement: string; values: unknown[]; valueMapper: (value: unknown) => unknown }): Uint8Array
  describe(message: { type: string; name: string }): Uint8Array
  execute(): Uint8Array
  sync(): Uint8Array
}

// pg's own copy of its protocol package.
const { serialize } = createRequire(createRequire(import.meta.url).resolve('pg'))('pg-protocol') as {
  serialize: Serialize
}
const { utils } = pg as unknown as { utils: { prepareValue: (value: unknown) => string | Buffer | null } }

/** The same messages by `pg`'s own serializer. */
function byPg(closes: readonly string[], steps: readonly WireStep[]): Buffer {
  const parts: Uint8Array[] = closes.map((name) => serialize.close({ type: 'S', name }))
  for (const { statement, parse, describe, values } of steps) {
    if (parse) parts.push(serialize.parse({ name: statement.name, text: statement.text, types: [] }))
    parts.push(serialize.bind({ statement: statement.name, values: [...values], valueMapper: utils.prepareValue }))
    if (describe) parts.push(serialize.describe({ type: 'P', name: '' }))
    parts.push(serialize.execute())
  }
  parts.push(serialize.sync())
  return Buffer.concat(parts)
}

// Every code unit, lone surrogates too; astral characters; long enough to leave pg's own first buffer.
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
  fc.string({ unit: 'grapheme', minLength: 900, maxLength: 1100 }),
)
const cString = anyText.map((text) => text.replaceAll('\0', ''))
const name = fc.stringMatching(/^[a-z_0-9é]{0,30}$/)
const value: fc.Arbitrary<WireValue> = fc.oneof(
  anyText,
  fc.constant(null),
  fc.uint8Array({ maxLength: 70 }).map((bytes) => Buffer.from(bytes)),
)
const step: fc.Arbitrary<WireStep> = fc.record({
  statement: fc.record({ name, text: cString }),
  parse: fc.boolean(),
  describe: fc.boolean(),
  values: fc.array(value, { maxLength: 12 }),
})

test('a flight is, byte for byte, the messages that pg would have sent one by one', () => {
  fc.assert(
    fc.property(fc.array(name, { maxLength: 3 }), fc.array(step, { maxLength: 6 }), (closes, steps) => {
      const named = closes.filter((text) => text !== '')
      expect(encodeFlight(named, steps).equals(byPg(named, steps))).toBe(true)
    }),
    { numRuns: 2_000 },
  )
})

test('values are prepared as pg prepares them', () => {
  const any = fc.oneof(
    anyText,
    fc.integer(),
    fc.double(),
    fc.bigInt(),
    fc.boolean(),
    fc.constant(null),
    fc.constant(undefined),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array({ maxLength: 20 }),
    fc.array(fc.oneof(anyText, fc.integer(), fc.constant(null)), { maxLength: 4 }),
    fc.jsonValue().filter((json) => typeof json === 'object'),
  )
  fc.assert(
    fc.property(fc.array(any, { maxLength: 6 }), (values) => {
      expect(encodeValues(values)).toEqual(values.map((one) => utils.prepareValue(one)))
    }),
  )
})

test('lengths are those of the bytes, not of the characters', () => {
  const bytes = encodeFlight(
    [],
    [{ statement: { name: '', text: '' }, parse: false, describe: false, values: ['ż✓𝄞'] }],
  )
  expect(bytes.includes(Buffer.from([0, 0, 0, 9, ...Buffer.from('ż✓𝄞')]))).toBe(true)
})

test('more values than the protocol can count are refused', () => {
  expect(encodeValues(Array.from({ length: 65_535 }, () => 'x'))).toHaveLength(65_535)
  expect(() => encodeValues(Array.from({ length: 65_536 }, () => 'x'))).toThrow('65536')
})
