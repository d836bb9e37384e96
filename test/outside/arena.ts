import type pg from 'pg'
import { ScopeRefusal } from '../../src/core/scope/refusals.ts'
import { bind, type ScopedStatement } from '../../src/core/scope/scope.ts'
import { type Column, OWNER, TENANT, type TableShape } from './tables.ts'

/** The caller's tenant, and two others. */
const TENANTS = [7, 8, 9] as const
const CALLER = { tenantId: '7', userId: '2' }
/** Rows of each tenant in each table. */
const ROWS = 8
/** A statement of these suites takes milliseconds on so few rows; one that takes longer is cut off, on both sides. */
const STATEMENT_MS = 2_000

/** Numbers that the database gives begin here, in each run anew: beyond those of the rows that are there. */
const FIRST_NUMBER = 1_000

/** What a statement came to: its rows, and what it left in its tables; or the error's SQLSTATE. */
export type Outcome =
  | { readonly fields: string; readonly rows: readonly string[]; readonly effects: string; readonly foreign: string }
  | { readonly failed: string; readonly message: string }

/** Both outcomes, and whether the raw statement agrees with itself once the rows lie in another order. */
export type Comparison = {
  readonly scoped: Outcome
  readonly raw: Outcome
  /** the same rows */
  readonly isSettled: boolean
  /** in the same order */
  readonly isOrdered: boolean
}

/** A schema of its own for one file's tables, with three tenants' rows and row-level security. */
export class Arena {
  readonly #client: pg.Client
  readonly #schema: string
  readonly #made = new Map<string, { readonly shape: TableShape; readonly isThere: boolean }>()

  constructor(client: pg.Client, schema: string) {
    this.#client = client
    this.#schema = schema
  }

  async open(): Promise<void> {
    await this.#client.query(`CREATE SCHEMA "${this.#schema}"; GRANT USAGE ON SCHEMA "${this.#schema}" TO holdfast_app`)
  }

  async close(): Promise<void> {
    await this.#client.query(`SET client_min_messages = error; DROP SCHEMA "${this.#schema}" CASCADE`)
  }

  /** Makes a table as it is now. @returns whether PostgreSQL has its types, and rows are in it */
  async provide(shape: TableShape): Promise<boolean> {
    const made = this.#made.get(shape.name)
    if (made?.shape === shape) return made.isThere
    const table = `"${this.#schema}"."${shape.name}"`
    let isThere = true
    await this.#client.query(`DROP TABLE IF EXISTS ${table} CASCADE`)
    await this.#client.query('BEGIN')
    try {
      await this.#client.query(createTable(table, shape))
      await this.#client.query(fillTable(table, shape))
      await this.#client.query('COMMIT')
    } catch {
      await this.#client.query('ROLLBACK')
      isThere = false
    }
    this.#made.set(shape.name, { shape, isThere })
    return isThere
  }

  /** Whether the raw statement runs at all under row-level security: without an error. */
  async runs(sql: string, tables: readonly string[]): Promise<boolean> {
    const values = await this.#values(sql)
    return values !== undefined && !('failed' in (await this.#attempt(this.#secondWall(), sql, values, tables)))
  }

  /** Runs the scoped statement through the first wall alone, and the raw one under row-level security alone. */
  async compare(sql: string, scoped: ScopedStatement, tables: readonly string[]): Promise<Comparison | ScopeRefusal> {
    const values = (await this.#values(sql)) ?? Array.from({ length: scoped.valueCount }, () => null)
    let bound: unknown[]
    try {
      bound = bind(scoped, CALLER, values)
    } catch (error) {
      if (error instanceof ScopeRefusal) return error
      throw error
    }
    const first = await this.#attempt(`SET LOCAL search_path = ''`, scoped.text, bound, tables)
    const raw = await this.#attempt(this.#secondWall(), sql, values, tables)
    const shuffled = await this.#attempt(`${this.#shuffle(tables)} ${this.#secondWall()}`, sql, values, tables)
    return { scoped: first, raw, isSettled: sameOutcome(raw, shuffled), isOrdered: sameOrder(raw, shuffled) }
  }

  /** Values of the types that PostgreSQL infers; nothing where it cannot prepare the statement. */
  async #values(sql: string): Promise<unknown[] | undefined> {
    if (!sql.includes('$')) return []
    await this.#client.query(`BEGIN; SET LOCAL search_path = "${this.#schema}"`)
    try {
      await this.#client.query(`PREPARE outside AS ${sql}`)
      const { rows } = await this.#client.query<{ types: string[] }>(
        `SELECT parameter_types::pg_catalog.text[] AS types FROM pg_catalog.pg_prepared_statements WHERE name = 'outside'`,
      )
      return (rows[0]?.types ?? []).map(valueOf)
    } catch {
      return undefined
    } finally {
      await this.#client.query('ROLLBACK; DEALLOCATE ALL')
    }
  }

  #secondWall(): string {
    return `SET LOCAL search_path = "${this.#schema}"; SELECT pg_catalog.set_config('outside.tenant', '${CALLER.tenantId}', true); SET LOCAL ROLE holdfast_app;`
  }

