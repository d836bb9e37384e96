import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAst } from 'vitest/node'
import { statementsOf } from '../../src/cli/sql-file.ts'

/** A piece of SQL found in a source, and where. */
export type Found = { readonly sql: string; readonly file: string; readonly line: number }

/** What is written for another database, by the name of a file or a property. */
const OTHER_DATABASES = /mysql|mssql|sqlite|singlestore|gel(?![a-z])/i

/** All files below a folder that may hold SQL, in a fixed order: `.sql` files, and TypeScript. */
export function sourcesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(?:sql|ts|mts|tsx)$/.test(file) && !file.endsWith('.d.ts') && !OTHER_DATABASES.test(file))
    .sort()
}

/** The SQL of one file of a folder. @throws SyntaxError for TypeScript that does not parse */
export function extract(folder: string, file: string): Found[] {
  const bytes = readFileSync(join(folder, file))
  if (file.endsWith('.sql')) return fromPsql(bytes.toString('utf8')).map((piece) => ({ ...piece, file }))
  const text = bytes.toString('utf8')
  const program = parseAst(text, { lang: file.endsWith('x') ? 'tsx' : 'ts' } as object) as unknown
  return (
    literalsOf(program)
      // `@1` is how SQL Server spells a parameter
      .filter(({ value }) => /^\s*(?:select|insert|update|delete|with|values|create|alter|drop)\b/i.test(value))
      .filter(({ value }) => !/@\d/.test(value))
      .map(({ value, start }) => ({ sql: value, file, line: text.slice(0, start).split('\n').length }))
  )
}

/** psql's commands that send what stands before them. */
const SENDS = /\s*\\(?:g|gx|gset|gexec|gdesc|crosstabview|watch|bind|parse|;)(?![a-z]).*$/

/** The statements of a psql script: its own commands and the data of COPY are no SQL. Lines keep their numbers. */
export function fromPsql(script: string): { readonly sql: string; readonly line: number }[] {
  let copying = false
  const lines = script.split('\n').map((line) => {
    if (copying) {
      if (line.startsWith('\\.')) copying = false
      return ''
    }
    copying = /^\s*copy\b.*\bfrom\s+stdin\b.*;/i.test(line)
    return /^\s*\\/.test(line) ? '' : line.replace(SENDS, ';')
  })
  const bytes = Buffer.from(lines.join('\n').replaceAll('\0', ''))
  return [...statementsOf(bytes)]
}

type Literal = { readonly value: string; readonly start: number }
type Node = { readonly type: string; readonly start: number } & Readonly<Record<string, unknown>>

/**
 * The string literals of a program. What is written in pieces – a list of strings, or a sum – is one text; what a template
 * puts in is a parameter.
 */
function literalsOf(value: unknown): Literal[] {
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap(literalsOf)
  const node = value as Node
  const { name } = (node['key'] ?? {}) as { name?: unknown }
  if (node.type === 'Property' && OTHER_DATABASES.test(String(name))) return []
  const text = typeof node.type === 'string' ? textOf(node) : undefined
  if (text !== undefined) return [{ value: text, start: node.start }]
  return Object.values(node).flatMap(literalsOf)
}

function textOf(node: Node): string | undefined {
  switch (node.type) {
    case 'Literal':
      return typeof node['value'] === 'string' ? node['value'] : undefined
    case 'TemplateLiteral': {
      const quasis = node['quasis'] as { value: { cooked: string | null } }[]
      return quasis.map(({ value }, index) => (index === 0 ? '' : `$${index}`) + (value.cooked ?? '')).join('')
    }
    case 'BinaryExpression':
      return node['operator'] === '+' ? join2([node['left'], node['right']] as Node[], '') : undefined
    case 'ArrayExpression':
      return join2(node['elements'] as Node[], ' ')
    default:
      return undefined
  }
}

function join2(nodes: readonly (Node | null)[], separator: string): string | undefined {
  const texts = nodes.map((node) => (node === null ? undefined : textOf(node)))
  if (texts.length < 2 || texts.some((text) => text === undefined)) return undefined
  return texts.join(separator)
}
