import { scanSync } from 'libpg-query'
import type { Dice } from './dice.ts'
import { Grammar, type Source } from './grammar.ts'
import type { Type } from './types.ts'
import { type Column, type Role, type Table, tableOf, visibleColumns, type World } from './world.ts'

/** A statement with its values, all as text. */
export type Statement = { readonly text: string; readonly values: readonly string[] }

/** Makes one statement that a role may send. */
export function makeStatement(
  dice: Dice,
  world: World,
  role: Role,
  caller: { readonly tenantId: string; readonly userId: string },
): Statement {
  const writer = new Writer(dice, world, role, caller)
  const made = renumbered(writer.statement(), writer.values)
  return { text: decorated(dice, made.text), values: made.values }
}

/** Parameters of fragments that were made and not taken leave gaps. */
export function renumbered(text: string, given: readonly string[]): Statement {
  const values: string[] = []
  const used = text.replace(PARAMETER, (literal: string, _tag, number: string | undefined) =>
    number === undefined ? literal : `$${values.push(given[Number(number) - 1] ?? '')}`,
  )
  return { text: used, values }
}

/** A parameter; literals between dollars are skipped, for they may begin with a digit. */
const PARAMETER = /\$(q1)?\$[^]*?\$(?:q1)?\$|\$(\d+)/g
/** Words after which the grammar looks ahead by one token: a comment there is a syntax error to it. */
const LOOKS_AHEAD = /^(?:not|nulls|with)$/i
const GAPS = [' ', ' ', '\n', '\t', ' /* a */ ', ' /* WHERE true /* nested */ */ ', ' -- OR true\n', ' /* $1 */ ']
const ENDS = ['', '', '', ';', ' -- ) OR (true', ' /* WHERE true */', '\n--']

/** The same tokens with other blanks, comments and capitals between them. */
function decorated(dice: Dice, text: string): string {
  if (dice.chance(0.5)) return text
  const bytes = Buffer.from(text)
  const { tokens } = scanSync(text)
  let out = ''
  let at = 0
  let previous = ''
  for (const { start, end, keywordKind, tokenType } of tokens) {
    const isComment = tokenType === 275 || tokenType === 276
    const gap = bytes.toString('utf8', at, start)
    const word = bytes.toString('utf8', start, end)
    out += gap !== '' && !isComment && !LOOKS_AHEAD.test(previous) && dice.chance(0.06) ? dice.pick(GAPS) : gap
    out += keywordKind !== 0 && dice.chance(0.1) ? word.toLowerCase() : word
    at = end
    previous = word
  }
  return out + dice.pick(ENDS)
}

class Writer extends Grammar {
  readonly #bareTargets = new Map<Table, boolean>()
  readonly #caller: { readonly tenantId: string; readonly userId: string }

  constructor(dice: Dice, world: World, role: Role, caller: { readonly tenantId: string; readonly userId: string }) {
    super(dice, world, role)
    this.#caller = caller
  }

  statement(): string {
    const { dice } = this
    const isWriter = this.#targets().length > 0
    if (isWriter && dice.chance(0.06)) return this.#writingCtes()
    const prefix = dice.chance(0.08) && this.tables('read').length > 0 ? this.with([], 1) : ''
    if (!isWriter || dice.chance(0.52)) {
      this.forget()
      if (dice.chance(0.01)) return `TABLE ${this.spell(dice.pick(this.tables('read')))}`
      return this.query([], 3, undefined, true).text
    }
    return prefix + this.#change()
  }

