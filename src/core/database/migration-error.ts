import { DatabaseError, type DatabaseErrorCode } from './errors.ts'

/** Most lines of a statement that an error shows: the whole message is to fit on a screen. */
const MOST_LINES = 8
/** Longest line of a statement that an error shows, in characters. */
const MOST_CHARACTERS = 110

/** What an error of a migration says besides its code. */
export type MigrationTrouble = {
  /** One sentence. */
  readonly what: string
  /** The migration, as people read it. */
  readonly migration: string
  /** Which statement of it, from 1. */
  readonly statement?: number
  /** That statement's text. */
  readonly text?: string
  /** Five characters, where the database refused it. */
  readonly sqlstate?: string
  /** What to do, a line each: sentences, and statements as they are to be run. */
  readonly next: readonly string[]
  readonly cause?: unknown
}

/** A migration that cannot go on: which, where, and what to do. The message is for operators, and fits on one screen. */
export class MigrationError extends DatabaseError {
  readonly migration: string
  /** From 1; none where it is about the whole file. */
  readonly statement: number | undefined
  readonly sqlstate: string | undefined
  /** What to do, a line each. */
  readonly next: readonly string[]

  constructor(code: DatabaseErrorCode, trouble: MigrationTrouble) {
    const { what, migration, statement, text, sqlstate, next, cause } = trouble
    super(code, [what, ...excerptOf(text), ...next].join('\n'), cause)
    this.migration = migration
    this.statement = statement
    this.sqlstate = sqlstate
    this.next = next
  }
}

function excerptOf(text: string | undefined): string[] {
  if (text === undefined) return []
  const lines = text.split('\n').filter((line) => !line.startsWith('--'))
  const shown = lines.slice(0, MOST_LINES).map((line) => {
    const cut = line.length > MOST_CHARACTERS ? `${line.slice(0, MOST_CHARACTERS)}…` : line
    return `  | ${cut}`
  })
  return lines.length > MOST_LINES ? [...shown, `  | … ${lines.length - MOST_LINES} lines more`] : shown
}
