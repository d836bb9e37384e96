import { parseSync } from 'libpg-query'
import type { Grants } from '../../../../src/core/scope/grants.ts'
import type { Manifest, Table } from '../../../../src/core/scope/manifest.ts'
import type { Slot } from '../../../../src/core/scope/prover/prove.ts'

/** A final text and what it may do. */
export type Final = {
  readonly text: string
  readonly slots: readonly Slot[]
  readonly manifest: Manifest
  readonly grants: Grants
}

type Tree = { readonly [key: string]: unknown }

/**
 * What is wrong with a final text, by a look of its own: it shares nothing with the prover but the grammar, looks at the
 * tree where the prover compares bytes, and is written for what rewriters do and no attacker – so it is not a second
 * prover, but it does not have the first one's faults.
 */
export function complaintsOf({ text, slots, manifest, grants }: Final): string[] {
  const found: string[] = []
  const complain = (condition: boolean, what: string): void => {
    if (condition) found.push(what)
  }
  const { stmts = [] } = parseSync(text) as { stmts?: { stmt: Tree }[] }
  complain(stmts.length !== 1, 'not one statement')
  const root = stmts[0]?.stmt ?? {}
  const all = [...nodesOf(root)]
  const queries = new Set(all.filter(([type]) => type === 'CommonTableExpr').map(([, node]) => node['ctename']))
  const seen = new Set<Tree>()
  const tableOf = ({ schemaname, relname }: Tree): Table | undefined =>
    manifest.tables.find(({ schema, name }) => schema === schemaname && name === relname)
  const parentOf = ({ schema, through }: Table): Table | undefined =>
    through && tableOf({ schemaname: through.schema ?? schema, relname: through.table })
  const isOwn = (table: Table, verbs: readonly string[]): boolean => {
    const reaches = verbs.map((verb) => grants.get(`${table.resource}:${verb}`))
    complain(reaches.includes(undefined), `${table.name} without the grant to ${verbs.join(', ')}`)
    return reaches.includes('own')
  }
  const isParameter = (value: unknown, kind: 'tenant' | 'user', type: string | undefined): boolean => {
    const { arg, typeName } = at(value, 'TypeCast') as { arg?: unknown; typeName?: Tree }
    const name = texts(typeName?.['names']).at(-1)
    return slots[Number(at(arg, 'ParamRef')['number'] ?? 0) - 1]?.kind === kind && name === type
  }
  const equals = (conditions: readonly unknown[], left: string, right: (value: unknown) => boolean): boolean =>
    conditions.some((condition) => {
      const { kind, name, lexpr, rexpr } = at(condition, 'A_Expr')
      const isEqual = kind === 'AEXPR_OP' && texts(name).join('.') === 'pg_catalog.='
      return isEqual && texts(at(lexpr, 'ColumnRef')['fields']).join('.') === left && right(rexpr)
    })
  const confines = (table: Table, alias: string, own: boolean, where: unknown): boolean => {
    const conditions = conjuncts(where)
    const compared = (kind: 'tenant' | 'user', column: string | undefined): boolean =>
      column !== undefined &&
      equals(conditions, `${alias}.${column}`, (value) => isParameter(value, kind, table.columns[column]?.type))
    const parent = parentOf(table)
    if (parent === undefined) return compared('tenant', table.tenant) && (!own || compared('user', table.owner))
    return conditions.some((condition) => {
      const { subLinkType, subselect } = at(condition, 'SubLink')
      const { fromClause, whereClause } = at(subselect, 'SelectStmt')
      const relation = at((fromClause as unknown[] | undefined)?.[0], 'RangeVar')
      const isLinked = equals(
        conjuncts(whereClause),
        `${parent.name}.${table.through?.references}`,
        (value) => texts(at(value, 'ColumnRef')['fields']).join('.') === `${alias}.${table.through?.column}`,
      )
      const holds =
        subLinkType === 'EXISTS_SUBLINK' &&
        (fromClause as unknown[] | undefined)?.length === 1 &&
        tableOf(relation) === parent &&
        isLinked &&
        confines(parent, parent.name, own, whereClause)
      if (holds) seen.add(relation)
      return holds
    })
  }
  /** The table of a SELECT that is its leaf. */
  const leafOf = (select: Tree, verbs: readonly string[]): Table | undefined => {
    const { fromClause = [], whereClause, targetList, sortClause, groupClause } = select
    const [item, ...more] = fromClause as unknown[]
    const relation = at(item, 'RangeVar')
    const table = more.length === 0 && relation['schemaname'] !== undefined ? tableOf(relation) : undefined
    if (table === undefined) return undefined
    seen.add(relation)
    complain(sortClause !== undefined || groupClause !== undefined, `${table.name} with more than its leaf`)
    const own = isOwn(table, verbs)
    complain(
      table.shared !== true && !confines(table, table.name, own, whereClause),
      `${table.name} is read unconfined`,
    )
    for (const target of targetList as unknown[]) {
      const [name, column] = texts(at(at(target, 'ResTarget')['val'], 'ColumnRef')['fields'])
      complain(name !== table.name || !has(table, column), `${table.name} shows a column that is not listed`)
    }
    return table
  }
  const locked = new Set<unknown>()
  for (const [type, node] of all) if (type === 'SelectStmt') for (const each of lockedIn(node)) locked.add(each)
  for (const [type, node] of all) {
    if (type === 'SelectStmt') {
      const relation = at((node['fromClause'] as unknown[] | undefined)?.[0], 'RangeVar')
      if (!seen.has(relation)) leafOf(node, locked.has(relation) ? ['read', 'update'] : ['read'])
    }
    if (/^(?:Insert|Update|Delete)Stmt$/.test(type)) changed(type, node)
  }
  for (const [type, node] of all) {
    if (type !== 'RangeVar' || seen.has(node)) continue
    const isQuery = queries.has(node['relname']) && manifest.tables.every(({ name }) => name !== node['relname'])
    const isLock = node['alias'] === undefined && node['schemaname'] === undefined && locks(all, node)
    complain(!isLock && (node['schemaname'] !== undefined || !isQuery), `${String(node['relname'])} outside a leaf`)
  }
  return found

  function changed(type: string, node: Tree): void {
    const relation = node['relation'] as Tree
    const table = tableOf(relation)
    seen.add(relation)
    if (table === undefined || table.shared === true || table.view === true) {
      found.push('a target that cannot be written')
      return
    }
    const alias = (at(relation, 'alias')['aliasname'] as string | undefined) ?? table.name
    complain(alias === parentOf(table)?.name, 'a target called like its parent')
    const returns = node['returningClause'] !== undefined
    if (type === 'InsertStmt') {
      inserted(node, table, isOwn(table, returns ? ['create', 'read'] : ['create']))
      const conflict = at(node, 'onConflictClause')
      if (conflict['action'] === 'ONCONFLICT_UPDATE') {
        const own = isOwn(table, ['update', 'read'])
        complain(!confines(table, alias, own, conflict['whereClause']), `${table.name} is overwritten unconfined`)
        assigned(conflict['targetList'], table, own)
      }
    } else {
      const { relation: _, withClause: __, whereClause, ...rest } = node
      const conditions = conjuncts(whereClause).filter((one) => !confines(table, alias, false, one))
      const reads = returns || [...nodesOf([rest, conditions.slice(1)])].some(([name]) => name === 'ColumnRef')
      const verb = type === 'UpdateStmt' ? 'update' : 'delete'
      const own = isOwn(table, reads ? [verb, 'read'] : [verb])
      complain(!confines(table, alias, own, whereClause), `${table.name} is changed unconfined`)
      if (type === 'UpdateStmt') assigned(node['targetList'], table, own)
    }
    const { relation: _, withClause: __, selectStmt: ___, cols: ____, ...sighted } = node
    const others = new Set(manifest.tables.flatMap(({ columns }) => Object.keys(columns)))
    for (const [name, column] of nodesOf(sighted)) {
      if (name !== 'ColumnRef') continue
      const names = texts(column['fields'])
      const isTargets =
        names.length === 2 && (names[0] === alias || ['old', 'new', 'excluded'].includes(names[0] ?? ''))
      complain(isTargets && !has(table, names[1]), `a column of ${table.name} that is not listed`)
      complain(names.length === 1 && names[0] === undefined && isReturned(node, column), 'a star of the target')
      complain(
        names.length === 1 && names[0] !== undefined && !others.has(names[0]),
        'a bare column that is not listed',
      )
    }
  }

  function inserted(node: Tree, table: Table, own: boolean): void {
    const columns = ((node['cols'] ?? []) as unknown[]).map((column) => String(at(column, 'ResTarget')['name']))
    for (const column of columns) complain(!has(table, column), `${table.name} gets a column that is not listed`)
    const parent = parentOf(table)
    const forced: (readonly [string, 'tenant' | 'user' | 'link'])[] = []
    if (table.tenant !== undefined) forced.push([table.tenant, 'tenant'])
    if (own && table.owner !== undefined) forced.push([table.owner, 'user'])
    if (table.through !== undefined) forced.push([table.through.column, 'link'])
    for (const arm of armsOf(at(node['selectStmt'], 'SelectStmt'))) {
      const rows = ((arm['valuesLists'] ?? [undefined]) as unknown[]).map((row): unknown[] =>
        row === undefined
          ? ((arm['targetList'] ?? []) as unknown[]).map((item) => at(item, 'ResTarget')['val'])
          : (at(row, 'List')['items'] as unknown[]),
      )
      for (const row of rows) {
        for (const [column, kind] of forced) {
          const index = columns.indexOf(column)
          const isMoved = row.slice(0, index).some((item) => JSON.stringify(item ?? '').includes('A_Star'))
          const item = index < 0 || isMoved ? undefined : row[index]
          const isRight =
            kind === 'link' ? isParents(item, arm, table, parent) : isParameter(item, kind, table.columns[column]?.type)
          complain(!isRight, `the ${kind} of a row of ${table.name}`)
        }
        for (const [index, column] of columns.entries()) {
          const isForced = forced.some(([name]) => name === column)
          const isLeft = 'SetToDefault' in ((row[index] ?? {}) as Tree)
          complain(!isForced && table.columns[column]?.readOnly !== undefined && !isLeft, 'a read-only column is given')
        }
      }
    }
    complain(
      own && parent !== undefined && grants.get(`${parent.resource}:read`) !== 'own',
      'an own row under any parent',
    )
  }

  /** The link is the key of the parent's leaf, which has a part in every row. */
  function isParents(item: unknown, arm: Tree, table: Table, parent: Table | undefined): boolean {
    const [alias, column] = texts(at(item, 'ColumnRef')['fields'])
    const origins = ((arm['fromClause'] ?? []) as unknown[]).flatMap((one) => sourcesOf(one, true))
    const [origin, ...more] = origins.filter((one) => one.alias === alias)
    const isKey =
      column === table.through?.references && !JSON.stringify(arm['groupClause'] ?? '').includes('GroupingSet')
    const select = origin?.select
    const relation = at((select?.['fromClause'] as unknown[] | undefined)?.[0], 'RangeVar')
    return (
      isKey && more.length === 0 && origin?.isSure === true && origin.isRenamed !== true && tableOf(relation) === parent
    )
  }

  function assigned(targets: unknown, table: Table, own: boolean): void {
    for (const target of (targets ?? []) as unknown[]) {
      const name = String(at(target, 'ResTarget')['name'])
      const isFixed = name === table.tenant || name === table.through?.column
      complain(
        isFixed || !has(table, name) || table.columns[name]?.readOnly !== undefined,
        `${table.name}.${name} is assigned`,
      )
      const mayGive = !own && grants.get(`${table.resource}:reassign`) === 'tenant'
      complain(name === table.owner && !mayGive, 'the owner is assigned')
    }
  }
}

