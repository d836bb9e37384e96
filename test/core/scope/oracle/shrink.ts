import { type Node, nodesOf, print, treeOf } from './mutate.ts'
import { renumbered, type Statement } from './statement.ts'
import type { Table, World } from './world.ts'

/** Whether something smaller still fails the same way. */
export type StillFails<T> = (candidate: T) => Promise<boolean>

/** Most candidates that are tried: each runs through both walls. */
const MOST_TRIES = 400

/**
 * A statement that fails as the given one does and is as small as leaving parts out makes it: clauses, members of lists,
 * and nodes in favour of what stands in them.
 */
export async function shrinkStatement(statement: Statement, stillFails: StillFails<Statement>): Promise<Statement> {
  let smallest = statement
  let tries = 0
  for (let isSmaller = true; isSmaller && tries < MOST_TRIES; ) {
    isSmaller = false
    for (const candidate of smallerStatements(smallest)) {
      if (++tries > MOST_TRIES) break
      if (!(await stillFails(candidate))) continue
      smallest = candidate
      isSmaller = true
      break
    }
  }
  return smallest
}

/** A world without the tables and rows that the failure does without. */
export async function shrinkWorld(world: World, stillFails: StillFails<World>): Promise<World> {
  let smallest = world
  for (const table of world.tables) {
    const candidate = without(smallest, table)
    if (candidate !== undefined && (await stillFails(candidate))) smallest = candidate
  }
  for (const { table, rows } of smallest.rows) {
    for (const part of [0, 1]) {
      const kept = rows.filter((_, index) => index % 2 === part)
      const candidate = {
        ...smallest,
        rows: smallest.rows.map((each) => (each.table === table ? { table, rows: kept } : each)),
      }
      if (kept.length > 0 && (await stillFails(candidate))) smallest = candidate
    }
  }
  return smallest
}

/** The first table stays, for a function counts its rows; so does a table that another needs. */
function without(world: World, table: Table): World | undefined {
  const isNeeded = world.tables.some(({ link, shows }) => link?.parent === table.name || shows === table.name)
  if (isNeeded || table === world.tables[0] || !world.tables.includes(table)) return undefined
  return {
    ...world,
    tables: world.tables.filter((each) => each !== table),
    rows: world.rows.filter((each) => each.table !== table.name),
  }
}

/** Statements that lack something, the smallest first. */
function smallerStatements({ text, values }: Statement): Statement[] {
  const tree = treeOf(text)
  if (tree === undefined) return []
  const made = new Map<string, Statement>()
  for (let place = 0; ; place++) {
    const copy = structuredClone(tree)
    const cut = cutsOf(copy)[place]
    if (cut === undefined) break
    cut()
    const printed = print(copy)
    if (printed !== undefined && printed.length < text.length) made.set(printed, renumbered(printed, values))
  }
  return [...made.values()].sort((a, b) => a.text.length - b.text.length)
}

/** Everything that could be left out of a tree, as functions that do it. */
function cutsOf(tree: Node): (() => void)[] {
  return nodesOf(tree).flatMap(({ type, node }) => {
    // a constant without a value is none
    if (type === 'A_Const') return []
    return Object.entries(node).flatMap(([key, value]): (() => void)[] => {
      if (typeof value !== 'object' || value === null) return []
      const remove = (): void => void delete node[key]
      if (Array.isArray(value))
        return value.length > 1 ? value.map((_, index) => () => void value.splice(index, 1)) : [remove]
      return [remove, ...within(value, 5).map((smaller) => () => void (node[key] = smaller))]
    })
  })
}

/** What could stand in a node's place: the wrapped nodes not far below it. */
function within(value: unknown, levels: number): unknown[] {
  if (typeof value !== 'object' || value === null || levels === 0) return []
  return Object.values(value).flatMap((inner: unknown) => {
    const isWrapped = typeof inner === 'object' && inner !== null && /^[A-Z]\w*$/.test(Object.keys(inner).join())
    return [...(isWrapped ? [inner] : []), ...within(inner, Array.isArray(inner) ? levels : levels - 1)]
  })
}
