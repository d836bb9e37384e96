import { expect, test } from 'vitest'
import { readRow, rowReader } from '../../../src/core/database/row-reader.ts'

test('a column may bear any name: none of them reaches the prototype', () => {
  const names = ['__proto__', 'constructor', 'toString', 'a', '']
  const row = readRow(rowReader(names.map((name) => ({ name, dataTypeID: 25 }))), ['p', 'c', 's', 'x', 'e'])
  expect(Object.getPrototypeOf(row)).toBe(Object.prototype)
  expect(Object.entries(row)).toEqual(names.map((name, index) => [name, ['p', 'c', 's', 'x', 'e'][index]]))
  expect(({} as Record<string, unknown>)['p']).toBeUndefined()
})

test('of two columns of one name the last is kept, as pg does', () => {
  const reader = rowReader([
    { name: 'n', dataTypeID: 23 },
    { name: 'n', dataTypeID: 16 },
  ])
  expect(readRow(reader, ['1', 't'])).toEqual({ n: true })
})

test.each([[['1']], [['1', '2', '3']]])('a row of %o for two columns is refused', (values) => {
  const reader = rowReader(['a', 'b'].map((name) => ({ name, dataTypeID: 25 })))
  expect(() => readRow(reader, values)).toThrow(RangeError)
})