  /** Writes some of the rows anew: they lie behind the others then. */
  #shuffle(tables: readonly string[]): string {
    return tables
      .map(
        (name) =>
          `UPDATE "${this.#schema}"."${name}" x SET ${OWNER} = x.${OWNER} WHERE pg_catalog.md5(x::pg_catalog.text) < '8';`,
      )
      .join(' ')
  }

  /** Lets the database number anew. */
  #restart(tables: readonly string[]): string {
    return tables
      .flatMap((name) => {
        const columns = [...(this.#made.get(name)?.shape.columns ?? [])].filter(([, { isSerial }]) => isSerial)
        return columns.map(([column]) => `ALTER TABLE "${this.#schema}"."${name}" ALTER "${column}" RESTART;`)
      })
      .join(' ')
  }

  async #attempt(before: string, sql: string, values: unknown[], tables: readonly string[]): Promise<Outcome> {
    await this.#client.query(`BEGIN; SET LOCAL statement_timeout = ${STATEMENT_MS}; ${this.#restart(tables)} ${before}`)
    try {
      const result = await this.#client.query<unknown[]>({
        text: sql,
        values,
        rowMode: 'array',
        types: { getTypeParser: () => (value: unknown) => value },
      } as pg.QueryArrayConfig)
      await this.#client.query('SET CONSTRAINTS ALL IMMEDIATE; RESET ROLE')
      const { rows } = await this.#client.query<{ mine: string; foreign: string }>(effectsOf(this.#schema, tables))
      return {
        fields: result.fields.map(({ name, dataTypeID }) => `${name} ${typeName(dataTypeID)}`).join(),
        rows: result.rows.map((row) => JSON.stringify(row)),
        effects: rows.map(({ mine }) => mine).join('\n'),
        foreign: rows.map(({ foreign }) => foreign).join('\n'),
      }
    } catch (error) {
      const { code = 'none', message } = error as Error & { code?: string }
      return { failed: code, message }
    } finally {
      await this.#client.query('ROLLBACK')
    }
  }

  /** What other tenants have in these tables. */
  async foreign(tables: readonly string[]): Promise<string> {
    const { rows } = await this.#client.query<{ foreign: string }>(effectsOf(this.#schema, tables))
    return rows.map(({ foreign }) => foreign).join('\n')
  }
}

/** A built-in type's number; a whole row has its table's own type, or none. */
function typeName(id: number): string {
  return id >= FIRST_OWN_TYPE || id === RECORD ? 'row' : String(id)
}

/** Numbers of types that are made begin here (FirstNormalObjectId). */
const FIRST_OWN_TYPE = 16_384
const RECORD = 2_249

/** The same rows, whatever their order, and the same effects; or the same error. */
export function sameOutcome(one: Outcome, other: Outcome): boolean {
  if ('failed' in one || 'failed' in other) return 'failed' in one && 'failed' in other && one.failed === other.failed
  const sorted = (rows: readonly string[]): string => [...rows].sort().join('\n')
  return one.fields === other.fields && one.effects === other.effects && sorted(one.rows) === sorted(other.rows)
}

/** Whether the rows come in the same order, too. */
export function sameOrder(one: Outcome, other: Outcome): boolean {
  return 'failed' in one || 'failed' in other || one.rows.join('\n') === other.rows.join('\n')
}

function effectsOf(schema: string, tables: readonly string[]): string {
  const rowsOf = (name: string, operator: string): string =>
    `(SELECT pg_catalog.string_agg(x::pg_catalog.text, E'\\n' ORDER BY x::pg_catalog.text) FROM "${schema}"."${name}" x WHERE x.${TENANT} ${operator} ${CALLER.tenantId})`
  return tables
    .map(
      (name) =>
        `SELECT ${rowsOf(name, 'OPERATOR(pg_catalog.=)')} AS mine, ${rowsOf(name, 'OPERATOR(pg_catalog.<>)')} AS foreign`,
    )
    .join(' UNION ALL ')
}

