import { type Admitted, isFunctionField, refuseAt } from './admit.ts'
import type { Grants } from './grants.ts'
import { listOf, type Struct, stringsOf, type Token, unwrap } from './grammar.ts'
import { leafText, nameText, predicatesOf } from './leaf.ts'
import type { Manifest, Table } from './manifest.ts'
import type { Slot } from './prove.ts'

/** A replacement in the caller's text, by byte offsets. */
type Edit = { readonly start: number; readonly end: number; readonly text: string }

/** A scoped text that nobody has proven yet. */
export type Rewritten = {
  readonly text: string
  readonly slots: readonly Slot[]
  /** caller's values that must name the caller's own tenant or user */
  readonly checks: readonly { readonly kind: 'tenant' | 'owner'; readonly index: number }[]
}

type Verb = 'create' | 'read' | 'update' | 'delete'

/**
 * Scopes an admitted statement by splicing text at the places of its relations: nothing is deparsed, so nothing else
 * changes its meaning. Not trusted: the prover reads what comes out.
 * @throws ScopeRefusal with the position in the caller's own text
 */
export function rewrite(admitted: Admitted, manifest: Manifest, grants: Grants): Rewritten {
  return new Rewriter(admitted, manifest, grants).run()
}

class Rewriter {
  readonly #admitted: Admitted
  readonly #manifest: Manifest
  readonly #grants: Grants
  readonly #columns: ReadonlySet<string>
  readonly #edits: Edit[] = []
  readonly #slots: Slot[]
  readonly #checks: { kind: 'tenant' | 'owner'; index: number }[] = []
  #tenant: number | undefined
  #user: number | undefined

  constructor(admitted: Admitted, manifest: Manifest, grants: Grants) {
    this.#admitted = admitted
    this.#manifest = manifest
    this.#grants = grants
    this.#columns = new Set(manifest.tables.flatMap((table) => Object.keys(table.columns)))
    this.#slots = Array.from({ length: admitted.parameters }, (_, index) => ({ kind: 'value', index }))
  }

  run(): Rewritten {
    const { kind, statement, mentions, ctes } = this.#admitted
    this.#checkNames()
    for (const { relation, place } of mentions) {
      if (place === 'target') continue
      if (relation['schemaname'] === undefined && ctes.has(String(relation['relname']))) continue
      this.#gate(relation)
    }
    if (kind === 'InsertStmt') this.#insert(statement)
    if (kind === 'UpdateStmt') this.#change(statement, 'update')
    if (kind === 'DeleteStmt') this.#change(statement, 'delete')
    return { text: this.#apply(), slots: this.#slots, checks: this.#checks }
  }

  #checkNames(): void {
    for (const name of this.#admitted.ctes) {
      if (
        /^pg_|^information_schema$|^crdb_internal$|^system$/.test(name) ||
        this.#manifest.tables.some((table) => table.name === name)
      ) {
        this.#refuse(undefined, 'name_reserved', 'give the WITH query another name')
      }
    }
    for (const { fields, location } of columnsOf(this.#admitted.statement)) {
      const [, field] = stringsOf(fields)
      if (field !== undefined && isFunctionField(field, this.#columns)) {
        this.#refuse(location, 'column_not_accepted', `${field} is also a function; give the column another alias`)
      }
    }
  }

  /** A relation that is read: its name becomes its leaf. */
  #gate(relation: Struct): void {
    const table = this.#tableOf(relation)
    const own = this.#reach(table, this.#admitted.locks ? ['read', 'update'] : ['read'], relation['location']) === 'own'
    const leaf = leafText(table, this.#parameters(table, own))
    this.#replaceName(relation, leaf, table)
  }

  #insert(statement: Struct): void {
    const relation = statement['relation'] as Struct
    const table = this.#targetOf(relation)
    const returning = statement['returningClause'] as Struct | undefined
    const own =
      this.#reach(table, returning === undefined ? ['create'] : ['create', 'read'], relation['location']) === 'own'
    const columns = listOf(statement['cols']).map((column) => unwrap(column)[1])
    if (columns.length === 0) this.#refuse(relation['location'], 'column_list_missing', `INSERT INTO ${table.name} (…)`)
    for (const { name, location } of columns) this.#requireColumn(table, String(name), location)
    if (statement['selectStmt'] === undefined)
      this.#refuse(relation['location'], 'construct_not_accepted', 'name the columns and their values')
    const source = unwrap(statement['selectStmt'])[1]
    const forced: string[] = []
    const items: string[] = []
    for (const [column, kind] of own
      ? ([
          [table.tenant, 'tenant'],
          [table.owner, 'user'],
        ] as const)
      : ([[table.tenant, 'tenant']] as const)) {
      if (column === undefined) continue
      const index = columns.findIndex(({ name }) => name === column)
      if (index >= 0) {
        this.#claimParameters(source, index, kind, columns[index]?.['location'])
        continue
      }
      forced.push(`"${column}", `)
      items.push(`$${this.#slot(kind)}::${table.columns[column]?.type}, `)
    }
    const list = this.#tokenAfter(relation['location'], (token) => token.text === '(')
    if (forced.length > 0) {
      this.#edit(list.end, list.end, forced.join(''))
      this.#prepend(source, list, items.join(''))
    }
    this.#replaceName(relation, nameText(table), undefined)
    const alias = aliasOf(relation)
    this.#conflict(statement['onConflictClause'] as Struct | undefined, table, alias)
    this.#returning(returning, table, alias, false)
  }

  /** A tenant or owner that the caller gives as a single parameter: bound from the caller's identity, compared at bind. */
  #claimParameters(source: Struct, index: number, kind: 'tenant' | 'user', location: unknown): void {
    const code = kind === 'tenant' ? 'tenant_not_assignable' : 'owner_not_assignable'
    for (const row of rowsOf(source)) {
      if (row.slice(0, index).some((item) => JSON.stringify(item).includes('"A_Star"'))) {
        this.#refuse(location, code, 'list the columns of the source one by one')
      }
      const number = parameterOf(row[index])
      if (number === undefined) this.#refuse(location, code, 'leave the column out, or give it one parameter')
      this.#slots[number - 1] = { kind }
      this.#checks.push({ kind: kind === 'tenant' ? 'tenant' : 'owner', index: number - 1 })
    }
  }

