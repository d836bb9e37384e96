import pg from 'pg'
import { createScope, type Scope, type ScopedStatement } from '../../../../src/core/scope/scope.ts'
import { startupOptions } from '../../../../src/core/database/startup.ts'
import { connect } from '../../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../../postgres.ts'
import type { Wall } from './attack.ts'
import { actors, manifest, type Population, restoreAfresh, restoreOf, schemaOf, tables, TENANT } from './house.ts'

let kernel: Scope | undefined
/** The kernel over the house's manifest; the parser is loaded by then. */
export function scope(): Scope {
  kernel ??= createScope({ manifest, dialect: 'postgresql' })
  return kernel
}

/** What is sent: the text with its values, by the name under which it is prepared. */
export type Sent = {
  readonly text: string
  readonly values: readonly unknown[]
  readonly name?: string
  /** it is known to be ended by the time limit alone */
  readonly isEndless?: boolean
}

/** A row of a table. */
export type Line = { readonly table: string; readonly row: Readonly<Record<string, unknown>> }

/** What came of it: everything that the caller is told, and what stands in the tables. */
export type Outcome = {
  /** rows, or the error with all its fields; then notices and notifications, and which tenants the session reads now */
  readonly answer: string
  /** `3 rows`, or the SQLSTATE */
  readonly summary: string
  readonly before: readonly Line[]
  readonly after: readonly Line[]
  /** rows that were locked, or changed, before the commit */
  readonly locked: readonly Line[]
}

/** Milliseconds that a statement may take: far more than it needs on a busy machine. */
const TIMEOUT_MS = 10_000
/** Milliseconds that one may take which never ends. */
const ENDLESS_MS = 150

/** A session as the pool starts it, but for the path. */
function settingsOf(path: string): string {
  const pinned = startupOptions({ statementTimeoutMs: TIMEOUT_MS, idleInTransactionTimeoutMs: 0 })
  const settings = [...pinned.matchAll(/-c (\w+)=(\S*)/g)].map(([, name, value]) => `SET ${name} = '${value}';`)
  return `${settings.join(' ')} SET search_path = ${path}; SET synchronous_commit = off`
}

const LOCKABLE = ['docs', 'notes', 'invoices', 'lines']
/** Which other tenants' rows the session reads. */
const probe = 'SELECT DISTINCT tenant_id FROM app.docs WHERE tenant_id <> 7'

/** A database of the house with a population, entered through either wall or both. */
export class House {
  readonly #database: TestDatabase
  readonly #clients: Readonly<Record<Wall, pg.Client>>
  readonly #keeper: pg.Client
  readonly #heard: string[] = []
  /** PostgreSQL's major version */
  readonly version: number
  #before: readonly Line[] = []
  #beforeText = ''

