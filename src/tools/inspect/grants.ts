import type { PlaceRow, PrivilegeRow } from './catalog.ts'
import { type Expected, type ExpectedTable, keyOf, type Privilege, type ServingRole, servingRoles } from './expected.ts'
import { named } from './identifier.ts'
import type { Found, Rule } from './rule.ts'

/** What changes a table itself, or goes past its policies. */
const BEYOND_ROWS = new Set(['TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN'])
const isServing = (grantee: string): grantee is ServingRole => (servingRoles as readonly string[]).includes(grantee)
const nameOf = (row: PrivilegeRow): string => named(row.schema, row.name)
const objectOf = (row: PrivilegeRow): string => `${row.kind === 'S' ? 'sequence ' : ''}${nameOf(row)}`
const kindOf = ({ kind }: PrivilegeRow): string => (kind === 'S' ? 'SEQUENCE' : 'TABLE')
const revoke = (row: PrivilegeRow): string =>
  `REVOKE ${row.privilege}${row.column === null ? '' : ` (${named(row.column)})`} ON ${kindOf(row)} ${nameOf(row)} FROM ${row.grantee}`

function grantsOf(expected: Expected, row: PrivilegeRow): ReadonlySet<string> {
  const table = expected.tables.get(keyOf(row))
  return table === undefined || !isServing(row.grantee) ? new Set() : table.grants[row.grantee]
}