  /** Puts items in front of each row of VALUES, or of each arm's target list. */
  #prepend(source: Struct, list: Token, items: string): void {
    if (source['valuesLists'] === undefined) {
      for (const arm of armsOf(source)) {
        const [first] = listOf(arm['targetList'])
        if (arm['valuesLists'] !== undefined || first === undefined) {
          this.#refuse(list.start, 'construct_not_accepted', 'an arm of the source must be a SELECT with columns')
        }
        this.#noOrdinals(arm)
        const at = Number(unwrap(first)[1]['location'] ?? 0)
        this.#edit(at, at, items)
      }
      this.#noOrdinals(source)
      return
    }
    const { tokens } = this.#admitted
    let depth = 0
    for (
      let index = tokens.findIndex((token) => isWord(token, 'VALUES') && token.start > list.start);
      index < tokens.length;
      index++
    ) {
      const token = tokens[index]
      if (token === undefined) return
      if (depth === 0 && (isWord(token, 'ON') || isWord(token, 'RETURNING') || token.text === ';')) return
      if (token.text === '(' && depth++ === 0) this.#edit(token.end, token.end, items)
      if (token.text === ')') depth--
    }
  }

  #noOrdinals(select: Struct): void {
    const sorted = listOf(select['sortClause']).map((item) => unwrap(item)[1]['node'])
    for (const item of [...sorted, ...listOf(select['groupClause'])]) {
      const constant = (item as Struct | undefined)?.['A_Const'] as Struct | undefined
      if (constant !== undefined)
        this.#refuse(constant['location'], 'construct_not_accepted', 'name the column and not its number')
    }
  }

  #change(statement: Struct, verb: 'update' | 'delete'): void {
    const relation = statement['relation'] as Struct
    const table = this.#targetOf(relation)
    const alias = aliasOf(relation)
    const { relation: _, ...rest } = statement
    const reads = statement['returningClause'] !== undefined || columnsOf(rest).length > 0
    const own = this.#reach(table, reads ? [verb, 'read'] : [verb], relation['location']) === 'own'
    this.#assignments(listOf(statement['targetList']), table, own)
    this.#checkTargetColumns(statement, table, alias)
    this.#replaceName(relation, nameText(table), table)
    this.#confine(Number(relation['location'] ?? 0), table, alias, own)
    const plain = statement['fromClause'] === undefined && statement['usingClause'] === undefined
    this.#returning(statement['returningClause'] as Struct | undefined, table, alias, !plain)
  }

  #conflict(clause: Struct | undefined, table: Table, alias: string): void {
    if (clause === undefined) return
    for (const item of listOf((clause['infer'] as Struct | undefined)?.['indexElems'])) {
      this.#requireColumn(table, String(unwrap(item)[1]['name']), clause['location'])
    }
    if (clause['action'] !== 'ONCONFLICT_UPDATE') return
    const own = this.#reach(table, ['update', 'read'], clause['location']) === 'own'
    this.#assignments(listOf(clause['targetList']), table, own)
    this.#checkTargetColumns({ targetList: clause['targetList'], whereClause: clause['whereClause'] }, table, alias)
    const update = this.#tokenAfter(clause['location'], (token) => isWord(token, 'DO'))
    this.#confine(update.start, table, alias, own)
  }

  #assignments(targets: readonly Struct[], table: Table, own: boolean): void {
    for (const target of targets) {
      const { name, location } = unwrap(target)[1]
      if (name === table.tenant) this.#refuse(location, 'tenant_not_assignable')
      this.#requireColumn(table, String(name), location)
      if (name !== table.owner) continue
      if (own) this.#refuse(location, 'owner_not_assignable')
      if (this.#grants.get(`${table.resource}:reassign`) !== 'tenant') {
        this.#refuse(location, 'owner_not_assignable', `it needs ${table.resource}:reassign`)
      }
    }
  }

  /** Bare columns beside a target must be its own: another may exist in the table and not in the manifest. */
  #checkTargetColumns(statement: Struct, table: Table, alias: string): void {
    const { withClause: _, fromClause: __, usingClause: ___, returningClause, ...visible } = statement
    for (const { fields, location } of columnsOf([visible, returningClause ?? {}])) {
      const [first, second] = stringsOf(fields)
      const length = listOf(fields).length
      if (length === 1 && first !== undefined)
        this.#requireColumn(table, first, location, 'name it with its table: alias.column')
      if (length === 2 && first === alias && second !== undefined) this.#requireColumn(table, second, location)
    }
  }

  /** Adds the confinement to a WHERE at depth 0, or makes one, before RETURNING or the end. */
  #confine(from: number, table: Table, alias: string, own: boolean): void {
    const predicate = predicatesOf(table, alias, this.#parameters(table, own)).join(' AND ')
    const { tokens } = this.#admitted
    let depth = 0
    let where: Token | undefined
    let last: Token | undefined
    for (const [index, token] of tokens.entries()) {
      if (token.start < from) continue
      const named = isNamed(tokens[index - 1])
      if (depth === 0 && (token.text === ';' || (isWord(token, 'RETURNING') && !named))) break
      if (token.text === '(' || token.text === '[') depth++
      if (token.text === ')' || token.text === ']') depth--
      if (depth === 0 && where === undefined && isWord(token, 'WHERE') && !named) where = token
      last = token
    }
    if (last === undefined) throw new TypeError('a statement has tokens')
    if (where === undefined) return this.#edit(last.end, last.end, ` WHERE ${predicate}`)
    this.#edit(where.end, where.end, ` ${predicate} AND (`)
    this.#edit(last.end, last.end, ')')
  }

  /** A star of the target becomes its columns: the table may have others. */
  #returning(clause: Struct | undefined, table: Table, alias: string, joined: boolean): void {
    for (const expression of listOf(clause?.['exprs'])) {
      const column = (unwrap(expression)[1]['val'] as Struct | undefined)?.['ColumnRef'] as Struct | undefined
      const fields = listOf(column?.['fields'])
      const star = fields.length > 0 && 'A_Star' in (fields.at(-1) ?? {})
      if (column === undefined || !star) continue
      const [qualifier] = stringsOf(fields)
      if (fields.length === 2 && qualifier !== alias) continue
      if (fields.length === 1 && joined) this.#refuse(column['location'], 'column_not_accepted', `RETURNING ${alias}.*`)
      const start = Number(column['location'] ?? 0)
      const end = this.#tokenAfter(start, (token) => token.text === '*').end
      this.#edit(
        start,
        end,
        Object.keys(table.columns)
          .map((name) => `"${alias}"."${name}"`)
          .join(', '),
      )
    }
  }

  /** The narrowest reach of the verbs. @throws ScopeRefusal `grant_missing` */
  #reach(table: Table, verbs: readonly Verb[], at: unknown): 'tenant' | 'own' {
    let reach: 'tenant' | 'own' = 'tenant'
    for (const verb of verbs) {
      const held = this.#grants.get(`${table.resource}:${verb}`)
      if (held === undefined) this.#refuse(at, 'grant_missing', `it needs ${table.resource}:${verb}`)
      if (held === 'own') reach = 'own'
    }
    if (reach === 'own' && table.owner === undefined)
      this.#refuse(at, 'grant_missing', `${table.name} has no owner column for reach own`)
    return reach
  }

  #tableOf(relation: Struct): Table {
    const { schemaname, relname, location } = relation
    const tables = this.#manifest.tables.filter(
      ({ schema, name }) => name === relname && (schemaname === undefined || schema === schemaname),
    )
    const [table] = tables
    if (table === undefined) this.#refuse(location, 'relation_unknown')
    if (tables.length > 1) this.#refuse(location, 'relation_not_accepted', 'name its schema: schema.table')
    return table
  }

  #targetOf(relation: Struct): Table {
    const table = this.#tableOf(relation)
    if (table.tenant === undefined) this.#refuse(relation['location'], 'relation_shared')
    return table
  }

  #parameters(table: Table, own: boolean): { tenant: number | undefined; user: number | undefined } {
    return {
      tenant: table.tenant === undefined ? undefined : this.#slot('tenant'),
      user: own ? this.#slot('user') : undefined,
    }
  }

  /** The parameter that holds the tenant or the user: one more than the caller's, made at first need. */
  #slot(kind: 'tenant' | 'user'): number {
    const known = kind === 'tenant' ? this.#tenant : this.#user
    if (known !== undefined) return known
    const number = this.#slots.push({ kind })
    if (kind === 'tenant') this.#tenant = number
    else this.#user = number
    return number
  }

  #requireColumn(table: Table, name: string, at: unknown, hint?: string): void {
    if (!Object.hasOwn(table.columns, name)) this.#refuse(at, 'column_unknown', hint)
  }

  /** Replaces only the name, of one token or three; an alias stays, and where there is none the name becomes it. */
  #replaceName(relation: Struct, text: string, aliased: Table | undefined): void {
    const start = Number(relation['location'] ?? 0)
    const index = this.#admitted.tokens.findIndex((token) => token.start === start)
    const last = this.#admitted.tokens[relation['schemaname'] === undefined ? index : index + 2]
    if (index < 0 || last === undefined) throw new TypeError('a relation stands at a token')
    const alias = aliased !== undefined && relation['alias'] === undefined ? ` AS "${aliased.name}"` : ''
    this.#edit(start, last.end, text + alias)
  }

  #tokenAfter(at: unknown, matches: (token: Token) => boolean): Token {
    const found = this.#admitted.tokens.find((token) => token.start >= Number(at ?? 0) && matches(token))
    if (found === undefined) throw new TypeError('the parsed statement lacks a token')
    return found
  }

  #edit(start: number, end: number, text: string): void {
    this.#edits.push({ start, end, text })
  }

  #apply(): string {
    const { bytes } = this.#admitted
    // by place; at one place in the order in which they were made
    const ordered = this.#edits
      .map((edit, order) => ({ ...edit, order }))
      .sort((a, b) => a.start - b.start || a.order - b.order)
    const parts: string[] = []
    let at = 0
    for (const { start, end, text } of ordered) {
      parts.push(bytes.toString('utf8', at, start), text)
      at = end
    }
    parts.push(bytes.toString('utf8', at))
    return parts.join('')
  }

  #refuse(at: unknown, code: Parameters<typeof refuseAt>[2], hint?: string): never {
    refuseAt(this.#admitted.bytes, at, code, hint)
  }
}

