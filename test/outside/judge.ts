import { listOf, parseText, scanText, type Struct, unwrap } from '../../src/core/scope/grammar.ts'
import { type Grants, parseGrants } from '../../src/core/scope/grants.ts'
import { ScopeRefusal } from '../../src/core/scope/refusals.ts'
import { createScope, type Scope, type ScopedStatement } from '../../src/core/scope/scope.ts'
import type { Found } from './extract.ts'
import { World } from './tables.ts'

export const VERBS = { SelectStmt: 'select', InsertStmt: 'insert', UpdateStmt: 'update', DeleteStmt: 'delete' } as const
export type Verb = (typeof VERBS)[keyof typeof VERBS]

/** A statement on tables of the manifest, and what the kernel says. */
export type Judged = {
  readonly found: Found
  readonly verb: Verb
  /** the manifest's tables that it names */
  readonly tables: readonly string[]
  readonly verdict: { readonly scoped: ScopedStatement } | Refusal
}

/** A refusal, and what it was about. */
export type Refusal = { readonly refused: ScopeRefusal; readonly construct: string }

/** One file's tables, and the kernel over them as they change. */
export class FileJudge {
  readonly world: World
  readonly #schema: string
  #scope: { readonly version: number; readonly scope: Scope; readonly grants: Grants } | undefined

  constructor(schema: string, base: World) {
    this.#schema = schema
    this.world = new World(base)
  }

  /**
   * Follows a piece of SQL that changes tables; judges one that works on them.
   * @returns nothing for what is none of the four statements on the manifest's tables, or does not parse
   */
  judge(found: Found): Judged | undefined {
    const piece = explained(found)
    const only = parsed(piece.sql)
    if (only === undefined) return undefined
    const [kind, statement] = only
    if (!isOfFour(kind) || statement['intoClause'] !== undefined) {
      this.world.follow(kind, statement)
      return undefined
    }
    const tables = relationsOf(statement)
    if (tables === undefined || tables.length === 0 || !tables.every((name) => this.world.speaksOf(name)))
      return undefined
    const { scope, grants } = this.#current()
    const common = { found: piece, verb: VERBS[kind], tables }
    try {
      return { ...common, verdict: { scoped: scope.scope(piece.sql, grants, 'all') } }
    } catch (error) {
      if (!(error instanceof ScopeRefusal)) throw error
      return { ...common, verdict: { refused: error, construct: constructOf(piece.sql, error) } }
    }
  }

  #current(): { readonly scope: Scope; readonly grants: Grants } {
    const { version } = this.world
    if (this.#scope?.version !== version) {
      const manifest = this.world.manifest(this.#schema)
      const scope = createScope({ manifest, dialect: 'postgresql' })
      this.#scope = { version, scope, grants: parseGrants(manifest.roles['all'] ?? []) }
    }
    return this.#scope
  }
}

function isOfFour(kind: string): kind is keyof typeof VERBS {
  return Object.hasOwn(VERBS, kind)
}

function parsed(sql: string): [kind: string, statement: Struct] | undefined {
  try {
    const statements = parseText(sql)
    const [only] = statements
    return only === undefined || statements.length > 1 ? undefined : unwrap(only)
  } catch (error) {
    if (error instanceof ScopeRefusal) return undefined
    throw error
  }
}

/** What stands behind EXPLAIN, itself a statement. */
function explained(found: Found): Found {
  if (!/^\s*explain\b/i.test(found.sql)) return found
  let depth = 0
  const tokens = tokensOf(found.sql)
  const first = tokens.findIndex(({ text }, index) => {
    if (text === '(') depth++
    const isInside = depth > 0
    if (text === ')') depth--
    return index > 0 && !isInside && !/^(?:analyze|verbose)$/i.test(text)
  })
  const token = tokens[first]
  if (token === undefined) return found
  const bytes = Buffer.from(found.sql)
  const line = found.line + bytes.toString('utf8', 0, token.start).split('\n').length - 1
  return { ...found, sql: bytes.toString('utf8', token.start), line }
}

