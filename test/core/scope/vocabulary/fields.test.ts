import { expect, it } from 'vitest'
import { FUNCTIONS, isFunctionField, whyNot } from '../../../../src/core/scope/vocabulary/index.ts'

const words = (text: string): string[] => text.trim().split(/\s+/)
const isField = (name: string, ...columns: string[]): boolean => !isFunctionField(name, new Set(columns))

it('what acts, looks up or is the databases’ own is no field, whatever the manifest says', () => {
  const acting =
    words(`pg_sleep _pg_sleep __pg_x binary_upgrade_create_empty_extension crdb_internal_x regclass _regrole
    to_regclass lo_unlink query_to_xml table_to_xml schema_to_xml database_to_xml cursor_to_xml txid_current nextval currval
    setval set_config current_setting`)
  for (const name of acting) expect([name, isField(name), isField(name, name)]).toEqual([name, false, false])
})

it('what is refused for another reason gives way to a column, and what is accepted is a field', () => {
  const refused = words('money _money xml xmlcomment inet_client_addr')
  for (const name of refused) expect([name, isField(name), isField(name, name)]).toEqual([name, false, true])
  for (const name of words('my_pg_x acrdb_x not_binary_upgrade lower upper total version bit')) {
    expect([name, isField(name)]).toEqual([name, true])
  }
})

it('a way round that is a function’s own is not given for a type of the same name', () => {
  expect(whyNot('function', 'char')).toMatch(/use chr or ascii/)
  expect(whyNot('type', 'money')).toMatch(/^it /)
  expect(whyNot('type', 'polygon') ?? '').not.toMatch(/cast the circle/)
  expect(FUNCTIONS.has('')).toBe(false)
})