function isReturned(node: Tree, column: Tree): boolean {
  const { exprs = [] } = at(node, 'returningClause') as { exprs?: unknown[] }
  return exprs.some((item) => at(at(item, 'ResTarget')['val'], 'ColumnRef') === column)
}

function has(table: Table, column: string | undefined): boolean {
  return column !== undefined && Object.hasOwn(table.columns, column)
}

type Origin = {
  readonly alias: unknown
  readonly select?: Tree
  readonly isSure: boolean
  readonly isRenamed?: boolean
}

function sourcesOf(item: unknown, isSure: boolean): Origin[] {
  const join = at(item, 'JoinExpr')
  const { jointype, larg, rarg, alias } = join
  if (jointype !== undefined) {
    if (alias !== undefined) return [{ alias: at(join, 'alias')['aliasname'], isSure: false }]
    const keeps = (side: string): boolean => isSure && (jointype === 'JOIN_INNER' || jointype === side)
    return [...sourcesOf(larg, keeps('JOIN_LEFT')), ...sourcesOf(rarg, keeps('JOIN_RIGHT'))]
  }
  const [[, node] = ['', {}]] = Object.entries(item as Tree) as [string, Tree][]
  const { aliasname, colnames } = at(node, 'alias')
  return [
    {
      alias: aliasname ?? node['relname'],
      select: at(node['subquery'], 'SelectStmt'),
      isSure,
      isRenamed: colnames !== undefined,
    },
  ]
}

