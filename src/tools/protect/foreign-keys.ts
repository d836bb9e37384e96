import { led } from './keys.ts'
import { quoted, quotedList, quotedTable, type TableName } from './names.ts'
import { ProtectError } from './protect-error.ts'
import type { ConstraintFacts, TableFacts } from './table-facts.ts'
import { guardedBy } from './tenant-policy.ts'

/** A row of another table that rows of this one belong to. */
export type Parent = { readonly facts: TableFacts; readonly link: string; readonly onDelete: string }

/** What is known of the tables that foreign keys lead to. */
export type Targets = {
  /** by `schema.table` */
  readonly facts: ReadonlyMap<string, TableFacts>
  /** Those whose rows are all tenants', by `schema.table`. */
  readonly shared: ReadonlySet<string>
}

/** Foreign keys that go, those that come, and the columns that they are looked up by. */
export type ForeignKeyWork = {
  readonly drop: readonly string[]
  readonly add: readonly string[]
  readonly links: readonly (readonly string[])[]
}

export const plainName = ({ schema, name }: TableName): string => `${schema}.${name}`

/**
 * Makes every foreign key to a tenant's table lead by the tenant: one by an id alone tells by its error whether another
 * tenant has that id, and ties a row to it (CWE-639).
 *
 * @throws ProtectError `foreign_key`, `parent_unusable`
 */
export function foreignKeyWork(
  facts: TableFacts,
  tenant: string,
  targets: Targets,
  parent: Parent | undefined,
): ForeignKeyWork {
  const drop: string[] = []
  const add: string[] = []
  const links: string[][] = []
  for (const key of facts.constraints) {
    if (key.kind !== 'foreign' || key.columns.includes(tenant)) continue
    const target = tenantOfTarget(facts, key, tenant, targets)
    if (target === undefined) continue
    drop.push(`ALTER TABLE ${quotedTable(facts)} DROP CONSTRAINT ${quoted(key.name)}`)
    add.push(composite(facts, key, tenant, target))
    links.push([tenant, ...key.columns])
  }
  if (parent !== undefined && !hasParentKey(facts, tenant, parent) && !links.some(([, link]) => link === parent.link)) {
    add.push(parentKey(facts, tenant, parent))
    links.push([tenant, parent.link])
  }
  return { drop, add, links }
}

/** The tenant column of the table that a key leads to; nothing where its rows are all tenants'. */
function tenantOfTarget(
  facts: TableFacts,
  { name, target, columns, targetColumns }: ConstraintFacts,
  tenant: string,
  targets: Targets,
): string | undefined {
  if (target === undefined || plainName(target) === plainName(facts)) return tenant
  const known = targets.facts.get(plainName(target))
  const guard = known === undefined ? undefined : guardedBy(known)
  if (known !== undefined && guard !== undefined) {
    const key = led(targetColumns, guard.name)
    if (keyOf(known, key)) return guard.name
    throw new ProtectError(
      'foreign_key',
      `${quoted(name)} leads to ${quotedTable(target)} by (${quotedList(targetColumns)}), which has no key (${quotedList(key)}).`,
      'Add that key in a migration of your own first.',
    )
  }
  if (targets.shared.has(plainName(target)) || target.schema === 'holdfast') return undefined
  throw new ProtectError(
    'foreign_key',
    `${quoted(name)} (${quotedList(columns)}) leads to ${quotedTable(target)}, which is not protected.`,
    `If its rows are all tenants': --shared ${plainName(target)}, or \`shared: true\` in the manifest.`,
    `If they are a tenant's: holdfast protect ${plainName(target)} first, and apply it.`,
  )
}

/** Is there a key of exactly these columns? */
function keyOf({ constraints }: TableFacts, wanted: readonly string[]): boolean {
  return constraints.some(
    ({ kind, columns }) =>
      (kind === 'primary' || kind === 'unique') &&
      columns.length === wanted.length &&
      wanted.every((column, at) => columns[at] === column),
  )
}

const actions: Readonly<Record<string, string>> = { a: '', r: 'RESTRICT', c: 'CASCADE' }

function composite(facts: TableFacts, key: ConstraintFacts, tenant: string, targetTenant: string): string {
  const { name, columns, target, targetColumns, onDelete, onUpdate, isFull, deferrable } = key
  const actionOf = (event: string, action: string): string => {
    const words = actions[action]
    if (words === undefined) {
      throw new ProtectError(
        'foreign_key',
        `${quoted(name)} says ON ${event} SET NULL or SET DEFAULT, which would clear the tenant with the rest.`,
        'Make it again without, as RESTRICT or CASCADE, in a migration of your own first.',
      )
    }
    return words === '' ? '' : ` ON ${event} ${words}`
  }
  if (isFull) {
    throw new ProtectError(
      'foreign_key',
      `${quoted(name)} is MATCH FULL: with the tenant in it, it could no longer be empty.`,
      'Make it again without MATCH FULL in a migration of your own first.',
    )
  }
  return `ALTER TABLE ${quotedTable(facts)} ADD CONSTRAINT ${quoted(name)} FOREIGN KEY (${quotedList([tenant, ...columns])}) REFERENCES ${quotedTable(target ?? facts)} (${quotedList([targetTenant, ...targetColumns])})${actionOf('DELETE', onDelete)}${actionOf('UPDATE', onUpdate)}${deferrable}`
}

function hasParentKey({ constraints }: TableFacts, tenant: string, { facts, link }: Parent): boolean {
  return constraints.some(
    ({ kind, columns, target }) =>
      kind === 'foreign' &&
      target !== undefined &&
      plainName(target) === plainName(facts) &&
      columns.length === 2 &&
      columns.includes(tenant) &&
      columns.includes(link),
  )
}

/** The parent's key besides the tenant. @throws ProtectError `parent_unusable` */
export function parentKeyColumn(parent: TableFacts): {
  readonly tenant: string
  readonly id: string
  readonly type: string
} {
  const tenant = guardedBy(parent)?.name
  if (tenant === undefined) {
    throw new ProtectError(
      'parent_unusable',
      `${quotedTable(parent)} is not protected.`,
      `holdfast protect ${plainName(parent)} first, and apply it.`,
    )
  }
  const key = parent.constraints.find(({ kind }) => kind === 'primary')?.columns ?? []
  const [first, id = ''] = key
  const type = parent.columns.find(({ name }) => name === id)?.type
  if (key.length !== 2 || first !== tenant || type === undefined) {
    throw new ProtectError(
      'parent_unusable',
      `The primary key of ${quotedTable(parent)} is not (${quoted(tenant)}, one more column), to which a child could point.`,
    )
  }
  return { tenant, id, type }
}

function parentKey(facts: TableFacts, tenant: string, { facts: parent, link, onDelete }: Parent): string {
  const { tenant: parentTenant, id } = parentKeyColumn(parent)
  const name = quoted(`${facts.name}_${link}_fkey`.slice(0, 63))
  return `ALTER TABLE ${quotedTable(facts)} ADD CONSTRAINT ${name} FOREIGN KEY (${quotedList([tenant, link])}) REFERENCES ${quotedTable(parent)} (${quotedList([parentTenant, id])})${onDelete === '' ? '' : ` ON DELETE ${onDelete}`}`
}
