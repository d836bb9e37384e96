import type { Dice } from './dice.ts'
import { AGGREGATES, FORMS, ROW_FUNCTIONS, WINDOWS } from './forms.ts'
import { literalOf, sqlType, type Type, valueOf } from './types.ts'
import { type Role, type Table, type Verb, visibleColumns, type World } from './world.ts'

/** A column as an expression may name it. */
type Field = { readonly name: string; readonly type: Type }
/** A relation in sight, by its alias. */
export type Source = {
  readonly alias: string
  readonly fields: readonly Field[]
  readonly table?: Table
  /** it bears its table's own name, so that `schema.table.column` is one of its columns */
  readonly isBare?: true
}
/** Relations in sight, the innermost query's first. */
export type Sight = readonly (readonly Source[])[]
type Query = { readonly text: string; readonly types: readonly Type[] }

const RESERVED = new Set(['order', 'user'])
const PLAIN: readonly Type[] = ['int8', 'text', 'int8', 'text', 'bool', 'int4', 'numeric', 'date', 'jsonb']

/** What all statements are made of: names, expressions and queries, within what a role may do. */
export class Grammar {
  readonly dice: Dice
  readonly world: World
  readonly role: Role
  readonly values: string[] = []
  #aliases = 0
  /** common table expressions in sight */
  #ctes: Source[] = []
  /** tables that stand without an alias: each at most once, for its name would be there twice */
  readonly #bare = new Set<Table>()
  /** the FROM of the query that was made last */
  #sources: readonly Source[] = []

  constructor(dice: Dice, world: World, role: Role) {
    this.dice = dice
    this.world = world
    this.role = role
  }

  reach(table: Table, verb: Verb): 'tenant' | 'own' | 'none' {
    if (this.role.grants.includes(`${table.resource}:${verb}`)) return 'tenant'
    return this.role.grants.includes(`${table.resource}:${verb}@own`) ? 'own' : 'none'
  }

  /** Tables that the role holds a verb on. */
  tables(verb: Verb): Table[] {
    return this.world.tables.filter((table) => this.reach(table, verb) !== 'none')
  }

  columns(table: Table): Field[] {
    return visibleColumns(table, this.role).map(({ name, type }) => ({ name, type }))
  }

