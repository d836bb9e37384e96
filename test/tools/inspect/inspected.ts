import pg from 'pg'
import type { Dialect } from '../../../src/core/database/dialect.ts'
import type { Manifest } from '../../../src/core/scope/manifest.ts'
import { type Reader } from '../../../src/tools/inspect/catalog.ts'
import { expectedOf } from '../../../src/tools/inspect/expected.ts'
import type { Finding } from '../../../src/tools/inspect/finding.ts'
import { inspect } from '../../../src/tools/inspect/inspect.ts'
import type { LoginFacts } from '../../../src/tools/inspect/rule.ts'
import type { TestDatabase } from '../../postgres.ts'

export type Inspected = {
  readonly findings: (over?: Over) => Promise<Finding[]>
  /** As superuser, in the transaction that is never committed. */
  readonly run: (statements: readonly string[]) => Promise<void>
  /** Runs work in a transaction that is rolled back: roles are the whole cluster's, and other tests use them. */
  readonly undone: <T>(work: () => Promise<T>) => Promise<T>
  readonly close: () => Promise<void>
}
export type Over = {
  readonly manifest?: Manifest
  readonly logins?: readonly LoginFacts[]
  readonly now?: () => number
}

/** The rules over one connection, whose catalogs a test may break inside a transaction; read as holdfast_app. */
export async function openInspected(database: TestDatabase, manifest: Manifest): Promise<Inspected> {
  const { host, port, user, password } = database.target('superuser')
  const options = '-c default_transaction_isolation=serializable -c search_path= -c cpu_operator_cost=0'
  const client = new pg.Client({ host, port, user, password, database: database.name, options })
  await client.connect()
  const dialect: Dialect = 'postgresql'
  const reader: Reader = {
    dialect,
    async read(queries) {
      await client.query('SAVEPOINT reading')
      try {
        await client.query('SET LOCAL SESSION AUTHORIZATION holdfast_app')
        const answers = []
        for (const { statement, values } of queries)
          answers.push((await client.query(statement.text, [...values])).rows)
        return answers
      } finally {
        await client.query('ROLLBACK TO SAVEPOINT reading')
      }
    },
  }
  return {
    async findings({ manifest: other = manifest, logins = [], now = Date.now } = {}) {
      return inspect({ reader, expected: await expectedOf(other, dialect), logins, now })
    },
    async run(statements) {
      for (const statement of statements) await client.query(statement)
    },
    async undone(work) {
      await client.query('BEGIN')
      try {
        return await work()
      } finally {
        await client.query('ROLLBACK')
      }
    },
    close: () => client.end(),
  }
}
