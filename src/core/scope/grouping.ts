import { aliasOf, type Draft } from './draft.ts'
import { listOf, type Struct, stringsOf, unwrap } from './grammar.ts'
import { relationsOf } from './from.ts'
import { AGGREGATE_FUNCTIONS, HOME_SCHEMA } from './vocabulary/index.ts'

/** Below an aggregate a column need not be grouped; below these of the windows' neither, where they are called as one. */
const AGGREGATES: ReadonlySet<string> = new Set([
  ...AGGREGATE_FUNCTIONS,
  'cume_dist',
  'dense_rank',
  'percent_rank',
  'rank',
])
/**
 * `SELECT d.title … GROUP BY d.id` is right where `id` is the primary key: PostgreSQL then knows that a group has one
 * title. Through a leaf it no longer does, and says no when the statement runs; this says so before, and how to write it.
 * It refuses only what is certain: a column of a table in that FROM whose name no key has.
 * @throws ScopeRefusal `grouping_incomplete`
 */
export function checkGrouping(draft: Draft): void {
  for (const select of selectsOf(draft.admitted.statement)) new Grouping(draft, select).check()
}

function* selectsOf(value: unknown): Generator<Struct> {
  if (typeof value !== 'object' || value === null) return
  if ('groupClause' in value) yield value as Struct
  for (const inner of Object.values(value)) yield* selectsOf(inner)
}

class Grouping {
  readonly #draft: Draft
  readonly #select: Struct
  /** columns of the tables in FROM, by the alias of each */
  readonly #tables: ReadonlyMap<string, readonly string[]>
  /** whether FROM holds nothing but tables: a bare name is then a column of one */
  readonly #isPlain: boolean
  readonly #outputs: ReadonlySet<unknown>
  readonly #keys: ReadonlySet<string>

  constructor(draft: Draft, select: Struct) {
    this.#draft = draft
    this.#select = select
    const items = listOf(select['fromClause'])
    const relations = items.flatMap(relationsOf)
    const { ctes } = draft.admitted
    const tables = relations.filter(({ schemaname, relname, alias }) => {
      const isQuery = schemaname === undefined && ctes.has(String(relname))
      return !isQuery && (alias as Struct | undefined)?.['colnames'] === undefined
    })
    this.#tables = new Map(
      tables.map((relation) => [aliasOf(relation), Object.keys(draft.tableOf(relation).columns)] as const),
    )
    this.#isPlain = tables.length === relations.length && items.every(isRelations)
    const targets = listOf(select['targetList']).map((item) => unwrap(item)[1])
    this.#outputs = new Set(targets.map(({ name }) => name))
    this.#keys = new Set(
      listOf(select['groupClause'])
        .flatMap(keysOf)
        .flatMap((key) => [key, ...named(key, targets)])
        .map(shapeOf),
    )
  }

  check(): void {
    if (this.#tables.size === 0) return
    for (const item of listOf(this.#select['targetList'])) this.#look(unwrap(item)[1]['val'])
    this.#look(this.#select['havingClause'])
    for (const item of listOf(this.#select['sortClause'])) {
      const node = unwrap(item)[1]['node'] as Struct
      const [name, ...more] = stringsOf((node['ColumnRef'] as Struct | undefined)?.['fields'])
      if (more.length > 0 || !this.#outputs.has(name)) this.#look(node)
    }
  }

  #look(value: unknown): void {
    if (typeof value !== 'object' || value === null) return
    if (Array.isArray(value)) {
      for (const item of value) this.#look(item)
      return
    }
    const [entry] = Object.entries(value as Struct)
    if (entry === undefined || this.#keys.has(shapeOf(value as Struct))) return
    const [type, struct] = entry as [string, Struct]
    if (type === 'SubLink' || type === 'GroupingFunc') return
    if (type === 'FuncCall' && isAggregate(struct)) return
    if (type === 'ColumnRef') this.#checkColumn(struct)
    else if (typeof struct === 'object') for (const inner of Object.values(value)) this.#lookInside(inner)
  }

  #lookInside(struct: unknown): void {
    if (typeof struct !== 'object' || struct === null) return
    for (const inner of Object.values(struct)) this.#look(inner)
  }

  /** Whether a bare name is that of a table, and of no column. */
  #isRow(name: string): boolean {
    return this.#tables.has(name) && ![...this.#tables.values()].some((columns) => columns.includes(name))
  }

  #checkColumn({ fields, location }: Struct): void {
    const names = stringsOf(fields)
    const [first, second] = names
    const isRow = names.length === 1 && first !== undefined && this.#isRow(first)
    // a star, and the row itself, stand for every column of its table, or of all
    const isStar = isRow || names.at(-1) === undefined
    const owner = names.length === 2 || isRow ? first : undefined
    if (owner === undefined && !this.#isPlain) return
    const tables = owner === undefined ? [...this.#tables.values()] : [this.#tables.get(owner) ?? []]
    const columns = tables.flat().filter((column) => isStar || column === (owner === undefined ? first : second))
    const missing = columns.find((column) => !this.#keys.has(column))
    if (missing !== undefined) {
      this.#draft.refuse(
        location,
        'grouping_incomplete',
        `add ${owner === undefined ? '' : `${owner}.`}${missing} to GROUP BY`,
      )
    }
  }
}

/** Grouping sets and rows, taken apart. */
function keysOf(item: Struct): readonly Struct[] {
  const [type, struct] = unwrap(item)
  if (type === 'GroupingSet') return listOf(struct['content']).flatMap(keysOf)
  return type === 'RowExpr' ? listOf(struct['args']).flatMap(keysOf) : [item]
}

/** What a key stands for that is the number or the name of an output. */
function named(key: Struct, targets: readonly Struct[]): readonly Struct[] {
  const [type, struct] = unwrap(key)
  const { ival } = (struct['ival'] ?? {}) as { ival?: number }
  const found =
    type === 'A_Const'
      ? targets[Number(ival ?? 0) - 1]
      : targets.find(({ name }) => name !== undefined && name === stringsOf(struct['fields']).at(-1))
  return found?.['val'] === undefined ? [] : [found['val'] as Struct]
}

/** An expression without places, qualifiers and manners of writing: two that are equal say the same. A column is its name. */
function shapeOf(node: Struct): string {
  const column = node['ColumnRef'] as Struct | undefined
  if (column !== undefined) return stringsOf(column['fields']).at(-1) ?? '*'
  return JSON.stringify(node, (key, value: unknown) => {
    if (/location|^funcformat$/.test(key)) return undefined
    if (key === 'ColumnRef') return stringsOf((value as Struct)['fields']).at(-1)
    if (key === 'funcname' || key === 'names') return stringsOf(value).at(-1)
    return value
  })
}

function isRelations(item: Struct): boolean {
  const [type, struct] = unwrap(item)
  if (type === 'JoinExpr' && struct['alias'] === undefined) {
    return [struct['larg'], struct['rarg']].every((side) => isRelations(side as Struct))
  }
  return type === 'RangeVar'
}

function isAggregate({ funcname, over }: Struct): boolean {
  if (over !== undefined) return false
  const names = stringsOf(funcname)
  // an application's own function may be one
  return AGGREGATES.has(String(names.at(-1))) || (names.length > 1 && names[0] !== HOME_SCHEMA)
}
