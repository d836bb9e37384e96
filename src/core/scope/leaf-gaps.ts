import { aliasOf, type Draft, isStar } from './draft.ts'
import { listOf, type Struct, stringsOf } from './grammar.ts'

/** Columns that every table of PostgreSQL has besides its own, and no leaf. */
const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['ctid', 'tableoid', 'xmin', 'xmax', 'cmin', 'cmax'])

/** A relation that is read, as its query speaks of it. */
type Source = { readonly columns: ReadonlySet<string>; readonly isRenamed: boolean }

/**
 * What a table has and its leaf lacks, said before the database does, or before it means something else: system columns;
 * and the row of a table whose columns have aliases, which keeps the table's own names where that of a leaf has the
 * aliases.
 * @throws ScopeRefusal `column_unknown`, `column_not_accepted`
 */
export function checkGaps(draft: Draft): void {
  const { statement, mentions, ctes } = draft.admitted
  const sources = new Map<string, Source>()
  for (const relation of mentions) {
    if (relation['schemaname'] === undefined && ctes.has(String(relation['relname']))) continue
    const isRenamed = (relation['alias'] as Struct | undefined)?.['colnames'] !== undefined
    sources.set(aliasOf(relation), { columns: new Set(Object.keys(draft.tableOf(relation).columns)), isRenamed })
  }
  const names = new NamesOf(statement)
  for (const column of names.columns) {
    checkSystemColumn(draft, column, sources, names.made)
    checkRow(draft, column, sources, names.listed)
  }
}

function checkSystemColumn(
  draft: Draft,
  { fields, location }: Struct,
  sources: ReadonlyMap<string, Source>,
  made: ReadonlySet<string>,
): void {
  const [qualifier, column] = listOf(fields).length === 1 ? [undefined, ...stringsOf(fields)] : stringsOf(fields)
  if (column === undefined || !SYSTEM_COLUMNS.has(column) || made.has(column)) return
  const found = qualifier === undefined ? [...sources.values()] : [sources.get(qualifier)]
  if (found.some((source) => source === undefined || source.isRenamed || source.columns.has(column))) return
  draft.refuse(location, 'column_unknown', `through the scope there is no ${column}: name the row by its key`)
}

function checkRow(
  draft: Draft,
  column: Struct,
  sources: ReadonlyMap<string, Source>,
  listed: ReadonlySet<Struct>,
): void {
  const names = stringsOf(column['fields'])
  const isRow = listOf(column['fields']).length === 1 ? !isStar(column) : isStar(column) && !listed.has(column)
  if (!isRow || sources.get(names[0] ?? '')?.isRenamed !== true) return
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
        if (key === 'ColumnDef') this.made.add(String((inner as Struct)['colname']))
        this.#visit(inner)
      }
    }
  }

  #visitTarget(target: Struct): void {
    const { name, val } = target
    if (typeof name === 'string') this.made.add(name)
    const column = (val as Struct | undefined)?.['ColumnRef'] as Struct | undefined
    if (column !== undefined) this.listed.add(column)
    this.#visit(target)
  }
}
