import { listOf, parseText, scanText, type Struct, stringsOf, type Token, unwrap } from './grammar.ts'
import { FUNCTION_FAMILIES, ONE_ARGUMENT_FUNCTIONS } from './one-argument-functions.ts'
import { ScopeRefusal, type ScopeRefusalCode } from './refusals.ts'
import { SHAPES } from './shapes.ts'
import { COLLATIONS, FUNCTIONS, HOME_SCHEMA, OPERATORS, TYPES } from './vocabulary.ts'

/** Longest text, in bytes of UTF-8: a report's query is a few thousand; the parser's cost grows with it (CWE-400). */
export const MAX_TEXT_BYTES = 32_768
/** Most tokens: bounds the depth of chains such as NOT NOT NOT, which the parser's stack would not. */
export const MAX_TOKENS = 4_000
/** Deepest nesting of brackets and CASE. */
export const MAX_NESTING = 64
/** Highest parameter number: the protocol's own limit is 65,535. */
export const MAX_PARAMETERS = 1_000

/** A relation as the statement names it. */
export type Mention = { readonly relation: Struct; readonly place: 'from' | 'target' }

/** A statement that consists of nothing but what is understood. */
export type Admitted = {
  readonly kind: 'SelectStmt' | 'InsertStmt' | 'UpdateStmt' | 'DeleteStmt'
  readonly statement: Struct
  readonly bytes: Buffer
  readonly tokens: readonly Token[]
  readonly mentions: readonly Mention[]
  readonly ctes: ReadonlySet<string>
  readonly locks: boolean
  /** highest parameter number, 0 for none */
  readonly parameters: number
}

const KINDS: readonly string[] = ['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt']
const TOKEN = { unicodeIdentifier: 259, string: 261, unicodeString: 262, lineComment: 275, blockComment: 276 } as const

/** Refuses at a byte offset of the caller's text. */
export function refuseAt(bytes: Buffer, offset: unknown, code: ScopeRefusalCode, hint?: string): never {
  const position = typeof offset === 'number' && offset >= 0 ? bytes.toString('utf8', 0, offset).length : undefined
  throw new ScopeRefusal(code, { position, hint })
}

/**
 * Parses a text and admits it, node by node, key by key, name by name.
 * @throws ScopeRefusal with the position in the caller's own text
 */
export function admit(text: string): Admitted {
  const bytes = checkText(text)
  const tokens = checkTokens(bytes, scanText(text))
  const [only, ...others] = parseText(text)
  if (only === undefined || others.length > 0) throw new ScopeRefusal('not_one_statement')
  const [kind, statement] = unwrap(only)
  if (!KINDS.includes(kind)) throw new ScopeRefusal('statement_not_accepted')
  const found = { mentions: [] as Mention[], ctes: new Set<string>(), locks: false, parameters: 0 }
  const look = (type: string, struct: Struct, at: number): void => {
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
          refuseAt(bytes, here, 'construct_not_accepted', `${key} ${value} is not supported yet`)
      } else if (key === 'lockedRels') {
        checkLocked(bytes, value)
      } else if (content === 'node') look(...unwrap(value), here)
      else if (content === 'nodes') for (const item of listOf(value)) look(...unwrap(item), here)
      else {
        const inner = content.slice(1)
        if (inner === 'RangeVar' && struct === statement)
          found.mentions.push({ relation: value as Struct, place: 'target' })
        look(inner, value as Struct, here)
      }
    }
  }
  try {
    look(kind, statement, 0)
  } catch (error) {
    if (error instanceof RangeError) throw new ScopeRefusal('text_too_deep', { cause: error })
    throw error
  }
  const targets = new Set(found.mentions.filter(({ place }) => place === 'target').map(({ relation }) => relation))
  const mentions = found.mentions.filter(({ relation, place }) => place === 'target' || !targets.has(relation))
  return { kind: kind as Admitted['kind'], statement, bytes, tokens, ...found, mentions }
}

type Found = { mentions: Mention[]; ctes: Set<string>; locks: boolean; parameters: number }

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
      found.ctes.add(String(struct['ctename']))
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
      const [, field] = stringsOf(struct['fields'])
      if (listOf(struct['fields']).length > 2)
        refuseAt(bytes, at, 'column_not_accepted', 'name a column as table.column, with the alias of the table')
      if (field !== undefined && FUNCTION_FAMILIES.test(field)) refuseAt(bytes, at, 'column_not_accepted')
      return
    }
  }
}

/** A field that is also a function, unless the manifest has a column of the name. */
export function isFunctionField(field: string, columns: ReadonlySet<string>): boolean {
  return ONE_ARGUMENT_FUNCTIONS.has(field) && !columns.has(field)
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

function checkText(text: string): Buffer {
  if (typeof text !== 'string' || text.includes('\0')) throw new ScopeRefusal('text_malformed')
  const bytes = Buffer.from(text)
  if (bytes.length > MAX_TEXT_BYTES)
    throw new ScopeRefusal('text_too_large', { hint: `at most ${MAX_TEXT_BYTES} bytes` })
  if (bytes.toString() !== text) throw new ScopeRefusal('text_malformed')
  return bytes
}

function checkTokens(bytes: Buffer, tokens: readonly Token[]): readonly Token[] {
  if (tokens.length > MAX_TOKENS) throw new ScopeRefusal('text_too_large', { hint: `at most ${MAX_TOKENS} tokens` })
  let depth = 0
  const code: Token[] = []
  for (const token of tokens) {
    const { tokenType, start, end } = token
    if (tokenType === TOKEN.lineComment || tokenType === TOKEN.blockComment) continue
    if (tokenType === TOKEN.unicodeIdentifier || tokenType === TOKEN.unicodeString) {
      refuseAt(bytes, start, 'construct_not_accepted', 'write the letters themselves and not U&')
    }
    if (tokenType !== TOKEN.string && bytes.subarray(start, end).some((byte) => byte > 0x7e)) {
      refuseAt(bytes, start, 'identifier_not_ascii')
    }
    const word = token.text.toUpperCase()
    if (word === '(' || word === '[' || word === 'CASE') depth++
    if (word === ')' || word === ']' || (word === 'END' && token.keywordKind !== 0)) depth--
    if (depth > MAX_NESTING) refuseAt(bytes, start, 'text_too_deep', `at most ${MAX_NESTING} levels`)
    code.push(token)
  }
  return code
}
