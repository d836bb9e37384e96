import type { FieldDef } from 'pg'

/** A statement: its final text and the name it is prepared under on a connection. One name stands for one text, always. */
export type Statement = {
  /** At most 63 bytes; `''`: unnamed, planned afresh each time – for texts of which there is no bounded number. */
  readonly name: string
  readonly text: string
}

/** Turns a value's text into what the row has of it, by the object id of its type: as `types` of `pg`. */
export type TypeParsers = { getTypeParser(oid: number, format: 'text'): (text: string) => unknown }

/** How rows are given; if nothing is said, as objects with the type parsers of `pg`. */
export type Reading = { readonly rowMode?: 'array' | undefined; readonly types?: TypeParsers | undefined }

/** A statement with the values of its parameters. */
export type Query = { readonly statement: Statement; readonly values: readonly unknown[]; readonly reading?: Reading }

/** A row: column name → value as `pg` parses it. */
export type Row = Record<string, unknown>

/** A column of an answer, as `pg` describes it. */
export type Field = FieldDef

/** What a statement gave, in the shape of `pg`'s own result. */
export type Result<R extends object = Row> = {
  readonly rows: R[]
  /** From the command tag, so also known where no rows come back. */
  readonly rowCount: number
  /** First word of the command tag, such as `INSERT`. */
  readonly command: string
  /** Always 0: since PostgreSQL 12 no row has an object id. */
  readonly oid: number
  /** The columns of the rows; none where no rows can come back. */
  readonly fields: Field[]
}

/** One answer. What few ask for is in no property of its own, so that an answer is written down as rows and count. */
export class Answer implements Result {
  readonly rows: Row[]
  readonly rowCount: number
  readonly #tag: string
  readonly #fields: readonly Field[]

  /** @param tag - the command tag, such as `INSERT 0 3` */
  constructor(rows: Row[], rowCount: number, tag: string, fields: readonly Field[]) {
    this.rows = rows
    this.rowCount = rowCount
    this.#tag = tag
    this.#fields = fields
  }

  get command(): string {
    return /^[A-Z]*/.exec(this.#tag)?.[0] ?? ''
  }

  get oid(): number {
    return 0
  }

  get fields(): Field[] {
    return [...this.#fields]
  }
}
