import { type Dialect, hasLateSettings, hasTypePrivileges, roleAttributes, roleSettings } from './dialect.ts'
import { policyFirst } from './startup.ts'

/** The five roles of Holdfast, most powerful first. */
export const roleNames = [
  'holdfast_owner',
  'holdfast_migrator',
  'holdfast_enter',
  'holdfast_identity',
  'holdfast_app',
] as const
/** One of the five roles. */
export type RoleName = (typeof roleNames)[number]

/** Roles that can sign in. */
const loginRoleNames = ['holdfast_migrator', 'holdfast_identity', 'holdfast_app'] as const
/** A role that can sign in. */
export type LoginRoleName = (typeof loginRoleNames)[number]

/** What the role statements are made for. */
export type RoleOptions = {
  readonly dialect: Dialect
  /** Name of the database; an ordinary lower-case identifier. */
  readonly database: string
  /** SCRAM verifiers of the login roles; without them the DBA sets passwords himself. */
  readonly verifiers?: Readonly<Record<LoginRoleName, string>>
  /** Roles that exist already and are not made again; their settings and grants are still written. */
  readonly existing?: ReadonlySet<string>
}

/** Statements a superuser runs once: the first list in any database, the second in Holdfast's own. */
export type RoleStatements = {
  readonly cluster: readonly string[]
  readonly database: readonly string[]
}

/** A role that serves requests may hold a statement no longer than this; the pool's own timer is 5 s too. */
const statementTimeout = '5s'
/** A forgotten transaction may hold its snapshot and locks no longer than this. */
const idleInTransactionTimeout = '10s'

/**
 * SQL that makes the five roles with least privilege (CWE-250, ASVS 5.0 V13.2.2) and takes from PUBLIC what every
 * database gives it. For the embedded database, and for a DBA to read and run elsewhere.
 */
export function roleStatements(o: RoleOptions): RoleStatements {
  assertName(o.database)
  const { dialect } = o
  return {
    cluster: [
      ...create(o, 'holdfast_owner', { login: false, inherit: true }),
      ...create(o, 'holdfast_enter', { login: false, inherit: false }),
      ...loginRoleNames.flatMap((role) => create(o, role, { login: true, inherit: false })),
      'GRANT holdfast_owner, holdfast_enter, holdfast_app TO holdfast_migrator',
      ...loginRoleNames.flatMap((role) => settings(role, dialect)),
    ],
    database: [
      ...databaseGrants(o.database),
      'ALTER DEFAULT PRIVILEGES FOR ROLE holdfast_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC',
      'ALTER DEFAULT PRIVILEGES FOR ROLE holdfast_enter REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC',
      ...(hasTypePrivileges(dialect)
        ? ['ALTER DEFAULT PRIVILEGES FOR ROLE holdfast_owner REVOKE USAGE ON TYPES FROM PUBLIC']
        : []),
    ],
  }
}

/**
 * Who may do what with the database itself. Neither a copy made from a template nor a dump carries this, so it is
 * written again for each database.
 */
export function databaseGrants(database: string): readonly string[] {
  assertName(database)
  return [
    `REVOKE ALL ON DATABASE ${database} FROM PUBLIC`,
    `GRANT CONNECT ON DATABASE ${database} TO ${loginRoleNames.join(', ')}`,
    `GRANT CREATE ON DATABASE ${database} TO holdfast_owner`,
    'REVOKE ALL ON SCHEMA public FROM PUBLIC',
  ]
}

function create(o: RoleOptions, name: RoleName, may: { login: boolean; inherit: boolean }): string[] {
  if (o.existing?.has(name) === true) return []
  const verifier = o.verifiers?.[name as LoginRoleName]
  const password = verifier === undefined ? '' : ` PASSWORD '${verifier}'`
  return [`CREATE ROLE ${name} ${roleAttributes(o.dialect, may)}${password}`]
}

/** The start-up packet says the most of it too; this holds for whoever connects with another client. */
function settings(role: LoginRoleName, dialect: Dialect): string[] {
  const set = (name: string, value: string): string => `ALTER ROLE ${role} SET ${name} = ${value}`
  const all = [
    set('search_path', "''"),
    set('default_transaction_isolation', "'serializable'"),
    ...roleSettings(dialect).map(({ name, value }) => set(name, value)),
  ]
  if (role === 'holdfast_migrator') return all
  return [
    ...all,
    set('statement_timeout', `'${statementTimeout}'`),
    set('idle_in_transaction_session_timeout', `'${idleInTransactionTimeout}'`),
    ...(hasLateSettings(dialect) ? [set(policyFirst.name, policyFirst.value)] : []),
  ]
}

function assertName(name: string): void {
  // It is spliced into statements, where no parameter may stand (CWE-89).
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name))
    throw new TypeError('a database name must be a plain lower-case identifier')
}
