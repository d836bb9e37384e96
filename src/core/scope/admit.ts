import { listOf, parseText, type Struct, stringsOf, type Token, unwrap } from './grammar.ts'
import { INSTEAD } from './instead.ts'
import { readLexis, refuseAt } from './lexis.ts'
import type { Manifest, Table } from './manifest.ts'
import { ScopeRefusal, type ScopeRefusalCode } from './refusals.ts'
import { SHAPES } from './shapes.ts'
import { isBounded, MAX_SIZE, readPadding, readSize, type Size } from './sizes.ts'
import { COLLATIONS, FUNCTIONS, HOME_SCHEMA, OPERATORS, TYPES, whyNot } from './vocabulary/index.ts'

/** Highest parameter number: the protocol's own limit is 65,535. */
export const MAX_PARAMETERS = 1_000
/** Most relations: each becomes a leaf as long as its table is wide. */
export const MAX_RELATIONS = 64

/** Deepest tree, in nodes: chains such as `1 + 1 + 1` nest without brackets, and every walk recurses (CWE-674). */
export const MAX_DEPTH = 400

/** A change of rows: the statement itself, or a query of its WITH. */
export type Write = { readonly kind: WriteKind; readonly statement: Struct }
type WriteKind = 'InsertStmt' | 'UpdateStmt' | 'DeleteStmt'

/** A statement that consists of nothing but what is understood. */
export type Admitted = {
  readonly kind: 'SelectStmt' | WriteKind
  readonly statement: Struct
  readonly bytes: Buffer
  readonly tokens: readonly Token[]
  readonly comments: readonly Token[]
  readonly writes: readonly Write[]
  /** relations that are read */
  readonly mentions: readonly Struct[]
  /** CTEs by name, with their place */
  readonly ctes: ReadonlyMap<string, number>
  /** calls of the application's own functions */
  readonly calls: readonly Struct[]
  /** columns that were named with a schema, as `schema.table.column`: their nodes have only table and column left */
  readonly qualified: readonly { readonly column: Struct; readonly table: Table }[]
  readonly sizes: readonly Size[]
  readonly locks: boolean
  /** highest parameter number, 0 for none */
  readonly parameters: number
  /** how often each parameter stands in the text */
  readonly uses: ReadonlyMap<number, number>
}

/** What the vocabulary calls the names that a code refuses. */
const KIND_OF: Partial<Record<ScopeRefusalCode, 'function' | 'operator' | 'type'>> = {
  function_not_accepted: 'function',
  operator_not_accepted: 'operator',
  type_not_accepted: 'type',
}

const WRITES: readonly string[] = ['InsertStmt', 'UpdateStmt', 'DeleteStmt']

/**
 * Parses a text and admits it, node by node, key by key, name by name.
 * @throws ScopeRefusal with the position in the caller's own text
 */
export function admit(text: string, manifest: Manifest): Admitted {
  const { bytes, tokens, comments } = readLexis(text)
  const [only, ...others] = comments.length === 0 ? parseText(text) : parseBlanked(bytes, comments)
  if (only === undefined) throw new ScopeRefusal('not_one_statement', { hint: 'there is none' })
  if (others.length > 0) refuseAt(bytes, secondStart(tokens), 'not_one_statement')
  const [kind, statement] = unwrap(only)
  if (kind !== 'SelectStmt' && !WRITES.includes(kind)) {
    refuseAt(bytes, tokens[0]?.start, 'statement_not_accepted', INSTEAD[kind])
  }
  const visit = new Visit(bytes, manifest, topQueries(statement))
  visit.look(kind, statement, 0, 0)
  const { found } = visit
  if (found.mentions.length + found.writes.length > MAX_RELATIONS) {
    throw new ScopeRefusal('text_too_large', { hint: `at most ${MAX_RELATIONS} tables` })
  }
  if (found.uses.size < found.parameters) {
    throw new ScopeRefusal('parameter_invalid', { hint: `use every parameter from $1 to $${found.parameters}` })
  }
  return { kind: kind as Admitted['kind'], statement, bytes, tokens, comments, ...found }
}

/**
 * Parses a text whose comments are blanks, as they will be in the final one: between words that belong together, such as
 * NULLS FIRST, the grammar takes no comment where the database does. Offsets stay what they are.
 */
function parseBlanked(bytes: Buffer, comments: readonly Token[]): readonly Struct[] {
  const blanked = Buffer.from(bytes)
  for (const { start, end } of comments) blanked.fill(' ', start, end)
  const text = blanked.toString()
  try {
    return parseText(text)
  } catch (error) {
    if (!(error instanceof ScopeRefusal) || error.position === undefined) throw error
    return refuseAt(bytes, Buffer.byteLength(text.slice(0, error.position)), error.code)
  }
}

