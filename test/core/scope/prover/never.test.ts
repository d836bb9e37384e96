import { beforeAll, describe, expect, it } from 'vitest'
import { prove, Unproven } from '../../../../src/core/scope/prover/prove.ts'
import { loadKernel } from '../../../../src/core/scope/scope.ts'
import { FUNCTIONS, TYPES } from '../../../../src/core/scope/vocabulary/index.ts'
import { everything, office, slots } from './office.ts'

beforeAll(loadKernel)

const told = (text: string): string => {
  try {
    return prove({ text, slots, manifest: office, grants: everything })[0] ?? ''
  } catch (error) {
    if (!(error instanceof Unproven)) throw error
    return error.message
  }
}

/** What the prover says while a name stands in a list of the vocabulary, where it never should. */
const slipped = (list: ReadonlySet<string>, name: string, text: string): string => {
  const open = list as Set<string>
  const isKnown = open.has(name)
  open.add(name)
  try {
    return told(text)
  } finally {
    if (!isKnown) open.delete(name)
  }
}

const words = (text: string): string[] => text.trim().split(/\s+/)

describe('a name that slipped into the vocabulary is refused all the same', () => {
  it.each(
    words(`pg_sleep lo_export to_regclass ts_stat ts_rewrite query_to_xml table_to_xml schema_to_xml database_to_xml
      cursor_to_xml set_config current_setting session_user_name nextval currval lastval setval has_table_privilege
      row_security_active obj_description col_description shobj_description inet_client_addr inet_server_port
      txid_current crdb_internal_x`),
  )('the function %s', (name) => {
    expect(slipped(FUNCTIONS, name, `SELECT ${name}()`)).toBe('not proven: a function of the list')
    expect(slipped(FUNCTIONS, name, `SELECT pg_catalog.${name}()`)).toBe('not proven: a function of the list')
  })

  it.each(
    words(`my_pg_sleep hello_export into_reg ts_stats ts_rewrites xts_stat xts_rewrite a_query_to_x set_configs reset_config
      concurrent_x obsession_x nextvals currvals lastvals setvals unextval recurrval offsetval alastval this_has_x arow_security
      obj_descriptions col_descriptions shobj_descriptions an_obj_description acol_description inet_clause inetserver
      xinet_client my_txid_x xcrdb_x query_too table_two schema_from database_of cursor_on val description`),
  )('but not the function %s, which is none of them', (name) => {
    expect(slipped(FUNCTIONS, name, `SELECT ${name}()`)).toBe('SELECT, reads only')
  })

  it.each(
    words(`regclass _regproc pg_lsn _pg_lsn oid oidvector _oid xid cid tid xtid xcid id _id xml _xml refcursor _refcursor
      aclitem _aclitem`),
  )('the type %s', (name) => {
    expect(slipped(TYPES, name, `SELECT NULL::${name}`)).toBe('not proven: a type of the list')
    expect(slipped(TYPES, name, `SELECT NULL::pg_catalog.${name}`)).toBe('not proven: a type of the list')
  })

  it.each(words('unreg apg_lsn void xids cids tids ids anid uuid axml arefcursor anaclitem coid'))(
    'but not the type %s, which is none of them',
    (name) => {
      expect(slipped(TYPES, name, `SELECT NULL::${name}`)).toBe('SELECT, reads only')
    },
  )
})

describe('a WITH query has no name of the databases’ own', () => {
  it.each(
    words('pg_class PG_Class information_schema INFORMATION_SCHEMA crdb_internal Crdb_Internal system SYSTEM docs'),
  )('%s', (name) => {
    expect(told(`WITH "${name}" AS (SELECT 1 AS a) SELECT a FROM "${name}"`)).toBe('not proven: name of a CTE')
  })

  it.each(
    words('apg_class information_schemas an_information_schema crdb_internals acrdb_internal systems asystem mydocs'),
  )('%s is none of them', (name) => {
    expect(told(`WITH "${name}" AS (SELECT 1 AS a) SELECT a FROM "${name}"`)).toBe('SELECT, reads only')
  })
})