function armsOf(select: Tree): Tree[] {
  if (select['op'] === 'SETOP_NONE' || select['op'] === undefined) return [select]
  return [select['larg'], select['rarg']].flatMap((arm) => armsOf(arm as Tree))
}

/** Relations in the FROM of a query that locks: all of them, or those below the items that it names. */
function lockedIn({ lockingClause, fromClause }: Tree): unknown[] {
  const clauses = ((lockingClause ?? []) as unknown[]).map((clause) =>
    ((at(clause, 'LockingClause')['lockedRels'] ?? []) as unknown[]).map((item) => at(item, 'RangeVar')['relname']),
  )
  const within = (item: unknown): unknown[] => {
    const [[, node] = ['', {}]] = Object.entries(item as Tree) as [string, Tree][]
    const name = at(node, 'alias')['aliasname'] ?? node['relname']
    if (clauses.some((names) => names.length === 0 || names.includes(name))) {
      return [...nodesOf(item)].filter(([type]) => type === 'RangeVar').map(([, relation]) => relation)
    }
    return [node['larg'], node['rarg']].flatMap((side) => (side === undefined ? [] : within(side)))
  }
  return clauses.length === 0 ? [] : ((fromClause ?? []) as unknown[]).flatMap(within)
}

function locks(all: readonly (readonly [string, Tree])[], relation: Tree): boolean {
  return all.some(
    ([type, node]) =>
      type === 'LockingClause' &&
      ((node['lockedRels'] ?? []) as unknown[]).some((item) => at(item, 'RangeVar') === relation),
  )
}

function conjuncts(where: unknown): readonly unknown[] {
  const { boolop, args } = at(where, 'BoolExpr')
  return boolop === 'AND_EXPR' ? (args as unknown[]) : [where]
}

function at(value: unknown, key: string): Tree {
  return ((value as Tree | undefined)?.[key] ?? {}) as Tree
}

/** Texts of String nodes; undefined for a star. */
function texts(names: unknown): (string | undefined)[] {
  return ((names ?? []) as Tree[]).map((name) => {
    const text = name['String'] as Tree | undefined
    return text === undefined ? undefined : ((text['sval'] as string | undefined) ?? '')
  })
}

/** Every node below, with its type; those that stand under a key without a wrapper by what the key holds. */
function* nodesOf(value: unknown): Generator<readonly [type: string, node: Tree]> {
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    if (typeof inner !== 'object' || inner === null) continue
    if (!Array.isArray(inner)) yield [/^(?:larg|rarg)$/.test(key) && 'op' in inner ? 'SelectStmt' : key, inner as Tree]
    yield* nodesOf(inner)
  }
}