/** Where a second statement begins: after the first semicolon that something follows. */
function secondStart(tokens: readonly Token[]): number | undefined {
  const second = tokens.findIndex(({ text }, index) => text !== ';' && tokens[index - 1]?.text === ';' && index > 1)
  return tokens[second]?.start
}

/** The queries of a statement's own WITH: nowhere else may one write. */
function topQueries(statement: Struct): ReadonlySet<unknown> {
  const { ctes } = (statement['withClause'] ?? {}) as Struct
  return new Set(listOf(ctes).map((cte) => unwrap(cte)[1]))
}

type Found = {
  writes: Write[]
  mentions: Struct[]
  ctes: Map<string, number>
  calls: Struct[]
  qualified: { column: Struct; table: Table }[]
  sizes: Size[]
  locks: boolean
  parameters: number
  uses: Map<number, number>
}

/** A walk over a tree that refuses what it does not know, and notes what the rewriter asks for. */
class Visit {
  readonly found: Found = {
    writes: [],
    mentions: [],
    ctes: new Map(),
    calls: [],
    qualified: [],
    sizes: [],
    locks: false,
    parameters: 0,
    uses: new Map(),
  }
  readonly #bytes: Buffer
  readonly #manifest: Manifest
  readonly #topQueries: ReadonlySet<unknown>

  constructor(bytes: Buffer, manifest: Manifest, topQueries: ReadonlySet<unknown>) {
    this.#bytes = bytes
    this.#manifest = manifest
    this.#topQueries = topQueries
  }

