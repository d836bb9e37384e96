import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync as parseSql } from 'libpg-query'
import { parseSync as parseTypeScript, Visitor } from 'oxc-parser'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** A text with places that are only known when it is sent. */
export type Template = {
  /** `src/core/database/lease.ts:12` */
  readonly place: string
  /** n + 1 pieces of text around n holes. */
  readonly pieces: readonly string[]
  /** What TypeScript puts into the holes. */
  readonly holes: readonly string[]
  /** Tag in front of a template: `sql` of a route. */
  readonly tag: string | undefined
  /** Said beside it, in a table of statements: `only: 'postgresql'`. */
  readonly isPostgresqlOnly: boolean
}

/** What a text can be: a statement, a part of one within whatever makes it a statement, neither, or not to be told. */
export type Finding =
  | { readonly kind: 'statement' | 'fragment'; readonly text: string }
  | { readonly kind: 'unread' }
  | { readonly kind: 'prose' }

type Node = { readonly start: number; readonly end: number }
type TemplateNode = Node & {
  readonly quasis: readonly { readonly value: { readonly cooked: string | null } }[]
  readonly expressions: readonly Node[]
}

/** Every string and template of a TypeScript text, by its syntax tree; what is a type or an import is left out. */
export function templatesOf(file: string, source: string): Template[] {
  const { program, errors } = parseTypeScript(file, source)
  if (errors.length > 0) throw new Error(`${file} is not read: ${errors[0]?.message}`)
  const found: Template[] = []
  const tags = new Map<number, string>()
  const skipped = new Set<number>()
  const lineStarts = [0, ...[...source.matchAll(/\n/g)].map(({ index }) => index + 1)]
  const place = (node: Node): string => `${file}:${lineStarts.findLastIndex((start) => start <= node.start) + 1}`
  const only: Node[] = []
  /** Texts by the name of the constant, or of the function, that has them. */
  const named = new Map<string, string>()
  const textOf = (node: Node): string | undefined => {
    const body = /^(?:\([^)]*\)(?:: \w+)? =>\s*)?(['`])([^]*)\1$/.exec(source.slice(node.start, node.end))
    return body?.[2]
  }
  const isOnly = ({ start }: Node): boolean => only.some((range) => range.start <= start && start < range.end)
  const skip = (node: { readonly source: Node | null }): void => {
    if (node.source !== null) skipped.add(node.source.start)
  }
  new Visitor({
    ImportDeclaration: skip,
    ExportNamedDeclaration: skip,
    ExportAllDeclaration: skip,
    VariableDeclarator(node) {
      const text = node.init === null ? undefined : textOf(node.init)
      if (node.id.type === 'Identifier' && text !== undefined) named.set(node.id.name, text)
    },
    ObjectExpression(node) {
      const isMarked = node.properties.some(
        (each) => each.type === 'Property' && source.slice(each.start, each.end) === "only: 'postgresql'",
      )
      if (isMarked) only.push(node)
    },
    TSLiteralType(node) {
      skipped.add(node.literal.start)
    },
    TaggedTemplateExpression(node) {
      tags.set(node.quasi.start, source.slice(node.tag.start, node.tag.end))
    },
    Literal(node) {
      if (typeof node.value !== 'string' || skipped.has(node.start)) return
      found.push({
        place: place(node),
        pieces: [node.value],
        holes: [],
        tag: undefined,
        isPostgresqlOnly: isOnly(node),
      })
    },
    TemplateLiteral(node) {
      const { quasis, expressions } = node as unknown as TemplateNode
      found.push({
        place: place(node),
        pieces: quasis.map(({ value }) => value.cooked ?? ''),
        holes: expressions.map((hole) => source.slice(hole.start, hole.end)),
        tag: tags.get(node.start),
        isPostgresqlOnly: isOnly(node),
      })
    },
  }).visit(program)
  return found.map((template) => ({ ...template, holes: template.holes.map((hole) => inlined(hole, named)) }))
}

/** What is known of a hole: the text of a constant, or of a call, with a word where that has holes; else how it is written. */
function inlined(hole: string, named: ReadonlyMap<string, string>, depth = 0): string {
  const text = named.get(/^\w+/.exec(hole)?.[0] ?? '')
  if (text === undefined || depth > 4) return hole
  return `\u0000${text.replaceAll(/\$\{([^{}]*)\}/g, (_, inner: string) => {
    const known = inlined(inner, named, depth + 1)
    return known.startsWith('\u0000') ? known.slice(1) : 'x'
  })}`
}

/** All files of a folder with an ending, sorted. */
export function filesOf(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending) && !name.includes('node_modules'))
    .map((name) => join(folder, name))
    .sort()
}

export const readText = (file: string): string => readFileSync(join(root, file), 'utf8')

const verbs =
  'SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER|DROP|GRANT|REVOKE|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|RESET|SHOW|LOCK|DO|EXPLAIN|TRUNCATE|COPY|VALUES|DECLARE|FETCH|MOVE|CLOSE|CALL|LISTEN|NOTIFY|UNLISTEN|DISCARD|ANALYZE|VACUUM|PREPARE|EXECUTE|DEALLOCATE|MERGE|TABLE|START|END|ABORT|COMMENT ON|REFRESH|REINDEX|CLUSTER|CHECKPOINT|REASSIGN|SECURITY LABEL|UPSERT|BACKUP|RESTORE|IMPORT|EXPORT|CANCEL|USE'