function tokensOf(sql: string): ReturnType<typeof scanText> {
  try {
    return scanText(sql)
  } catch (error) {
    if (error instanceof ScopeRefusal) return []
    throw error
  }
}

/** Names of all tables that a statement names; nothing where one is named by its schema. */
function relationsOf(statement: Struct): string[] | undefined {
  const ctes = new Set<string>()
  const names = new Set<string>()
  let isQualified = false
  const visit = (value: unknown, key: string): void => {
    if (typeof value !== 'object' || value === null) return
    if (Array.isArray(value)) {
      for (const item of value) visit(item, '')
      return
    }
    const struct = value as Struct
    if (key === 'CommonTableExpr') ctes.add(String(struct['ctename']))
    if ((key === 'RangeVar' || key === 'relation') && typeof struct['relname'] === 'string') {
      if (struct['schemaname'] !== undefined) isQualified = true
      names.add(struct['relname'])
    }
    for (const [inner, content] of Object.entries(struct)) {
      if (inner !== 'lockedRels') visit(content, inner)
    }
  }
  visit(statement, '')
  return isQualified ? undefined : [...names].filter((name) => !ctes.has(name))
}

/** What it was about: the name at the place for functions, operators and types, else what the kernel says. */
function constructOf(sql: string, { code, hint, position, cause }: ScopeRefusal): string {
  if (code === 'not_proven') return cause instanceof Error ? cause.message : ''
  if (/^(?:function|operator|type)_not_accepted$/.test(code) && position !== undefined) {
    const at = Buffer.byteLength(sql.slice(0, position))
    const tokens = tokensOf(sql).filter(({ start }) => start >= at)
    return code === 'operator_not_accepted' ? String(tokens[0]?.text) : nameAt(tokens)
  }
  return hint ?? ''
}

/** A dotted name. */
function nameAt(tokens: readonly { readonly text: string }[]): string {
  const end = tokens.findIndex(({ text }, index) => (index % 2 === 1) !== (text === '.'))
  return tokens
    .slice(0, end === -1 ? undefined : end)
    .map(({ text }) => text)
    .join('')
    .toLowerCase()
}

/** An INSERT as the refusal's hint says: with as many of the table's columns as it has values. */
export function withColumns({ found }: Judged, world: World): Found | undefined {
  const only = parsed(found.sql)
  if (only?.[0] !== 'InsertStmt') return undefined
  const { relation, selectStmt } = only[1]
  const { relname, location } = relation as Struct
  const target = world.get(String(relname))
  const count = widthOf(selectStmt)
  if (target === undefined || count === undefined) return undefined
  const tokens = tokensOf(found.sql)
  const name = tokens.findIndex(({ start }) => start === Number(location ?? 0))
  const end = tokens[tokens[name + 1]?.text.toUpperCase() === 'AS' ? name + 2 : name]?.end
  if (end === undefined) return undefined
  const columns = [...target.columns.keys()].slice(0, count).map((column) => `"${column}"`)
  const bytes = Buffer.from(found.sql)
  return { ...found, sql: `${bytes.toString('utf8', 0, end)} (${columns.join(', ')})${bytes.toString('utf8', end)}` }
}

/** How many values a row of an INSERT's source has; nothing where a star hides it. */
function widthOf(source: unknown): number | undefined {
  if (typeof source !== 'object' || source === null) return undefined
  const [, { valuesLists, targetList, larg }] = unwrap(source)
  if (larg !== undefined) return widthOf({ SelectStmt: larg })
  const row =
    valuesLists === undefined ? targetList : (listOf(valuesLists)[0]?.['List'] as Struct | undefined)?.['items']
  const items = listOf(row)
  const isStar = items.some((item) => JSON.stringify(item).includes('"A_Star"'))
  return items.length === 0 || isStar ? undefined : items.length
}