/** Several privileges of one grantee on one object are one finding. */
function grouped(rows: readonly PrivilegeRow[], what: (row: PrivilegeRow, privileges: string) => string): Found[] {
  const groups = new Map<string, PrivilegeRow[]>()
  for (const row of rows) {
    const key = JSON.stringify([row.schema, row.name, row.column, row.grantee])
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  return [...groups.values()].map((group) => {
    const [first] = group as [PrivilegeRow]
    const privileges = group.map(({ privilege }) => privilege).join(', ')
    return {
      object: objectOf(first),
      what: what(first, privileges),
      mend: [revoke({ ...first, privilege: column(first, privileges) })],
    }
  })
}

/** Each privilege of a list on one column names it. */
function column(row: PrivilegeRow, privileges: string): string {
  return row.column === null ? privileges : privileges.replaceAll(', ', ` (${named(row.column)}), `)
}

/** Whether a row is of an expected table, and not of one column or of a sequence. */
const ofTable =
  (expected: Expected) =>
  (row: PrivilegeRow): boolean =>
    row.column === null && row.kind !== 'S' && expected.tables.has(keyOf(row))

/** Grants are exactly those declared. */
export const grantRules: readonly Rule[] = [
  {
    id: 'grant-beyond-rows',
    level: 'error',
    cwe: 'CWE-250',
    holds: 'The roles that serve have no TRUNCATE, REFERENCES, TRIGGER or MAINTAIN on any table.',
    why: 'TRUNCATE empties a table past its policies, a trigger runs with the rights of others, and a foreign key asks which rows exist.',
    reads: ['privileges'],
    judge: ({ privileges }) =>
      grouped(
        privileges.filter(
          ({ grantee, privilege, column: of, own }) =>
            isServing(grantee) && !own && of === null && BEYOND_ROWS.has(privilege),
        ),
        (row, list) => `${row.grantee} has ${list} on ${nameOf(row)}.`,
      ),
  },
  {
    id: 'grant-more',
    level: 'error',
    cwe: 'CWE-250',
    holds:
      'On a table of the manifest the app role has what some role is granted, and no more; on Holdfast’s own what its migrations grant.',
    why: 'A right that no role needs is one that only an attacker uses.',
    reads: ['privileges'],
    judge: ({ privileges }, expected) =>
      grouped(
        privileges
          .filter(ofTable(expected))
          .filter(
            (row) =>
              isServing(row.grantee) &&
              !row.own &&
              !BEYOND_ROWS.has(row.privilege) &&
              !grantsOf(expected, row).has(row.privilege),
          ),
        (row, list) => `${row.grantee} has ${list} on ${nameOf(row)}, which nothing declares.`,
      ),
  },
  {
    id: 'grant-less',
    level: 'error',
    cwe: 'CWE-1220',
    holds: 'The roles that serve have every right that is declared.',
    why: 'Requests that the roles allow would fail in the database.',
    reads: ['privileges', 'relations'],
    judge: ({ privileges, relations }, expected) => {
      const there = new Set(relations.map(keyOf))
      const held = new Set(
        privileges
          .filter((row) => row.column === null)
          .map((row) => JSON.stringify([keyOf(row), row.grantee, row.privilege])),
      )
      const lacks = (table: ExpectedTable, role: ServingRole): Privilege[] =>
        [...table.grants[role]].filter((privilege) => !held.has(JSON.stringify([keyOf(table), role, privilege])))
      return [...expected.tables.values()]
        .filter((table) => there.has(keyOf(table)))
        .flatMap((table) =>
          servingRoles
            .map((role) => ({ table, role, missing: lacks(table, role).join(', ') }))
            .filter(({ missing }) => missing !== ''),
        )
        .map(({ table, role, missing }) => ({
          object: named(table.schema, table.name),
          what: `${role} lacks ${missing} on ${named(table.schema, table.name)}.`,
          mend: [`GRANT ${missing} ON TABLE ${named(table.schema, table.name)} TO ${role}`],
        }))
    },
  },
  {
    id: 'grant-column',
    level: 'error',
    cwe: 'CWE-1220',
    holds: 'There are no grants on single columns.',
    why: 'A grant on a column stays when the one on the table is revoked, and CockroachDB has none.',
    reads: ['privileges'],
    judge: ({ privileges }) =>
      grouped(
        privileges.filter((row) => row.column !== null),
        (row, list) => `${row.grantee} has ${list} on the column ${row.column} of ${nameOf(row)}.`,
      ),
  },
  {
    id: 'grant-option',
    level: 'error',
    cwe: 'CWE-269',
    holds: 'No right may be passed on by the roles that serve.',
    why: 'Whoever may grant a right can hand it to PUBLIC.',
    reads: ['privileges', 'places'],
    judge: ({ privileges, places }, expected) => [
      ...privileges
        .filter(
          (row) =>
            row.grantable &&
            !row.own &&
            row.column === null &&
            ofTable(expected)(row) &&
            grantsOf(expected, row).has(row.privilege),
        )
        .map((row) => ({
          object: nameOf(row),
          what: `${row.grantee} may grant ${row.privilege} on ${nameOf(row)} to others.`,
          mend: [`REVOKE GRANT OPTION FOR ${row.privilege} ON TABLE ${nameOf(row)} FROM ${row.grantee}`],
        })),
      ...places
        .filter((row) => row.grantable && !row.own && isDeclared(row, expected))
        .map((row) => ({
          object: `${row.kind} ${row.name}`,
          what: `${row.grantee} may grant ${row.privilege} on the ${row.kind} ${row.name} to others.`,
          mend: [
            `REVOKE GRANT OPTION FOR ${row.privilege} ON ${row.kind.toUpperCase()} ${named(row.name)} FROM ${row.grantee}`,
          ],
        })),
    ],
  },
  {
    id: 'grant-sequence',
    level: 'error',
    cwe: 'CWE-250',
    holds: 'On sequences the app role has USAGE at most, and PUBLIC nothing.',
    why: 'A sequence is shared by all tenants: who reads or sets it counts their rows, or makes their keys collide.',
    reads: ['privileges'],
    judge: ({ privileges }) =>
      grouped(
        privileges.filter(
          (row) => row.kind === 'S' && !row.own && !(row.grantee === 'holdfast_app' && row.privilege === 'USAGE'),
        ),
        (row, list) => `${row.grantee} has ${list} on the sequence ${nameOf(row)}.`,
      ),
  },
  {
    id: 'grant-ddl',
    level: 'error',
    cwe: 'CWE-250',
    holds: 'The roles that serve make nothing: no CREATE on the database or a schema, no temporary tables.',
    why: 'Who makes a table, view or function owns it, and one of a known name stands before the real one.',
    reads: ['places'],
    judge: ({ places }) =>
      places
        .filter(
          ({ grantee, privilege, own }) =>
            isServing(grantee) && !own && (privilege === 'CREATE' || privilege === 'TEMPORARY'),
        )
        .map((row) => ({
          object: placeOf(row),
          what: `${row.grantee} has ${row.privilege} on the ${placeOf(row)}.`,
          mend: [revokePlace(row)],
        })),
  },
  {
    id: 'grant-schema',
    level: 'error',
    cwe: 'CWE-250',
    holds: 'The roles that serve may use the schemas that hold what is theirs, and no others.',
    why: 'What is in a schema is out of reach as long as the schema is.',
    reads: ['places'],
    judge: ({ places }, expected) => {
      const usage = places.filter(({ kind, privilege }) => kind === 'schema' && privilege === 'USAGE')
      const more = usage.filter(
        ({ grantee, name, own }) => isServing(grantee) && !own && !expected.schemas[grantee].has(name),
      )
      const holds = (role: ServingRole, schema: string): boolean =>
        usage.some(({ grantee, name }) => grantee === role && name === schema)
      const less = servingRoles.flatMap((role) =>
        [...expected.schemas[role]].filter((schema) => !holds(role, schema)).map((schema) => ({ role, schema })),
      )
      return [
        ...more.map((row) => ({
          object: placeOf(row),
          what: `${row.grantee} may use the ${placeOf(row)}, in which nothing is declared.`,
          mend: [revokePlace(row)],
        })),
        ...less.map(({ role, schema }) => ({
          object: `schema ${schema}`,
          what: `${role} may not use the schema ${schema}.`,
          mend: [`GRANT USAGE ON SCHEMA ${named(schema)} TO ${role}`],
        })),
      ]
    },
  },
]

/** A right on a schema or the database that a serving role is to have. */
function isDeclared({ kind, name, grantee, privilege }: PlaceRow, { schemas }: Expected): boolean {
  if (!isServing(grantee)) return false
  return kind === 'database' ? privilege === 'CONNECT' : privilege === 'USAGE' && schemas[grantee].has(name)
}

function placeOf({ kind, name }: PlaceRow): string {
  return `${kind} ${named(name)}`
}

/** Takes a right on a schema or the database away. */
export function revokePlace({ kind, name, grantee, privilege }: PlaceRow): string {
  return `REVOKE ${privilege} ON ${kind.toUpperCase()} ${named(name)} FROM ${grantee}`
}
