import { type Edit, type Mutant, type Node, placeOf, readSource } from './instrument.ts'

type Source = ReturnType<typeof readSource>
type Make = (node: Node, text: string, operator: string) => Edit

const replace: Make = ({ start, end }, text, operator) => ({ start, end, text, operator })

/** Operators and what stands instead: the other side of a boundary, the opposite, the other connective. */
const INSTEAD: Readonly<Record<string, readonly string[]>> = {
  '===': ['!=='],
  '!==': ['==='],
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '+': ['-'],
  '-': ['+'],
  '*': ['/'],
  '/': ['*'],
  '%': ['*'],
  '&&': ['||'],
  '||': ['&&'],
  '+=': ['-='],
  '-=': ['+='],
  '*=': ['/='],
  '++': ['--'],
  '--': ['++'],
}

/** Methods and what is called instead; '' is the receiver itself. */
const METHODS: Readonly<Record<string, string>> = {
  some: 'every',
  every: 'some',
  find: 'findLast',
  findLast: 'find',
  findIndex: 'findLastIndex',
  findLastIndex: 'findIndex',
  indexOf: 'lastIndexOf',
  lastIndexOf: 'indexOf',
  startsWith: 'endsWith',
  endsWith: 'startsWith',
  max: 'min',
  min: 'max',
  slice: '',
  filter: '',
  sort: '',
  toSorted: '',
  toReversed: '',
  trim: '',
  toUpperCase: '',
  toLowerCase: '',
  replaceAll: '',
  replace: '',
  freeze: 'Object.freeze',
}

