import pg from 'pg'
import { createScope, type Scope, type ScopedStatement } from '../../../../src/core/scope/scope.ts'
import { connect } from '../../../backends.ts'
import { createTestDatabase, type TestDatabase } from '../../../postgres.ts'
import type { Wall } from './attack.ts'
import { type Actor, actors, manifest, MARKS, type Population, restore, schemaOf, tables, TENANT, USER } from './house.ts'

let kernel: Scope | undefined
/** The kernel over the house's manifest; the parser is loaded by then. */
export function scope(): Scope {
  kernel ??= createScope({ manifest, dialect: 'postgresql' })
  return kernel
}

/** What is sent: the text with its values, by the name under which it is prepared. */
export type Sent = { readonly text: string; readonly values: readonly unknown[]; readonly name?: string }

type Line = { readonly table: string; readonly row: Readonly<Record<string, unknown>> }

/** What came of it: everything that the caller is told, and what stands in the tables afterwards. */
export type Outcome = {
  /** rows, or the error with all its fields; then notices and notifications, and what the session may read now */
  readonly answer: string
  /** `3 rows`, or the SQLSTATE */
  readonly summary: string
  /** the caller's own rows, without the columns that are hidden from them */
  readonly left: string
  /** rows out of the caller's reach, and columns that they may not assign, that are not as they were */
  readonly harmed: readonly string[]
  /** rows out of the caller's reach that were locked */
  readonly locked: number
}

/** Milliseconds that a statement may take; what never ends is ended by this. */
const TIMEOUT_MS = 400

const probe = 'SELECT * FROM app.docs'

/** A database of the house with a population, entered through either wall or both. */
export class House {
  readonly #database: TestDatabase
  readonly #clients: Readonly<Record<Wall, pg.Client>>
  readonly #keeper: pg.Client
  readonly #heard: string[] = []
  #before: readonly Line[] = []
  #beforeText = ''

