import { quoted, quotedList, quotedTable } from './names.ts'
import { keyUnknown } from './refuse.ts'
import type { ConstraintFacts, IndexFacts, TableFacts } from './table-facts.ts'

/** The columns of a key with the tenant as the first. */
export function led(columns: readonly string[], tenant: string): string[] {
  return [tenant, ...columns.filter((column) => column !== tenant)]
}

const isLed = (columns: readonly string[], tenant: string): boolean => columns[0] === tenant

/**
 * Makes every key of a table begin with the tenant, or a conflict tells what another tenant has (CWE-204).
 * @throws ProtectError `key_unknown`
 */
export function keyStatements(facts: TableFacts, tenant: string): string[] {
  const { constraints, indexes } = facts
  const exclusion = constraints.find(({ kind }) => kind === 'exclusion')
  if (exclusion !== undefined) throw keyUnknown(facts, exclusion.name, exclusion.columns)
  return [
    ...constraints
      .filter(({ kind, columns }) => (kind === 'primary' || kind === 'unique') && !isLed(columns, tenant))
      .flatMap((key) => remadeConstraint(facts, key, tenant)),
    ...indexes
      .filter(({ isUnique, isOfConstraint, columns }) => isUnique && !isOfConstraint && !isLed(columns, tenant))
      .flatMap((index) => remadeIndex(facts, index, tenant)),
  ]
}

function remadeConstraint(facts: TableFacts, key: ConstraintFacts, tenant: string): string[] {
  const { name, kind, columns, definition } = key
  const start = definition.indexOf('(') + 1
  // CockroachDB writes the direction too
  const lists = [quotedList(columns), columns.map((column) => `${quoted(column)} ASC`).join(', '), plainList(columns)]
  const list = lists.find((each) => definition.startsWith(`${each})`, start))
  if (start === 0 || list === undefined) throw keyUnknown(facts, name, columns)
  const table = quotedTable(facts)
  const made = `${definition.slice(0, start)}${quotedList(led(columns, tenant))}${definition.slice(start + list.length)}`
  const add = `ADD CONSTRAINT ${quoted(name)} ${made}`
  // a table is never without a primary key on CockroachDB: one statement drops and adds
  if (kind === 'primary') return [`ALTER TABLE ${table} DROP CONSTRAINT ${quoted(name)}, ${add}`]
  return [`{{drop_unique ${table} ${quoted(name)}}}`, `ALTER TABLE ${table} ${add}`]
}

/** As the server writes a list, where it quotes less than is quoted here. */
function plainList(columns: readonly string[]): string {
  return columns.map((name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : quoted(name))).join(', ')
}

function remadeIndex(facts: TableFacts, { name, columns, definition, head }: IndexFacts, tenant: string): string[] {
  // a tenant further back may stay there
  if (!definition.startsWith(head)) throw keyUnknown(facts, name, columns)
  return [
    `DROP INDEX ${quoted(facts.schema)}.${quoted(name)} CASCADE`,
    `${definition.slice(0, head.length)}${quoted(tenant)}, ${definition.slice(head.length)}`,
  ]
}

/** An index for the columns, unless one begins with them already. */
export function indexStatements(facts: TableFacts, tenant: string, wanted: readonly (readonly string[])[]): string[] {
  // keys as they will be
  const there = [
    ...facts.indexes.map(({ columns, isUnique }) => (isUnique ? led(columns, tenant) : columns)),
    ...facts.constraints
      .filter(({ kind }) => kind === 'primary' || kind === 'unique')
      .map(({ columns }) => led(columns, tenant)),
  ]
  const statements: string[] = []
  for (const columns of wanted) {
    if (there.some((each) => columns.every((column, at) => each[at] === column))) continue
    there.push([...columns])
    const name = `${facts.name}_by_${columns.length === 1 ? 'tenant' : columns.slice(1).join('_')}`.slice(0, 63)
    statements.push(`CREATE INDEX ${quoted(name)} ON ${quotedTable(facts)} (${quotedList(columns)})`)
  }
  return statements
}
