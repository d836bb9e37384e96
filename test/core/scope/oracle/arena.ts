import type pg from 'pg'
import type { Role, World } from './world.ts'
import { type Caller, callerSql, effectsSql, onlySql, quote, sealedSql, worldSql } from './world-sql.ts'

/** What came of a statement: rows and what it left behind, or the error's SQLSTATE. */
export type Outcome =
  | {
      readonly rows: readonly string[]
      /** names and types of the columns */
      readonly columns: readonly string[]
      /** digests of the tenant's own rows, by table; empty after a statement that only reads */
      readonly effects: string
      /** and of rows that are nobody's */
      readonly strays: string
    }
  | { readonly failed: string; readonly message: string }

/** A text as it is sent; under a name it is prepared. */
export type Sent = { readonly text: string; readonly values: readonly unknown[]; readonly name?: string }

/**
 * Where a statement runs: `first` past row-level security, `second` under nothing else, both on the rows of three tenants;
 * `alone` without any wall, where nobody but the caller's tenant has rows.
 */
export type Place = 'first' | 'second' | 'alone'

/** Databases by what they hold: all, all but the columns hidden from the narrow role, one tenant alone. */
export const DATABASES = ['full', 'narrow', 'alone'] as const
export type DatabaseName = (typeof DATABASES)[number]

/** How to open a connection to one of them, as superuser. */
export type Open = (database: DatabaseName) => Promise<pg.Client>

type Session = { readonly client: pg.Client; readonly types: Map<number, string>; isReady: boolean }

const SETTINGS =
  "SET statement_timeout = '1s'; SET lock_timeout = '2s'; SET datestyle = 'ISO'; SET timezone = 'UTC'; SET jit = off"

/** Something of another tenant was changed, or a hidden column: no class excuses that. */
export class Trespass extends Error {
  override readonly name = 'Trespass'
}

/** One world in three databases, and a session for each place. */
export class Arena {
  readonly world: World
  readonly tenantId: string
  readonly userId: string
  readonly #sessions: Readonly<Record<'first' | 'second' | 'narrow' | 'alone', Session>>
  #role: Role
  #others = ''

  private constructor(
    world: World,
    caller: Caller,
    sessions: Record<'first' | 'second' | 'narrow' | 'alone', Session>,
  ) {
    this.world = world
    this.tenantId = caller.tenantId
    this.userId = caller.userId
    this.#role = caller.role
    this.#sessions = sessions
  }

  /** Makes the world in each database, whatever was there before, and opens the sessions. */
  static async make(world: World, caller: Caller, open: Open): Promise<Arena> {
    const [full, narrow, alone] = await Promise.all(DATABASES.map((database) => session(open, database)))
    if (full === undefined || narrow === undefined || alone === undefined) throw new TypeError('three databases')
    const everybody = { userId: caller.userId, tables: new Set<string>() }
    await full.client.query(worldSql(world, false))
    await narrow.client.query(worldSql(world, true))
    await alone.client.query(worldSql(world, false))
    await alone.client.query(`BEGIN; ${onlySql(world, caller.tenantId, everybody)}; COMMIT; ANALYZE`)
    const arena = new Arena(world, caller, { first: full, second: await session(open, 'full'), narrow, alone })
    for (const { client } of Object.values(arena.#sessions)) {
      await client.query(`${SETTINGS}; SELECT set_config('oracle.reader', ${quote(caller.tenantId)}, false)`)
    }
    await full.client.query("SET search_path = ''")
    for (const place of ['second', 'narrow', 'alone'] as const) {
      await arena.#sessions[place].client.query('SET search_path = app, ledger')
    }
    await arena.enter(caller.role)
    return arena
  }

  async close(): Promise<void> {
    for (const { client } of Object.values(this.#sessions)) await client.end()
  }

  get caller(): Caller {
    return { tenantId: this.tenantId, userId: this.userId, role: this.#role }
  }

  /** Makes a role the one that statements are sent by. */
  async enter(role: Role): Promise<void> {
    this.#role = role
    const { first, alone } = this.#sessions
    const second = this.#secondWall()
    for (const session of [first, second, alone]) {
      const settings = session === first ? 'RESET ROLE' : callerSql(this.world, this.caller)
      const known = session.isReady ? 'DEALLOCATE effects;' : ''
      // prepared, for to plan it costs more than to run it
      await session.client.query(`${settings}; ${known} PREPARE effects AS ${effectsSql(this.world, this.caller)}`)
      session.isReady = true
    }
    await second.client.query('SET ROLE holdfast_app')
    const { rows } = await first.client.query<Effects>('EXECUTE effects')
    this.#others = othersOf(rows)
  }

  /**
   * Runs a text; what it changes is rolled back.
   * @param o.before - SQL that is run before it, in the same transaction, past all walls
   * @param o.isUntold - nobody asks what it left behind
   * @throws Trespass when it changed what is not the tenant's, or a hidden column
   */
  async run(place: Place, sent: Sent, o: { writes: boolean; before?: string; isUntold?: true }): Promise<Outcome> {
    const session = place === 'second' ? this.#secondWall() : this.#sessions[place]
    if (!o.writes && o.before === undefined) return this.#attempt(session, sent, async () => NOTHING)
    const isConfined = place === 'second'
    const { client } = session
    const before = o.before === undefined ? '' : `${isConfined ? 'SET LOCAL ROLE NONE; ' : ''}${o.before}`
    await client.query(`BEGIN; ${before}${isConfined && before !== '' ? '; SET LOCAL ROLE holdfast_app' : ''}`)
    let isOpen = true
    try {
      return await this.#attempt(session, sent, async () => {
        if (!o.writes || o.isUntold === true) return NOTHING
        isOpen = false
        return this.#effects(client, place, o.before !== undefined)
      })
    } finally {
      if (isOpen) await client.query('ROLLBACK')
    }
  }

  /** SQL that leaves only what the role can reach at all. */
  only(owned: ReadonlySet<string>): string {
    return onlySql(this.world, this.tenantId, { userId: this.userId, tables: owned })
  }

  /** SQL that puts the rows of each table into another physical order. */
  reordered(): string {
    const tables = this.world.tables
      .filter(({ kind }) => kind !== 'view')
      .map(({ schema, name }) => `"${schema}"."${name}"`)
    const moves = tables.map(
      (table) =>
        `CREATE TEMP TABLE moved ON COMMIT DROP AS TABLE ${table}; DELETE FROM ${table}; INSERT INTO ${table} SELECT m.* FROM pg_temp.moved m ORDER BY pg_catalog.md5(m::text); DROP TABLE pg_temp.moved`,
    )
    return `SET LOCAL session_replication_role = replica; ${moves.join('; ')}; SET LOCAL session_replication_role = origin`
  }

  /** SQL by which policies let nobody change what they may not read, and what is made is whose who reads only their own. */
  narrowed(): string {
    const { grants } = this.#role
    const narrow = this.world.tables.filter(({ resource }) => grants.includes(`${resource}:read@own`))
    const settings = narrow.flatMap(({ resource }) => [
      ...['update', 'delete']
        .filter((verb) => grants.includes(`${resource}:${verb}`))
        .map((verb) => `set_config('oracle.${resource}_${verb}', 'own', true)`),
      `set_config('oracle.${resource}_owner', ${quote(this.userId)}, true)`,
    ])
    return `SELECT ${['1', ...settings].join(', ')}`
  }

  #secondWall(): Session {
    return this.#role.isNarrow ? this.#sessions.narrow : this.#sessions.second
  }

  async #attempt(
    { client, types }: Session,
    { text, values, name }: Sent,
    effects: () => Promise<Left>,
  ): Promise<Outcome> {
    try {
      const query = {
        text,
        values: [...values],
        rowMode: 'array' as const,
        types: AS_TEXT,
        ...(name === undefined ? {} : { name }),
      }
      const { rows, fields } = await client.query<unknown[]>(query)
      const left = await effects()
      const columns: string[] = []
      for (const field of fields) {
        columns.push(`${field.name} ${await typeName(client, types, field.dataTypeID)}(${field.dataTypeModifier})`)
      }
      return { rows: rows.map((row) => JSON.stringify(row)), columns, ...left }
    } catch (error) {
      if (error instanceof Trespass || (error as { code?: string }).code === undefined) throw error
      return { failed: (error as { code: string }).code, message: (error as Error).message }
    }
  }

