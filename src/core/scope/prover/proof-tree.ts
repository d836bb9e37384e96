import { parseText, scanText, type Struct } from '../grammar.ts'

/** The final text could not be proven, so it is not sent. */
export class Unproven extends Error {
  override readonly name = 'Unproven'
  /** byte offset in the final text, where known */
  at: number | undefined
}

/** How the prover reads a text and its tree: its own, so that no fault of the rewriter's is in both. */
export function read(text: string): readonly Struct[] {
  try {
    if (SUSPECT.test(text) || !SHORT_NAMES.test(text)) checkTokens(text)
    return parseText(text)
  } catch (error) {
    throw error instanceof Unproven ? error : new Unproven('not proven: a text that parses')
  }
}

/** Nothing but what this finds, and quoted names that are long, can make a token that {@link checkTokens} would not accept. */
const SUSPECT = /[^\t\n\r\x20-\x7e]|--|\/\*|[uU]&|[bBxX]'|'[\t ]*[\n\r]\s*'|"[\t ]*[\n\r]\s*"|[\w$]{64}|""|\\|\$\D/
/**
 * Quoted names of at most 63 bytes. Where nothing is suspect, a quote opens and closes as here: there is no comment, no
 * literal between dollars, no backslash, no quote in a name.
 */
const SHORT_NAMES = /^(?:[^"']|"[^"]{0,63}"|'[^']*')*$/

function checkTokens(text: string): void {
  const bytes = Buffer.from(text)
  let before = { raw: '', end: 0 }
  for (const { tokenType, start, end } of scanText(text)) {
    demand(!FOREIGN_TOKENS.has(tokenType), 'a token that both databases read alike')
    const raw = bytes.toString('latin1', start, end)
    demand((tokenType === LITERAL ? ONE_LITERAL : ASCII).test(raw), 'a token that both databases read alike')
    demand(tokenType !== NAME || raw.replaceAll(/^"|"$/g, '').length <= MAX_NAME, 'a name that neither database cuts')
    const gap = bytes.toString('latin1', before.end, start)
    const isJoined = before.raw.startsWith('"') && raw.startsWith('"') && /[\n\r]/.test(gap)
    demand(!isJoined, 'two names that CockroachDB would join')
    before = { raw, end }
  }
}

/** Comments, which the two databases end differently; Unicode escapes, which hide a name (CWE-436). */
const FOREIGN_TOKENS: ReadonlySet<number> = new Set([275, 276, 259, 262])
const LITERAL = 261
const NAME = 258
/** PostgreSQL cuts a longer name, so that an alias could be another one to CockroachDB. */
const MAX_NAME = 63
/** In one piece: a literal that goes on in another line is two to CockroachDB. */
const ONE_LITERAL = /^(?:'(?:[^']|'')*'|[eE]'(?:[^'\\]|''|\\[^])*')$/
/** No letter that one database folds to ASCII; in bits no backslash, which is an escape to CockroachDB. */
const ASCII = /^(?:[bBxX]'[0-9a-fA-F]*'|(?![bBxX]')[\t\n\r\x20-\x7e]*)$/

/** A node and its type. */
export function open(wrapped: unknown): [type: string, struct: Struct] {
  const [entry, ...more] = Object.entries((wrapped ?? {}) as Struct)
  demand(entry !== undefined && more.length === 0 && typeof entry[1] === 'object', 'a node')
  return entry as [string, Struct]
}

/** What stands under a key, be it a node's type or a key of a node; nothing where it is absent. */
export function under(value: unknown, ...path: readonly string[]): Struct {
  return path.reduce((inner, key) => (inner[key] ?? {}) as Struct, (value ?? {}) as Struct)
}

/** The nodes of a list, `{}` (an absent member, as in DISTINCT) left out. */
export function list(value: unknown): readonly Struct[] {
  demand(value === undefined || Array.isArray(value), 'a list')
  return ((value ?? []) as Struct[]).filter((item) => Object.keys(item).length > 0)
}

/** The texts of a list of names; of another node, such as a star, none. */
export function namesOf(value: unknown): readonly (string | undefined)[] {
  return list(value).map((item) => {
    const { sval } = under(item, 'String')
    // an empty string is left out of the JSON
    return typeof sval === 'string' || !('String' in item) ? (sval as string | undefined) : ''
  })
}

/** What stands before a name of PostgreSQL's own, if anything does. */
export const HOME = 'pg_catalog'

/** Bare, or in `pg_catalog`, and in the list. */
export function isHomely(names: unknown, known: ReadonlySet<string>): boolean {
  const [name, home = HOME, ...more] = namesOf(names).toReversed()
  return name !== undefined && known.has(name) && home === HOME && more.length === 0
}

/** The grammar gives BETWEEN a name that is no operator's. */
export function isBetween({ kind, name }: Struct): boolean {
  return String(kind).includes('BETWEEN') && /^(?:NOT )?BETWEEN(?: SYMMETRIC)?$/.test(namesOf(name).join(' '))
}

/** A relation as it is written most: no ONLY – which leaves `inh` out –, no catalog, nothing temporary. */
export function isPlain({ inh, relpersistence, catalogname }: Struct): boolean {
  return inh === true && relpersistence === 'p' && catalogname === undefined
}

/** What FOR UPDATE OF names: the bare alias of a relation. */
export function isAlias(item: Struct): boolean {
  const { RangeVar: relation = {} } = item as { RangeVar?: Struct }
  return isPlain(relation) && relation['schemaname'] === undefined && relation['alias'] === undefined
}

/** What AND joins at the top of a condition, or the condition itself. */
export function conjunctsOf(where: unknown): readonly unknown[] {
  const { boolop, args } = under(where, 'BoolExpr')
  return boolop === 'AND_EXPR' ? list(args) : [where]
}

/** The name that an item of FROM has in its query; a join without one may have one for its USING. */
export function nameOf(item: Struct): unknown {
  const { alias, join_using_alias: using, relname } = open(item)[1]
  return under(alias ?? using)['aliasname'] ?? relname
}

/** What a query locks: the relations below each item of its FROM, or below those that a clause names. */
export function lockedBy({ lockingClause, fromClause }: Struct): readonly Struct[] {
  const clauses = list(lockingClause).map((clause) => list(open(clause)[1]['lockedRels']).map((item) => nameOf(item)))
  const lockedAs = (item: Struct): readonly Struct[] => {
    const name = nameOf(item)
    if (clauses.some((names) => names.length === 0 || names.includes(name))) {
      return [...entriesWithin(item)].filter(([key]) => key === 'RangeVar').map(([, relation]) => relation as Struct)
    }
    const { larg, rarg } = under(item, 'JoinExpr') as { larg?: Struct; rarg?: Struct }
    return [larg, rarg].flatMap((side) => (side === undefined ? [] : lockedAs(side)))
  }
  return list(fromClause).flatMap(lockedAs)
}

/** Where a node stands; PostgreSQL's JSON leaves a location of 0 out, and a join, a subquery or an alias has none. */
export function locationOf(type: string, { location }: Struct): number | undefined {
  return typeof location === 'number' && location >= 0 && type !== 'TypeName' ? location : undefined
}

export function holdsKey(value: unknown, key: string): boolean {
  return [...entriesWithin(value)].some(([name]) => name === key)
}

/** Every key with its value, at any depth, in no order. */
export function* entriesWithin(value: unknown): Generator<[string, unknown]> {
  const left = [value]
  while (left.length > 0) {
    // a generator a level would cost as much as all else here together
    for (const entry of Object.entries(left.pop() ?? {})) {
      yield entry
      if (typeof entry[1] === 'object') left.push(entry[1])
    }
  }
}

/** A name as it is written in quotes. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Goes on only if the condition holds. @throws Unproven */
export function demand(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Unproven(`not proven: ${what}`)
}

/** Goes on only if it holds for each. @throws Unproven */
export function demandEach<Item>(items: Iterable<Item>, holds: (item: Item) => boolean, what: string): void {
  for (const item of items) demand(holds(item), what)
}
