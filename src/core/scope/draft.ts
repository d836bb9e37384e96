import type { Admitted } from './admit.ts'
import type { Grants } from './grants.ts'
import { listOf, type Struct, type Token, unwrap } from './grammar.ts'
import { leafText, type ScopeParameters } from './leaf.ts'
import { refuseAt } from './lexis.ts'
import { type Manifest, parentOf, type Table } from './manifest.ts'
import type { Slot } from './prover/prove.ts'
import type { ScopeRefusalCode } from './refusals.ts'

/** How a write speaks of its own rows. */
export const OTHER_ALIASES: ReadonlySet<string> = new Set(['old', 'new', 'excluded'])

/** A replacement in the caller's text, by byte offsets. */
type Edit = { readonly start: number; readonly end: number; readonly text: string }

/** What a statement does to a table's rows. */
export type Verb = 'create' | 'read' | 'update' | 'delete'

/** A caller's value that must name the caller's own tenant or user. */
export type Check = { readonly kind: 'tenant' | 'owner'; readonly index: number }

/** A caller's text, and what is to be spliced into it. Offsets are bytes of UTF-8. */
export class Draft {
  readonly admitted: Admitted
  readonly manifest: Manifest
  readonly grants: Grants
  readonly checks: Check[] = []
  readonly slots: Slot[]
  readonly #edits: Edit[] = []
  #tenant: number | undefined
  #user: number | undefined

  constructor(admitted: Admitted, manifest: Manifest, grants: Grants) {
    this.admitted = admitted
    this.manifest = manifest
    this.grants = grants
    this.slots = Array.from({ length: admitted.parameters }, (_, index) => ({ kind: 'value', index }))
  }

  /** The narrowest reach of the verbs. @throws ScopeRefusal `grant_missing` */
  reach(table: Table, verbs: readonly Verb[], at: unknown): 'tenant' | 'own' {
    let reach: 'tenant' | 'own' = 'tenant'
    for (const verb of verbs) {
      const held = this.grants.get(`${table.resource}:${verb}`)
      if (held === undefined) this.refuse(at, 'grant_missing', `it needs ${table.resource}:${verb}`)
      if (held === 'own') reach = 'own'
    }
    if (reach === 'own' && (parentOf(this.manifest, table) ?? table).owner === undefined) {
      this.refuse(at, 'grant_missing', `${table.name} has no owner, so reach own covers none of its rows`)
    }
    return reach
  }

  /** The manifest's table that a relation names. @throws ScopeRefusal `relation_unknown`, `relation_not_accepted` */
  tableOf(relation: Struct): Table {
    const { schemaname, relname, location } = relation
    const tables = this.manifest.tables.filter(
      ({ schema, name }) => name === relname && (schemaname === undefined || schema === schemaname),
    )
    const [table] = tables
    if (table === undefined) this.refuse(location, 'relation_unknown')
    if (tables.length > 1) this.refuse(location, 'relation_not_accepted', 'name its schema: schema.table')
    return table
  }

  requireColumn(table: Table, name: string, at: unknown): void {
    if (!Object.hasOwn(table.columns, name)) this.refuse(at, 'column_unknown')
  }

  /** A column that a statement may give a value. @throws ScopeRefusal `column_unknown`, `column_read_only`, `link_not_assignable` */
  requireAssignable(table: Table, name: string, at: unknown): void {
    this.requireColumn(table, name, at)
    if (table.columns[name]?.readOnly !== undefined) this.refuse(at, 'column_read_only')
  }

  /** The table that a statement changes. @throws ScopeRefusal `relation_shared`, `relation_view`, and as `tableOf` */
  targetOf(relation: Struct): Table {
    const table = this.tableOf(relation)
    if (table.view === true) this.refuse(relation['location'], 'relation_view')
    if (table.shared === true) this.refuse(relation['location'], 'relation_shared')
    if (OTHER_ALIASES.has(aliasOf(relation))) {
      this.refuse(relation['location'], 'relation_not_accepted', 'give it an alias: this one means the row itself here')
    }
    if (table.through !== undefined && aliasOf(relation) === parentOf(this.manifest, table)?.name) {
      this.refuse(relation['location'], 'relation_not_accepted', 'give it an alias that is no table’s name')
    }
    return table
  }

  /** The parameters that confine a table; made at first need, so that none is bound that the text lacks. */
  parameters(table: Table, own: boolean): ScopeParameters {
    return {
      tenant: table.shared === true ? undefined : this.slot('tenant'),
      user: own ? this.slot('user') : undefined,
    }
  }

  /** The parameter that holds the tenant or the user: one more than the highest. */
  slot(kind: 'tenant' | 'user'): number {
    const known = kind === 'tenant' ? this.#tenant : this.#user
    if (known !== undefined) return known
    const number = this.slots.push({ kind })
    if (kind === 'tenant') this.#tenant = number
    else this.#user = number
    return number
  }

  /** A relation that is read: its name becomes its leaf, which bears the name unless it has an alias already. */
  gate(relation: Struct, table: Table, own: boolean): void {
    const { tokens } = this.admitted
    const name = this.nameTokens(relation)
    const before = tokens[name.first - 1]
    if (before?.text.toUpperCase() === 'TABLE' && before.keywordKind !== 0) {
      this.edit(before.start, before.end, 'SELECT * FROM')
    }
    const alias = relation['alias'] === undefined ? ` AS "${table.name}"` : ''
    this.edit(name.start, name.end, leafText(this.manifest, table, this.parameters(table, own)) + alias)
  }