  /** What the tenant's rows are now; then all is rolled back. Whoever changed another's has crossed the wall. */
  async #effects(client: pg.Client, place: Place, isPrepared: boolean): Promise<Left> {
    const isSealed = place === 'first' && this.#role.isNarrow
    const sql = `SET LOCAL ROLE NONE; EXECUTE effects; ${isSealed ? sealedSql(this.world) : 'SELECT 0 AS broken'}; ROLLBACK`
    const results = (await client.query(sql)) as unknown as pg.QueryResult[]
    const rows = (results[1]?.rows ?? []) as Effects[]
    const broken = (results[2]?.rows as { broken: number }[] | undefined)?.[0]?.broken
    if (rows.length === 0 || broken === undefined) throw new TypeError('the effects were not told')
    if (broken !== 0) throw new Trespass('a hidden column was written')
    if (place !== 'alone' && !isPrepared && othersOf(rows) !== this.#others) {
      throw new Trespass("another tenant's rows are not what they were")
    }
    const told = (which: 'mine' | 'strays'): string => rows.map((row) => `${row.t} ${row[which]}`).join('\n')
    return { effects: told('mine'), strays: told('strays') }
  }
}

type Effects = { readonly t: string; readonly mine: string; readonly others: string; readonly strays: string }
type Left = { readonly effects: string; readonly strays: string }

const NOTHING: Left = { effects: '', strays: '' }

const othersOf = (rows: readonly Effects[]): string => rows.map(({ t, others }) => `${t} ${others}`).join('\n')

/** Values as the database writes them: what a parser would round or rename shall be seen. */
const AS_TEXT = { getTypeParser: () => (value: string) => value } as unknown as pg.CustomTypesConfig

async function session(open: Open, database: DatabaseName): Promise<Session> {
  return { client: await open(database), types: new Map(), isReady: false }
}

/** Lowest number of a type that is not PostgreSQL's own. */
const FIRST_OWN_TYPE = 16_384

/** Types of a world have another number in each database; a table's row is a record. */
async function typeName(client: pg.Client, known: Map<number, string>, oid: number): Promise<string> {
  if (oid < FIRST_OWN_TYPE) return String(oid)
  let found = known.get(oid)
  if (found === undefined) {
    const { rows } = await client.query<{ name: string }>(
      "SELECT CASE WHEN typtype = 'c' THEN '2249' ELSE typname END AS name FROM pg_catalog.pg_type WHERE oid = $1",
      [oid],
    )
    found = rows[0]?.name ?? String(oid)
    known.set(oid, found)
  }
  return found
}
