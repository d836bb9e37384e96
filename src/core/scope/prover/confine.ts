import type { Grants } from '../grants.ts'
import type { Struct } from '../grammar.ts'
import type { Manifest, Table } from '../manifest.ts'
import { conjunctsOf, demand, demandEach, HOME, isPlain, list, namesOf, open, quoted, under } from './proof-tree.ts'

/** What a parameter of the final text is bound to: a value of the handler's, or what the guard knows of the caller. */
export type Slot =
  | { readonly kind: 'value'; readonly index: number }
  | { readonly kind: 'tenant' }
  | { readonly kind: 'user' }

/** A final text, and what it is claimed to be confined by; the manifest as the caller's role sees it. */
export type Claim = {
  readonly text: string
  readonly slots: readonly Slot[]
  readonly manifest: Manifest
  readonly grants: Grants
}

/** What a text is proven by, and what was found so far. */
export type Scene = {
  readonly claim: Claim
  readonly bytes: Buffer
  /** names of WITH queries, wherever they stand: a bare name that is none finds nothing, for the search path is empty */
  readonly ctes: ReadonlySet<string>
  readonly locked: ReadonlySet<Struct>
  /** names of all columns of the manifest */
  readonly columns: ReadonlySet<string>
  /** nodes that were found to be exactly what they must be: the walk goes around them */
  readonly shown: Set<Struct>
  /** the proof of the part that is walked */
  lines: string[]
}

/** What a write changes. */
export type Target = {
  readonly table: Table
  readonly alias: string
  /** references to columns where it is in sight, those of its confinement left out */
  references: number
}

export type Kind = 'tenant' | 'user'
/** Parameters by which rows are confined; none where a confinement is not there. */
type Confined = { readonly tenant: number | undefined; readonly user: number | undefined }
type Verb = 'create' | 'read' | 'update' | 'delete'
type Reach = { readonly isOwn: boolean; readonly needs: string }

/** How a statement speaks of its target besides by its alias. */
export const OTHER_ALIASES: ReadonlySet<string> = new Set(['old', 'new', 'excluded'])
const LEAF_KEYS: ReadonlySet<string> = new Set(['targetList', 'fromClause', 'whereClause', 'limitOption', 'op'])

/** Whose rows a set of verbs reaches: the narrowest wins. @throws Unproven when one is not granted (CWE-863) */
export function reachOf(claim: Claim, table: Table, verbs: readonly Verb[]): Reach {
  const permissions = verbs.map((verb) => `${table.resource}:${verb}`)
  const reaches = permissions.map((permission) => claim.grants.get(permission))
  demandEach(reaches, (reach) => reach === 'tenant' || reach === 'own', 'a grant')
  const isOwn = reaches.includes('own')
  demand(!isOwn || holderOf(claim, table).owner !== undefined, 'an owner')
  return { isOwn, needs: `needs ${permissions.join(', ')}` }
}

export function tableOf({ manifest }: Claim, { schemaname, relname }: Struct): Table | undefined {
  return manifest.tables.find(({ schema, name }) => schema === schemaname && name === relname)
}

/** The table whose columns say whose a row is: itself, or the parent of a child that has no such column. */
export function holderOf(claim: Claim, table: Table): Table {
  if (table.through === undefined) return table
  const { schema = table.schema, table: name } = table.through
  const parent = tableOf(claim, { schemaname: schema, relname: name })
  demand(parent?.tenant !== undefined && parent.name !== table.name, 'a parent with a tenant')
  return parent
}

/** The last parameter that is bound to the caller's tenant or user. */
function numberOf({ slots }: Claim, kind: Kind): number {
  const number = slots.findLastIndex((slot) => slot.kind === kind) + 1
  demand(number > 0, `a parameter for the ${kind}`)
  return number
}

function callersOf(claim: Claim, isOwn: boolean): Confined {
  return { tenant: numberOf(claim, 'tenant'), user: isOwn ? numberOf(claim, 'user') : undefined }
}

