/** A statement with its values, and whether ORDER BY fixes the order of its rows. */
export type Sample = { readonly text: string; readonly values: readonly (string | number)[]; readonly ordered: boolean }

type Type = 'int' | 'text'
type Columns = Readonly<Record<string, Type>>
type Source = { readonly alias: string; readonly columns: Columns }

const TABLES: Readonly<Record<string, Columns>> = {
  docs: { id: 'int', tenant_id: 'int', owner_id: 'int', folder_id: 'int', title: 'text', body: 'text', size: 'int' },
  notes: { tenant_id: 'int', id: 'int', author: 'int', doc_id: 'int', body: 'text' },
  folders: { id: 'int', name: 'text', tenant_id: 'int' },
  kinds: { id: 'int', label: 'text' },
}
const WRITABLE = ['docs', 'notes', 'folders'] as const
const OWNERS: Readonly<Record<string, string>> = { docs: 'owner_id', notes: 'author' }

/** Makes one statement: reads and writes over the archive, nested, with names written in every accepted way. */
export function sample(random: () => number): Sample {
  return new Generator(random).statement()
}

class Generator {
  readonly #random: () => number
  readonly #values: (string | number)[] = []
  #aliases = 0

  constructor(random: () => number) {
    this.#random = random
  }

  statement(): Sample {
    const roll = this.#random()
    let ordered = false
    let text: string
    if (roll < 0.5) {
      const query = this.#query([], 3, undefined, true)
      ordered = query.ordered
      text = query.text
    } else if (roll < 0.68) text = this.#insert()
    else if (roll < 0.85) text = this.#update()
    else text = this.#delete()
    if (this.#chance(0.08)) text += this.#pick([' -- ) OR (true', ' /* WHERE true */', ';', '\n--'])
    return { ...this.#renumbered(text), ordered }
  }

  /** Parameters of fragments that were made and not taken leave gaps. */
  #renumbered(text: string): { text: string; values: (string | number)[] } {
    const values: (string | number)[] = []
    const used = text.replace(
      /\$(\d+)/g,
      (_, number: string) => `$${values.push(this.#values[Number(number) - 1] ?? '')}`,
    )
    return { text: used, values }
  }

  /** A query; with `types`, of exactly these columns. */
  #query(
    outer: readonly Source[],
    depth: number,
    types?: readonly Type[],
    top = false,
  ): { text: string; types: readonly Type[]; ordered: boolean } {
    const ctes = top && this.#chance(0.2) ? [this.#cte(outer, depth)] : []
    const wanted = types ?? Array.from({ length: this.#int(1, 3) }, () => this.#pick(['int', 'text'] as const))
    let body: string
    const roll = this.#random()
    if (depth > 0 && roll < 0.12) {
      const operator = this.#pick(['UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT'])
      body = `${this.#arm(outer, depth - 1, wanted)} ${operator} ${this.#arm(outer, depth - 1, wanted)}`
    } else if (roll < 0.15) {
      body = `VALUES (${wanted.map((type) => this.#literal(type)).join(', ')})`
    } else if (roll < 0.3) {
      body = this.#grouped(outer, depth, wanted, ctes)
    } else body = this.#plain(outer, depth, wanted, ctes)
    let ordered = false
    if (top && this.#chance(0.4)) {
      ordered = true
      body += ` ORDER BY ${wanted.map((_, index) => `${index + 1}${this.#pick([' DESC', ' NULLS FIRST', ''])}`).join(', ')}`
      if (this.#chance(0.5)) body += ` LIMIT ${this.#pick(['3', '5', this.#parameter(4)])}`
      if (this.#chance(0.2)) body += ' OFFSET 1'
    }
    if (top && /^SELECT (?!DISTINCT)[^()]* FROM [^()]*$/.test(body) && !/kinds|RIGHT|LEFT|FULL|UNION/i.test(body)) {
      if (this.#chance(0.3)) body += this.#pick([' FOR UPDATE', ' FOR SHARE', ' FOR NO KEY UPDATE SKIP LOCKED'])
    }
    const prefix = ctes.map(({ name, text }) => `WITH ${name} AS (${text}) `).join('')
    return { text: prefix + body, types: wanted, ordered }
  }

  #arm(outer: readonly Source[], depth: number, types: readonly Type[]): string {
    const { text } = this.#query(outer, depth, types)
    return `(${text})`
  }

  #cte(outer: readonly Source[], depth: number): { name: string; text: string; source: Source } {
    const name = this.#alias()
    const { text, types } = this.#query(outer, depth - 1)
    const columns = Object.fromEntries(types.map((type, index) => [`c${index}`, type]))
    return { name: `${name}(${Object.keys(columns).join(', ')})`, text, source: { alias: name, columns } }
  }

  #plain(outer: readonly Source[], depth: number, types: readonly Type[], ctes: readonly { source: Source }[]): string {
    const { text: from, sources } = this.#from(outer, depth, ctes)
    const scope = [...sources, ...outer]
    const items = types.map((type) => this.#expression(scope, type, depth))
    const window = this.#chance(0.12) && types[0] === 'int'
    if (window) {
      items[0] = `${this.#pick(['rank()', 'count(*)', 'dense_rank()'])} OVER (PARTITION BY ${this.#expression(sources, 'int', 0)} ORDER BY ${this.#expression(sources, 'text', 0)})`
    }
    const distinct = this.#chance(0.15) ? 'DISTINCT ' : ''
    const where = this.#chance(0.7) ? ` WHERE ${this.#where(scope, depth)}` : ''
    return `SELECT ${distinct}${items.join(', ')} FROM ${from}${where}`
  }

  #grouped(
    outer: readonly Source[],
    depth: number,
    types: readonly Type[],
    ctes: readonly { source: Source }[],
  ): string {
    const { text: from, sources } = this.#from(outer, depth, ctes)
    const key = this.#columnOf(sources, 'text')
    const items = types.map((type) => {
      const argument = this.#columnOf(sources, type)
      if (type === 'text') {
        return this.#pick([key, `min(${argument})`, `string_agg(${argument}, ',' ORDER BY ${argument})`])
      }
      return this.#pick([
        'count(*)::int8',
        `sum(${argument})::int8`,
        `max(${argument})`,
        `(count(*) FILTER (WHERE ${this.#condition(sources, 0)}))::int8`,
      ])
    })
    const grouping = this.#pick([key, `ROLLUP (${key})`, `GROUPING SETS ((${key}), ())`])
    const where = this.#chance(0.5) ? ` WHERE ${this.#where([...sources, ...outer], depth)}` : ''
    const having = this.#chance(0.3) ? ' HAVING count(*) > 1' : ''
    return `SELECT ${items.join(', ')} FROM ${from}${where} GROUP BY ${grouping}${having}`
  }

  #from(
    outer: readonly Source[],
    depth: number,
    ctes: readonly { source: Source }[],
  ): { text: string; sources: Source[] } {
    const first = this.#item(outer, depth, ctes)
    const sources = [first.source]
    let text = first.text
    const more = depth > 0 ? this.#pick([0, 0, 0, 1, 1, 2]) : 0
    for (let index = 0; index < more; index++) {
      const lateral = this.#chance(0.1)
      const next = lateral ? this.#lateral([...sources, ...outer], depth) : this.#item(outer, depth, ctes)
      const kind = this.#pick(
        lateral
          ? ['JOIN', 'LEFT JOIN', 'CROSS JOIN']
          : ['JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN', 'CROSS JOIN', ','],
      )
      const shared = Object.keys(next.source.columns).filter(
        (name) => name === 'id' && sources.length === 1 && 'id' in first.source.columns,
      )
      if (kind === 'CROSS JOIN' || kind === ',') text += ` ${kind} ${next.text}`
      else if (shared.length > 0 && this.#chance(0.2)) text += ` ${kind} ${next.text} USING (id)`
      else if (kind === 'FULL JOIN') text += ` ${kind} ${next.text} ON ${this.#equality(sources, next.source)}`
      else
        text += ` ${kind} ${next.text} ON ${this.#equality(sources, next.source)} AND ${this.#condition([...sources, next.source], 0)}`
      // the comma binds weaker than a join: what stands before it is out of sight of a later ON
      if (kind === ',') return { text, sources: [...sources, next.source] }
      sources.push(next.source)
    }
    return { text, sources }
  }