function createTable(table: string, { columns, primary, keys }: TableShape): string {
  const isFilled = (column: Column): boolean => expressionOf(column, 'h', false) !== 'NULL'
  const parts = [
    ...[...columns].map(([name, column]) => {
      const { ddl, notNull, isSerial, fallback } = column
      if (isSerial) return `"${name}" ${ddl} GENERATED BY DEFAULT AS IDENTITY (START ${FIRST_NUMBER})`
      // the same in each run
      const value = fallback === 'computed' ? expressionOf({ ...column, notNull: true }, '5', false) : fallback
      const byDefault = value === undefined ? '' : ` DEFAULT ${value}`
      return `"${name}" ${ddl}${notNull && isFilled(column) ? ' NOT NULL' : ''}${byDefault}`
    }),
    `${TENANT} int8 NOT NULL DEFAULT NULLIF(current_setting('outside.tenant', true), '')::int8`,
    `${OWNER} int8`,
    ...(primary === undefined ? [] : [`PRIMARY KEY (${listed(primary)})`]),
    ...keys.map((key) => `UNIQUE (${listed(key)})`),
  ]
  const mine = `${TENANT} = current_setting('outside.tenant')::int8`
  return `SET LOCAL search_path = pg_catalog; CREATE TABLE ${table} (${parts.join(', ')});
    ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON ${table} USING (${mine}) WITH CHECK (${mine});
    GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO holdfast_app`
}

function listed(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ')
}

/** Rows that are the same in each run; where keys collide, fewer. */
function fillTable(table: string, { name, columns, primary = [], keys }: TableShape): string {
  const unique = new Set([...primary, ...keys.flat()])
  const hash = (column: string): string =>
    `('x' || substr(md5('${name}.${column}' || t || '.' || i), 1, 7))::bit(28)::int4`
  const values = [...columns].map(([column, what]) => expressionOf(what, hash(column), unique.has(column)))
  return `INSERT INTO ${table} (${listed([...columns.keys(), TENANT, OWNER])}) SELECT ${[...values, 't', '1 + i % 3'].join(', ')}
    FROM unnest(ARRAY[${TENANTS.join(', ')}]) t, generate_series(1, ${ROWS}) i ON CONFLICT DO NOTHING`
}

const WORDS = `(ARRAY['alpha', 'beta', 'Gamma', 'delta', '', 'a', '1', 'foo', 'bar', 'x y'])`

/** What a column of a type is filled with, from a number `h`, in SQL; NULL for a type that is not here. */
function expressionOf({ type, ddl, notNull }: Column, h: string, isUnique: boolean): string {
  const number = isUnique ? 'i + 10 * (t - 7)' : `${h} % 12 - 1`
  const day = `'2000-01-01'::date + ${h} % 900`
  const texts = isUnique ? `'k' || (i + 10 * (t - 7))` : `${WORDS}[1 + ${h} % 10]`
  const base: Readonly<Record<string, string>> = {
    int2: number,
    int4: number,
    int8: number,
    float4: `(${number}) / 4.0`,
    float8: `(${number}) / 4.0`,
    numeric: `(${number}) / 4.0`,
    money: number,
    bool: `${h} % 2 = 0`,
    text: texts,
    varchar: texts,
    bpchar: texts,
    name: texts,
    char: texts,
    date: day,
    timestamp: day,
    timestamptz: day,
    time: `'00:00'::time + ${h} % 86400 * interval '1 second'`,
    interval: `${h} % 100 * interval '1 hour'`,
    uuid: `md5(${number}::text)::uuid`,
    json: `json_build_object('a', ${h} % 5, 'b', ${texts})`,
    jsonb: `jsonb_build_object('a', ${h} % 5, 'b', ${texts})`,
    bytea: `convert_to(${texts}, 'UTF8')`,
    bit: `(${h} % 16)::bit(4)`,
    varbit: `(${h} % 16)::bit(4)::varbit`,
    inet: `'10.0.0.0'::inet + ${h} % 200`,
    point: `point(${h} % 9, ${h} % 7)`,
    int4range: `int4range(${h} % 5, ${h} % 5 + 4)`,
    _int2: `ARRAY[${h} % 5, ${h} % 3]`,
    _int4: `ARRAY[${h} % 5, ${h} % 3]`,
    _int8: `ARRAY[${h} % 5, ${h} % 3]`,
    _text: `ARRAY[${texts}, 'foo']`,
    _varchar: `ARRAY[${texts}, 'foo']`,
  }
  const value = Object.hasOwn(base, type) ? base[type] : undefined
  if (value === undefined) return 'NULL'
  const cast = `CAST((${value}) AS ${ddl})`
  return notNull || isUnique ? cast : `CASE WHEN ${h} % 11 = 0 THEN NULL ELSE ${cast} END`
}

/** A value for a parameter of a type, as text. */
function valueOf(type: string): string | null {
  const samples: Readonly<Record<string, string>> = {
    smallint: '3',
    integer: '3',
    bigint: '3',
    numeric: '1.25',
    real: '1.25',
    'double precision': '1.25',
    boolean: 'true',
    text: 'alpha',
    'character varying': 'beta',
    character: 'a',
    name: 'foo',
    date: '2001-02-03',
    'timestamp without time zone': '2001-02-03',
    'timestamp with time zone': '2001-02-03',
    json: '{"a":1}',
    jsonb: '{"a":1}',
    'integer[]': '{1,2}',
    'text[]': '{alpha,foo}',
  }
  return Object.hasOwn(samples, type) ? (samples[type] ?? null) : null
}