/** Begins as a statement does. In capitals: our SQL is written so, and prose is not. */
const statement = new RegExp(String.raw`^\s*(?:--[^\n]*\n\s*)*(?:${verbs})\b(?!-)`)
/** Parts of statements, put into others: a keyword that joins them, a cast, a catalog's name. */
const part =
  /\b(?:FROM|WHERE|JOIN|RETURNING|ORDER BY|GROUP BY|HAVING|ON CONFLICT|UNION|EXISTS|CASE WHEN|IS NOT NULL|IS NULL|PARTITION BY|USING \(|WITH CHECK|AS OF SYSTEM TIME|FOR UPDATE|INTERVAL ')|::[A-Za-z]|\bpg_catalog\.\w|\b(?:AND|OR) \S+ (?:=|<|>|IS|IN|~|LIKE)/
/** A lower-case SQL statement that some driver would take too. */
const lowerStatement =
  /^\s*(?:select\s.+\sfrom|insert into|update \S+ set|delete from|create (?:table|index|schema)|alter (?:table|role)|set (?:local |session )?\w+ (?:=|to)) /s

export const looksLikeSql = (text: string): boolean => statement.test(text) || lowerStatement.test(text)

/** In what a part of a statement may stand. */
const frames: readonly (readonly [string, string])[] = [
  ['SELECT ', ''],
  ['SELECT 1 FROM ', ''],
  ['SELECT 1 FROM a.b ', ''],
  ['SELECT 1 FROM a.b WHERE ', ''],
  ['SELECT 1 FROM a.b WHERE true ', ''],
  ['SELECT 1 AS one', ' FROM a.b'],
  ['INSERT INTO a.b (c) VALUES (1) ', ''],
  ['UPDATE a.b SET c = 1 ', ''],
  ['CREATE TABLE a.b (c ', ')'],
  ['CREATE POLICY p ON a.b FOR ALL TO PUBLIC ', ''],
]

/** Three words of prose in a row, which SQL in capitals has nowhere. */
const sentence = /(?:^|\s)[a-z]+ [a-z]+ [a-z]+(?:[\s.,:]|$)/

/** Reads a text as PostgreSQL would, filling its holes with whatever makes it a statement. */
export function read({ pieces, holes }: Template): Finding {
  const whole = pieces.join(' \u0001 ')
  // a word by itself is data, or put into a text that is read as a whole
  if (holes.length === 0 && /^\s*[A-Z]+(?: [A-Z]+)*\s*$/.test(whole) && !parses(whole)) return { kind: 'prose' }
  if (looksLikeSql(whole)) {
    const text = fill(pieces, holes, ['', ''])
    return text === undefined ? unreadOrProse(whole) : { kind: 'statement', text }
  }
  if (!part.test(whole)) return { kind: 'prose' }
  for (const frame of frames) {
    const text = fill(pieces, holes, frame)
    if (text !== undefined) return { kind: 'fragment', text }
  }
  return unreadOrProse(whole)
}

function unreadOrProse(whole: string): Finding {
  return { kind: sentence.test(whole) && !lowerStatement.test(whole) ? 'prose' : 'unread' }
}

/** Combinations that are tried for one text. */
const mostTries = 3_000

function fill(
  pieces: readonly string[],
  holes: readonly string[],
  frame: readonly [string, string],
): string | undefined {
  const choices = holes.map((_, index) => candidates(pieces[index] ?? '', pieces[index + 1] ?? '', holes[index] ?? ''))
  let tries = 0
  const attempt = (index: number, text: string): string | undefined => {
    if (index === holes.length) {
      tries++
      const whole = text + frame[1]
      return parses(whole) ? whole : undefined
    }
    for (const choice of choices[index] ?? []) {
      if (tries > mostTries) return undefined
      const done = attempt(index + 1, `${text}${choice}${pieces[index + 1] ?? ''}`)
      if (done !== undefined) return done
    }
    return undefined
  }
  return attempt(0, frame[0] + (pieces[0] ?? ''))
}

/** What a hole may hold, the likeliest first, by what stands around it. */
function candidates(before: string, after: string, hole: string): string[] {
  const likely = likelyHoles(before, after)
  return hole.startsWith('\u0000') ? [hole.slice(1), ...likely] : likely
}

function likelyHoles(before: string, after: string): string[] {
  if (/'\w*$/.test(before) && /^\w*'/.test(after)) return ['x', '1']
  if (/[\w".]$/.test(before) || /^[\w.]/.test(after)) return ['x', '']
  if (before.endsWith('::')) return ['TEXT']
  if (/(?:FROM|JOIN|INTO|UPDATE|TABLE|EXISTS|ON)\s+$/.test(before)) return ['a.b', 'x']
  if (/(?:ALTER|DROP)\s+$/.test(before)) return ['TABLE', 'FUNCTION', 'a.b']
  if (/REVOKE\s+$/.test(before)) return ['EXECUTE', 'SELECT']
  if (/EXECUTE ON\s+$/.test(before)) return ['FUNCTION', 'FUNCTION a.f']
  if (/REVOKE \w* ON\s+$/.test(before)) return ['FUNCTIONS', 'a.b']
  if (/LARGE OBJECT\s+$/.test(before)) return ['1']
  if (/VALUES\s+$/.test(before)) return ['(1)']
  if (/(?:USING|CHECK)\s+$/.test(before)) return ['(true)']
  if (/CONSTRAINT\s+$/.test(before)) return ['x']
  if (/(?:FUNCTION|VIEW|SCHEMA|INDEX|ROLE|DATABASE|CONSTRAINT)\s+$/.test(before)) return ['x', 'a.x']
  if (/LIMIT\s+$/.test(before)) return ['1']
  if (before.endsWith('FROM (')) return ['SELECT 1 AS one FROM a.b']
  return ['a.x', 'x', '', 'true', ', a.x', 'ONLY', 'SERIALIZABLE', 'c = 1', 'NOLOGIN', 'UNIQUE']
}

function parses(text: string): boolean {
  try {
    return parseSql(text) !== undefined
  } catch {
    return false
  }
}
