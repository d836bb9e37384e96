import { type Carry, rollbackStatement, surpriseOf } from '../core/database/carry.ts'
import type { Query } from '../core/database/statement.ts'

const say = (name: string, text: string): Query => ({ statement: { name, text }, values: [] })
const savepoint = say('hf_test_savepoint', 'SAVEPOINT hf_unit')
const becomeApp = say('hf_test_role', 'SET LOCAL ROLE holdfast_app')
const readOnly = say('hf_test_read_only', "SELECT pg_catalog.set_config('transaction_read_only', 'on', true)")
const undo = say('hf_test_undo', 'ROLLBACK TO SAVEPOINT hf_unit')
const release = say('hf_test_release', 'RELEASE SAVEPOINT hf_unit')
/** What a transaction's end takes back by itself, and a savepoint's does not. */
const forget = say(
  'hf_test_forget',
  `SELECT pg_catalog.set_config('role', 'none', true), pg_catalog.set_config('holdfast.tenant_id', '', true),
  pg_catalog.set_config('holdfast.user_id', '', true), pg_catalog.set_config('holdfast.role', '', true)`,
)
/** Deferred constraints are judged at COMMIT; rolled back, so that they stay deferred for the next unit. */
const judgeDeferred = [
  say('hf_test_judge_begin', 'SAVEPOINT hf_deferred'),
  say('hf_test_judge', 'SET CONSTRAINTS ALL IMMEDIATE'),
  say('hf_test_judge_end', 'ROLLBACK TO SAVEPOINT hf_deferred'),
]

/**
 * Carries a transaction's loads as savepoints of an outer transaction: SAVEPOINT for BEGIN, RELEASE for COMMIT, and the
 * app role for the login role. A read-only unit has nothing to keep, so it is rolled back, settings and all.
 */
export function createRehearsalCarry(): Carry {
  let isReadOnly = false
  return async (connection, load) => {
    if (load.opening === undefined && load.queries.length === 1 && load.queries[0]?.statement === rollbackStatement) {
      const end = await connection.fly([undo, release])
      if ('cause' in end || end.failure !== undefined) return { ...end, surprise: undefined }
      return { results: [], excess: undefined, status: 'I', failure: undefined, surprise: undefined }
    }
    const before: Query[] = []
    if (load.opening !== undefined) {
      isReadOnly = load.opening.text.endsWith('READ ONLY')
      before.push(forget, savepoint, becomeApp, ...(isReadOnly && !load.implicit ? [readOnly] : []))
    }
    const after = load.commit ? (isReadOnly ? [undo, release] : [...judgeDeferred, release, forget]) : []
    const end = await connection.fly([...before, ...load.queries, ...after])
    const index = end.failure === undefined ? 0 : end.failure.index - before.length
    const failure =
      end.failure === undefined
        ? undefined
        : { ...end.failure, index: Math.max(-1, Math.min(index, load.queries.length)) }
    if ('cause' in end) return { ...end, failure }
    const results = end.results.slice(before.length, before.length + load.queries.length)
    const excess = end.excess === undefined ? undefined : end.excess - before.length
    if (failure !== undefined) return { results, excess, status: 'E', failure, surprise: undefined }
    const tags = end.tags.slice(before.length, before.length + load.queries.length)
    const surprise = surpriseOf({ ...load, commit: false }, tags, end.status)
    return { results, excess, status: load.commit ? 'I' : 'T', failure: undefined, surprise }
  }
}