  /** A query; with `types`, of exactly these columns. At the top ORDER BY fixes the order, if it stands there. */
  query(outer: Sight, depth: number, types?: readonly Type[], isTop = false): Query {
    const known = this.#ctes
    const prefix = this.dice.chance(isTop ? 0.25 : 0.05) && depth > 0 ? this.with(outer, depth - 1) : ''
    const star = types === undefined && this.dice.chance(0.12) ? this.#star(outer, depth) : undefined
    const wanted = types ?? star?.types ?? this.dice.list(1, 3, () => this.dice.pick(PLAIN))
    let text = star?.text ?? this.#body(outer, depth, wanted)
    // DISTINCT ON has an ORDER BY of its own
    const isPlain = !text.startsWith('SELECT DISTINCT ON')
    if (isTop && isPlain && this.dice.chance(0.4)) text += this.#ordered(wanted)
    else if (
      isTop &&
      /^SELECT (?!DISTINCT)/.test(text) &&
      !/GROUP|UNION|EXCEPT|INTERSECT|OVER|HAVING|agg\(|count\(|max\(|min\(|sum\(/.test(text)
    ) {
      text += this.#lock()
    }
    this.#ctes = known
    return { text: prefix + text, types: wanted }
  }

  /** WITH, and its names in sight for what follows. */
  with(outer: Sight, depth: number): string {
    const made = this.dice.list(1, 2, () => {
      const alias = this.alias()
      const isRecursive = this.dice.chance(0.3)
      const { text, fields } = isRecursive ? this.#recursive(alias) : this.#plainCte(outer, depth)
      this.#ctes = [...this.#ctes, { alias, fields }]
      const hint = this.dice.pick(['', '', '', ' MATERIALIZED', ' NOT MATERIALIZED'])
      const list = fields.map(({ name }) => name).join(', ')
      return { isRecursive, text: `${alias}(${list}) AS${hint} (${text})` }
    })
    const word = made.some(({ isRecursive }) => isRecursive) ? 'WITH RECURSIVE ' : 'WITH '
    return `${word}${made.map(({ text }) => text).join(', ')} `
  }

  /** Brings a name of WITH into sight. */
  remember(source: Source): void {
    this.#ctes = [...this.#ctes, source]
  }

  /** Takes all names of WITH out of sight. */
  forget(): void {
    this.#ctes = []
  }

  #plainCte(outer: Sight, depth: number): { text: string; fields: Field[] } {
    const { text, types } = this.query(outer, depth)
    return { text, fields: types.map((type, index) => ({ name: `c${index}`, type })) }
  }

  #recursive(alias: string): { text: string; fields: Field[] } {
    const fields: Field[] = [
      { name: 'n', type: 'int8' },
      { name: 'w', type: 'text' },
    ]
    const base = this.source([], 0)
    const start = `SELECT ${this.expression([[base.source]], 'int8', 0)}, ${this.expression([[base.source]], 'text', 0)} FROM ${base.text}`
    const step = this.dice.chance(0.5)
      ? `SELECT r.n + 1, r.w FROM ${alias} AS r WHERE r.n < 8`
      : (() => {
          const next = this.source([], 0)
          return `SELECT ${this.column([[next.source]], 'int8')}, r.w FROM ${next.text} JOIN ${alias} r ON r.n = ${this.column([[next.source]], 'int8')}`
        })()
    return { text: `${start} UNION ${step}`, fields }
  }

  #body(outer: Sight, depth: number, types: readonly Type[]): string {
    const { dice } = this
    if (depth > 0 && dice.chance(0.1)) return this.#setOperation(outer, depth, types)
    if (dice.chance(0.04))
      return `VALUES ${dice.list(1, 3, () => `(${types.map((type) => this.literal(type)).join(', ')})`).join(', ')}`
    if (dice.chance(0.18)) return this.#grouped(outer, depth, types)
    return this.#plain(outer, depth, types)
  }

  /** All columns of what stands in FROM. */
  #star(outer: Sight, depth: number): Query | undefined {
    const { dice } = this
    const { text, sources } = this.from(outer, depth - 1)
    // USING and NATURAL show a column of both once
    if (/USING|NATURAL/.test(text)) return undefined
    const types = sources.flatMap(({ fields }) => fields.map(({ type }) => type))
    const items = dice.chance(0.6) ? '*' : sources.map(({ alias }) => `${this.aliasText(alias)}.*`).join(', ')
    const where = dice.chance(0.5) ? ` WHERE ${this.condition([sources, ...outer], depth - 1)}` : ''
    this.#sources = sources
    return { text: `SELECT ${items} FROM ${text}${where}`, types }
  }

  #setOperation(outer: Sight, depth: number, types: readonly Type[]): string {
    const arm = (): string => {
      const { text } = this.query(outer, depth - 1, types)
      return this.dice.chance(0.3) && /^SELECT (?!DISTINCT ON|.*(?:UNION|INTERSECT|EXCEPT))/s.test(text)
        ? text
        : `(${text})`
    }
    const word = (): string =>
      this.dice.pick(['UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT', 'INTERSECT ALL', 'EXCEPT ALL', 'UNION DISTINCT'])
    return this.dice.chance(0.2) ? `${arm()} ${word()} (${arm()} ${word()} ${arm()})` : `${arm()} ${word()} ${arm()}`
  }

