/** A statement: its final text and the name it is prepared under on a connection. One name stands for one text, always. */
export type Statement = {
  /** At most 63 bytes; `''`: unnamed, planned afresh each time – for texts of which there is no bounded number. */
  readonly name: string
  readonly text: string
}

/** A statement with the values of its parameters. */
export type Query = { readonly statement: Statement; readonly values: readonly unknown[] }

/** A row: column name → value as `pg` parses it. */
export type Row = Record<string, unknown>

/** What a statement gave; `rowCount` is from the command tag, so also known where no rows come back. */
export type Result<R extends object = Row> = { readonly rows: R[]; readonly rowCount: number }
