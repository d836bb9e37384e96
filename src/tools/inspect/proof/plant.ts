import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import type { StatementError } from '../../../core/database/errors.ts'
import type { Query } from '../../../core/database/statement.ts'
import { quoted } from '../../../core/scope/leaf.ts'
import type { Table } from '../../../core/scope/manifest.ts'
import type { Catalog, ProofColumn, Reference, Shape } from './catalog.ts'
import type { Outcome, Stage } from './stage.ts'
import { candidates, type Value } from './values.ts'

/** A row as it was given: column → value as text; what a default gave is not in it. */
export type MadeRow = ReadonlyMap<string, string | null>

/** The rows of two tenants that exist nowhere else, for the length of a transaction. */
export type Sentinels = {
  readonly tenants: { readonly A: string; readonly B: string }
  readonly user: string
  readonly rows: { readonly A: readonly MadeRow[]; readonly B: readonly MadeRow[] }
  /** Rows that could be inserted, and are not. */
  readonly spare: { readonly A: MadeRow; readonly B: MadeRow }
}

/** No row could be made; the message says why. */
export class CannotPlant extends Error {
  override readonly name = 'CannotPlant'
}

/** Values that a CHECK refuses are exchanged this often. */
const mostAttempts = 40
const checkViolation = '23514'
/** insufficient_privilege: of the role, or – the same code – of a policy. */
export const NOT_ALLOWED = '42501'

/** Rows of each sentinel tenant: not equally many, so that a swap of the two would show. */
const generations = { A: [0], B: [0, 1] } as const
const spareGeneration = 2

/** What a planter goes by. */
type PlanterSettings = {
  readonly catalog: Catalog
  /** of the manifest, by `schema.table` */
  readonly tables: ReadonlyMap<string, Table>
  readonly withTriggers: boolean
}

/** Makes rows, parents first, in the transaction of a stage. */
export class Planter {
  readonly #stage: Stage
  readonly #catalog: Catalog
  readonly #tables: ReadonlyMap<string, Table>
  readonly #withTriggers: boolean
  readonly #areTwins: boolean
  readonly #planted = new Map<string, MadeRow>()
  readonly #users = new Map<string, string>()
  /** the tenants by the type of their ids: one stage has one pair */
  readonly #tenants = new Map<string, Sentinels['tenants']>()
  #user = ''

  /** @param areTwins - tenants whose ids are text differ in capitals alone, so that a collation to which they are one shows */
  constructor(stage: Stage, { catalog, tables, withTriggers }: PlanterSettings, areTwins: boolean) {
    this.#stage = stage
    this.#catalog = catalog
    this.#tables = tables
    this.#withTriggers = withTriggers
    this.#areTwins = areTwins
  }

  /**
   * Plants rows of two new tenants.
   * @throws CannotPlant
   */
  async sentinels(table: Table): Promise<Sentinels> {
    const name = `${table.schema}.${table.name}`
    const type = table.columns[table.tenant ?? '']?.type ?? 'uuid'
    const tenants = this.#tenantsOf(type)
    this.#user = this.#userOf(table, 0)
    const rows: { A: MadeRow[]; B: MadeRow[] } = { A: [], B: [] }
    for (const each of ['A', 'B'] as const) {
      for (const generation of generations[each])
        rows[each].push(await this.#plant(name, new Map(), tenants[each], generation, []))
    }
    const spare = async (tenant: string): Promise<MadeRow> =>
      this.#insert(
        this.#shapeOf(name),
        await this.#compose(name, new Map(), tenant, spareGeneration, []),
        tenant,
        false,
      )
    return {
      tenants,
      user: this.#user,
      rows,
      spare: { A: await spare(tenants.A), B: await spare(tenants.B) },
    }
  }

