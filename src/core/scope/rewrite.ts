import type { Admitted } from './admit.ts'
import { columnsOf, Draft, lockedRelations } from './draft.ts'
import type { Grants } from './grants.ts'
import { stringsOf } from './grammar.ts'
import type { Manifest } from './manifest.ts'
import { isFunctionField } from './one-argument-functions.ts'
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
  const { kind, statement, mentions, ctes, locks } = admitted
  const locked = locks ? lockedRelations([statement]) : new Set()
  for (const { relation, place } of mentions) {
    if (place === 'target' || (relation['schemaname'] === undefined && ctes.has(String(relation['relname'])))) continue
    const table = draft.tableOf(relation)
    const isLocked = locked.has(relation)
    if (isLocked && table.tenant === undefined) {
      draft.refuse(relation['location'], 'relation_shared', 'leave FOR UPDATE or FOR SHARE out')
    }
    // to lock a row is to hold up whoever changes it
    const own = draft.reach(table, isLocked ? ['read', 'update'] : ['read'], relation['location']) === 'own'
    draft.gate(relation, table, own)
  }
  if (kind === 'InsertStmt') rewriteInsert(draft, statement)
  if (kind === 'UpdateStmt') rewriteChange(draft, statement, 'update')
  if (kind === 'DeleteStmt') rewriteChange(draft, statement, 'delete')
  return draft
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
