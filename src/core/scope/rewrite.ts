import type { Admitted } from './admit.ts'
import { columnsOf, Draft, lockedRelations } from './draft.ts'
import type { Grants } from './grants.ts'
import { checkGrouping } from './grouping.ts'
import { type Struct, stringsOf } from './grammar.ts'
import type { Manifest } from './manifest.ts'
import { checkGaps } from './leaf-gaps.ts'
import { isFunctionField } from './vocabulary/index.ts'
import { rewriteChange } from './rewrite-change.ts'
import { rewriteInsert } from './rewrite-insert.ts'

/** Names of the databases' own: no CTE may bear one, for the real relation could be meant. */
const RESERVED_NAME = /^(?:pg_|information_schema$|crdb_internal$|system$)/

/**
 * Scopes an admitted statement by splicing text at the places of its relations: nothing is deparsed, so nothing else
 * changes its meaning. Not trusted: the prover reads what comes out.
 * @throws ScopeRefusal with the position in the caller's own text
 */
export function rewrite(admitted: Admitted, manifest: Manifest, grants: Grants): Draft {
  const draft = new Draft(admitted, manifest, grants)
  checkNames(draft)
  for (const call of admitted.calls) checkCall(draft, call)
  gateMentions(draft)
  for (const { kind, statement } of admitted.writes) {
    if (kind === 'InsertStmt') rewriteInsert(draft, statement)
    if (kind === 'UpdateStmt') rewriteChange(draft, statement, 'update')
    if (kind === 'DeleteStmt') rewriteChange(draft, statement, 'delete')
  }
  checkGrouping(draft)
  checkGaps(draft)
  dropSchemas(draft)
  return draft
}

/** After all else: where a star was replaced as a whole, nothing is left to drop. */
function dropSchemas(draft: Draft): void {
  const { qualified, tokens, mentions, writes, ctes } = draft.admitted
  if (qualified.length === 0) return
  const targets = writes.map(({ statement }) => statement['relation'] as Struct)
  const bare = [...mentions, ...targets].filter(
    ({ alias, schemaname, relname }) => alias === undefined && (schemaname !== undefined || !ctes.has(String(relname))),
  )
  for (const { column, table } of qualified) {
    const { location } = column
    // under an alias the table has no other name, and its own may be another's
    if (!bare.some((relation) => draft.tableOf(relation) === table)) {
      draft.refuse(location, 'column_not_accepted', 'name it by the alias of its table')
    }
    const first = tokens.findIndex(({ start }) => start === Number(location ?? 0))
    const [schema, name] = [tokens[first], tokens[first + 2]]
    if (schema === undefined || name === undefined) throw new TypeError('a column stands at a token')
    draft.edit(schema.start, name.start, '')
  }
}

/** Each relation that is read and is no CTE becomes its leaf. */
function gateMentions(draft: Draft): void {
  const { statement, mentions, ctes, locks } = draft.admitted
  const locked = locks ? lockedRelations([statement]) : new Set()
  for (const relation of mentions) {
    const { schemaname, relname, location } = relation
    if (schemaname === undefined && ctes.has(String(relname))) continue
    const table = draft.tableOf(relation)
    const isLocked = locked.has(relation)
    if (isLocked && (table.shared === true || table.view === true)) {
      draft.refuse(
        location,
        table.view === true ? 'relation_view' : 'relation_shared',
        'leave the lock out: FOR UPDATE, FOR SHARE',
      )
    }
    // to lock a row is to hold up whoever changes it
    const own = draft.reach(table, isLocked ? ['read', 'update'] : ['read'], location) === 'own'
    draft.gate(relation, table, own)
  }
}

/** A function of the application's: what it reads the first wall does not see, so its caller may read it all. */
function checkCall(draft: Draft, { funcname, location }: Struct): void {
  const [home, name] = stringsOf(funcname)
  const own = draft.manifest.functions?.find((one) => one.schema === home && one.name === name)
  for (const read of own?.reads ?? []) {
    const { resource } = draft.manifest.tables.find((table) => `${table.schema}.${table.name}` === read) ?? {}
    if (draft.grants.get(`${resource}:read`) === 'tenant') continue
    draft.refuse(location, 'grant_missing', `it reads ${read}, and so needs ${resource}:read of the whole tenant`)
  }
}

function checkNames(draft: Draft): void {
  const { manifest, admitted } = draft
  for (const [name, location] of admitted.ctes) {
    if (RESERVED_NAME.test(name) || manifest.tables.some((table) => table.name === name)) {
      draft.refuse(location, 'name_reserved', 'give the WITH query another name')
    }
  }
  const columns = new Set(manifest.tables.flatMap((table) => Object.keys(table.columns)))
  for (const { fields, location } of columnsOf(admitted.statement)) {
    const [, field] = stringsOf(fields)
    if (field === undefined) continue
    if (isFunctionField(field, columns)) {
      draft.refuse(
        location,
        'column_not_accepted',
        'the field is also a function; give the column another name with AS',
      )
    }
  }
}