function aliasOf(relation: Struct): string {
  const alias = (relation['alias'] as Struct | undefined)?.['aliasname']
  return String(alias ?? relation['relname'])
}

/** A keyword at work: not quoted, and not used as a name after AS or a dot. */
function isWord(token: Token, word: string): boolean {
  return token.keywordKind !== 0 && token.text.toUpperCase() === word
}

function isNamed(previous: Token | undefined): boolean {
  return previous !== undefined && (previous.text === '.' || isWord(previous, 'AS'))
}

/** All column references below, however deep. */
function columnsOf(value: unknown): Struct[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => (key === 'ColumnRef' ? [inner as Struct] : columnsOf(inner)))
}

function armsOf(select: Struct): Struct[] {
  if (select['op'] === 'SETOP_NONE') return [select]
  return [select['larg'], select['rarg']].flatMap((arm) => armsOf(arm as Struct))
}

function rowsOf(select: Struct): Struct[][] {
  const rows = select['valuesLists']
  if (rows !== undefined) return listOf(rows).map((row) => [...listOf(unwrap(row)[1]['items'])])
  return armsOf(select).map((arm) => listOf(arm['targetList']).map((item) => (unwrap(item)[1]['val'] ?? {}) as Struct))
}

/** The number of `$n` or `$n::type`. */
function parameterOf(item: Struct | undefined): number | undefined {
  if (item === undefined) return undefined
  const inner = ((item['TypeCast'] as Struct | undefined)?.['arg'] as Struct | undefined) ?? item
  const parameter = inner['ParamRef'] as Struct | undefined
  return parameter === undefined ? undefined : Number(parameter['number'])
}