  #equality(sources: readonly Source[], next: Source): string {
    return `${this.#columnOf(sources, 'int')} = ${this.#columnOf([next], 'int')}`
  }

  #item(
    outer: readonly Source[],
    depth: number,
    ctes: readonly { source: Source }[],
  ): { text: string; source: Source } {
    const roll = this.#random()
    const [cte] = ctes
    if (cte !== undefined && roll < 0.5) {
      const alias = this.#alias()
      return { text: `${cte.source.alias} AS ${alias}`, source: { alias, columns: cte.source.columns } }
    }
    if (depth > 0 && roll < 0.15) return this.#derived(outer, depth, '')
    const table = this.#pick(['docs', 'docs', 'docs', 'notes', 'notes', 'folders', 'kinds'])
    const columns = TABLES[table] ?? {}
    const alias = this.#alias()
    if (this.#chance(0.1)) {
      const renamed = Object.fromEntries(Object.values(columns).map((type, index) => [`k${index}`, type]))
      return {
        text: `${this.#spell(table)} AS ${alias}(${Object.keys(renamed).join(', ')})`,
        source: { alias, columns: renamed },
      }
    }
    return { text: `${this.#spell(table)}${this.#pick([' AS ', ' ', '\n'])}${alias}`, source: { alias, columns } }
  }

  #lateral(outer: readonly Source[], depth: number): { text: string; source: Source } {
    return this.#derived(outer, depth, 'LATERAL ')
  }

  #derived(outer: readonly Source[], depth: number, prefix: string): { text: string; source: Source } {
    const alias = this.#alias()
    const { text, types } = this.#query(prefix === '' ? [] : outer, depth - 1)
    const columns = Object.fromEntries(types.map((type, index) => [`s${index}`, type]))
    return { text: `${prefix}(${text}) AS ${alias}(${Object.keys(columns).join(', ')})`, source: { alias, columns } }
  }

  #expression(scope: readonly Source[], type: Type, depth: number): string {
    const roll = this.#random()
    if (depth > 0 && roll < 0.08) {
      const aggregate = type === 'int' ? 'max' : 'min'
      const inner = this.#item([], 0, [])
      const where = this.#condition([inner.source, ...scope], depth - 1)
      return `(SELECT ${aggregate}(${this.#columnOf([inner.source], type)}) FROM ${inner.text} WHERE ${where})`
    }
    if (roll < 0.62) return this.#columnOf(scope, type)
    if (roll < 0.7) return this.#literal(type)
    if (depth === 0) return this.#columnOf(scope, type)
    const inner = (): string => this.#expression(scope, type, depth - 1)
    if (type === 'int') {
      return this.#pick([
        () => `(${inner()} + ${inner()})`,
        () => `coalesce(${inner()}, 0)`,
        () => `CASE WHEN ${this.#condition(scope, depth - 1)} THEN ${inner()} ELSE ${inner()} END`,
        () => `length(${this.#expression(scope, 'text', depth - 1)})::int8`,
        () => `(ARRAY[${inner()}, ${inner()}])[1]`,
        () => `abs(${inner()})`,
      ])()
    }
    return this.#pick([
      () => `lower(${inner()})`,
      () => `(${inner()} || ${inner()})`,
      () => `coalesce(${inner()}, 'none')`,
      () => `${inner()} COLLATE "C"`,
      () => `CAST(${this.#expression(scope, 'int', depth - 1)} AS text)`,
      () => `nullif(${inner()}, $q$text 1$q$)`,
    ])()
  }

  #condition(scope: readonly Source[], depth: number): string {
    const int = (): string => this.#expression(scope, 'int', Math.min(depth, 1))
    const text = (): string => this.#expression(scope, 'text', Math.min(depth, 1))
    const simple = [
      () => `${int()} ${this.#pick(['=', '<', '>=', '<>'])} ${int()}`,
      () => `${text()} LIKE ${this.#pick(["'%a%'", "'text%'"])}`,
      () => `${int()} BETWEEN ${int()} AND ${int()}`,
      () => `${text()} IS ${this.#pick(['NULL', 'NOT NULL'])}`,
      () => `${int()} IN (${int()}, 2, ${this.#parameter(this.#int(1, 720))}::int8)`,
      () => `${int()} IS DISTINCT FROM ${this.#parameter(this.#int(1, 5))}::int8`,
      () => `(${int()}, ${text()}) = (${int()}, ${text()})`,
      () => this.#pick(['true', 'false', 'NOT false']),
    ]
    if (depth === 0 || this.#chance(0.5)) return this.#pick(simple)()
    const nested = (): string => this.#condition(scope, depth - 1)
    return this.#pick([
      () => `(${nested()} OR ${nested()})`,
      () => `${nested()} AND ${nested()}`,
      () => `NOT (${nested()})`,
      () => `(${nested()}) IS NOT TRUE`,
      () => {
        const inner = this.#item([], 0, [])
        return `EXISTS (SELECT 1 FROM ${inner.text} WHERE ${this.#where([inner.source, ...scope], depth - 1)})`
      },
      () => `${int()} ${this.#pick(['IN', '= ANY', 'NOT IN'])} (${this.#query([], depth - 1, ['int']).text})`,
    ])()
  }

  /** Conditions as they stand after WHERE: also an OR without parentheses. */
  #where(scope: readonly Source[], depth: number): string {
    const condition = (): string => this.#condition(scope, depth)
    return this.#chance(0.2) ? `${condition()} OR ${condition()}` : condition()
  }

  #insert(): string {
    const table = this.#pick(WRITABLE)
    const owner = OWNERS[table]
    const columns = Object.entries(TABLES[table] ?? {}).filter(([name]) => name !== 'tenant_id' && name !== owner)
    const [kept, ...others] = this.#shuffled(columns).slice(0, this.#int(2, columns.length))
    const chosen: [string, Type][] = kept === undefined ? [] : [kept, ...others]
    if (!chosen.some(([name]) => name === 'id')) chosen.push(['id', 'int'])
    const names = chosen.map(([name]) => this.#spellColumn(name)).join(', ')
    const value = ([name, type]: [string, Type]): string => {
      if (name === 'id')
        return String(this.#pick([this.#int(1, 12), this.#int(701, 714), this.#int(901, 914), this.#int(930, 990)]))
      if (this.#chance(0.1)) return 'DEFAULT'
      return this.#literal(type)
    }
    let source: string
    if (this.#chance(0.65)) {
      source = `VALUES ${Array.from({ length: this.#int(1, 3) }, () => `(${chosen.map(value).join(', ')})`).join(', ')}`
    } else {
      const item = this.#item([], 1, [])
      const list = chosen.map(([name, type]) =>
        name === 'id'
          ? `${this.#int(2_000, 9_000)} + ${this.#columnOf([item.source], 'int')}`
          : this.#expression([item.source], type, 1),
      )
      source = `SELECT ${this.#pick(['', 'DISTINCT '])}${list.join(', ')} FROM ${item.text} WHERE ${this.#where([item.source], 2)}`
    }
    return `INSERT INTO ${this.#spell(table)} AS z (${names}) ${source}${this.#conflict(table, columns)}${this.#returning(table, 'z', 0.4)}`
  }

  #conflict(table: string, columns: readonly [string, Type][]): string {
    const keys = table === 'docs' ? ['(id)', '(tenant_id, title)'] : ['(tenant_id, id)']
    const roll = this.#random()
    if (roll < 0.5) return ''
    if (roll < 0.62) return ` ON CONFLICT ${this.#pick(['', ...keys])} DO NOTHING`
    const [name, type] = this.#pick(columns.filter(([column]) => column !== 'id' && column !== 'title'))
    const set = this.#pick([`excluded.${name}`, `coalesce(z.${name}, excluded.${name})`, this.#literal(type)])
    const where = this.#chance(0.4) ? ` WHERE z.${name} IS DISTINCT FROM excluded.${name}` : ''
    return ` ON CONFLICT ${this.#pick(keys)} DO UPDATE SET ${name} = ${set}${where}`
  }

  #update(): string {
    const table = this.#pick(WRITABLE)
    const owner = OWNERS[table]
    const columns = Object.entries(TABLES[table] ?? {}).filter(
      ([name]) => !['tenant_id', 'id', owner, 'title'].includes(name),
    )
    const target: Source = { alias: 'z', columns: TABLES[table] ?? {} }
    // what a joined row gives would depend on which of several is taken
    const [first, second] = this.#shuffled(columns)
    if (first === undefined) throw new TypeError('a table has columns')
    const set =
      second !== undefined && this.#chance(0.25)
        ? `(${first[0]}, ${second[0]}) = (${this.#expression([target], first[1], 1)}, ${this.#expression([target], second[1], 1)})`
        : `${this.#spellColumn(first[0])} = ${this.#pick([() => this.#expression([target], first[1], 2), () => this.#literal(first[1]), () => 'DEFAULT'])()}`
    const joined = this.#chance(0.25) ? this.#item([], 1, []) : undefined
    const scope = joined === undefined ? [target] : [target, joined.source]
    const from = joined === undefined ? '' : ` FROM ${joined.text}`
    const where = this.#chance(0.9) ? ` WHERE ${this.#where(scope, 2)}` : ''
    return `UPDATE ${this.#spell(table)}${this.#pick([' AS z', ' z'])} SET ${set}${from}${where}${joined === undefined ? this.#returning(table, 'z', 0.5) : ''}`
  }

  #delete(): string {
    const table = this.#pick(WRITABLE)
    const target: Source = { alias: 'z', columns: TABLES[table] ?? {} }
    const joined = this.#chance(0.3) ? this.#item([], 1, []) : undefined
    const scope = joined === undefined ? [target] : [target, joined.source]
    const using = joined === undefined ? '' : ` USING ${joined.text}`
    const where = this.#chance(0.9) ? ` WHERE ${this.#where(scope, 2)}` : ''
    return `DELETE FROM ${this.#spell(table)} z${using}${where}${joined === undefined ? this.#returning(table, 'z', 0.5) : ''}`
  }

  #returning(table: string, alias: string, chance: number): string {
    if (!this.#chance(chance)) return ''
    const source: Source = { alias, columns: TABLES[table] ?? {} }
    return ` RETURNING ${this.#pick(['*', `${alias}.*`, this.#columnOf([source], 'int'), `${this.#columnOf([source], 'text')} AS t`])}`
  }

  #columnOf(sources: readonly Source[], type: Type): string {
    const found = sources.flatMap(({ alias, columns }) =>
      Object.entries(columns)
        .filter(([, columnType]) => columnType === type)
        .map(([name]) => `${alias}.${name}`),
    )
    return found.length === 0 ? this.#literal(type) : this.#pick(found)
  }

  #literal(type: Type): string {
    if (type === 'int') {
      return this.#pick([
        () => `${this.#int(0, 9)}`,
        () => `${this.#int(700, 915)}`,
        () => 'NULL::int8',
        () => `${this.#parameter(this.#int(1, 9))}::int8`,
      ])()
    }
    return this.#pick([
      () => "'text 1'",
      () => `'a''${this.#int(1, 99)}'`,
      () => "E'\\'; --'",
      () => `$$alpha${this.#int(1, 9)}$$`,
      () => `${this.#parameter(`beta${this.#int(1, 9)}`)}::text`,
      () => 'NULL::text',
    ])()
  }

  #parameter(value: string | number): string {
    return `$${this.#values.push(value)}`
  }

  #alias(): string {
    return `${this.#pick(['a', 'b', 't'])}${this.#aliases++}`
  }

  #spell(table: string): string {
    return this.#pick([table, table, `app.${table}`, `"${table}"`, table.toUpperCase(), `app /* . */ . "${table}"`])
  }

  #spellColumn(name: string): string {
    return this.#pick([name, name, `"${name}"`, name.toUpperCase()])
  }

  #shuffled<Item>(items: readonly Item[]): Item[] {
    return items
      .map((item) => ({ item, order: this.#random() }))
      .sort((a, b) => a.order - b.order)
      .map(({ item }) => item)
  }

  #pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.#random() * items.length)]
    if (item === undefined) throw new TypeError('nothing to pick from')
    return item
  }

  #int(low: number, high: number): number {
    return low + Math.floor(this.#random() * (high - low + 1))
  }

  #chance(probability: number): boolean {
    return this.#random() < probability
  }
}