  private constructor(database: TestDatabase, clients: Record<Wall, pg.Client>, keeper: pg.Client) {
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
    await keeper.query(schemaOf(population))
    const enter = async (role: 'superuser' | 'app', path: string): Promise<pg.Client> => {
      const client = await connect(database.target(role))
      await client.query(`SET search_path = ${path}; SET statement_timeout = ${TIMEOUT_MS}; SET synchronous_commit = off`)
      return client
    }
    const clients = {
      // a superuser is past row-level security and every right
      first: await enter('superuser', "''"),
      // the raw text names tables without their schema
      second: await enter('app', 'app'),
      both: await enter('app', "''"),
    }
    const house = new House(database, clients, keeper)
    ;[house.#before, house.#beforeText] = await house.#look()
    return house
  }

  async close(): Promise<void> {
    for (const client of [...Object.values(this.#clients), this.#keeper]) await client.end()
    await this.#database.drop()
  }

  /** Runs a statement through a wall, commits, looks at all tables, and mends them. */
  async run(wall: Wall, sent: Sent, actor: Actor): Promise<Outcome> {
    const client = this.#clients[wall]
    this.#heard.length = 0
    await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
    await client.query("SELECT pg_catalog.set_config('holdfast.tenant_id', $1, true)", [TENANT])
    const { answer, summary } = await this.#ask(client, sent)
    const locked = /\b(?:FOR|UPDATE|DELETE)\b/i.test(sent.text) ? await this.#countLocked(actor) : 0
    let seen = ''
    if (!/^[0-9A-Z]{5}$/.test(summary)) seen = await this.#probe(wall, client)
    await client.query('COMMIT').catch(() => client.query('ROLLBACK'))
    if (wall === 'second') await this.#renew(client)
    const [after, text] = await this.#look()
    const isSame = text === this.#beforeText
    const harmed = isSame ? [] : harm(this.#before, after, actor)
    const left = JSON.stringify((isSame ? this.#before : after).filter((line) => !isApart(line, actor)).map(shown))
    if (!isSame) await this.#keeper.query(restore)
    return { answer: [answer, ...this.#heard, seen].join('\n'), summary, left, harmed, locked }
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
    await client.query(`SET search_path = app; SET statement_timeout = ${TIMEOUT_MS}; SET synchronous_commit = off`)
  }

  async #look(): Promise<[Line[], string]> {
    const { rows } = await this.#keeper.query<{ all: string }>(
      `SELECT json_agg(l ORDER BY l."table", l.row::text)::text AS all FROM (${tables
        .map((table) => `SELECT '${table}' AS "table", to_jsonb(x) AS row FROM app.${table} x`)
        .join(' UNION ALL ')}) l`,
    )
    const text = rows[0]?.all ?? '[]'
    return [text === this.#beforeText ? [...this.#before] : (JSON.parse(text) as Line[]), text]
  }

  async #countLocked({ apart }: Actor): Promise<number> {
    const theirs = apart === 'other owners' ? '(tenant_id <> 7 OR OWNER <> 2)' : 'tenant_id <> 7'
    const counts = [
      ['docs', 'owner_id'],
      ['notes', 'author'],
      ['invoices', 'owner_id'],
    ].map(([table, owner]) => {
      const condition = theirs.replace('OWNER', String(owner))
      return `(SELECT count(*) FROM app.${table} WHERE ${condition}) - (SELECT count(*) FROM (SELECT 1 FROM app.${table} WHERE ${condition} FOR UPDATE SKIP LOCKED) x)`
    })
    const { rows } = await this.#keeper.query<{ n: string }>(`SELECT ${counts.join(' + ')} AS n`)
    return Number(rows[0]?.n)
  }
}

/** Whether a row is out of the actor's reach, for reading or changing. */
function isApart({ table, row }: Line, { apart }: Actor): boolean {
  if (table === 'users') return false
  const text = JSON.stringify(row)
  if (/"tenant_id": ?(?!7\b)|"org": ?"(?!7")/.test(text)) return true
  // a line is its invoice's
  if (table === 'lines' && !/^(?:40|700)\d/.test(String(row['invoice_id']))) return true
  if (apart !== 'other owners') return false
  const owner = row['owner_id'] ?? row['author'] ?? row['made_by']
  if (table === 'lines') return String(row['invoice_id']).startsWith('700')
  return owner !== undefined && String(owner) !== USER
}

/** Rows out of reach that came, went or changed; and rows in reach whose hidden or read-only columns changed. */
function harm(before: readonly Line[], after: readonly Line[], actor: Actor): string[] {
  const apart = (lines: readonly Line[]): string[] =>
    lines.filter((line) => isApart(line, actor)).map((line) => JSON.stringify(line))
  const [was, is] = [new Set(apart(before)), new Set(apart(after))]
  const gone = [...was].filter((line) => !is.has(line)).map((line) => `gone ${line}`)
  const come = [...is].filter((line) => !was.has(line)).map((line) => `come ${line}`)
  const fixed = ({ row }: Line): string => JSON.stringify([row['salary'], row['state'], row['secret']])
  const known = new Map(before.map((line) => [`${line.table} ${String(line.row['id'])}`, line]))
  const changed = after.filter((line) => {
    if (line.table !== 'docs' || isApart(line, actor)) return false
    const old = known.get(`docs ${String(line.row['id'])}`)
    return old === undefined ? fixed(line) !== '[1,"open",null]' : fixed(line) !== fixed(old)
  })
  return [...gone, ...come, ...changed.map((line) => `set ${JSON.stringify(line)}`)]
}

/** A row as its tenant sees it. */
function shown({ table, row }: Line): unknown {
  const { salary: _, secret: __, ...rest } = row
  return [table, rest]
}

/** What an outcome gives away, next to that of a database which lacks or changes what the actor must not see; empty for nothing. */
export function leaksOf(outcome: Outcome, twin: Outcome, actor: Actor, sent: Sent, raw: Sent): string[] {
  const given = JSON.stringify([raw.text, raw.values, sent.values], (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  )
  const marks = [MARKS.foreign, MARKS.hidden]
  if (actor.apart === 'other owners') marks.push(MARKS['other owners'])
  if (actor.apart === 'everyone') marks.push(MARKS.everyone)
  // what the caller named is no news
  const seen = marks
    .flatMap((mark) => [...`${outcome.answer}\n${outcome.left}`.matchAll(mark)].map(([found]) => found))
    .filter((found) => !given.includes(found))
  const leaks = [...new Set(seen)].map((found) => `seen: ${found}`)
  if (outcome.answer !== twin.answer)
    leaks.push(`told apart: ${outcome.answer.slice(0, 300)} | ${twin.answer.slice(0, 300)}`)
  if (actor.apart !== 'everyone' && outcome.left !== twin.left) leaks.push('left apart')
  if (outcome.locked > 0) leaks.push(`locked: ${outcome.locked}`)
  return [...leaks, ...outcome.harmed]
}

/** A scoped statement as it is sent. */
export function sentOf(scoped: ScopedStatement, values: readonly unknown[]): Sent {
  return { text: scoped.text, values, name: scoped.name }
}