  #plain(outer: Sight, depth: number, types: readonly Type[]): string {
    const { dice } = this
    const { text: from, sources } = this.from(outer, depth)
    const sight: Sight = [sources, ...outer]
    const where = dice.chance(0.65) ? ` WHERE ${this.condition(sight, depth)}` : ''
    const keys = types.flatMap((type) => this.#field(sight, type) ?? [])
    if (keys.length === types.length && dice.chance(0.08)) {
      // what DISTINCT ON keeps is fixed when it is told apart by all that is shown
      return `SELECT DISTINCT ON (${keys[0]}) ${keys.join(', ')} FROM ${from}${where} ORDER BY ${keys.join(', ')}`
    }
    if (types[0] === 'int8' && dice.chance(0.04))
      return `${this.#window(sight, types)} FROM ${from}${where} WINDOW w AS (PARTITION BY ${this.column(sight, 'text')}), v AS (w ORDER BY ${this.column(sight, 'int8')})`
    const items = types.map((type) => this.#item(sight, type, depth))
    this.#sources = sources
    const word = dice.chance(0.12) ? 'DISTINCT ' : dice.pick(['', '', '', 'ALL '])
    return `SELECT ${word}${items.join(', ')} FROM ${from}${where}`
  }

  /** Items over windows that are named after FROM. */
  #window(sight: Sight, types: readonly Type[]): string {
    const [, ...others] = types.map((type) => this.expression(sight, type, 0))
    const first = this.dice.pick([
      'rank() OVER v',
      'count(*) OVER w',
      'dense_rank() OVER (v)',
      'max(1::int8) OVER (v RANGE CURRENT ROW)',
    ])
    return `SELECT ${[first, ...others].join(', ')}`
  }

