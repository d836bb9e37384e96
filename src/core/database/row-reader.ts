import pg from 'pg'
import type { Field, Reading, Row } from './statement.ts'

type Column = { readonly name: string; readonly read: (text: string) => unknown }

/** How the rows of one statement are read: made from its row description, once a name and connection. */
export type RowReader = { readonly fields: readonly Field[]; readonly columns: readonly Column[] }

/** Makes a reader from a row description, with the type parsers of `pg`, or those that are given. */
export function rowReader(fields: readonly Field[], types: Reading['types'] = pg.types): RowReader {
  const columns = fields.map(({ name, dataTypeID }) => ({ name, read: types.getTypeParser(dataTypeID, 'text') }))
  return { fields, columns }
}

/** The same reader with the type parsers that a query asks for. */
export function readerFor(reader: RowReader, { types }: Reading): RowReader {
  return types === undefined ? reader : rowReader(reader.fields, types)
}

/**
 * Reads one row.
 *
 * @throws RangeError when the row has not the number of columns that were described
 */
export function readRow({ columns }: RowReader, values: readonly (string | null)[]): Row {
  if (values.length !== columns.length) throw new RangeError('a row has not the columns that were described')
  const row: Row = {}
  for (let index = 0; index < values.length; index++) {
    const column = columns[index] as Column
    const text = values[index] as string | null
    const value = text === null ? null : column.read(text)
    // A column may bear any name; this one would set the row's prototype instead (CWE-1321).
    if (column.name === '__proto__')
      Object.defineProperty(row, column.name, { value, enumerable: true, writable: true })
    else row[column.name] = value
  }
  return row
}

/**
 * Reads one row as an array, as `rowMode: 'array'` asks for: columns of one name stay apart.
 *
 * @throws RangeError as `readRow`
 */
export function readArray({ columns }: RowReader, values: readonly (string | null)[]): unknown[] {
  if (values.length !== columns.length) throw new RangeError('a row has not the columns that were described')
  return values.map((text, index) => (text === null ? null : (columns[index] as Column).read(text)))
}
