import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseApplication, permissionsOf, withRolesOf } from '../../src/service/application.ts'

const directory = mkdtempSync(join(tmpdir(), 'holdfast-application-'))
afterAll(() => rmSync(directory, { recursive: true }))

const table = {
  schema: 'app',
  name: 'notes',
  resource: 'note',
  columns: { tenant_id: { type: 'uuid' }, id: { type: 'uuid' } },
  tenant: 'tenant_id',
}
const parse = (manifest: unknown, migrations?: unknown) =>
  parseApplication({ manifest, migrations, routes: undefined }, join(directory, 'holdfast.config.ts'))
const withTable = (change: object) => ({ tables: [{ ...table, ...change }], roles: {} })
const withRoles = (roles: object) => ({ tables: [table], roles })

describe('an application', () => {
  it('adds its grants to the role of the same name, and its roles to the others', () => {
    const application = parse(withRoles({ owner: ['note:read'], clerk: ['note:send', 'profile:read'] }))
    expect(withRolesOf(application, { owner: ['team:read'], viewer: ['team:read'] })).toEqual({
      owner: ['team:read', 'note:read'],
      viewer: ['team:read'],
      clerk: ['note:send', 'profile:read'],
    })
    expect([...permissionsOf(application)]).toEqual(expect.arrayContaining(['note:send', 'note:delete', 'team:read']))
  })

  it('has its folders beside the configuration file', () => {
    expect(parse(withRoles({}), '.').migrations?.pathname).toBe(`${directory}/`)
    expect(parse(withRoles({}), new URL(`file://${directory}`)).migrations?.pathname).toBe(`${directory}/`)
  })

  const refused: [string, unknown, RegExp][] = [
    ['no manifest', undefined, /needs a manifest/],
    ['a manifest that is none', { tables: 1 }, /application\.manifest in .*holdfast\.config\.ts: manifest\//],
    ['the schema holdfast', withTable({ schema: 'holdfast' }), /schema "holdfast" is Holdfast's own/],
    ['the schema tenancy', withTable({ schema: 'tenancy' }), /schema "tenancy" is Holdfast's own/],
    ['a table of the service', withTable({ name: 'teams' }), /app\.teams: there is a table "teams" already/],
    ['a table twice', { tables: [table, table], roles: {} }, /app\.notes is there twice/],
    ['one name in two schemas', { tables: [table, { ...table, schema: 'other' }], roles: {} }, /"notes" already/],
    ['a resource of the service', withTable({ resource: 'team' }), /resource "team" is Holdfast's own/],
    [
      'a resource with no table of the service',
      withTable({ resource: 'invitation' }),
      /"invitation" is Holdfast's own/,
    ],
    ['a grant on nothing', withRoles({ clerk: ['nte:read'] }), /role "clerk": there is no permission "nte:read"/],
    ['a role that grants nothing', withRoles({ clerk: [] }), /role "clerk": it grants nothing/],
    ['a grant that is none', withRoles({ clerk: ['everything'] }), /"everything" is not resource:verb/],
  ]
  it.each(refused)('is refused with %s', (_, manifest, message) => {
    expect(() => parse(manifest)).toThrow(message)
    expect(() => parse(manifest)).toThrow(expect.objectContaining({ name: 'ConfigError' }))
  })

  it('is refused with a folder of migrations that is not there', () => {
    expect(() => parse(withRoles({}), './nowhere')).toThrow(/application\.migrations in .*there is no folder .*nowhere/)
  })
})
