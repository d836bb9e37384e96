import { isManifestName, quoted, quotedList, quotedTable } from './names.ts'
import { ProtectError } from './protect-error.ts'
import type { ColumnFacts, TableFacts } from './table-facts.ts'
import { policyColumn, TENANT_TYPES } from './tenant-policy.ts'

const OWN_SCHEMAS = /^(?:holdfast|tenancy|information_schema|crdb_internal|system|pg_.*)$/

const otherKinds: Readonly<Record<string, string>> = {
  v: 'a view: declare it in the manifest with `view: true`, made WITH (security_invoker = true), and protect the tables beneath it',
  m: 'a materialized view, which keeps what its maker saw: tenants cannot share one. Make it a table that is written by your application, or leave it out of the manifest',
  p: 'a partitioned table: its partitions have policies of their own. Protect an ordinary table, and let indexes led by the tenant do what partitions did',
  f: 'a foreign table: row-level security does not reach the other server',
  S: 'a sequence',
}

/**
 * Refuses what cannot be protected as it is, whatever is to be done with it.
 * @throws ProtectError, which says the way
 */
export function refuseTable(facts: TableFacts): void {
  const table = quotedTable(facts)
  const refuse = (what: string): never => {
    throw new ProtectError('table_kind', `${table} is ${what}.`)
  }
  if (OWN_SCHEMAS.test(facts.schema)) refuse(`in the schema ${facts.schema}, which is not the application's`)
  if (facts.kind !== 'r') refuse(otherKinds[facts.kind] ?? 'no table')
  if (facts.isTemporary) refuse('a temporary table')
  if (facts.isInherited) {
    refuse(
      'a partition, or inherits or is inherited from: a policy holds for the one table that is named. Protect an ordinary table',
    )
  }
  if (facts.rules.length > 0)
    refuse(`rewritten by rules (${facts.rules.join(', ')}), which go around its policies. Drop them first`)
  for (const name of [facts.schema, facts.name]) {
    if (isManifestName(name)) continue
    throw new ProtectError(
      'table_name',
      `No manifest can name ${table}: letters, digits and underscores, at most 63.`,
      'Rename it in a migration of your own first.',
    )
  }
  if (facts.owner !== 'holdfast_owner') {
    throw new ProtectError(
      'table_owner',
      `${table} belongs to ${facts.owner}, and migrations run as holdfast_owner.`,
      'As an administrator:',
      `  ALTER TABLE ${table} OWNER TO holdfast_owner;`,
    )
  }
}

/** Refuses a table with policies that are not the one that is made here. @throws ProtectError */
export function refusePolicies(facts: TableFacts, tenant: string): void {
  if (facts.policies.length === 0) return
  if (policyColumn(facts)?.name === tenant) return
  const table = quotedTable(facts)
  throw new ProtectError(
    'table_policies',
    `${table} has policies of its own (${facts.policies.map(({ name }) => name).join(', ')}), and several are joined by OR: one that lets too much in undoes the other.`,
    'Drop them in a migration of your own first; row-level security stays on, so nobody sees anything meanwhile:',
    ...facts.policies.map(({ name }) => `  DROP POLICY ${quoted(name)} ON ${table};`),
  )
}

/** Refuses to change the shape of a table with rows. @throws ProtectError */
export function refuseRows(facts: TableFacts, rows: boolean | undefined): void {
  if (rows === false) return
  const table = quotedTable(facts)
  throw new ProtectError(
    'table_has_rows',
    rows === true
      ? `${table} has rows. A row without a tenant cannot be given one by a command, and its keys change.`
      : `${table} has row-level security forced, so that not even its owner sees whether it has rows: it is taken for one that has.`,
    'This command is for new tables. A live one is protected in stages, by migrations of your own: add the column,',
    'fill it, make it NOT NULL, build the keys led by it, and last enable and force row-level security with its policy.',
  )
}

/** Refuses a column that cannot hold the tenant or the owner. @throws ProtectError */
export function refuseColumn(
  facts: TableFacts,
  what: 'tenant' | 'owner',
  name: string,
  column: ColumnFacts | undefined,
): void {
  const code = what === 'tenant' ? 'tenant_column' : 'owner_column'
  const table = quotedTable(facts)
  if (!isManifestName(name)) throw new ProtectError(code, `No manifest can name the column "${name}".`)
  if (column === undefined) return
  const { type, isGenerated, isVague } = column
  if (TENANT_TYPES[type] === undefined) {
    throw new ProtectError(
      code,
      `${table}.${quoted(name)} is of type ${type}; the ${what} is uuid, text or int8, which both databases compare alike.`,
      'In a migration of your own first, for one of them:',
      `  ALTER TABLE ${table} ALTER COLUMN ${quoted(name)} TYPE TEXT;`,
    )
  }
  if (isVague) {
    throw new ProtectError(
      code,
      `${table}.${quoted(name)} has a collation that takes different texts for one.`,
      'Use text as it comes, or COLLATE "C".',
    )
  }
  if (isGenerated)
    throw new ProtectError(code, `${table}.${quoted(name)} is generated: the ${what} is said by whoever writes.`)
}

/** Refuses a table whose rows others point to by a key without the tenant. @throws ProtectError */
export function refuseReferences(facts: TableFacts): void {
  const [first] = facts.references
  if (first === undefined) return
  const table = quotedTable(facts)
  const drops = facts.references.map(
    ({ table: other, name }) => `  ALTER TABLE ${quotedTable(other)} DROP CONSTRAINT ${quoted(name)};`,
  )
  throw new ProtectError(
    'key_referenced',
    `The keys of ${table} change, and other tables point to them as they are now.`,
    'Take these away in a migration of your own, protect this table, then each of those with --parent, which makes the',
    'foreign key again, led by the tenant:',
    ...drops,
  )
}

/** Refuses a key that is not written as expected, rather than to guess. @throws ProtectError */
export function keyUnknown(facts: TableFacts, name: string, columns: readonly string[]): ProtectError {
  return new ProtectError(
    'key_unknown',
    `The key ${quoted(name)} of ${quotedTable(facts)} (${quotedList(columns)}) cannot be led by the tenant by a command.`,
    'Make it again in a migration of your own, with the tenant as its first column.',
  )
}
