import { quoted, quotedTable } from './names.ts'
import type { ColumnFacts, TableFacts } from './table-facts.ts'

/** Types that a tenant column may have, as a statement says them. */
export const TENANT_TYPES: Readonly<Record<string, string>> = { uuid: 'UUID', text: 'TEXT', int8: 'INT8' }

/** The one policy of a tenant's table: the tenant that *enter* has set, and nothing without one (CWE-639). */
export function policyText(facts: TableFacts, { name, type }: Pick<ColumnFacts, 'name' | 'type'>): string {
  const condition = `${quoted(name)} = NULLIF(current_setting('holdfast.tenant_id', true), '')::${TENANT_TYPES[type]}`
  return `CREATE POLICY tenant_isolation ON ${quotedTable(facts)} FOR ALL TO PUBLIC
  USING (${condition})
  WITH CHECK (${condition})`
}

/**
 * The tenant column of a table that is under the second wall: row-level security on and forced, and one policy, of the
 * form that is made here. Whatever else there is, is not taken for it.
 */
export function guardedBy(facts: TableFacts): ColumnFacts | undefined {
  return facts.rlsEnabled && facts.rlsForced ? policyColumn(facts) : undefined
}

/** The column that the table's one policy compares with the tenant. */
export function policyColumn({ policies, columns }: TableFacts): ColumnFacts | undefined {
  const [policy, ...more] = policies
  if (policy === undefined || more.length > 0) return undefined
  const { permissive, roles, command, using, check } = policy
  if (!permissive || roles !== 'public' || command !== 'ALL' || using !== check) return undefined
  // the server adds parentheses and casts to text that change nothing
  const bare = using.replaceAll(/[()\s]|:{2,3}(?:text|STRING)\b/g, '')
  const match = /^(.+?)=NULLIFcurrent_setting'holdfast\.tenant_id',true,''(?:::(\w+))?$/.exec(bare)
  const column = columns.find(({ name }) => [name, quoted(name), `"${name}"`].includes(match?.[1] ?? ''))
  if (column === undefined) return undefined
  const casts: Readonly<Record<string, readonly string[]>> = {
    uuid: ['uuid'],
    int8: ['bigint', 'int8'],
    text: [''],
  }
  return casts[column.type]?.includes((match?.[2] ?? '').toLowerCase()) === true ? column : undefined
}