  /** The row of a table that a reference needs; rows that one key names are planted once. */
  async #plant(
    name: string,
    given: MadeRow,
    tenant: string,
    generation: number,
    path: readonly string[],
  ): Promise<MadeRow> {
    if (path.includes(name)) throw new CannotPlant(`${name} needs a row of itself first`)
    const shape = this.#shapeOf(name)
    const isNamed = shape.keys.some((key) => key.every((column) => given.has(column)))
    const memo = JSON.stringify([name, Object.fromEntries(given), isNamed ? '' : [tenant, generation]])
    const known = this.#planted.get(memo)
    if (known !== undefined) return known
    const values = await this.#compose(name, given, tenant, generation, [...path, name])
    const row = await this.#insert(shape, values, tenant, true)
    this.#planted.set(memo, row)
    return row
  }

  /** What is fixed in a row: what the child says, tenant and owner, and the keys of parents, which are planted. */
  async #compose(
    name: string,
    given: MadeRow,
    tenant: string,
    generation: number,
    path: readonly string[],
  ): Promise<Map<string, string | null>> {
    const shape = this.#shapeOf(name)
    const hook = shape.hooks.find(({ events }) => events.includes('INSERT'))
    if (hook !== undefined && !this.#withTriggers) throw new CannotPlant(triggerNote(name, hook.name))
    const values = new Map(given)
    const table = this.#tables.get(name)
    if (table?.tenant !== undefined) values.set(table.tenant, tenant)
    if (table?.owner !== undefined && !values.has(table.owner)) values.set(table.owner, this.#userOf(table, generation))
    for (const reference of shape.references) await this.#follow(shape, reference, values, tenant, generation, path)
    return values
  }

  async #follow(
    shape: Shape,
    { columns, target, targets }: Reference,
    values: Map<string, string | null>,
    tenant: string,
    generation: number,
    path: readonly string[],
  ): Promise<void> {
    const mayBeNull = columns.some(
      (column) => !values.has(column) && shape.columns.find(({ name }) => name === column)?.notNull !== true,
    )
    if (mayBeNull) return
    const needed = new Map<string, string | null>()
    for (const [index, column] of columns.entries()) {
      const value = values.get(column)
      if (value !== undefined) needed.set(targets[index] ?? '', value)
    }
    const parent = await this.#plant(target, needed, tenant, generation, path)
    for (const [index, column] of columns.entries()) values.set(column, parent.get(targets[index] ?? '') ?? null)
  }

  /** Inserts a row, exchanging values that a CHECK refuses. */
  async #insert(shape: Shape, fixed: MadeRow, tenant: string, isKept: boolean): Promise<MadeRow> {
    const choices = choicesOf(shape, fixed, this.#catalog)
    const turns = new Map<string, number>()
    for (let attempt = 0; attempt < mostAttempts; attempt++) {
      const row = rowOf(shape, fixed, choices, turns)
      const outcome = await this.#try(insertQuery(shape, row), tenant, isKept)
      if (outcome.kind === 'done') {
        if (outcome.results[0]?.rowCount === 1) return row
        throw new CannotPlant(`${shape.name} took no row, and said nothing`)
      }
      if (outcome.error.sqlstate !== checkViolation || !turn(shape, outcome.error, choices, turns))
        throw new CannotPlant(whyNot(shape, outcome.error))
    }
    throw new CannotPlant(`no row was found that the checks of ${shape.name} admit`)
  }

  /** As whoever plants; where that one may not, as the app role: a policy may be for it alone. */
  async #try(query: Query, tenant: string, isKept: boolean): Promise<Outcome> {
    const insert = (): Promise<Outcome> => this.#stage.run([query], { tenant, user: this.#user }, isKept)
    const outcome = await insert()
    if (outcome.kind === 'done' || outcome.error.sqlstate !== NOT_ALLOWED || !this.#stage.hasPlanter) return outcome
    await this.#stage.asApp()
    const second = await insert()
    await this.#stage.asPlanter()
    return second
  }

  #shapeOf(name: string): Shape {
    const shape = this.#catalog.get(name)
    if (shape === undefined) throw new CannotPlant(`${name} is not there`)
    if (shape.kind !== 'r' && shape.kind !== 'p') throw new CannotPlant(`${name} is no table`)
    return shape
  }

  #tenantsOf(type: string): Sentinels['tenants'] {
    const A = newKey(type)
    const made = { A, B: this.#areTwins && type === 'text' ? A.toUpperCase() : newKey(type) }
    const tenants = this.#tenants.get(type) ?? made
    this.#tenants.set(type, tenants)
    return tenants
  }

  /** One user is in both tenants, so that a policy that goes by the user alone shows. */
  #userOf(table: Table, generation: number): string {
    const type = table.columns[table.owner ?? '']?.type ?? 'uuid'
    const memo = `${type} ${generation}`
    const user = this.#users.get(memo) ?? newKey(type)
    this.#users.set(memo, user)
    return user
  }
}

/** An id that nobody has. */
export function newKey(type: string | undefined): string {
  if (type === 'int8') return String(9_000_000_000_000_000n + BigInt(randomInt(2 ** 40)))
  if (type === 'text') return `hf-proof-${randomBytes(6).toString('hex')}`
  return randomUUID()
}

