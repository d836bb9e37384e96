import { aliasOf, type Draft, isStar } from './draft.ts'
import { listOf, type Struct, stringsOf } from './grammar.ts'

/** Columns that every table of PostgreSQL has besides its own, and no leaf. */
const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['ctid', 'tableoid', 'xmin', 'xmax', 'cmin', 'cmax'])

/** What stands in FROM besides tables and joins. */
const OTHER_SOURCES: ReadonlySet<string> = new Set(['RangeSubselect', 'RangeFunction'])

/** A table of the statement, as its query speaks of it. */
type Source = { readonly alias: string; readonly columns: ReadonlySet<string>; readonly isRenamed: boolean }

/**
 * What a table has and its leaf lacks, said before the database does, or before it means something else: columns that the
 * manifest does not list, or hides from the role; system columns; and the row of a table whose columns have aliases, which
 * keeps the table's own names where that of a leaf has the aliases. No name is resolved here: what is not certain passes,
 * and the database says it.
 * @throws ScopeRefusal `column_unknown`, `column_not_accepted`
 */
export function checkGaps(draft: Draft): void {
  const { statement, mentions, writes, ctes } = draft.admitted
  const relations = [...mentions, ...writes.map((write) => write.statement['relation'] as Struct)]
  const tables = relations.filter(({ schemaname, relname }) => schemaname !== undefined || !ctes.has(String(relname)))
  const sources = tables.map((relation): Source => {
    const isRenamed = (relation['alias'] as Struct | undefined)?.['colnames'] !== undefined
    return { alias: aliasOf(relation), columns: new Set(Object.keys(draft.tableOf(relation).columns)), isRenamed }
  })
  const names = new NamesOf(statement)
  for (const relation of relations) if (!tables.includes(relation)) names.others.add(aliasOf(relation))
  for (const column of names.columns) {
    checkColumn(draft, column, sources, names)
    checkRow(draft, column, sources, names.listed)
  }
}

/** A column that no table has that it could be of. */
function checkColumn(draft: Draft, { fields, location }: Struct, sources: readonly Source[], names: NamesOf): void {
  const [qualifier, column] = listOf(fields).length === 1 ? [undefined, ...stringsOf(fields)] : stringsOf(fields)
  if (column === undefined || names.made.has(column)) return
  // the name of a query's column, or of something in FROM that is no table
  const isOthers = qualifier === undefined ? names.others.size > 0 : names.others.has(qualifier)
  const found = qualifier === undefined ? sources : sources.filter(({ alias }) => alias === qualifier)
  const mayBe = found.some((source) => source.isRenamed || source.columns.has(column) || source.alias === column)
  if (isOthers || found.length === 0 || mayBe) return
  const isSystems = SYSTEM_COLUMNS.has(column)
  draft.refuse(
    location,
    'column_unknown',
    isSystems ? `through the scope there is no ${column}: name the row by its key` : undefined,
  )
}

function checkRow(draft: Draft, column: Struct, sources: readonly Source[], listed: ReadonlySet<Struct>): void {
  const names = stringsOf(column['fields'])
  const isRow = listOf(column['fields']).length === 1 ? !isStar(column) : isStar(column) && !listed.has(column)
  if (!isRow || !sources.some(({ alias, isRenamed }) => isRenamed && alias === names[0])) return
  draft.refuse(
    column['location'],
    'column_not_accepted',
    'the row of a table whose columns have aliases: leave the aliases out, or name the columns',
  )
}

/** What a statement says of columns: the references, the names that it makes itself, and the stars that list columns. */
class NamesOf {
  readonly columns: Struct[] = []
  readonly made = new Set<string>()
  /** what FROM gives a name to besides tables */
  readonly others = new Set<string>()
  readonly listed = new Set<Struct>()

  constructor(statement: Struct) {
    this.#visit(statement)
  }

  #visit(value: unknown): void {
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'ColumnRef') this.columns.push(inner as Struct)
      else if (key === 'ResTarget') this.#visitTarget(inner as Struct)
      else {
        if (key === 'colnames' || key === 'aliascolnames')
          for (const name of stringsOf(inner)) this.made.add(name ?? '')
        const isSource = OTHER_SOURCES.has(key)
        if (isSource || key === 'JoinExpr') this.#visitSource(inner as Struct, isSource)
        if (key === 'ColumnDef') this.made.add(String((inner as Struct)['colname']))
        this.#visit(inner)
      }
    }
  }

  #visitSource({ alias, join_using_alias: merged }: Struct, isSource: boolean): void {
    for (const name of [alias, merged].map((one) => (one as Struct | undefined)?.['aliasname'])) {
      if (typeof name === 'string') this.others.add(name)
    }
    // one without a name has columns all the same
    if (isSource && alias === undefined) this.others.add('')
  }

  #visitTarget(target: Struct): void {
    const { name, val } = target
    if (typeof name === 'string') this.made.add(name)
    const column = (val as Struct | undefined)?.['ColumnRef'] as Struct | undefined
    if (column !== undefined) this.listed.add(column)
    this.#visit(target)
  }
}