/** Calls whose words are for people: hints, messages, descriptions, the lines of a proof. Their code is not. */
const SPEAKERS = /^(?:demand|refuseAt|push|[#\w]*refuse|refuseWithoutList|ScopeRefusal|\w*Error|Unproven|GrantError)$/
/** Tables of words for people, by the name of the constant. */
const WORDS = /^(?:INSTEAD|refusalCodes|usualHints)$/

/** The edits by which a source is mutated, each with the name of its operator. */
export function editsOf(source: Source): Edit[] {
  const { text, nodes, parents } = source
  const of = (node: Node): string => text.slice(node.start, node.end)
  const found: Edit[] = []
  const add = (edit: Edit): void => {
    const isNone = text.slice(edit.start, edit.end) === edit.text
    const isTwice = found.some((one) => one.start === edit.start && one.end === edit.end && one.text === edit.text)
    if (!isNone && !isTwice) found.push(edit)
  }
  const above = (node: Node): { node: Node; key: string } | undefined => parents.get(node)
  const isWords = (node: Node): boolean => {
    for (let at = above(node); at !== undefined; at = above(at.node)) {
      const { type } = at.node
      if (type === 'Property') {
        const name = (at.node['key'] as { name?: string }).name
        if (name === 'hint' || name === 'description' || name === 'title' || name === '$id') return true
      }
      if (type === 'VariableDeclarator' && WORDS.test((at.node['id'] as { name?: string }).name ?? '')) return true
      if ((type === 'CallExpression' || type === 'NewExpression') && at.key === 'arguments') {
        const callee = at.node['callee'] as Node
        const name = String((callee['property'] as Node | undefined)?.['name'] ?? callee['name'])
        if (SPEAKERS.test(name) && /[ :]/.test(of(node))) return true
      }
      if (/Statement$|Function/.test(type)) return false
    }
    return false
  }

  for (const node of nodes) {
    const parent = above(node)
    if (isWords(node)) continue
    switch (node.type) {
      case 'IfStatement':
      case 'ConditionalExpression':
        conditions(node['test'] as Node)
        break
      case 'WhileStatement':
        add(replace(node['test'] as Node, 'false', 'condition'))
        break
      case 'ForStatement':
        if (node['test'] !== null) add(replace(node['test'] as Node, 'false', 'condition'))
        break
      case 'LogicalExpression':
        logical(node)
        break
      case 'BinaryExpression':
      case 'AssignmentExpression':
      case 'UpdateExpression':
        swap(node)
        if (node.type === 'BinaryExpression' && isOutcome(node)) conditions(node)
        break
      case 'UnaryExpression':
        if (node['operator'] === '!' && !isJudged(node)) add(replace(node, of(node['argument'] as Node), 'negation'))
        if (node['operator'] === '-') add(replace(node, of(node['argument'] as Node), 'sign'))
        if (node['operator'] === '!' && isOutcome(node)) conditions(node)
        break
      case 'CallExpression':
        call(node)
        break
      case 'ChainExpression':
        if (isOutcome(node) && /^(?:is|has|may|holds)/.test(lastName(node))) conditions(node)
        break
      case 'MemberExpression':
        if (node['optional'] === true) optional(node)
        break
      case 'ExpressionStatement': {
        const { type } = node['expression'] as Node
        if (type === 'CallExpression' || type === 'AssignmentExpression' || type === 'ChainExpression') {
          add(replace(node, '', 'statement removed'))
        }
        break
      }
      case 'ReturnStatement':
      case 'ThrowStatement':
      case 'BreakStatement':
      case 'ContinueStatement':
        leaving(node)
        break
      case 'ArrowFunctionExpression':
        if (/^(?:true|false)$/.test(of(node['body'] as Node))) flip(node['body'] as Node)
        break
      case 'Literal':
        literal(node, parent)
        break
      case 'TemplateLiteral':
        template(node)
        break
      case 'ArrayExpression':
        elements(node)
        break
      case 'ObjectExpression':
        properties(node)
        break
      case 'AssignmentPattern':
        add(replace(node['right'] as Node, 'undefined', 'default removed'))
        break
    }
  }
  return found

  /** What is given back, or demanded, or kept: a boolean that is an outcome. */
  function isOutcome(node: Node): boolean {
    const parent = above(node)
    if (parent === undefined) return false
    const { node: over, key } = parent
    if (over.type === 'ReturnStatement' || (over.type === 'ArrowFunctionExpression' && key === 'body')) return true
    if (over.type === 'VariableDeclarator' || (over.type === 'Property' && key === 'value')) return true
    return over.type === 'CallExpression' && key === 'arguments' && of(over).startsWith('demand(')
  }

  function lastName(node: Node): string {
    return /(\w+)\([^()]*\)$/.exec(of(node))?.[1] ?? ''
  }

  function conditions(node: Node): void {
    add(replace(node, 'true', 'condition'))
    add(replace(node, 'false', 'condition'))
  }

  function flip(node: Node): void {
    add(replace(node, of(node) === 'true' ? 'false' : 'true', 'boolean'))
  }

  /** Whether true and false stand for a comparison already. */
  function isJudged(node: Node): boolean {
    const parent = above(node)
    return isOutcome(node) || (parent?.key === 'test' && /^(?:If|Conditional)/.test(parent.node.type))
  }

  function swap(node: Node): void {
    const operator = String(node['operator'])
    if (/^[!=]==$/.test(operator) && isJudged(node)) return
    for (const other of INSTEAD[operator] ?? []) {
      const left = (node['left'] ?? node['argument']) as Node
      // the operator stands between its sides, or beside its only one
      const at = node['prefix'] === true ? node.start : text.indexOf(operator, left.end)
      add({ start: at, end: at + operator.length, text: other, operator: 'operator' })
    }
  }

  function logical(node: Node): void {
    const [left, right] = [node['left'] as Node, node['right'] as Node]
    const operator = String(node['operator'])
    if (operator !== '??') {
      const at = left.end + text.slice(left.end, right.start).indexOf(operator)
      const other = operator === '&&' ? '||' : '&&'
      // mixed without brackets it would bind otherwise
      add(replace(node, `((${of(left)}) ${other} (${of(right)}))`, 'connective'))
      if (at < left.end) throw new Error('an operator stands between its sides')
    }
    add(replace(node, of(left), 'right side removed'))
    add(replace(node, of(right), 'left side removed'))
    if (operator !== '??' && isOutcome(node)) conditions(node)
  }

  function call(node: Node): void {
    const callee = node['callee'] as Node
    if (
      isOutcome(node) &&
      /^(?:is[A-Z]|has|may|holds|test|includes|every|some|startsWith|names$)/.test(calleeName(callee))
    )
      conditions(node)
    if (isOutcome(node) && above(node)?.node.type === 'ReturnStatement' && calleeName(callee) === 'demand')
      add(replace(node, 'undefined', 'statement removed'))
    if (callee.type !== 'MemberExpression') return
    const name = calleeName(callee)
    const other = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined
    if (other === undefined) return
    const property = callee['property'] as Node
    if (other === 'Object.freeze') add(replace(node, of((node['arguments'] as Node[])[0] as Node), 'freeze removed'))
    else if (other === '') add(replace(node, of(callee['object'] as Node), 'call removed'))
    else add({ start: property.start, end: property.end, text: other, operator: 'method' })
  }

  function calleeName(callee: Node): string {
    const property = callee['property'] as Node | undefined
    const name = callee.type === 'MemberExpression' ? property?.['name'] : callee['name']
    return typeof name === 'string' ? name : ''
  }

  function optional(node: Node): void {
    const object = node['object'] as Node
    const at = text.indexOf('?.', object.end)
    const isIndex = text[at + 2] === '['
    add({ start: at, end: at + 2, text: isIndex ? '' : '.', operator: 'optional chaining' })
  }

  function leaving(node: Node): void {
    const value = node['argument'] as Node | null | undefined
    if (value === null || value === undefined || node.type === 'ThrowStatement') {
      add(replace(node, '', 'statement removed'))
      return
    }
    if (/^(?:true|false)$/.test(of(value))) flip(value)
    else if (of(value) !== 'undefined') add(replace(value, 'undefined', 'value'))
  }

  function literal(node: Node, parent: { node: Node; key: string } | undefined): void {
    if (parent === undefined || parent.key === 'key' || parent.node.type === 'TSLiteralType') return
    const { value } = node
    if (
      typeof value === 'boolean' &&
      parent.node.type !== 'ReturnStatement' &&
      parent.node.type !== 'ArrowFunctionExpression'
    )
      flip(node)
    if (typeof value === 'number') {
      add(replace(node, String(value + 1), 'number'))
      add(replace(node, `(${value - 1})`, 'number'))
    }
    if ('regex' in node) for (const other of regexesOf(of(node))) add(replace(node, other, 'regular expression'))
    if (typeof value !== 'string') return
    const isSchema = isPropertyNamed(parent.node, 'pattern') || of(node).startsWith("'^")
    if (isSchema)
      for (const other of regexesOf(`/${value}/`))
        add(replace(node, JSON.stringify(other.slice(1, -1)), 'regular expression'))
    else if (isShape(node)) add(replace(node, "'value'", 'shape widened'))
    // `x === 'a'` is false then, which it has been already
    else if (!/^[!=]==$/.test(String(parent.node['operator'])) || !isJudged(parent.node))
      add(replace(node, value === '' ? "'mutated'" : "''", 'string'))
  }

  function isPropertyNamed(node: Node, name: string): boolean {
    return node.type === 'Property' && (node['key'] as { name?: string }).name === name
  }

  function isShape(node: Node): boolean {
    for (let at = above(node); at !== undefined; at = above(at.node)) {
      if (at.node.type === 'VariableDeclarator') return (at.node['id'] as { name?: string }).name === 'SHAPES'
    }
    return false
  }

  function template(node: Node): void {
    const quasis = node['quasis'] as Node[]
    for (const quasi of quasis) {
      if (quasi.start !== quasi.end && /\S/.test(of(quasi).replaceAll(/[`${}]/g, ''))) {
        const cooked = (quasi['value'] as { cooked: string }).cooked
        const start = text.indexOf(cooked.replaceAll('`', '\\`'), quasi.start)
        if (start >= 0 && cooked !== '') add({ start, end: start + cooked.length, text: '', operator: 'template' })
      }
    }
  }

  function elements(node: Node): void {
    const items = (node['elements'] as (Node | null)[]).filter((item) => item !== null)
    if (isShape(node)) {
      add(replace(node, "'value'", 'shape widened'))
      return
    }
    if (items.length === 0) return
    for (const item of items) {
      const others = items.filter((one) => one !== item).map(of)
      add(replace(node, `[${others.join(', ')}]`, 'element removed'))
    }
  }

  function properties(node: Node): void {
    if (isShape(node)) return
    const items = node['properties'] as Node[]
    for (const item of items) {
      const others = items.filter((one) => one !== item)
      add(replace(node, `({ ${others.map(of).join(', ')} })`, 'entry removed'))
      // what comes last wins
      if (item.type === 'SpreadElement' && others.length > 0) {
        add(replace(node, `({ ${[...others, item].map(of).join(', ')} })`, 'order'))
      }
    }
  }
}

/** A regular expression without one of its anchors, alternatives or flags, or with another quantifier. */
function regexesOf(literal: string): string[] {
  const end = literal.lastIndexOf('/')
  const [body, flags] = [literal.slice(1, end), literal.slice(end + 1)]
  const found: string[] = []
  for (const flag of flags) found.push(`/${body}/${flags.replace(flag, '')}`)
  let isClass = false
  const groups: number[] = [0]
  const bars: { at: number; group: number }[] = []
  const ends = new Map<number, number>()
  for (let at = 0; at < body.length; at++) {
    const char = body[at]
    if (char === '\\') {
      at++
      continue
    }
    if (char === '[') isClass = true
    else if (char === ']') isClass = false
    if (isClass) continue
    const cut = (by = ''): void => void found.push(`/${body.slice(0, at)}${by}${body.slice(at + 1)}/${flags}`)
    if (char === '^' || char === '$') cut()
    if (char === '+') cut('*')
    if (char === '*') cut('+')
    if (char === '(') groups.push(at + (/^\(\?(?:[:=!]|<[=!])/.exec(body.slice(at))?.[0].length ?? 1))
    if (char === ')') ends.set(groups.pop() ?? 0, at)
    if (char === '|') bars.push({ at, group: groups.at(-1) ?? 0 })
  }
  ends.set(0, body.length)
  for (const group of new Set(bars.map((bar) => bar.group))) {
    const edges = [
      group - 1,
      ...bars.filter((bar) => bar.group === group).map(({ at }) => at),
      ends.get(group) ?? body.length,
    ]
    const parts = edges.slice(1).map((edge, index) => body.slice((edges[index] ?? 0) + 1, edge))
    for (const [index] of parts.entries()) {
      const kept = parts.filter((_, other) => other !== index).join('|')
      found.push(`/${body.slice(0, group)}${kept}${body.slice(ends.get(group))}/${flags}`)
    }
  }
  return found.filter((other) => {
    try {
      new RegExp(other.slice(1, other.lastIndexOf('/')), other.slice(other.lastIndexOf('/') + 1)).test('')
      return true
    } catch {
      return false
    }
  })
}

/** The mutants of a file, each by a name that tells where it is and what it does. */
export function mutantsOf(file: string, source: Source): Mutant[] {
  const seen = new Map<string, number>()
  return editsOf(source).map((edit) => {
    const short = (text: string): string => text.replaceAll(/\s+/g, ' ').trim()
    const was = short(source.text.slice(edit.start, edit.end))
    const cut = was.length > 90 ? `${was.slice(0, 60)}…${was.slice(-29)}` : was
    const becomes =
      edit.text === ''
        ? 'nothing'
        : short(edit.text).length > 60
          ? `${short(edit.text).slice(0, 60)}…`
          : short(edit.text)
    const name = `${file} ${placeOf(edit, source)}: ${edit.operator}: ${cut} → ${becomes}`
    const count = (seen.get(name) ?? 0) + 1
    seen.set(name, count)
    const line = source.text.slice(0, edit.start).split('\n').length
    return { ...edit, file, line, key: count === 1 ? name : `${name} #${count}` }
  })
}