  look(type: string, struct: Struct, at: number, depth: number): void {
    if (depth > MAX_DEPTH) this.#refuse(at, 'text_too_deep', `at most ${MAX_DEPTH} levels`)
    const here = typeof struct['location'] === 'number' ? struct['location'] : at
    const shape = Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined
    if (shape === undefined) this.#refuse(here, 'construct_not_accepted', INSTEAD[type] ?? `${type} is not accepted`)
    this.#judge(type, struct, here)
    for (const [key, value] of Object.entries(struct)) {
      const content = Object.hasOwn(shape, key) ? shape[key] : undefined
      const path = `${type}.${key}`
      if (content === undefined)
        this.#refuse(here, 'construct_not_accepted', INSTEAD[path] ?? `${path} is not accepted`)
      if (content === 'value') continue
      if (Array.isArray(content)) {
        if (!content.includes(value as string)) {
          this.#refuse(
            here,
            'construct_not_accepted',
            INSTEAD[`${path}=${String(value)}`] ?? `this ${key} is not accepted`,
          )
        }
      } else if (key === 'lockedRels') this.#checkLocked(value)
      else if (key === 'relation' && WRITES.includes(type)) this.#checkTarget(value as Struct)
      else if (content === 'node') this.look(...unwrap(value), here, depth + 1)
      else if (content === 'nodes') for (const item of listOf(value)) this.look(...unwrap(item), here, depth + 1)
      else this.look((content as string).slice(1), value as Struct, here, depth + 1)
    }
  }

  #judge(type: string, struct: Struct, at: number): void {
    switch (type) {
      case 'InsertStmt':
      case 'UpdateStmt':
      case 'DeleteStmt':
        this.found.writes.push({ kind: type, statement: struct })
        return
      case 'RangeVar':
        this.#checkRelation(struct, at)
        this.found.mentions.push(struct)
        return
      case 'LockingClause':
        this.found.locks = true
        return
      case 'CommonTableExpr':
        this.found.ctes.set(String(struct['ctename']), at)
        return this.#checkQuery(struct, at)
      case 'ParamRef':
        return this.#countParameter(Number(struct['number'] ?? 0), at)
      case 'FuncCall':
        return this.#checkFunction(struct, at)
      case 'TypeName':
        if (this.#isOwn(struct['names'], this.#manifest.types)) return
        this.#checkName(struct['names'], TYPES, at, 'type_not_accepted')
        return this.#checkSize(readPadding(struct), at)
      case 'CollateClause':
        return this.#checkCollation(struct['collname'], at)
      case 'A_Expr':
        if (String(struct['kind']).includes('BETWEEN')) return
        return this.#checkName(struct['name'], OPERATORS, at, 'operator_not_accepted')
      case 'SubLink':
        if (struct['operName'] !== undefined) {
          this.#checkName(struct['operName'], OPERATORS, at, 'operator_not_accepted')
        }
        return
      case 'A_Indirection':
        if (!listOf(struct['indirection']).every((item) => 'A_Indices' in item)) {
          this.#refuse(at, 'construct_not_accepted', INSTEAD['A_Indirection.field'])
        }
        return
      case 'ColumnRef':
        return this.#checkColumn(struct, at)
    }
  }

  #checkRelation({ catalogname, inh }: Struct, at: number): void {
    if (catalogname !== undefined) this.#refuse(at, 'relation_not_accepted', 'name it as table or schema.table')
    if (inh !== true) this.#refuse(at, 'relation_not_accepted', 'leave ONLY out')
  }

  /** The target of a write: its shape is that of any relation, and it is none that is read. */
  #checkTarget(relation: Struct): void {
    this.look('RangeVar', relation, Number(relation['location'] ?? 0), 0)
    this.found.mentions.pop()
  }

  #checkQuery(cte: Struct, at: number): void {
    const [kind] = unwrap(cte['ctequery'])
    if (kind === 'SelectStmt' || (WRITES.includes(kind) && this.#topQueries.has(cte))) return
    const hint = WRITES.includes(kind) ? 'move the WITH query that writes to the front of the statement' : INSTEAD[kind]
    this.#refuse(at, 'construct_not_accepted', hint)
  }

  /** `schema.table.column` loses its schema: a leaf bears its table's name alone. */
  #checkColumn(column: { fields?: unknown }, at: number): void {
    const fields = listOf(column.fields)
    if (fields.length <= 2) return
    const [home, name] = stringsOf(fields)
    const table = this.#manifest.tables.find((one) => one.schema === home && one.name === name)
    if (fields.length > 3 || table === undefined) {
      this.#refuse(at, 'column_not_accepted', 'name a column as table.column, with the alias of the table')
    }
    column.fields = fields.slice(1)
    this.found.qualified.push({ column: column as Struct, table })
  }

  #countParameter(number: number, at: number): void {
    if (number < 1 || number > MAX_PARAMETERS) this.#refuse(at, 'parameter_invalid', `$1 to $${MAX_PARAMETERS}`)
    const { found } = this
    found.parameters = Math.max(found.parameters, number)
    found.uses.set(number, (found.uses.get(number) ?? 0) + 1)
  }

  #checkFunction(call: Struct, at: number): void {
    if (this.#isOwn(call['funcname'], this.#manifest.functions)) {
      this.found.calls.push(call)
      return
    }
    this.#checkName(call['funcname'], FUNCTIONS, at, 'function_not_accepted')
    this.#checkSize(readSize(call), at)
  }

  #checkSize(size: Size | 'unbounded' | undefined, at: number): void {
    if (size === 'unbounded') {
      this.#refuse(at, 'size_too_large', 'say how much with a number or a parameter, $1, of its own')
    }
    if (size === undefined) return
    this.found.sizes.push(size)
    if (!isBounded(this.found.sizes))
      this.#refuse(at, 'size_too_large', `at most ${MAX_SIZE.toLocaleString('en')} in all`)
  }

  /** Named with its schema, and the application's own. */
  #isOwn(names: unknown, known: readonly { readonly schema: string; readonly name: string }[] = []): boolean {
    const [home, name, ...more] = stringsOf(names)
    return more.length === 0 && known.some((own) => own.schema === home && own.name === name)
  }

  #checkName(names: unknown, list: ReadonlySet<string>, at: number, code: ScopeRefusalCode): void {
    const parts = stringsOf(names)
    const name = parts.at(-1)
    const home = parts.length === 1 || (parts.length === 2 && parts[0] === HOME_SCHEMA)
    if (name !== undefined && home && list.has(name)) return
    const kind = KIND_OF[code]
    const isOthers = kind === 'operator' || parts.length === 1
    const why = kind === undefined || name === undefined || !home ? undefined : whyNot(kind, name)
    this.#refuse(at, code, why ?? (isOthers ? undefined : `declare it in the manifest's ${kind}s`))
  }

  #checkCollation(names: unknown, at: number): void {
    const [name, home] = stringsOf(names).toReversed()
    if (name !== undefined && COLLATIONS.has(name) && (home === undefined || home === HOME_SCHEMA)) return
    this.#refuse(at, 'construct_not_accepted', `collations that both databases may have: ${[...COLLATIONS].join(', ')}`)
  }

  #checkLocked(value: unknown): void {
    for (const item of listOf(value)) {
      const { schemaname, catalogname, location } = item['RangeVar'] as Struct
      if (schemaname !== undefined || catalogname !== undefined) {
        this.#refuse(location, 'relation_not_accepted', 'FOR UPDATE OF takes the alias of a table')
      }
    }
  }

  #refuse(at: unknown, code: ScopeRefusalCode, hint?: string): never {
    refuseAt(this.#bytes, at, code, hint)
  }
}