  /** Where a relation's name stands: one token, or three with a schema. @throws ScopeRefusal for `docs *` */
  nameTokens(relation: Struct): { readonly first: number; readonly start: number; readonly end: number } {
    const { tokens } = this.admitted
    const start = Number(relation['location'] ?? 0)
    const first = tokens.findIndex((token) => token.start === start)
    const index = relation['schemaname'] === undefined ? first : first + 2
    const last = tokens[index]
    if (first < 0 || last === undefined) throw new TypeError('a relation stands at a token')
    if (tokens[index + 1]?.text === '*') this.refuse(last.end, 'relation_not_accepted', 'leave the * out')
    return { first, start, end: last.end }
  }

  /**
   * The tokens of a write from its target's name on: to the end, or to the bracket that closes its WITH query.
   * @param relation its target
   */
  tokensOf(relation: Struct): readonly Token[] {
    const { first } = this.nameTokens(relation)
    const { tokens } = this.admitted
    let depth = 0
    for (let index = first; index < tokens.length; index++) {
      const { text } = tokens[index] as Token
      if (text === '(' || text === '[') depth++
      if ((text === ')' || text === ']') && --depth < 0) return tokens.slice(first, index)
    }
    return tokens.slice(first)
  }

  /** The first token from an offset on that matches. */
  tokenAfter(at: unknown, matches: (token: Token) => boolean): Token {
    const found = this.admitted.tokens.find((token) => token.start >= Number(at ?? 0) && matches(token))
    if (found === undefined) throw new TypeError('the parsed statement lacks a token')
    return found
  }

  edit(start: number, end: number, text: string): void {
    this.#edits.push({ start, end, text })
  }

  /** The final text. Each comment becomes a blank: the two databases end `--` at different characters. */
  apply(): string {
    return this.#pieces()
      .map(({ text }) => text)
      .join('')
  }

  /** The offset in the caller's text that an offset in the final one comes from. */
  originOf(offset: number): number {
    let passed = 0
    for (const { start, text, spliced } of this.#pieces()) {
      const length = Buffer.byteLength(text)
      if (offset < passed + length) return spliced ? start : start + (offset - passed)
      passed += length
    }
    return this.admitted.bytes.length
  }

  refuse(at: unknown, code: ScopeRefusalCode, hint?: string): never {
    refuseAt(this.admitted.bytes, at, code, hint)
  }

  #pieces(): { readonly start: number; readonly text: string; readonly spliced: boolean }[] {
    const { bytes, comments, tokens } = this.admitted
    const blanks = comments.map(({ start, end }) => ({ start, end, text: ' ' }))
    const literals = tokens.filter(({ text }) => /^\$(?!\d)/.test(text)).map(plainLiteral)
    // by place; at one place what only inserts goes before what replaces, else in the order in which they were made
    const edits = [...this.#edits, ...blanks, ...literals]
      .map((edit, order) => ({ ...edit, order }))
      .sort((a, b) => a.start - b.start || Number(a.end > a.start) - Number(b.end > b.start) || a.order - b.order)
    const pieces = []
    let at = 0
    for (const { start, end, text } of edits) {
      // a comment within a name that was replaced
      if (start < at) continue
      pieces.push(
        { start: at, text: bytes.toString('utf8', at, start), spliced: false },
        { start, text, spliced: true },
      )
      at = end
    }
    pieces.push({ start: at, text: bytes.toString('utf8', at), spliced: false })
    return pieces
  }
}

/** `$tag$…$tag$` as the common literal of the same value: where its end is, is no question then. */
function plainLiteral({ start, end, text }: Token): Edit {
  const tag = text.slice(0, text.indexOf('$', 1) + 1)
  return { start, end, text: `'${text.slice(tag.length, -tag.length).replaceAll("'", "''")}'` }
}

/** The name by which a statement speaks of a relation. */
export function aliasOf(relation: Struct): string {
  const alias = (relation['alias'] as Struct | undefined)?.['aliasname']
  return String(alias ?? relation['relname'])
}

/** All column references below, however deep. */
export function columnsOf(value: unknown): Struct[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => (key === 'ColumnRef' ? [inner as Struct] : columnsOf(inner)))
}

/** Whether a column reference ends in a star. */
export function isStar(column: Struct): boolean {
  return 'A_Star' in (listOf(column['fields']).at(-1) ?? {})
}

/** The relations whose rows FOR UPDATE or FOR SHARE locks: those of its query's FROM, or those of the aliases it names. */
export function lockedRelations(statement: unknown): ReadonlySet<unknown> {
  const locked = new Set<unknown>()
  for (const [, value] of below(statement)) {
    const { lockingClause, fromClause } = value as Struct
    for (const clause of listOf(lockingClause)) {
      const names = listOf(unwrap(clause)[1]['lockedRels']).map((item) => unwrap(item)[1]['relname'])
      for (const { name, node } of listOf(fromClause).flatMap(itemsOf)) {
        if (names.length > 0 && !names.includes(name)) continue
        for (const [key, relation] of below(node)) if (key === 'RangeVar') locked.add(relation)
      }
    }
  }
  return locked
}

/** The items of a FROM, joins taken apart, each with its alias. */
function itemsOf(item: Struct): { readonly name: unknown; readonly node: Struct }[] {
  const [type, { alias, relname, larg, rarg }] = unwrap(item)
  const name = (alias as Struct | undefined)?.['aliasname'] ?? relname
  const parts = type === 'JoinExpr' ? [...itemsOf(larg as Struct), ...itemsOf(rarg as Struct)] : []
  return [{ name, node: item }, ...parts]
}

/** Every object below, with the key under which it stands. */
function* below(value: unknown): Generator<[key: string, struct: object]> {
  for (const [key, inner] of Object.entries(value as object)) {
    if (typeof inner !== 'object' || inner === null) continue
    yield [key, inner as object]
    yield* below(inner)
  }
}
