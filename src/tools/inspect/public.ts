import type { DefaultRow } from './catalog.ts'
import { keyOf } from './expected.ts'
import { revokePlace } from './grants.ts'
import { named } from './identifier.ts'
import type { Found, Rule } from './rule.ts'

const KIND_OF: Readonly<Record<string, string>> = {
  r: 'TABLES',
  S: 'SEQUENCES',
  f: 'FUNCTIONS',
  T: 'TYPES',
  n: 'SCHEMAS',
}
/** Whose future objects matter: those that migrations make. */
const MAKERS = ['holdfast_owner', 'holdfast_enter']

/** What everybody has, and what everybody would get. */
export const publicRules: readonly Rule[] = [
  {
    id: 'public-create',
    level: 'error',
    cwe: 'CWE-276',
    holds: 'PUBLIC makes nothing: no CREATE on the database or a schema, no temporary tables.',
    why: 'A table or function that anybody made can stand before the real one of that name.',
    reads: ['places'],
    judge: ({ places }) =>
      places
        .filter(
          ({ grantee, privilege }) => grantee === 'PUBLIC' && (privilege === 'CREATE' || privilege === 'TEMPORARY'),
        )
        .map((row) => ({
          object: `${row.kind} ${named(row.name)}`,
          what: `PUBLIC has ${row.privilege} on the ${row.kind} ${named(row.name)}.`,
          mend: [revokePlace(row)],
        })),
  },
  {
    id: 'public-place',
    level: 'warning',
    cwe: 'CWE-276',
    holds: 'PUBLIC may neither connect to the database nor use the schemas public, of the manifest, and of Holdfast.',
    why: 'Every other role of the cluster gets as far as this.',
    reads: ['places'],
    judge: ({ places }, { homes }) =>
      places
        .filter(({ kind, name, grantee, privilege }) =>
          grantee !== 'PUBLIC'
            ? false
            : kind === 'database'
              ? privilege === 'CONNECT'
              : privilege === 'USAGE' && (name === 'public' || homes.has(name)),
        )
        .map((row) => ({
          object: `${row.kind} ${named(row.name)}`,
          what: `PUBLIC has ${row.privilege} on the ${row.kind} ${named(row.name)}.`,
          mend: [revokePlace(row)],
        })),
  },
  {
    id: 'public-table',
    level: 'error',
    cwe: 'CWE-276',
    holds: 'PUBLIC has no right on a table of the manifest or of Holdfast.',
    why: 'Both roles that serve have it too, whatever is declared for them.',
    reads: ['privileges'],
    judge: ({ privileges }, { tables }) =>
      privileges
        .filter((row) => row.grantee === 'PUBLIC' && row.column === null && row.kind !== 'S' && tables.has(keyOf(row)))
        .map((row) => ({
          object: named(row.schema, row.name),
          what: `PUBLIC has ${row.privilege} on ${named(row.schema, row.name)}.`,
          mend: [`REVOKE ${row.privilege} ON TABLE ${named(row.schema, row.name)} FROM PUBLIC`],
        })),
  },
  {
    id: 'public-type',
    level: 'warning',
    cwe: 'CWE-276',
    holds: 'PUBLIC has no USAGE on the types in the schemas of the manifest.',
    why: 'A column or function that somebody else makes of it can keep the type from being changed.',
    reads: ['types'],
    judge: ({ types }) =>
      types.map((row) => ({
        object: named(row.schema, row.name),
        what: `PUBLIC has USAGE on the type ${named(row.schema, row.name)}.`,
        mend: [`REVOKE USAGE ON TYPE ${named(row.schema, row.name)} FROM PUBLIC`],
      })),
  },
  {
    id: 'default-privileges',
    level: 'error',
    cwe: 'CWE-276',
    holds: 'No default privileges give PUBLIC or a role that serves a right on what is made later.',
    why: 'A new table would be open before anybody has said whose rows it holds.',
    reads: ['defaults'],
    judge: ({ defaults }) => defaults.filter(({ privilege }) => privilege !== '').map(defaultFinding),
  },
  {
    id: 'default-execute',
    level: 'warning',
    cwe: 'CWE-276',
    holds: 'What `holdfast_owner` and `holdfast_enter` make later is not executable by PUBLIC.',
    why: 'The database gives everybody EXECUTE on a new function unless it is told not to.',
    reads: ['defaults'],
    judge: ({ defaults }) =>
      MAKERS.filter(
        (maker) => !defaults.some((row) => row.maker === maker && row.kind === 'f' && row.schema === null),
      ).map((maker) => ({
        object: `role ${maker}`,
        what: `PUBLIC would get EXECUTE on the functions that ${maker} makes.`,
        mend: [`ALTER DEFAULT PRIVILEGES FOR ROLE ${named(maker)} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC`],
      })),
  },
]

function defaultFinding({ maker, schema, kind, grantee, privilege }: DefaultRow): Found {
  const where = schema === null ? '' : ` IN SCHEMA ${named(schema)}`
  const what = KIND_OF[kind] ?? 'LARGE OBJECTS'
  return {
    object: `role ${maker}`,
    what: `${grantee} would get ${privilege} on the ${what.toLowerCase()} that ${maker} makes${schema === null ? '' : ` in ${schema}`}.`,
    mend: [`ALTER DEFAULT PRIVILEGES FOR ROLE ${named(maker)}${where} REVOKE ${privilege} ON ${what} FROM ${grantee}`],
  }
}