/** A row whose parents nobody made: for what the policy must refuse before anybody looks for them. */
export function madeUp(shape: Shape, table: Table, catalog: Catalog): MadeRow {
  const fixed = new Map<string, string | null>()
  for (const column of [table.tenant, table.owner])
    if (column !== undefined) fixed.set(column, newKey(table.columns[column]?.type))
  return rowOf(shape, fixed, choicesOf(shape, fixed, catalog), new Map())
}

/** Why a table with a trigger is left alone. */
export function triggerNote(table: string, trigger: string): string {
  return `${table} has the trigger or rule ${trigger}, which may reach outside: with --with-triggers it is tried`
}

/** An INSERT of a row, with what follows VALUES. */
export function insertQuery(shape: Shape, row: MadeRow, more = ''): Query {
  const names = [...row.keys()]
  const columns = names.map((name) => shape.columns.find((column) => column.name === name))
  const overriding = columns.some((column) => column?.isIdentity === true) ? ' OVERRIDING SYSTEM VALUE' : ''
  const text =
    names.length === 0
      ? `INSERT INTO ${relation(shape)} DEFAULT VALUES${more}`
      : `INSERT INTO ${relation(shape)} (${names.map(quoted).join(', ')})${overriding} VALUES (${columns.map((column, index) => `$${index + 1}::${column?.type ?? 'TEXT'}`).join(', ')})${more}`
  return { statement: { name: '', text }, values: [...row.values()] }
}

/** A relation's name, quoted. */
export function relation({ name }: Shape): string {
  const dot = name.indexOf('.')
  return `${quoted(name.slice(0, dot))}.${quoted(name.slice(dot + 1))}`
}

type Choices = ReadonlyMap<string, readonly Value[]>

function choicesOf(shape: Shape, fixed: MadeRow, catalog: Catalog): Choices {
  const keys = new Set(shape.keys.flat())
  for (const { references } of catalog.values())
    for (const { target, targets } of references) if (target === shape.name) for (const one of targets) keys.add(one)
  const choices = new Map<string, readonly Value[]>()
  for (const column of shape.columns) {
    if (fixed.has(column.name)) continue
    const isKey = keys.has(column.name) && (column.notNull || !isLink(shape, column))
    const values = candidates(column, shape, isKey)
    if (values.length === 0 && column.notNull && !column.hasDefault)
      throw new CannotPlant(`no value of type ${column.type} is known, for ${shape.name}.${column.name}`)
    choices.set(column.name, values)
  }
  return choices
}

/** A nullable column of a foreign key stays empty: there is no parent for a made value. */
function isLink({ references }: Shape, { name }: ProofColumn): boolean {
  return references.some(({ columns }) => columns.includes(name))
}

function rowOf(shape: Shape, fixed: MadeRow, choices: Choices, turns: ReadonlyMap<string, number>): MadeRow {
  const row = new Map<string, string | null>()
  for (const { name } of shape.columns) {
    const value = fixed.has(name) ? fixed.get(name) : choices.get(name)?.[turns.get(name) ?? 0]
    if (value !== undefined) row.set(name, value)
  }
  return row
}

/** The next combination of the columns that a refused CHECK is about; false when there is none. */
function turn(shape: Shape, error: StatementError, choices: Choices, turns: Map<string, number>): boolean {
  const check = shape.checks.find(({ name }) => error.isConstraint(name))
  for (const column of check?.columns ?? []) {
    const values = choices.get(column) ?? []
    const next = (turns.get(column) ?? 0) + 1
    if (next < values.length && !isLinkName(shape, column)) {
      turns.set(column, next)
      return true
    }
    turns.set(column, 0)
  }
  return false
}

function isLinkName({ references }: Shape, name: string): boolean {
  return references.some(({ columns }) => columns.includes(name))
}

function whyNot(shape: Shape, error: StatementError): string {
  const check = shape.checks.find(({ name }) => error.isConstraint(name))
  const reasons: Readonly<Record<string, string>> = {
    [NOT_ALLOWED]: 'who plants may not insert there',
    [checkViolation]: `no value was found that the check ${check?.name ?? 'of a domain'} admits`,
    '23503': 'a row that it refers to cannot be made',
    '55P03': 'a lock was not had in time',
    '57014': 'it took longer than two seconds',
  }
  const reason = reasons[error.sqlstate] ?? `the database refused it with SQLSTATE ${error.sqlstate}`
  return `no row of ${shape.name} can be made: ${reason}`
}
