import { listOf, parseText, type Struct, stringsOf, type Token, unwrap } from './grammar.ts'
import { readLexis, refuseAt } from './lexis.ts'
import { ScopeRefusal, type ScopeRefusalCode } from './refusals.ts'
import { SHAPES } from './shapes.ts'
import { COLLATIONS, FUNCTIONS, HOME_SCHEMA, OPERATORS, TYPES } from './vocabulary.ts'

/** Highest parameter number: the protocol's own limit is 65,535. */
export const MAX_PARAMETERS = 1_000
/** Most relations: each becomes a leaf as long as its table is wide. */
const MAX_RELATIONS = 64

/** Deepest tree, in nodes: chains such as `1 + 1 + 1` nest without brackets, and every walk recurses (CWE-674). */
const MAX_DEPTH = 400

/** A relation as the statement names it. */
export type Mention = { readonly relation: Struct; readonly place: 'from' | 'target' }

/** A statement that consists of nothing but what is understood. */
export type Admitted = {
  readonly kind: 'SelectStmt' | 'InsertStmt' | 'UpdateStmt' | 'DeleteStmt'
  readonly statement: Struct
  readonly bytes: Buffer
  readonly tokens: readonly Token[]
  readonly comments: readonly Token[]
  readonly mentions: readonly Mention[]
  /** CTEs by name, with their place */
  readonly ctes: ReadonlyMap<string, number>
  readonly locks: boolean
  /** highest parameter number, 0 for none */
  readonly parameters: number
  /** how often each parameter stands in the text */
  readonly uses: ReadonlyMap<number, number>
}

const KINDS: readonly string[] = ['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt']

/**
 * Parses a text and admits it, node by node, key by key, name by name.
 * @throws ScopeRefusal with the position in the caller's own text
 */
export function admit(text: string): Admitted {
  const { bytes, tokens, comments } = readLexis(text)
  const [only, ...others] = parseText(text)
  if (only === undefined || others.length > 0) throw new ScopeRefusal('not_one_statement')
  const [kind, statement] = unwrap(only)
  if (!KINDS.includes(kind)) throw new ScopeRefusal('statement_not_accepted')
  const found: Found = { mentions: [], ctes: new Map(), locks: false, parameters: 0, uses: new Map() }
  const look = (type: string, struct: Struct, at: number, depth: number): void => {
    if (depth > MAX_DEPTH) refuseAt(bytes, at, 'text_too_deep', `at most ${MAX_DEPTH} levels`)
    const shape = Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined
    if (shape === undefined) refuseAt(bytes, at, 'construct_not_accepted', `${type} is not supported yet`)
    const here = typeof struct['location'] === 'number' ? struct['location'] : at
    judge(bytes, type, struct, here, found)
    for (const [key, value] of Object.entries(struct)) {
      const content = Object.hasOwn(shape, key) ? shape[key] : undefined
      if (content === undefined) refuseAt(bytes, here, 'construct_not_accepted', `${type}.${key} is not supported yet`)
      if (content === 'value') continue
      if (typeof content === 'object') {
        if (!content.includes(value as string))
          refuseAt(bytes, here, 'construct_not_accepted', `this ${key} is not supported yet`)
      } else if (key === 'lockedRels') {
        checkLocked(bytes, value)
      } else if (content === 'node') look(...unwrap(value), here, depth + 1)
      else if (content === 'nodes') for (const item of listOf(value)) look(...unwrap(item), here, depth + 1)
      else {
        const inner = content.slice(1)
        if (inner === 'RangeVar' && struct === statement)
          found.mentions.push({ relation: value as Struct, place: 'target' })
        look(inner, value as Struct, here, depth + 1)
      }
    }
  }
  look(kind, statement, 0, 0)
  const targets = new Set(found.mentions.filter(({ place }) => place === 'target').map(({ relation }) => relation))
  const mentions = found.mentions.filter(({ relation, place }) => place === 'target' || !targets.has(relation))
  if (mentions.length > MAX_RELATIONS) {
    throw new ScopeRefusal('text_too_large', { hint: `at most ${MAX_RELATIONS} tables` })
  }
  if (found.uses.size < found.parameters) {
    throw new ScopeRefusal('parameter_invalid', { hint: `use every parameter from $1 to $${found.parameters}` })
  }
  return { kind: kind as Admitted['kind'], statement, bytes, tokens, comments, ...found, mentions }
}

type Found = {
  mentions: Mention[]
  ctes: Map<string, number>
  locks: boolean
  parameters: number
  uses: Map<number, number>
}

function judge(bytes: Buffer, type: string, struct: Struct, at: number, found: Found): void {
  switch (type) {
    case 'RangeVar':
      if (struct['catalogname'] !== undefined)
        refuseAt(bytes, at, 'relation_not_accepted', 'name it as table or schema.table')
      if (struct['inh'] !== true) refuseAt(bytes, at, 'relation_not_accepted', 'leave ONLY out')
      found.mentions.push({ relation: struct, place: 'from' })
      return
    case 'LockingClause':
      found.locks = true
      return
    case 'CommonTableExpr':
      found.ctes.set(String(struct['ctename']), at)
      if (!('SelectStmt' in (struct['ctequery'] as Struct))) {
        refuseAt(
          bytes,
          at,
          'construct_not_accepted',
          'a WITH query may only SELECT; write the change as a statement of its own',
        )
      }
      return
    case 'ParamRef': {
      const number = Number(struct['number'] ?? 0)
      if (number < 1 || number > MAX_PARAMETERS) refuseAt(bytes, at, 'parameter_invalid', `$1 to $${MAX_PARAMETERS}`)
      found.parameters = Math.max(found.parameters, number)
      found.uses.set(number, (found.uses.get(number) ?? 0) + 1)
      return
    }
    case 'FuncCall':
      return checkName(bytes, struct['funcname'], FUNCTIONS, at, 'function_not_accepted')
    case 'TypeName':
      return checkName(bytes, struct['names'], TYPES, at, 'type_not_accepted')
    case 'CollateClause':
      return checkName(bytes, struct['collname'], COLLATIONS, at, 'construct_not_accepted')
    case 'A_Expr':
      if (String(struct['kind']).includes('BETWEEN')) return
      return checkName(bytes, struct['name'], OPERATORS, at, 'operator_not_accepted')
    case 'SubLink':
      if (struct['operName'] !== undefined) checkName(bytes, struct['operName'], OPERATORS, at, 'operator_not_accepted')
      return
    case 'A_Indirection':
      if (!listOf(struct['indirection']).every((item) => 'A_Indices' in item)) {
        refuseAt(bytes, at, 'construct_not_accepted', 'a field of an expression: select the column by its name')
      }
      return
    case 'ColumnRef': {
      if (listOf(struct['fields']).length > 2)
        refuseAt(bytes, at, 'column_not_accepted', 'name a column as table.column, with the alias of the table')
      return
    }
  }
}

function checkName(bytes: Buffer, names: unknown, list: ReadonlySet<string>, at: number, code: ScopeRefusalCode): void {
  const parts = stringsOf(names)
  const name = parts.at(-1)
  const home = parts.length === 1 || (parts.length === 2 && parts[0] === HOME_SCHEMA)
  if (name === undefined || !home || !list.has(name)) refuseAt(bytes, at, code)
}

function checkLocked(bytes: Buffer, value: unknown): void {
  for (const item of listOf(value)) {
    const { schemaname, catalogname, location } = item['RangeVar'] as Struct
    if (schemaname !== undefined || catalogname !== undefined) {
      refuseAt(bytes, location, 'relation_not_accepted', 'FOR UPDATE OF takes the alias of a table')
    }
  }
}