  #change(): string {
    const made = this.dice.pick([
      () => this.#insert(),
      () => this.#insert(),
      () => this.#update(),
      () => this.#delete(),
    ])
    return made()
  }

  #targets(): Table[] {
    const verbs = ['create', 'update', 'delete'] as const
    return this.world.tables.filter((table) => verbs.some((verb) => this.reach(table, verb) !== 'none'))
  }

  /** WITH queries that write, each table once: two changes of one row in a statement have no order. */
  #writingCtes(): string {
    const { dice } = this
    const targets = dice.shuffled(this.#targets()).slice(0, dice.int(1, 2))
    const parts = targets.map((table) => {
      const alias = this.alias()
      const fields = this.columns(table)
      const returned = dice.some(fields, 2)
      const items = this.#reads(table)
        ? ` RETURNING ${returned.map(({ name }) => `${this.#own(table)}.${this.name(name)}`).join(', ')}`
        : ''
      const text = dice.pick([
        () => this.#update(table, false),
        () => this.#delete(table, false),
        () => this.#insert(table, false),
      ])()
      if (items === '' || !/^(?:INSERT|UPDATE|DELETE)/.test(text)) return `${alias} AS (${text})`
      const names = returned.map(({ type }, index) => ({ name: `c${index}`, type }))
      this.remember({ alias, fields: names })
      return `${alias}(${names.map(({ name }) => name).join(', ')}) AS (${text}${items})`
    })
    const main = this.tables('read').length > 0 ? this.query([], 1).text : 'SELECT 1'
    this.forget()
    return `WITH ${parts.join(', ')} ${/^(?:WITH|VALUES)/.test(main) ? 'SELECT 1' : main}`
  }

  #reads(table: Table): boolean {
    return this.reach(table, 'read') !== 'none'
  }

  #target(verb: 'create' | 'update' | 'delete', wanted?: Table): Table | undefined {
    const tables = this.tables(verb).filter(({ kind }) => kind === 'tenant' || kind === 'through')
    if (wanted !== undefined) return tables.includes(wanted) ? wanted : undefined
    return tables.length === 0 ? undefined : this.dice.pick(tables)
  }

  /** Columns that the role may assign: not the keys, for a key that two rows get is an error and nothing more. */
  #assignable(table: Table): Column[] {
    return visibleColumns(table, this.role).filter(
      ({ name, readOnly }) =>
        name !== table.tenant &&
        name !== table.owner &&
        name !== 'id' &&
        name !== 'number' &&
        name !== 'name' &&
        !(table.kind === 'through' && name === table.link?.column) &&
        this.#mayAssign(readOnly),
    )
  }

  #mayAssign(readOnly: Column['readOnly']): boolean {
    return readOnly === undefined || (readOnly === 'narrow' && !this.role.isNarrow)
  }

  #insert(wanted?: Table, mayReturn = true): string {
    const { dice } = this
    const table = this.#target('create', wanted)
    if (table === undefined) return this.#update(wanted, mayReturn)
    if (table.kind === 'through') return this.#insertThrough(table, mayReturn)
    if (dice.chance(0.02)) return `INSERT INTO ${this.spell(table)} DEFAULT VALUES`
    const extra = visibleColumns(table, this.role).filter(
      ({ name, readOnly }) =>
        name !== table.tenant && name !== table.owner && name !== 'id' && this.#mayAssign(readOnly),
    )
    const chosen = dice.shuffled([...dice.some(extra), ...table.columns.filter(({ name }) => name === 'id')])
    const claims = dice.chance(0.1) ? this.#claims(table) : []
    const names = [...claims.map(({ column }) => column), ...chosen.map(({ name }) => this.name(name))].join(', ')
    const conflict = this.#conflict(table)
    const isFresh = conflict === '' && dice.chance(0.9)
    const source = this.#isSelect() ? this.#selected(table, claims, chosen) : this.#rows(table, claims, chosen, isFresh)
    const returning = mayReturn ? this.#returning(table, 0.4) : ''
    return `INSERT INTO ${this.spell(table)}${this.#as(table)} (${names}) ${source}${conflict}${returning}`
  }

  #isSelect(): boolean {
    return this.tables('read').length > 0 && this.dice.chance(0.35)
  }

  /** Tenant and owner as parameters that say what holds anyway. */
  #claims(table: Table): { column: string; value: () => string }[] {
    const made = [{ column: table.tenant ?? '', value: () => this.parameter(this.#caller.tenantId) }]
    if (table.owner !== undefined && this.reach(table, 'create') === 'own') {
      made.push({ column: table.owner, value: () => this.parameter(this.#caller.userId) })
    }
    return made
  }

  #rows(table: Table, claims: readonly { value: () => string }[], chosen: readonly Column[], isFresh: boolean): string {
    const { dice } = this
    const known = (): number => dice.pick([dice.int(1, 8), dice.int(101, 108), dice.int(201, 208), dice.int(301, 308)])
    const value = ({ name, type }: Column): string => {
      const fresh = dice.int(1_000, 9_000)
      if (name === 'id') return `${isFresh ? fresh : known()}`
      if (name === table.link?.column) return this.#parentId(table)
      if (name === 'number') return `${isFresh ? fresh : dice.int(0, 60)}`
      if (name === 'name')
        return isFresh ? `'fresh ${fresh}'` : dice.pick(["'north 1'", "'south 2'", `$$fresh ${fresh}$$`])
      return dice.chance(0.1) ? 'DEFAULT' : this.literal(type)
    }
    const rows = dice.list(
      1,
      3,
      () => `(${[...claims.map((claim) => claim.value()), ...chosen.map(value)].join(', ')})`,
    )
    return `VALUES ${rows.join(', ')}`
  }

  #parentId({ link }: Table): string {
    const parent = tableOf(this.world, link?.parent ?? '')
    const ids = this.world.rows.find(({ table }) => table === parent.name)?.rows ?? []
    const at = parent.columns.findIndex(({ name }) => name === link?.references)
    return this.dice.chance(0.2) ? 'NULL' : `${this.dice.pick(ids)[at]}`
  }

  #selected(table: Table, claims: readonly { value: () => string }[], chosen: readonly Column[]): string {
    const { dice } = this
    const { text, source } = this.source([], 1)
    const item = ({ name, type }: Column): string => {
      if (name === 'id') return `${dice.int(2, 9)}000 + ${this.column([[source]], 'int8')}`
      if (name === 'number') return `${dice.int(2, 9)}0000 + ${this.column([[source]], 'int8')}`
      if (name === table.link?.column) return this.#parentId(table) + '::int8'
      return this.expression([[source]], type, 1)
    }
    const items = [...claims.map((claim) => claim.value()), ...chosen.map(item)]
    const where = dice.chance(0.8) ? ` WHERE ${this.condition([[source]], 1)}` : ''
    const distinct = claims.length === 0 && dice.chance(0.2) ? 'DISTINCT ' : ''
    const one = `SELECT ${distinct}${items.join(', ')} FROM ${text}${where}`
    if (claims.length > 0 || !dice.chance(0.1)) return one
    return `${one} UNION ${dice.pick(['', 'ALL '])}SELECT ${chosen.map((column) => (column.name === 'id' ? '9999::int8' : this.literal(column.type))).join(', ')}`
  }

  /** A child without a tenant column: its link is the key of a parent that is in reach. */
  #insertThrough(table: Table, mayReturn: boolean): string {
    const { dice } = this
    const { link } = table
    const parent = tableOf(this.world, link?.parent ?? '')
    if (link === undefined || !this.#reads(parent)) return this.#update(table, mayReturn)
    const { text, source } = this.table(parent, false)
    const place = parent.columns.findIndex(({ name }) => name === link.references)
    const key =
      source.fields[visibleColumns(parent, this.role).findIndex(({ name }) => name === parent.columns[place]?.name)]
    const extra = visibleColumns(table, this.role).filter(
      ({ name, readOnly }) => name !== 'id' && name !== link.column && this.#mayAssign(readOnly),
    )
    const chosen = dice.some(extra)
    const joined = dice.chance(0.3) ? this.source([], 0) : undefined
    const scope = [[source, ...(joined === undefined ? [] : [joined.source])]]
    const items = [
      `${dice.int(2, 9)}000 + ${this.column(scope, 'int8')}`,
      `${this.aliasText(source.alias)}.${this.name(key?.name ?? 'id')}`,
      ...chosen.map(({ type }) => this.expression(scope, type, 1)),
    ]
    const from =
      joined === undefined
        ? text
        : `${text} JOIN ${joined.text} ON ${this.column([[source]], 'int8')} = ${this.column([[joined.source]], 'int8')}`
    const where = dice.chance(0.7) ? ` WHERE ${this.condition(scope, 1)}` : ''
    const names = ['id', link.column, ...chosen.map(({ name }) => this.name(name))].join(', ')
    return `INSERT INTO ${this.spell(table)}${this.#as(table)} (${names}) SELECT ${items.join(', ')} FROM ${from}${where}${this.#conflict(table)}${mayReturn ? this.#returning(table, 0.4) : ''}`
  }

  #conflict(table: Table): string {
    const { dice } = this
    if (dice.chance(0.5)) return ''
    const keys = [table.primary, ...table.uniques].map((key) => `(${key.map((name) => this.name(name)).join(', ')})`)
    if (dice.chance(0.3)) return ` ON CONFLICT ${dice.pick(['', ...keys])} DO NOTHING`
    const columns = this.#assignable(table)
    if (columns.length === 0 || !this.#reads(table) || this.reach(table, 'update') === 'none') return ''
    const column = dice.pick(columns)
    const name = this.name(column.name)
    const own = this.#own(table)
    const set = dice.pick([
      `excluded.${name}`,
      `coalesce(${own}.${name}, EXCLUDED.${name})`,
      this.literal(column.type),
      'DEFAULT',
    ])
    const where = dice.chance(0.4) ? ` WHERE ${own}.${name} IS DISTINCT FROM excluded.${name}` : ''
    return ` ON CONFLICT ${dice.pick(keys)} DO UPDATE SET ${dice.chance(0.1) ? `(${name}) = ROW(${set})` : `${name} = ${set}`}${where}`
  }

  #update(wanted?: Table, mayReturn = true): string {
    const { dice } = this
    const table = this.#target('update', wanted)
    const columns = table === undefined ? [] : this.#assignable(table)
    if (table === undefined || columns.length === 0) return this.#delete(wanted, mayReturn)
    if (!this.#reads(table)) {
      const { name, type } = dice.pick(columns)
      return `UPDATE ${this.spell(table)} SET ${this.name(name)} = ${dice.chance(0.3) ? 'DEFAULT' : this.literal(type)}`
    }
    const target: Source = this.#sourceOf(table)
    // what a joined row gives would depend on which of several is taken
    const joined = dice.chance(0.25) ? this.from([], 1) : undefined
    const scope = joined === undefined ? [target] : [target, ...joined.sources]
    const from = joined === undefined ? '' : ` FROM ${joined.text}`
    const where = dice.chance(0.9) ? ` WHERE ${this.condition([scope], 2)}` : ''
    const returning = mayReturn && joined === undefined ? this.#returning(table, 0.5) : ''
    return `UPDATE ${this.spell(table)}${this.#as(table, dice.pick([' AS', '']))} SET ${this.#set(target, columns)}${from}${where}${returning}`
  }

  #set(target: Source, columns: readonly Column[]): string {
    const { dice } = this
    const chosen = dice.shuffled(columns).slice(0, dice.pick([1, 1, 2]))
    const value = ({ type }: Column): string => this.expression([[target]], type, 2)
    const names = chosen.map(({ name }) => this.name(name))
    const roll = dice.int(1, 8)
    if (roll === 1) return `(${names.join(', ')}) = ROW(${chosen.map(value).join(', ')})`
    if (roll === 2)
      return `(${names.join(', ')}) = (SELECT ${chosen.map(({ type }) => this.#highest(type)).join(', ')})`
    return chosen
      .map((column, index) => `${names[index]} = ${dice.chance(0.08) ? 'DEFAULT' : value(column)}`)
      .join(', ')
  }

  /** An aggregate of a type, over the one row of a query without FROM. */
  #highest(type: Type): string {
    const hasNone = type === 'jsonb' || type === 'bool' || type === 'uuid'
    return hasNone ? this.literal(type) : `max(${this.literal(type)})`
  }

  #delete(wanted?: Table, mayReturn = true): string {
    const { dice } = this
    const table = this.#target('delete', wanted)
    if (table === undefined)
      return this.tables('read').length > 0 ? this.query([], 2, undefined, true).text : 'SELECT 1'
    if (!this.#reads(table)) return `DELETE FROM ${this.spell(table)}`
    const target: Source = this.#sourceOf(table)
    const joined = dice.chance(0.3) ? this.from([], 1) : undefined
    const scope = joined === undefined ? [target] : [target, ...joined.sources]
    const using = joined === undefined ? '' : ` USING ${joined.text}`
    const where = dice.chance(0.9) ? ` WHERE ${this.condition([scope], 2)}` : ''
    return `DELETE FROM ${this.spell(table)}${this.#as(table, dice.pick([' AS', '']))}${using}${where}${mayReturn && joined === undefined ? this.#returning(table, 0.5) : ''}`
  }

  #returning(table: Table, chance: number): string {
    const { dice } = this
    if (!this.#reads(table) || !dice.chance(chance)) return ''
    const target: Source = this.#sourceOf(table)
    const item = dice.pick(['*', `${this.#own(table)}.*`, 'some'])
    if (item !== 'some') return ` RETURNING ${item}`
    const items = dice.list(1, 2, () => this.expression([[target]], dice.pick(['int8', 'text', 'bool'] as const), 1))
    // before and after are rows of their own to PostgreSQL 18
    if (dice.chance(0.1)) items.push(dice.pick(['old', 'new']) + `.${this.name(dice.pick(target.fields).name)}`)
    return ` RETURNING ${items.join(', ')}${dice.chance(0.2) ? ' AS r' : ''}`
  }

  /** The target by the name that it has in the statement: mostly another than the table's. */
  #sourceOf(table: Table): Source {
    const isBare = this.#isBare(table)
    return { alias: isBare ? table.name : 'z', fields: this.columns(table), table, ...(isBare ? { isBare } : {}) }
  }

  #own(table: Table): string {
    return this.aliasText(this.#sourceOf(table).alias)
  }

  /** What follows the name of the target. */
  #as(table: Table, word = ' AS'): string {
    return this.#isBare(table) ? '' : `${word} z`
  }

  #isBare(table: Table): boolean {
    const known = this.#bareTargets.get(table) ?? (this.dice.chance(0.25) && this.takesName(table))
    this.#bareTargets.set(table, known)
    return known
  }
}
