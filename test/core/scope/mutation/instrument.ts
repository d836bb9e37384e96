import { parseSync } from 'oxc-parser'

/** A node of the syntax tree (ESTree, with TypeScript's nodes). */
export type Node = { readonly type: string; readonly start: number; readonly end: number } & {
  readonly [key: string]: unknown
}

/** A change of a source: what stands between two offsets becomes another text. */
export type Edit = { readonly start: number; readonly end: number; readonly text: string; readonly operator: string }

/** A mutant: one edit, with a name that stays the same while the code around it moves. */
export type Mutant = Edit & { readonly key: string; readonly file: string; readonly line: number }

/** A syntax tree with what the instrumenter asks of it. */
type Source = { readonly text: string; readonly parents: ReadonlyMap<Node, Parent>; readonly nodes: readonly Node[] }
type Parent = { readonly node: Node; readonly key: string }

/** Children that hold types, names or patterns: nothing in them runs. */
const WITHOUT_CODE: ReadonlySet<string> = new Set([
  'typeAnnotation',
  'returnType',
  'typeParameters',
  'typeArguments',
  'superTypeArguments',
  'implements',
  'label',
])

/** Parses a source and lists its nodes, parents first. */
export function readSource(file: string, text: string): Source {
  const { program, errors } = parseSync(file, text, { lang: 'ts', preserveParens: false })
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`)
  const parents = new Map<Node, Parent>()
  const nodes: Node[] = []
  const visit = (node: Node): void => {
    nodes.push(node)
    for (const [key, value] of Object.entries(node)) {
      if (WITHOUT_CODE.has(key) || (key === 'key' && node['computed'] !== true)) continue
      for (const inner of Array.isArray(value) ? (value as unknown[]) : [value]) {
        if (!isNode(inner) || isType(inner)) continue
        parents.set(inner, { node, key })
        visit(inner)
      }
    }
  }
  visit(program as unknown as Node)
  return { text, parents, nodes }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}

const TYPED_EXPRESSIONS: ReadonlySet<string> = new Set([
  'TSAsExpression',
  'TSNonNullExpression',
  'TSSatisfiesExpression',
])

function isType({ type }: Node): boolean {
  return (
    (type.startsWith('TS') && !TYPED_EXPRESSIONS.has(type)) ||
    type === 'ImportDeclaration' ||
    type.startsWith('ExportAll')
  )
}

const STATEMENTS: ReadonlySet<string> = new Set([
  'ExpressionStatement',
  'ReturnStatement',
  'ThrowStatement',
  'BreakStatement',
  'ContinueStatement',
  'IfStatement',
])

/** Whether a node can be put into parentheses, or a statement into braces, without another meaning. */
function isHost(node: Node, { parents }: Source): boolean {
  if (STATEMENTS.has(node.type)) return true
  const parent = parents.get(node)
  if (parent === undefined) return false
  const { node: above, key } = parent
  if (!/(?:Expression|Literal|Identifier)$/.test(node.type)) return false
  if (node.type === 'FunctionExpression' && above.type === 'MethodDefinition') return false
  // what is assigned to, called with a `this`, named, or a part of an optional chain
  if (key === 'id' || key === 'param' || key === 'params' || key === 'label') return false
  if (key === 'property' && above['computed'] !== true) return false
  if (above.type === 'AssignmentExpression' && key === 'left') return false
  if (above.type === 'UpdateExpression' || (above.type === 'UnaryExpression' && above['operator'] === 'delete'))
    return false
  if (above.type.endsWith('Pattern') || above.type === 'RestElement') {
    return above.type === 'AssignmentPattern' && key === 'right'
  }
  if (above.type === 'Property' && (above['shorthand'] === true || parents.get(above)?.node.type === 'ObjectPattern'))
    return false
  if (key === 'left' && /^For(?:In|Of)/.test(above.type)) return false
  if (key === 'callee' && node.type === 'MemberExpression') return false
  if (node.type === 'Identifier' && above.type.startsWith('Export')) return false
  return !isWithinChain(node, parents)
}

/** On the spine of `a?.b.c(d)`: `(a?.b).c` is not what `a?.b.c` is. */
function isWithinChain(node: Node, parents: Source['parents']): boolean {
  const optional = (one: Node): boolean =>
    one['optional'] === true ||
    (isNode(one['object']) && optional(one['object'])) ||
    (isNode(one['callee']) && optional(one['callee'])) ||
    (one.type === 'TSNonNullExpression' && optional(one['expression'] as Node))
  let below = node
  for (;;) {
    const parent = parents.get(below)
    if (parent === undefined) return false
    if (parent.node.type === 'ChainExpression') return true
    const isSpine =
      (parent.key === 'object' || parent.key === 'callee' || parent.node.type === 'TSNonNullExpression') &&
      optional(node)
    if (!isSpine) return false
    below = parent.node
  }
}

/** The smallest host around an edit. */
function hostOf(edit: Edit, source: Source): Node | undefined {
  // a statement and its expression may be of one length, and only the statement can be nothing
  const isWhole = (node: Node): boolean =>
    edit.text === '' && node.start === edit.start && node.end === edit.end && !STATEMENTS.has(node.type)
  return source.nodes.findLast(
    (node) => node.start <= edit.start && node.end >= edit.end && isHost(node, source) && !isWhole(node),
  )
}

/** Mutants by the node that is exchanged for one of them. */
export type Host = { readonly node: Node; readonly mutants: { readonly id: number; readonly edit: Edit }[] }

/** @returns the hosts of edits, and the edits that have none */
export function hostsOf(
  edits: readonly { readonly id: number; readonly edit: Edit }[],
  source: Source,
): { readonly hosts: readonly Host[]; readonly homeless: readonly Edit[] } {
  const hosts = new Map<Node, Host>()
  const homeless: Edit[] = []
  for (const { id, edit } of edits) {
    const node = hostOf(edit, source)
    if (node === undefined) {
      homeless.push(edit)
      continue
    }
    const host = hosts.get(node) ?? { node, mutants: [] }
    host.mutants.push({ id, edit })
    hosts.set(node, host)
  }
  return { hosts: [...hosts.values()], homeless }
}

/**
 * The source with every mutant in it. `__at(first)` notes that the place is reached and says whether one of its mutants,
 * of which `first` is the first, is active; `__active` is that mutant's number.
 */
export function instrument(hosts: readonly Host[], source: Source): string {
  const byNode = new Map(hosts.map((host) => [host.node, host]))
  // a block is a block and no object: `{ … }` around each statement that is an expression, for no semicolon ends the line before
  const marked = source.nodes.filter((node) => byNode.has(node) || node.type === 'ExpressionStatement')
  const order = new Map(source.nodes.map((node, index) => [node, index] as const))
  /** A statement and its expression may begin and end alike: then the order of the tree tells which is inside. */
  const isInside = (inner: Node, outer: Node): boolean =>
    inner.start >= outer.start && inner.end <= outer.end && (order.get(inner) ?? 0) > (order.get(outer) ?? 0)
  const emit = (from: number, to: number, within: readonly Node[]): string => {
    let text = ''
    let at = from
    for (const node of within) {
      if (node.start < at) continue
      text += source.text.slice(at, node.start)
      const inner = marked.filter((one) => isInside(one, node))
      text += wrap(node, emit(node.start, node.end, outermost(inner)))
      at = node.end
    }
    return text + source.text.slice(at, to)
  }
  const wrap = (node: Node, original: string): string => {
    const host = byNode.get(node)
    const isStatement = STATEMENTS.has(node.type)
    if (host === undefined) return `{ ${original} }`
    const texts = host.mutants.map(({ id, edit }) => ({ id, text: applied(source.text, edit, node) }))
    const first = host.mutants[0]?.id
    if (isStatement) {
      const branches = texts.map(({ id, text }) => `if (__active === ${id}) { ${text} }`).join(' else ')
      return `{ if (__at(${first})) { ${branches} } else { ${original} } }`
    }
    // `a ? (b) : c` could be taken for the beginning of an arrow function with a type
    const branches = texts.map(({ id, text }) => `__active === ${id} ? (0, ${text}) : `).join('')
    return `(__at(${first}) ? ${branches}0 : (0, ${original}))`
  }
  return emit(0, source.text.length, outermost(marked))
}

/** Those that lie in no other of them; the list is in the order of the tree, parents first. */
function outermost(nodes: readonly Node[]): Node[] {
  let end = -1
  return nodes
    .toSorted((a, b) => a.start - b.start || b.end - a.end)
    .filter((node) => {
      if (node.start < end) return false
      end = node.end
      return true
    })
}

function applied(text: string, edit: Edit, { start, end }: Node): string {
  return text.slice(start, edit.start) + edit.text + text.slice(edit.end, end)
}

/** The function or constant in which a place lies. */
export function placeOf(edit: Edit, { nodes }: Source): string {
  const around = nodes.filter((node) => node.start <= edit.start && node.end >= edit.end)
  const names = around.flatMap((node) => {
    const named = node.type === 'MethodDefinition' || node.type === 'PropertyDefinition' ? node['key'] : node['id']
    const { name } = (named ?? {}) as { name?: unknown }
    return typeof name === 'string' && /Declaration|Declarator|Definition/.test(node.type) ? [name] : []
  })
  return names.slice(0, 2).join('.') || 'module'
}
