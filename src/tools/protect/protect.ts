import type { Pool } from '../../core/database/pool.ts'
import type { Manifest, Table } from '../../core/scope/manifest.ts'
import { foreignKeyWork, type Parent, parentKeyColumn, plainName, type Targets } from './foreign-keys.ts'
import { grantStatements, PRIVILEGES, revokeStatements } from './grants.ts'
import { indexStatements, keyStatements } from './keys.ts'
import { manifestEntry, resourceOf } from './manifest-entry.ts'
import { quoted, quotedTable, type TableName } from './names.ts'
import { ProtectError } from './protect-error.ts'
import { refuseColumn, refusePolicies, refuseReferences, refuseRows, refuseTable } from './refuse.ts'
import { type ColumnFacts, hasRows, readTable, type TableFacts } from './table-facts.ts'
import { policyText, TENANT_TYPES } from './tenant-policy.ts'

/** What is to be protected, and how. */
export type ProtectRequest = {
  readonly table: TableName
  /** The column that holds the tenant; the parent's name for it, or `tenant_id`, if left out. */
  readonly tenant?: string | undefined
  /** Its type where the column is made: `uuid` if left out, or the parent's. */
  readonly type?: string | undefined
  /** The column that holds the owner. */
  readonly owner?: string | undefined
  /** The table that rows of this one belong to, and the column here that says to which. */
  readonly parent?: { readonly table: TableName; readonly link: string; readonly onDelete: string } | undefined
  /** Verbs that the app role gets: `read`, `create`, `update`, `delete`. What the manifest grants, if left out. */
  readonly verbs?: readonly string[] | undefined
  /** Tables whose rows are all tenants', as `schema.table`. */
  readonly shared: readonly string[]
  readonly resource?: string | undefined
  readonly manifest?: Manifest | undefined
}

/** What protects a table. */
export type Protection = {
  /** In order, each one DDL; none: it is protected already. */
  readonly statements: readonly string[]
  /** What whoever applies them should know, a sentence each. */
  readonly notes: readonly string[]
  /** What the manifest is to say of the table. */
  readonly entry: Table
}

/**
 * Looks at a table and says what would put it under the second wall. Row-level security comes first, without a policy, so
 * that nobody sees anything; then columns, keys, policy; grants come last (CWE-696). Changes nothing.
 *
 * @param pool - as holdfast_owner
 * @throws ProtectError what stands in the way, and the way around
 */
export async function protect(pool: Pool, request: ProtectRequest): Promise<Protection> {
  const facts = await tableOf(pool, request.table)
  refuseTable(facts)
  const parent = await parentOf(pool, request)
  const guard = parent === undefined ? undefined : parentKeyColumn(parent.facts)
  const tenant = request.tenant ?? guard?.tenant ?? 'tenant_id'
  const columns = columnsOf(facts, request, tenant, parent)
  refusePolicies(facts, tenant)
  const targets = await targetsOf(pool, facts, request)
  const statements = await statementsOf(pool, facts, request, { tenant, columns, targets, parent })
  const declared = declaredIn(request)
  const resource = request.resource ?? declared?.resource ?? resourceOf(facts.name)
  return {
    statements,
    notes: notesOn(facts, wantedOf(request) === undefined),
    entry: manifestEntry(facts, columns.all, { resource, tenant, owner: request.owner }),
  }
}

async function tableOf(pool: Pool, table: TableName): Promise<TableFacts> {
  const facts = await readTable(pool, table)
  if (facts !== undefined) return facts
  throw new ProtectError(
    'table_missing',
    `There is no table ${quotedTable(table)}.`,
    'Names are taken as written, capitals too. Create the table in a migration of your own, and apply it first.',
  )
}

async function parentOf(pool: Pool, { parent }: ProtectRequest): Promise<Parent | undefined> {
  if (parent === undefined) return undefined
  return { facts: await tableOf(pool, parent.table), link: parent.link, onDelete: parent.onDelete }
}

async function targetsOf(pool: Pool, facts: TableFacts, { shared, manifest }: ProtectRequest): Promise<Targets> {
  const known = new Map<string, TableFacts>()
  for (const { target } of facts.constraints) {
    if (target === undefined || known.has(plainName(target))) continue
    const other = await readTable(pool, target)
    if (other !== undefined) known.set(plainName(target), other)
  }
  const declared = manifest?.tables.filter((table) => table.shared === true).map(plainName) ?? []
  return { facts: known, shared: new Set([...shared, ...declared]) }
}

/** The columns as they will be, and what makes them so. */
type Columns = { readonly tenant: ColumnFacts; readonly all: readonly ColumnFacts[]; readonly statements: string[] }

