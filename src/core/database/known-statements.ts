import { DatabaseError } from './errors.ts'
import type { RowReader } from './row-reader.ts'
import type { Statement } from './statement.ts'

/** A name that the server has on a connection. */
export type KnownStatement = {
  readonly text: string
  /** undefined: not described yet; null: gives no rows. */
  reader: RowReader | null | undefined
}

/**
 * Which prepared names exist on one connection, least recently used first. A name is known once ParseComplete has
 * come – never before: after an error the server skips the Parses that follow.
 */
export class KnownStatements {
  readonly #known = new Map<string, KnownStatement>()
  readonly #limit: number
  readonly #closesSkipped: boolean
  #closing: string[] = []

  /**
   * @param limit - most names on the connection; a plan costs the server tens of kilobytes
   * @param closesSkipped - a pooler notes a name when it passes Parse on, and ends a connection that prepares it again
   */
  constructor(limit: number, closesSkipped: boolean) {
    this.#limit = limit
    this.#closesSkipped = closesSkipped
  }

  /**
   * Looks a name up and marks it as used.
   *
   * @throws DatabaseError `statement_name_reused` when the name stands for another text here
   */
  use(statement: Statement): KnownStatement | undefined {
    const known = this.#known.get(statement.name)
    if (known === undefined) return undefined
    if (known.text !== statement.text) throw new DatabaseError('statement_name_reused')
    this.#known.delete(statement.name)
    this.#known.set(statement.name, known)
    return known
  }

  /** Notes that the server has prepared a name. */
  add(statement: Statement): KnownStatement {
    const known: KnownStatement = { text: statement.text, reader: undefined }
    this.#known.set(statement.name, known)
    return known
  }

  /** Notes that the server did not get to a name's Parse, or refused it. */
  skip(name: string): void {
    if (this.#closesSkipped) this.#closing.push(name)
  }

  /** Forgets all names; the server is told with the next flight. */
  forgetAll(): void {
    this.#closing.push(...this.#known.keys())
    this.#known.clear()
  }

  /**
   * Names to close at the head of the next flight, so that the limit holds after it.
   *
   * @param needed - names the flight uses: never closed
   * @param added - how many of them are new
   */
  takeClosing(needed: ReadonlySet<string>, added: number): string[] {
    const closing = this.#closing
    this.#closing = []
    let surplus = this.#known.size + added - this.#limit
    for (const name of this.#known.keys()) {
      if (surplus <= 0) break
      if (needed.has(name)) continue
      this.#known.delete(name)
      closing.push(name)
      surplus--
    }
    return closing
  }
}
