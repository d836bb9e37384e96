import { parseSync, Visitor } from 'oxc-parser'
import { describe, expect, test } from 'vitest'
import { filesOf, readText } from './texts.ts'

/** The one file of differences. */
const home = 'src/core/database/dialect.ts'
const names = /^(?:postgresql|cockroachdb|cockroach|crdb)$/i

/** Files that tell the databases apart by themselves, and why they may. */
const allowed: Readonly<Record<string, string>> = {
  'src/core/guard/enter.ts': 'a table with a row for each, both made by hasImplicitTransaction',
  'src/tools/inspect/server.ts': 'which releases have repaired row-level security: told, never acted on',
  'src/tools/inspect/views.ts': 'whose rights a view has: a question of the doctor alone',
}

type Place = { readonly start: number }

/** Lines of a file that branch on a dialect's name: comparisons, cases, tables by name. */
function branchesOf(file: string, source: string): number[] {
  const found: number[] = []
  const see = ({ start }: Place): void => {
    found.push(source.slice(0, start).split('\n').length)
  }
  const isName = (node: unknown): boolean => {
    const { type, value, name } = node as { type: string; value?: unknown; name?: string }
    return (type === 'Literal' && names.test(String(value))) || (type === 'Identifier' && names.test(String(name)))
  }
  const { program, errors } = parseSync(file, source)
  if (errors.length > 0) throw new Error(`${file} is not read`)
  new Visitor({
    BinaryExpression(node) {
      const isLiteral = [node.left, node.right].some((side) => side.type === 'Literal' && isName(side))
      if (/^[!=]==?$/.test(node.operator) && isLiteral) see(node)
    },
    SwitchCase(node) {
      if (node.test?.type === 'Literal' && isName(node.test)) see(node)
    },
    Property(node) {
      if (!node.computed && isName(node.key)) see(node)
    },
    CallExpression(node) {
      const isAsked =
        node.callee.type === 'MemberExpression' &&
        node.arguments.some((each) => each.type === 'Literal' && isName(each))
      if (isAsked) see(node)
    },
  }).visit(program)
  return found
}

describe('the differences between the databases', () => {
  const files = filesOf('src', '.ts').map((file) => ({ file, lines: branchesOf(file, readText(file)) }))

  test('are in one file', () => {
    expect(files.length).toBeGreaterThan(200)
    expect(files.find(({ file }) => file === home)?.lines.length).toBeGreaterThan(5)
    const elsewhere = files.filter(({ file, lines }) => file !== home && lines.length > 0)
    expect(
      elsewhere.filter(({ file }) => !(file in allowed)).map(({ file, lines }) => `${file}:${lines.join()}`),
    ).toEqual([])
    expect(elsewhere.map(({ file }) => file).toSorted()).toEqual(Object.keys(allowed).toSorted())
  })

  test.each([
    [`if (dialect === 'cockroachdb') go()`],
    [`const x = pool.dialect !== "postgresql" ? 1 : 2`],
    [`switch (dialect) { case 'cockroachdb': go() }`],
    [`const table = { postgresql: 1, cockroachdb: 2 }[dialect]`],
    [`const isOther = version.startsWith('CockroachDB')`],
    [`const isOther = ['cockroachdb'].includes('cockroachdb')`],
  ])('a planted branch is seen: %s', (source) => {
    expect(branchesOf('planted.ts', source)).not.toEqual([])
  })

  test('naming one is no branch', () => {
    expect(
      branchesOf('planted.ts', `roleStatements({ dialect: 'postgresql' }); type D = 'cockroachdb' | 'postgresql'`),
    ).toEqual([])
  })
})