function columnsOf(facts: TableFacts, request: ProtectRequest, tenant: string, parent: Parent | undefined): Columns {
  const table = quotedTable(facts)
  const find = (name: string): ColumnFacts | undefined => facts.columns.find((column) => column.name === name)
  const parentType = parent?.facts.columns.find(({ name }) => name === parentKeyColumn(parent.facts).tenant)?.type
  const type = request.type ?? parentType ?? 'uuid'
  const statements: string[] = []
  const all = [...facts.columns]
  const settle = (what: 'tenant' | 'owner', name: string, made: string): ColumnFacts => {
    const there = find(name)
    refuseColumn(facts, what, name, there)
    if (there === undefined) {
      statements.push(`ALTER TABLE ${table} ADD COLUMN ${quoted(name)} ${TENANT_TYPES[made]} NOT NULL`)
    } else if (what === 'owner' || there.notNull) return there
    else statements.push(`ALTER TABLE ${table} ALTER COLUMN ${quoted(name)} SET NOT NULL`)
    const column = { number: 0, name, type: there?.type ?? made, notNull: true, isGenerated: false, isVague: false }
    all.splice(there === undefined ? all.length : all.indexOf(there), there === undefined ? 0 : 1, column)
    return column
  }
  const column = settle('tenant', tenant, type)
  if (parentType !== undefined && column.type !== parentType) {
    throw new ProtectError(
      'tenant_column',
      `${table}.${quoted(tenant)} is ${column.type}, and the parent's is ${parentType}.`,
    )
  }
  if (request.owner !== undefined) settle('owner', request.owner, 'uuid')
  refuseLink(facts, parent)
  return { tenant: column, all, statements }
}

function refuseLink(facts: TableFacts, parent: Parent | undefined): void {
  if (parent === undefined) return
  const { id, type } = parentKeyColumn(parent.facts)
  const link = facts.columns.find(({ name }) => name === parent.link)
  if (link?.type === type) return
  throw new ProtectError(
    'parent_unusable',
    `${quotedTable(facts)}.${quoted(parent.link)} ${link === undefined ? 'is not there' : `is ${link.type}`}, and must be ${type}, as ${quotedTable(parent.facts)}.${quoted(id)} is.`,
  )
}

type Plan = {
  readonly tenant: string
  readonly columns: Columns
  readonly targets: Targets
  readonly parent: Parent | undefined
}

async function statementsOf(
  pool: Pool,
  facts: TableFacts,
  request: ProtectRequest,
  { tenant, columns, targets, parent }: Plan,
): Promise<string[]> {
  const table = quotedTable(facts)
  const keys = keyStatements(facts, tenant)
  const { drop, add, links } = foreignKeyWork(facts, tenant, targets, parent)
  if (keys.length > 0) refuseReferences(facts)
  const shape = [...columns.statements, ...drop, ...keys, ...add]
  if (shape.length > 0) refuseRows(facts, await hasRows(pool, facts))
  const isOn = facts.rlsEnabled && facts.rlsForced && facts.policies.length > 0
  const owned = request.owner === undefined ? [] : [[tenant, request.owner]]
  const opened = isOn ? facts.grants.has('PUBLIC') : true
  const revokes = opened ? revokeStatements(facts) : []
  return [
    ...revokes,
    ...(facts.rlsEnabled && facts.rlsForced
      ? []
      : [`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`]),
    ...shape,
    ...indexStatements(facts, tenant, [...links, ...owned, [tenant]]),
    ...(facts.policies.length > 0 ? [] : [policyText(facts, columns.tenant)]),
    ...grantStatements(facts, wantedOf(request), revokes.length > 0),
  ]
}

function declaredIn({ table, manifest }: ProtectRequest): Table | undefined {
  return manifest?.tables.find((each) => plainName(each) === plainName(table))
}

/** Privileges of the app role: as asked for, or those that some role of the manifest needs. */
function wantedOf(request: ProtectRequest): Set<string> | undefined {
  const { verbs, manifest } = request
  const resource = declaredIn(request)?.resource
  if (verbs !== undefined) return new Set(verbs.map((verb) => PRIVILEGES[verb] ?? ''))
  if (manifest === undefined || resource === undefined) return undefined
  const granted = new Set(
    Object.values(manifest.roles).flatMap((grants) => grants.map((grant) => grant.replace(/@.*$/, ''))),
  )
  return new Set(
    Object.entries(PRIVILEGES).flatMap(([verb, name]) => (granted.has(`${resource}:${verb}`) ? [name] : [])),
  )
}

function notesOn(facts: TableFacts, isUngranted: boolean): string[] {
  const { triggers, views, sequences, grants } = facts
  const others = [...grants.keys()].filter((role) => !/^(?:holdfast_\w+|PUBLIC)$/.test(role))
  return [
    ...(isUngranted ? ['Nothing is granted to holdfast_app: say --grant, or declare the table in the manifest.'] : []),
    ...(triggers.length === 0
      ? []
      : [`Triggers run as before (${triggers.join(', ')}): one that is SECURITY DEFINER may go around the policy.`]),
    ...(views.length === 0
      ? []
      : [`Views read it (${views.join(', ')}): each needs security_invoker, or it shows what its owner may see.`]),
    ...(sequences.length === 0
      ? []
      : [
          'Its numbers come from one sequence for all tenants: whoever sees their own learns how many the others make.',
        ]),
    ...(others.length === 0
      ? []
      : [
          `Other roles have privileges on it (${others.join(', ')}): the policy holds them too, unless they bypass row-level security.`,
        ]),
  ]
}