  private constructor(database: TestDatabase, clients: Record<Wall, pg.Client>, keeper: pg.Client, version: number) {
    this.version = version
    this.#database = database
    this.#clients = clients
    this.#keeper = keeper
    for (const client of Object.values(clients)) {
      client.on('notice', (notice) => this.#heard.push(JSON.stringify(notice)))
      client.on('notification', (notification) => this.#heard.push(JSON.stringify(notification)))
    }
  }

  static async open(population: Population): Promise<House> {
    const database = await createTestDatabase()
    const keeper = await connect(database.target('superuser'))
    await keeper.query('SET synchronous_commit = off')
    for (const part of schemaOf(population)) await keeper.query(part)
    const enter = async (role: 'superuser' | 'app', path: string): Promise<pg.Client> => {
      const client = await connect(database.target(role))
      await client.query(settingsOf(path))
      return client
    }
    const clients = {
      // a superuser is past row-level security and every right
      first: await enter('superuser', "''"),
      // the raw text names tables without their schema
      second: await enter('app', 'app'),
      both: await enter('app', "''"),
    }
    const { rows } = await keeper.query<{ number: string }>("SELECT current_setting('server_version_num') AS number")
    const house = new House(database, clients, keeper, Math.floor(Number(rows[0]?.number) / 10_000))
    ;[house.#before, house.#beforeText] = await house.#look()
    return house
  }

  async close(): Promise<void> {
    for (const client of [...Object.values(this.#clients), this.#keeper]) await client.end()
    await this.#database.drop()
  }

  /** Puts all rows back in the order in which they were made. */
  async mend(): Promise<void> {
    await this.#keeper.query(restoreAfresh)
  }

  /** Runs a statement through a wall, commits, looks at all tables, and mends them. */
  async run(wall: Wall, sent: Sent): Promise<Outcome> {
    const client = this.#clients[wall]
    this.#heard.length = 0
    await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
    await client.query(
      "SELECT pg_catalog.set_config('holdfast.tenant_id', $1, true), pg_catalog.set_config('statement_timeout', $2, true)",
      [TENANT, sent.isEndless === true ? ENDLESS_MS : TIMEOUT_MS],
    )
    const { answer, summary } = await this.#ask(client, sent)
    const isFailed = /^[0-9A-Z]{5}$/.test(summary)
    const locked = !isFailed && /\b(?:FOR|UPDATE|DELETE)\b/i.test(sent.text) ? await this.#locked() : []
    const seen = isFailed ? '' : await this.#probe(wall, client)
    const commit = await this.#ask(client, { text: 'COMMIT', values: [] })
    const heard = [...this.#heard]
    if (wall === 'second') await this.#renew(client)
    const [after, text] = await this.#look()
    if (text !== this.#beforeText) await this.#keeper.query(restoreOf(changedOf(this.#before, after)))
    const said = [answer, ...heard, seen, commit.answer].join('\n').replaceAll(this.#database.name, 'the database')
    return { answer: said, summary, before: this.#before, after, locked }
  }

  async #ask(client: pg.Client, { text, values, name }: Sent): Promise<{ answer: string; summary: string }> {
    try {
      // as the flight sends it: one statement, with Parse and Bind
      const query = { text, values: [...values], rowMode: 'array' as const, queryMode: 'extended' }
      const { rows, command, rowCount } = await client.query<unknown[]>(name === undefined ? query : { ...query, name })
      const lines = rows.map((row) => JSON.stringify(row)).sort()
      return { answer: [command, rowCount, ...lines].join('\n'), summary: `${rowCount ?? 0} rows` }
    } catch (error) {
      const { code, message, detail, hint, where, internalQuery } = error as pg.DatabaseError
      return { answer: JSON.stringify([code, message, detail, hint, where, internalQuery]), summary: code ?? message }
    }
  }

  /** What the session reads afterwards: whether the text has moved it to another tenant. */
  async #probe(wall: Wall, client: pg.Client): Promise<string> {
    if (wall === 'second') return (await this.#ask(client, { text: probe, values: [] })).answer
    const scoped = scope().scope(probe, actors.tenant.grants, 'clerk')
    return (await this.#ask(client, { text: scoped.text, values: [TENANT] })).answer
  }

  async #renew(client: pg.Client): Promise<void> {
    await client.query('ROLLBACK')
    await client.query('DISCARD ALL')
    await client.query(settingsOf('app'))
  }

  async #look(): Promise<[readonly Line[], string]> {
    const { rows } = await this.#keeper.query<{ all: string }>(
      `SELECT json_agg(l ORDER BY l."table", l.row::text)::text AS all FROM (${tables
        .map((table) => `SELECT '${table}' AS "table", to_jsonb(x) AS row FROM app.${table} x`)
        .join(' UNION ALL ')}) l`,
    )
    const text = rows[0]?.all ?? '[]'
    return [text === this.#beforeText ? this.#before : (JSON.parse(text) as Line[]), text]
  }

  async #locked(): Promise<Line[]> {
    const free = new Set<string>()
    for (const table of LOCKABLE) {
      const { rows } = await this.#keeper.query<{ line: string }>(
        `SELECT json_build_array('${table}', to_jsonb(x))::text AS line FROM app.${table} x FOR UPDATE SKIP LOCKED`,
      )
      for (const { line } of rows) free.add(JSON.stringify(JSON.parse(line)))
    }
    return this.#before.filter(({ table, row }) => LOCKABLE.includes(table) && !free.has(JSON.stringify([table, row])))
  }
}

/** The tables in which a row came, went or changed. */
function changedOf(before: readonly Line[], after: readonly Line[]): Set<string> {
  const counts = new Map<string, number>()
  const count = (lines: readonly Line[], by: number): void => {
    for (const line of lines) {
      const text = JSON.stringify(line)
      counts.set(text, (counts.get(text) ?? 0) + by)
    }
  }
  count(before, 1)
  count(after, -1)
  const changed = [...counts].filter(([, difference]) => difference !== 0)
  return new Set(changed.map(([text]) => (JSON.parse(text) as Line).table))
}

/** A scoped statement as it is sent. */
export function sentOf({ text, name }: ScopedStatement, values: readonly unknown[], isEndless = false): Sent {
  return { text, values, name, isEndless }
}