/** What confines a table's rows under an alias, to the letter: two comparisons at most, in EXISTS of the parent for a child. */
function confinement(claim: Claim, table: Table, alias: string, isOwn: boolean): string {
  const holder = holderOf(claim, table)
  const name = table.through === undefined ? alias : holder.name
  const equals = (column: string | undefined, kind: Kind): string => {
    demand(column !== undefined && Object.hasOwn(holder.columns, column), `a column for the ${kind}`)
    return `${quoted(name)}."${column}" OPERATOR(pg_catalog.=) $${numberOf(claim, kind)}::${holder.columns[column]?.type}`
  }
  const own = isOwn ? ` AND ${equals(holder.owner, 'user')}` : ''
  const rows = equals(holder.tenant, 'tenant') + own
  if (table.through === undefined) return rows
  const link = `"${name}"."${table.through.references}" OPERATOR(pg_catalog.=) ${quoted(alias)}."${table.through.column}"`
  return `EXISTS (SELECT 1 FROM "${holder.schema}"."${name}" WHERE ${link} AND ${rows})`
}

/** The one relation of a SELECT that names it with its schema: such a SELECT must be the table's leaf. */
export function leafOf(select: Struct): Struct | undefined {
  const [item, ...others] = list(select['fromClause'])
  const relation = under(item, 'RangeVar')
  return others.length === 0 && relation['schemaname'] !== undefined ? relation : undefined
}

/**
 * Proves that a SELECT is the leaf of a table, byte for byte: the caller's rows, the listed columns. A leaf holds no
 * literal, no comment and no half of a quoted name, and a name begins where its relation stands; so the bytes around it
 * are tokens, in one pair of brackets. Only what is hung on the node from outside could add to it, as in
 * `(leaf) ORDER BY secret`.
 */
export function proveLeaf(scene: Scene, select: Struct, relation: Struct): void {
  const { claim, bytes } = scene
  const table = tableOf(claim, relation)
  demand(table !== undefined, 'a relation of the manifest')
  demandEach(Object.keys(select), (key) => LEAF_KEYS.has(key), 'a leaf and nothing more')
  const isLocked = scene.locked.has(relation)
  demand(!isLocked || (table.shared === undefined && table.view === undefined), 'no lock on a shared table or a view')
  const { isOwn, needs } = reachOf(claim, table, isLocked ? ['read', 'update'] : ['read'])
  const { schema, name, columns } = table
  const isShared = table.shared === true && table.tenant === undefined && table.through === undefined
  const where = isShared ? '' : ` WHERE ${confinement(claim, table, name, isOwn)}`
  const items = Object.keys(columns).map((column) => `"${name}"."${column}"`)
  const before = `(SELECT ${items.join(', ')} FROM `
  const after = `"${schema}"."${name}"${where})`
  const at = Number(relation['location'] ?? 0)
  const start = at - before.length
  demand(start >= 0 && bytes.toString('latin1', start, at + after.length) === before + after, 'the leaf of a table')
  const rows = isShared ? 'shared by all tenants' : described(claim, table, callersOf(claim, isOwn), isOwn)
  scene.lines.push(`${schema}.${name} at ${at}: through its leaf, ${rows}, ${isLocked ? 'locked, ' : ''}${needs}`)
}

/** @throws Unproven unless a write's target is a table of the manifest that can be written, by a name of its own */
export function targetOf(claim: Claim, relation: Struct): Target {
  const table = tableOf(claim, relation)
  const isWritable = table !== undefined && table.shared === undefined && table.view === undefined
  demand(isWritable && isPlain(relation) && holderOf(claim, table).tenant !== undefined, 'a target that can be written')
  const { aliasname = relation['relname'], colnames } = under(relation, 'alias')
  const alias = String(aliasname)
  demand(colnames === undefined && !OTHER_ALIASES.has(alias), 'the alias of the target')
  // `"parent"."id" = "parent"."link"` would be the parent's own row, whatever the child's is
  demand(table.through === undefined || alias !== holderOf(claim, table).name, 'an alias that is not the parent’s name')
  return { table, alias, references: 0 }
}