  #item(sight: Sight, type: Type, depth: number): string {
    const windows = WINDOWS[type]
    const text =
      windows !== undefined && depth > 0 && this.dice.chance(0.08)
        ? this.#fill(this.dice.pick(windows), sight.slice(0, 1), 0)
        : this.expression(sight, type, depth)
    const name = this.dice.chance(0.15)
      ? this.dice.pick([` AS n${this.#aliases++}`, ` AS "N ${this.#aliases++}"`, ` m${this.#aliases++}`])
      : ''
    return text + name
  }

  #grouped(outer: Sight, depth: number, types: readonly Type[]): string {
    const { dice } = this
    const { text: from, sources } = this.from(outer, depth)
    const sight: Sight = [sources]
    const [entity] = sources
    if (entity?.table !== undefined && dice.chance(0.05)) {
      const text = this.#byPrimaryKey(entity, types)
      if (text !== undefined) return `SELECT ${text.items} FROM ${from} GROUP BY ${text.keys}`
    }
    const keys = dice
      .list(1, 2, () => {
        const type = dice.pick(['text', 'int8', 'bool'] as const)
        return { type, text: this.#field(sight, type) ?? '' }
      })
      .filter(({ text }) => text !== '')
    const [key] = keys
    const items = types.map((type) => {
      const found = keys.find((each) => each.type === type)
      if (found !== undefined && dice.chance(0.5)) return found.text
      const forms = AGGREGATES[type]
      if (forms === undefined) return this.literal(type)
      return this.#cast(this.#fill(dice.pick(forms).replace('<key>', key?.text ?? ''), sight, 0), type)
    })
    const where = dice.chance(0.5) ? ` WHERE ${this.condition([sources, ...outer], depth - 1)}` : ''
    if (key === undefined || dice.chance(0.2))
      return `SELECT ${types.map((type) => this.#alone(sight, type)).join(', ')} FROM ${from}${where}`
    const list = keys.map(({ text }) => text)
    const grouping = dice.pick([
      list.join(', '),
      `ROLLUP (${list.join(', ')})`,
      `CUBE (${list.join(', ')})`,
      `GROUPING SETS ((${list.join(', ')}), ())`,
      list.join(', '),
    ])
    const having = dice.chance(0.3)
      ? ` HAVING ${dice.pick(['count(*) > 1', `max(${this.column(sight, 'int8')}) IS NOT NULL`, `min(${this.column(sight, 'text')}) < 'zeta'`])}`
      : ''
    return `SELECT ${items.join(', ')} FROM ${from}${where} GROUP BY ${grouping}${having}`
  }

  /** Grouped by a table's key its other columns need no grouping of their own. */
  #byPrimaryKey({ alias, fields, table }: Source, types: readonly Type[]): { items: string; keys: string } | undefined {
    const isKnown = table?.primary.every((key) => fields.some(({ name }) => name === key))
    if (table === undefined || isKnown !== true || table.primary.length === 0) return undefined
    const of = (name: string): string => `${this.aliasText(alias)}.${this.name(name)}`
    const items = types.map((type) => {
      const found = fields.filter((field) => field.type === type)
      return found.length > 0 && this.dice.chance(0.8)
        ? of(this.dice.pick(found).name)
        : type === 'int8'
          ? 'count(*)'
          : this.literal(type)
    })
    return { items: items.join(', '), keys: table.primary.map(of).join(', ') }
  }

  /** An aggregate over all rows, without GROUP BY. */
  #alone(sight: Sight, type: Type): string {
    const forms = (AGGREGATES[type] ?? []).filter((form) => !form.includes('<key>'))
    return forms.length === 0 ? this.literal(type) : this.#cast(this.#fill(this.dice.pick(forms), sight, 0), type)
  }

  #cast(text: string, type: Type): string {
    return type === 'int8' || type === 'numeric' ? `(${text})::${sqlType(type)}` : text
  }

  #ordered(types: readonly Type[]): string {
    const { dice } = this
    const direction = (): string => dice.pick(['', ' ASC', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST'])
    const order = ` ORDER BY ${types.map((_, index) => `${index + 1}${direction()}`).join(', ')}`
    if (dice.chance(0.5)) return order
    return (
      order +
      dice.pick([
        ' LIMIT 3',
        ` LIMIT ${this.parameter('4')}`,
        ' LIMIT 5 OFFSET 1',
        ' OFFSET 2',
        ' FETCH FIRST 2 ROWS ONLY',
        ' LIMIT ALL',
        ' FETCH FIRST 3 ROWS WITH TIES',
      ])
    )
  }

  #lock(): string {
    if (!this.dice.chance(0.25)) return ''
    const names = this.#sources.flatMap(({ alias, table }) =>
      table === undefined || table.kind === 'shared' || table.kind === 'view' ? [] : [this.aliasText(alias)],
    )
    if (names.length === 0) return ''
    const isAll = names.length === this.#sources.length && this.dice.chance(0.5)
    const of = isAll ? '' : ` OF ${this.dice.pick(names)}`
    return this.dice.pick([
      ` FOR UPDATE${of}`,
      ` FOR SHARE${of}`,
      ` FOR NO KEY UPDATE${of} SKIP LOCKED`,
      ` FOR KEY SHARE${of} NOWAIT`,
    ])
  }

  /** A FROM list with its joins. */
  from(outer: Sight, depth: number): { text: string; sources: Source[] } {
    const { dice } = this
    const first = this.source(outer, depth)
    const sources = [first.source]
    let { text } = first
    const more = depth > 0 ? dice.pick([0, 0, 0, 1, 1, 2]) : 0
    for (let index = 0; index < more; index++) {
      const isLateral = dice.chance(0.15)
      const next = isLateral ? this.#lateral([sources, ...outer], depth) : this.source(outer, depth)
      text = this.#joined(text, sources, next, isLateral)
      sources.push(next.source)
      if (text.includes(', ')) break
    }
    return { text, sources }
  }

  #joined(
    text: string,
    sources: readonly Source[],
    next: { text: string; source: Source },
    isLateral: boolean,
  ): string {
    const { dice } = this
    const [first] = sources
    const kinds = isLateral
      ? ['JOIN', 'LEFT JOIN', 'CROSS JOIN', ',']
      : ['JOIN', 'INNER JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL OUTER JOIN', 'CROSS JOIN', ',']
    const kind = dice.pick(kinds)
    if (kind === ',') return `${text}, ${next.text}`
    if (kind === 'CROSS JOIN') return `${text} CROSS JOIN ${next.text}`
    const shared = sources.length === 1 && first !== undefined ? sharedNames(first, next.source) : []
    if (shared.length > 0 && dice.chance(0.2)) {
      const using = dice
        .some(shared, 2)
        .map((name) => this.name(name))
        .join(', ')
      return `${text} ${kind} ${next.text} USING (${using})${dice.chance(0.2) ? ` AS ${this.alias()}` : ''}`
    }
    if (shared.length > 0 && sameTypes(first, next.source) && dice.chance(0.15))
      return `${text} NATURAL ${kind} ${next.text}`
    const [left, right] = [this.#field([sources], 'int8', false), this.#field([[next.source]], 'int8', false)]
    // a full join takes nothing but columns of both sides
    if (left === undefined || right === undefined)
      return `${text} ${kind === 'FULL OUTER JOIN' ? 'LEFT JOIN' : kind} ${next.text} ON true`
    const also =
      kind === 'FULL OUTER JOIN' || dice.chance(0.5)
        ? ''
        : ` AND ${this.#fill(dice.pick(SIMPLE), [[...sources, next.source]], -1)}`
    return `${text} ${kind} ${next.text} ON ${left} = ${right}${also}`
  }

  /** One item of FROM: a table, a WITH query, a subquery, a function, VALUES. */
  source(outer: Sight, depth: number): { text: string; source: Source } {
    const { dice } = this
    const cte = this.#ctes.length > 0 && dice.chance(0.4) ? dice.pick(this.#ctes) : undefined
    if (cte !== undefined) {
      const alias = this.alias()
      return { text: `${cte.alias} AS ${alias}`, source: { alias, fields: cte.fields } }
    }
    if (depth > 0 && dice.chance(0.12)) return this.#derived([], depth, '')
    if (dice.chance(0.04)) return this.#rowFunction(dice.chance(0.5) ? outer : [])
    if (dice.chance(0.03)) return this.#values()
    return this.table(dice.pick(this.tables('read')))
  }

  /** A table under an alias, or under its own name. */
  table(table: Table, mayRename = true): { text: string; source: Source } {
    const { dice } = this
    const fields = this.columns(table)
    const alias = this.alias()
    if (mayRename && dice.chance(0.08)) {
      const renamed = fields.map(({ type }, index) => ({ name: `k${index}`, type }))
      const list = renamed.map(({ name }) => name).join(', ')
      return { text: `${this.spell(table)} AS ${alias}(${list})`, source: { alias, fields: renamed, table } }
    }
    if (dice.chance(0.15) && this.takesName(table)) {
      return { text: this.spell(table), source: { alias: table.name, fields, table, isBare: true } }
    }
    return { text: `${this.spell(table)}${dice.pick([' AS ', ' ', '\n'])}${alias}`, source: { alias, fields, table } }
  }

  #lateral(outer: Sight, depth: number): { text: string; source: Source } {
    if (this.dice.chance(0.25)) {
      const made = this.#rowFunction(outer)
      return { ...made, text: this.dice.pick(['', 'LATERAL ']) + made.text }
    }
    return this.#derived(outer, depth, 'LATERAL ')
  }

  #derived(outer: Sight, depth: number, prefix: string): { text: string; source: Source } {
    const alias = this.alias()
    const { text, types } = this.query(outer, depth - 1)
    const fields = types.map((type, index) => ({ name: `s${index}`, type }))
    const list = fields.map(({ name }) => name).join(', ')
    return { text: `${prefix}(${text}) AS ${alias}(${list})`, source: { alias, fields } }
  }

  #rowFunction(outer: Sight): { text: string; source: Source } {
    const alias = this.alias()
    const [form, type] = this.dice.pick(ROW_FUNCTIONS)
    const call = this.#fill(form, outer, 0)
    if (this.dice.chance(0.3)) {
      return { text: `generate_series(1, 3) AS ${alias}(g)`, source: { alias, fields: [{ name: 'g', type: 'int4' }] } }
    }
    const fields: Field[] = [{ name: 'g', type }]
    if (this.dice.chance(0.3)) {
      return {
        text: `${call} WITH ORDINALITY AS ${alias}(g, o)`,
        source: { alias, fields: [...fields, { name: 'o', type: 'int8' }] },
      }
    }
    return { text: `${call} AS ${alias}(g)`, source: { alias, fields } }
  }

  #values(): { text: string; source: Source } {
    const alias = this.alias()
    const rows = this.dice.list(1, 2, () => `(${this.literal('int8')}, ${this.literal('text')})`)
    const fields: Field[] = [
      { name: 'v', type: 'int8' },
      { name: 'w', type: 'text' },
    ]
    return { text: `(VALUES ${rows.join(', ')}) AS ${alias}(v, w)`, source: { alias, fields } }
  }

  /** An expression of a type. */
  expression(sight: Sight, type: Type, depth: number): string {
    const { dice } = this
    // below zero the other items of FROM are not in sight, so that no bare name is sure to be the only one
    if (depth <= 0 || dice.chance(0.5))
      return dice.chance(0.85) ? this.column(sight, type, depth >= -1) : this.literal(type)
    const text = this.#fill(dice.pick(FORMS[type]), sight, depth)
    return type === 'bool' ? `(${text})` : text
  }

  /** A condition as it stands after WHERE: also an OR without parentheses. */
  condition(sight: Sight, depth: number): string {
    const one = (): string => this.#fill(this.dice.pick(FORMS.bool), sight, depth)
    return this.dice.chance(0.25) ? `${one()} ${this.dice.pick(['OR', 'AND'])} ${one()}` : one()
  }

  #fill(form: string, sight: Sight, depth: number): string {
    let first: string | undefined
    return form.replace(/<([a-z0-9_:]+)>/g, (_, hole: string) => {
      if (hole === 'again') return first ?? '1'
      const text = this.#hole(hole, sight, depth)
      first ??= text
      return text
    })
  }

  #hole(hole: string, sight: Sight, depth: number): string {
    const { dice } = this
    const [kind, type] = hole.split(':') as [string, Type | undefined]
    if (kind === 'cond') return depth > 0 ? this.condition(sight, depth - 1) : this.#fill(dice.pick(SIMPLE), sight, 0)
    if (kind === 'any') return this.expression(sight, dice.pick(PLAIN), depth - 1)
    if (kind === 'all') return allOf(sight[0] ?? [], (alias, name) => `${this.aliasText(alias)}.${this.name(name)}`)
    if (kind === 'row')
      return (sight[0] ?? []).length === 0 ? 'ROW(1)' : this.aliasText(dice.pick(sight[0] ?? []).alias)
    if (kind === 'total')
      return this.reach(this.world.tables[0] as Table, 'read') === 'tenant' ? 'app.total()' : '1::int8'
    if (type === undefined) {
      if (kind === 'from')
        return depth > 0 ? this.query(sight, depth - 1).text : `SELECT 1 FROM ${this.source([], 0).text}`
      if (kind === 'pair') return this.#uncorrelated(['int8', 'text'], depth)
      return this.expression(sight, kind as Type, depth - 1)
    }
    if (kind === 'lit') return this.literal(type)
    if (kind === 'col') return this.column(sight, type)
    if (kind === 'set') return this.#uncorrelated([type], depth)
    if (kind === 'sorted') return `${this.#uncorrelated([type], depth)} ORDER BY 1`
    return this.#one(sight, type, depth)
  }

  #uncorrelated(types: readonly Type[], depth: number): string {
    const { text, sources } = this.from([], 0)
    const items = types.map((type) => this.expression([sources], type, 0)).join(', ')
    const where = depth > 1 ? ` WHERE ${this.condition([sources], 0)}` : ''
    return `SELECT ${items} FROM ${text}${where}`
  }

  /** A query that gives one row at most. */
  #one(sight: Sight, type: Type, depth: number): string {
    const inner = this.source([], 0)
    const forms = (AGGREGATES[type] ?? []).filter((form) => !form.includes('<key>'))
    const within: Sight = [[inner.source]]
    const item =
      forms.length === 0 ? this.literal(type) : this.#cast(this.#fill(this.dice.pick(forms), within, 0), type)
    const where = this.dice.chance(0.6) ? ` WHERE ${this.condition([[inner.source], ...sight], depth - 2)}` : ''
    return `(SELECT ${item} FROM ${inner.text}${where}${forms.length === 0 ? ' LIMIT 1' : ''})`
  }

  /** A column of a type in sight; a literal where there is none. */
  column(sight: Sight, type: Type, mayBeBare = true): string {
    return this.#field(sight, type, mayBeBare) ?? this.literal(type)
  }

  #field(sight: Sight, type: Type, mayBeBare = true): string | undefined {
    const { dice } = this
    const near = sight[0] ?? []
    const found = (dice.chance(0.8) ? near : sight.flat()).flatMap((source) =>
      source.fields.filter((field) => field.type === type).map(({ name }) => ({ source, name })),
    )
    if (found.length === 0) return undefined
    const { source, name } = dice.pick(found)
    const { alias, table } = source
    const isUnique = near.flatMap(({ fields }) => fields).filter((field) => field.name === name).length === 1
    if (mayBeBare && isUnique && near.includes(source) && dice.chance(0.15)) return this.name(name)
    const schema = source.isBare === true && dice.chance(0.3) ? `${table?.schema}.` : ''
    return `${schema}${dice.chance(0.1) ? `"${alias}"` : this.aliasText(alias)}.${this.name(name)}`
  }

  literal(type: Type): string {
    if (this.dice.chance(0.08)) return `NULL::${sqlType(type)}`
    if (this.dice.chance(0.2)) return `${this.parameter(valueOf(this.dice, type))}::${sqlType(type)}`
    return literalOf(this.dice, type)
  }

  parameter(value: string): string {
    return `$${this.values.push(value)}`
  }

  /** Whether a table may stand under its own name: from now on it does. */
  takesName(table: Table): boolean {
    return !this.#bare.has(table) && this.#bare.add(table).size > 0
  }

  aliasText(alias: string): string {
    return RESERVED.has(alias) ? `"${alias}"` : alias
  }

  alias(): string {
    return `${this.dice.pick(['a', 'b', 't', 'x'])}${this.#aliases++}`
  }

  /** A table's name in one of the ways to write it. */
  spell({ schema, name }: Table): string {
    const quoted = `"${name}"`
    const bare = RESERVED.has(name) ? quoted : name
    return this.dice.pick([
      bare,
      bare,
      `${schema}.${bare}`,
      quoted,
      RESERVED.has(name) ? quoted : name.toUpperCase(),
      `"${schema}".${quoted}`,
      `${schema} /* . */ . ${quoted}`,
    ])
  }

  /** A column's name in one of the ways to write it. */
  name(name: string): string {
    const quoted = `"${name}"`
    if (RESERVED.has(name)) return quoted
    return this.dice.pick([name, name, name, quoted, name.toUpperCase()])
  }
}

const SIMPLE = ['<int8> = <int8>', '<text> IS NOT NULL', '<int8> < 5', 'true', '<text> <> <text>']

function allOf(sources: readonly Source[], spell: (alias: string, name: string) => string): string {
  return sources.flatMap(({ alias, fields }) => fields.map(({ name }) => spell(alias, name))).join(', ')
}

function sharedNames(one: Source, other: Source): string[] {
  return one.fields
    .filter(({ name, type }) => other.fields.some((field) => field.name === name && field.type === type))
    .map(({ name }) => name)
}

/** Whether all columns of one name are of one type, so that NATURAL can compare them. */
function sameTypes(one: Source | undefined, other: Source): boolean {
  return (one?.fields ?? []).every(({ name, type }) =>
    other.fields.every((field) => field.name !== name || field.type === type),
  )
}
