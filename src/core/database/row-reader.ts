import pg from 'pg'
import type { Row } from './statement.ts'

type Column = { readonly name: string; readonly read: (text: string) => unknown }

/** How the rows of one statement are read: made from its row description, once a name and connection. */
export type RowReader = readonly Column[]

/** A field of a row description, as far as it is used. */
export type FieldDescription = { readonly name: string; readonly dataTypeID: number }

/** Makes a reader from a row description, with the type parsers of `pg`. */
export function rowReader(fields: readonly FieldDescription[]): RowReader {
  return fields.map(({ name, dataTypeID }) => ({ name, read: pg.types.getTypeParser(dataTypeID, 'text') }))
}

/**
 * Reads one row.
 *
 * @throws RangeError when the row has not the number of columns that were described
 */
export function readRow(reader: RowReader, values: readonly (string | null)[]): Row {
  if (values.length !== reader.length) throw new RangeError('a row has not the columns that were described')
  const row: Row = {}
  for (let index = 0; index < values.length; index++) {
    const column = reader[index] as Column
    const text = values[index] as string | null
    const value = text === null ? null : column.read(text)
    // A column may bear any name; this one would set the row's prototype instead (CWE-1321).
    if (column.name === '__proto__')
      Object.defineProperty(row, column.name, { value, enumerable: true, writable: true })
    else row[column.name] = value
  }
  return row
}