/** What confines a target: what WHERE is, or what the conjunction that it is begins with. */
export function confiningOf(scene: Scene, where: unknown, target: Target): Confined {
  const [first, second] = conjunctsOf(where)
  if (target.table.through !== undefined) return confiningChild(scene, under(first, 'SubLink'), target)
  return { tenant: comparing(scene, first, target, 'tenant'), user: comparing(scene, second, target, 'user') }
}

/** `EXISTS (…)` ends with its bracket, so that the bytes from where it stands are all of it. */
function confiningChild(scene: Scene, link: Struct, { table, alias }: Target): Confined {
  const { claim, bytes } = scene
  const at = Number(link['location'] ?? 0)
  const stands = (isOwn: boolean): boolean => {
    const text = confinement(claim, table, alias, isOwn)
    return link['subLinkType'] === 'EXISTS_SUBLINK' && bytes.toString('latin1', at, at + text.length) === text
  }
  const hasUser = holderOf(claim, table).owner !== undefined && claim.slots.some(({ kind }) => kind === 'user')
  const isOwn = hasUser && stands(true)
  if (!isOwn && !stands(false)) return { tenant: undefined, user: undefined }
  scene.shown.add(link)
  return callersOf(claim, isOwn)
}

/** `"alias"."column" OPERATOR(pg_catalog.=) $n::type`: the number of the caller's parameter. */
function comparing(scene: Scene, part: unknown, { table, alias }: Target, kind: Kind): number | undefined {
  const column = kind === 'tenant' ? table.tenant : table.owner
  const comparison = under(part, 'A_Expr')
  const { kind: operation, name, lexpr, rexpr } = comparison
  const [first, second, ...more] = namesOf(under(lexpr, 'ColumnRef')['fields'])
  const isColumn = column !== undefined && first === alias && second === column && more.length === 0
  if (!isColumn || operation !== 'AEXPR_OP' || namesOf(name).join('.') !== `${HOME}.=`) return undefined
  const number = callersParameter(scene, rexpr, table, column, kind)
  if (number !== undefined) scene.shown.add(comparison)
  return number
}

/** `$n::type`: a parameter that is bound to the tenant or the user, as the column's own type and no other (CWE-704). */
export function callersParameter(
  { claim, shown }: Scene,
  item: unknown,
  table: Table,
  column: string | undefined,
  kind: Kind,
): number | undefined {
  const cast = under(item, 'TypeCast')
  const { names, typemod, location: _, ...more } = under(cast, 'typeName')
  const [type, home = HOME, ...others] = namesOf(names).toReversed()
  const isPlainType = home === HOME && others.length === 0 && typemod === -1 && Object.keys(more).length === 0
  const number = Number(under(cast, 'arg', 'ParamRef')['number'] ?? 0)
  const isCallers = claim.slots[number - 1]?.kind === kind
  if (!isCallers || !isPlainType || type === undefined || type !== table.columns[column ?? '']?.type) return undefined
  shown.add(cast)
  return number
}

/** Says how rows are confined. @throws Unproven where they are not */
export function described(claim: Claim, table: Table, { tenant, user }: Confined, isOwn: boolean): string {
  demand(tenant !== undefined, 'the tenant in WHERE')
  demand(!isOwn || user !== undefined, 'the owner in WHERE')
  const { schema, name } = holderOf(claim, table)
  const by = table.through === undefined ? '' : ` of its ${schema}.${name}`
  return `tenant = $${tenant}${user === undefined ? '' : `, owner = $${user}`}${by}`
}

/** No statement moves a row to another tenant or parent; whoever reaches only their own rows gives none away (CWE-915). */
export function proveAssignments(claim: Claim, targets: readonly Struct[], table: Table, isOwn: boolean): string {
  const names = targets.map((target) => String(open(target)[1]['name']))
  for (const name of names) {
    const isFixed = name === table.tenant || name === table.through?.column
    demand(Object.hasOwn(table.columns, name) && !isFixed, 'the column assigned')
    demand(table.columns[name]?.readOnly === undefined, 'a column that is not read-only')
    const mayGive = !isOwn && claim.grants.get(`${table.resource}:reassign`) === 'tenant'
    demand(name !== table.owner || mayGive, 'the owner assigned')
  }
  return [...new Set(names)].join(', ')
}
