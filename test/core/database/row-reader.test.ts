import { expect, test } from 'vitest'
import { readArray, readerFor, readRow, rowReader } from '../../../src/core/database/row-reader.ts'
import type { Field } from '../../../src/core/database/statement.ts'

const field = (name: string, dataTypeID = 25): Field => ({
  name,
  dataTypeID,
  tableID: 0,
  columnID: 0,
  dataTypeSize: -1,
  dataTypeModifier: -1,
  format: 'text',
})

test('a column may bear any name: none of them reaches the prototype', () => {
  const names = ['__proto__', 'constructor', 'toString', 'a', '']
  const row = readRow(rowReader(names.map((name) => field(name))), ['p', 'c', 's', 'x', 'e'])
  expect(Object.getPrototypeOf(row)).toBe(Object.prototype)
  expect(Object.entries(row)).toEqual(names.map((name, index) => [name, ['p', 'c', 's', 'x', 'e'][index]]))
  expect(({} as Record<string, unknown>)['p']).toBeUndefined()
})

test('of two columns of one name the last is kept, as pg does', () => {
  const reader = rowReader([field('n', 23), field('n', 16)])
  expect(readRow(reader, ['1', 't'])).toEqual({ n: true })
  expect(readArray(reader, ['1', 't'])).toEqual([1, true])
})

test('a query may bring type parsers of its own, and others keep theirs', () => {
  const reader = rowReader([field('n', 23)])
  const asked: unknown[] = []
  const types = {
    getTypeParser: (oid: number, format: string) => {
      asked.push([oid, format])
      return (text: string) => `<${text}>`
    },
  }
  expect(readRow(readerFor(reader, { types }), ['1'])).toEqual({ n: '<1>' })
  expect(asked).toEqual([[23, 'text']])
  expect(readRow(readerFor(reader, {}), ['1'])).toEqual({ n: 1 })
})

test.each([[['1']], [['1', '2', '3']]])('a row of %o for two columns is refused', (values) => {
  const reader = rowReader(['a', 'b'].map((name) => field(name)))
  expect(() => readRow(reader, values)).toThrow(RangeError)
  expect(() => readArray(reader, values)).toThrow(RangeError)
})
