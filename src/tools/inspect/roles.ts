import type { Expected } from './expected.ts'
import { named } from './identifier.ts'
import type { OwnedRow, RoleRow } from './catalog.ts'
import type { Rule } from './rule.ts'

/** Attributes that no role of Holdfast has, in the words of ALTER ROLE. */
const attributes: readonly {
  key: Exclude<keyof RoleRow, 'role' | 'login'>
  id: string
  off: string
  says: string
  why: string
}[] = [
  {
    key: 'superuser',
    id: 'role-superuser',
    off: 'NOSUPERUSER',
    says: 'is a superuser',
    why: 'Row-level security, grants and timeouts hold no superuser.',
  },
  {
    key: 'bypassrls',
    id: 'role-bypassrls',
    off: 'NOBYPASSRLS',
    says: 'bypasses row-level security',
    why: 'The second wall does not hold it: it sees and writes the rows of every tenant.',
  },
  {
    key: 'createrole',
    id: 'role-createrole',
    off: 'NOCREATEROLE',
    says: 'can make and change roles',
    why: 'It can give itself the rights of other roles.',
  },
  {
    key: 'createdb',
    id: 'role-createdb',
    off: 'NOCREATEDB',
    says: 'can make databases',
    why: 'It would own what it makes, and can fill the disk.',
  },
  {
    key: 'replication',
    id: 'role-replication',
    off: 'NOREPLICATION',
    says: 'can replicate',
    why: 'Replication copies every row of the cluster, past row-level security.',
  },
]

/** Memberships that a hosted database needs for signing in and that grant nothing by themselves. */
const SIGN_IN_ONLY = new Set(['rds_iam'])

/** Whom the URLs lead in as: where that is wrong, nothing else is judged. */
export const loginRules: readonly Rule[] = [
  {
    id: 'login-role',
    level: 'error',
    cwe: 'CWE-250',
    holds: '`DATABASE_URL` leads in as `holdfast_app`, `HOLDFAST_IDENTITY_URL` as `holdfast_identity`.',
    why: 'Row-level security holds neither superusers nor owners, and handlers must not write what judges them.',
    reads: [],
    judge: (_evidence, _expected, { logins }) =>
      logins
        .filter(({ role, wanted }) => role !== wanted)
        .map(({ url, role, wanted }) => ({
          object: url,
          what: `${url} must be the URL of the role ${wanted}; it leads in as "${role}".`,
          mend: [],
        })),
  },
  {
    id: 'login-database',
    level: 'error',
    cwe: 'CWE-1188',
    holds: 'All URLs lead to one database.',
    why: 'Who a caller is would be judged by another database than the one that holds the rows.',
    reads: [],
    judge: (_evidence, _expected, { logins: [first, ...others] }) =>
      others
        .filter(({ database }) => database !== first?.database)
        .map(({ url }) => ({
          object: url,
          what: `${first?.url} and ${url} lead to two databases: they must lead to one.`,
          mend: [],
        })),
  },
]

/** Who the roles are. */
export const roleRules: readonly Rule[] = [
  ...attributes.map(
    ({ key, id, off, says, why }): Rule => ({
      id,
      level: 'error',
      cwe: 'CWE-250',
      holds: `None of the five roles ${says}.`,
      why,
      reads: ['roles'],
      judge: ({ roles }) =>
        roles
          .filter((row) => row[key])
          .map(({ role }) => ({
            object: `role ${role}`,
            what: `${role} ${says}.`,
            mend: [`ALTER ROLE ${named(role)} ${off}`],
          })),
    }),
  ),
  {
    id: 'role-login',
    level: 'error',
    cwe: 'CWE-269',
    holds: '`holdfast_owner` and `holdfast_enter` cannot log in.',
    why: 'The owner can drop the walls, and enter reads every session: nobody signs in as either.',
    reads: ['roles'],
    judge: ({ roles }) =>
      roles
        .filter(({ role, login }) => login && (role === 'holdfast_owner' || role === 'holdfast_enter'))
        .map(({ role }) => ({
          object: `role ${role}`,
          what: `${role} can log in.`,
          mend: [`ALTER ROLE ${named(role)} NOLOGIN`],
        })),
  },
  {
    id: 'role-member',
    level: 'error',
    cwe: 'CWE-269',
    holds: 'The roles that serve are members of no role.',
    why: 'A member has the rights of its group, or takes them by SET ROLE: those of an owner end row-level security.',
    reads: ['memberships'],
    judge: ({ memberships }) =>
      memberships
        .filter(({ granted, through }) => granted === through && !SIGN_IN_ONLY.has(granted))
        .map(({ role, granted }) => {
          const more = memberships.filter(
            (row) => row.role === role && row.through === granted && row.granted !== granted,
          )
          const brings = more.length === 0 ? '' : `, and through it of ${more.map((row) => row.granted).join(', ')}`
          return {
            object: `role ${role}`,
            what: `${role} is a member of ${granted}${brings}.`,
            mend: [`REVOKE ${named(granted)} FROM ${named(role)}`],
          }
        }),
  },
  {
    id: 'role-owns',
    level: 'error',
    cwe: 'CWE-282',
    holds: 'The roles that serve own nothing in the database.',
    why: 'An owner can take row-level security off, grant, change and drop what it owns.',
    reads: ['owned'],
    judge: ({ owned }, expected) =>
      owned.map((row) => ({
        object: ownedName(row),
        what: `${row.role} owns the ${row.kind.toLowerCase()} ${ownedName(row)}.`,
        mend: [`ALTER ${row.kind} ${ownedName(row)} OWNER TO holdfast_owner`, ...grantedAgain(row, expected)],
      })),
  },
]

function ownedName({ schema, name, arguments: types }: OwnedRow): string {
  return `${schema === null ? named(name) : named(schema, name)}${types === null ? '' : `(${types})`}`
}

/** With the ownership goes what the role was granted: what is declared for it comes back. */
function grantedAgain({ role, kind, schema, name }: OwnedRow, { tables, schemas }: Expected): string[] {
  if (kind === 'SCHEMA') return schemas[role].has(name) ? [`GRANT USAGE ON SCHEMA ${named(name)} TO ${role}`] : []
  const privileges = [...(tables.get(`${schema}.${name}`)?.grants[role] ?? [])].join(', ')
  return privileges === '' ? [] : [`GRANT ${privileges} ON TABLE ${named(schema ?? '', name)} TO ${role}`]
}
