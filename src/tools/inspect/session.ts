import { policyFirst } from '../../core/database/startup.ts'
import type { SessionRow, SettingRow } from './catalog.ts'
import { type ServingRole, servingRoles } from './expected.ts'
import { literal, named } from './identifier.ts'
import type { Rule } from './rule.ts'

/** What sessions of the roles that serve must start with, for whoever connects by another client than ours. */
type Wanted = Pick<Rule, 'id' | 'cwe' | 'holds' | 'why'> & {
  readonly name: string
  readonly value: string
  readonly isMet: (value: string | undefined) => boolean
}

/** A statement may not hold a connection longer than this, in milliseconds: our own limit is 4 s, the roles' is 5 s. */
const LONGEST_MS = 60_000

const wanted: readonly Wanted[] = [
  {
    id: 'setting-search-path',
    name: 'search_path',
    value: "''",
    cwe: 'CWE-426',
    holds: 'The roles that serve start with an empty `search_path`.',
    why: 'A name without a schema means what stands first on the path: anybody’s who can make something there.',
    isMet: (value) => value !== undefined && /^(?:""|)$/.test(value.trim()),
  },
  {
    id: 'setting-isolation',
    name: 'default_transaction_isolation',
    value: "'serializable'",
    cwe: 'CWE-362',
    holds: 'The roles that serve start transactions as SERIALIZABLE.',
    why: 'Else a demotion and what it should stop can pass each other unseen.',
    isMet: (value) => value === 'serializable',
  },
  {
    id: 'setting-statement-timeout',
    name: 'statement_timeout',
    value: "'5s'",
    cwe: 'CWE-400',
    holds: 'A statement of the roles that serve, and its wait for a lock, ends after a minute at most.',
    why: 'A few slow or waiting statements would take all connections.',
    isMet: isBounded,
  },
  {
    id: 'setting-idle-timeout',
    name: 'idle_in_transaction_session_timeout',
    value: "'10s'",
    cwe: 'CWE-772',
    holds: 'A transaction of the roles that serve that is left open ends after a minute at most.',
    why: 'It holds its locks, and keeps the database from clearing up.',
    isMet: isBounded,
  },
]

/** Settings that take a wall down, and what they have to be wherever they are set. */
const forbidden: readonly (Pick<Rule, 'id' | 'cwe' | 'holds' | 'why'> & {
  readonly name: RegExp
  readonly isHarmless: (value: string) => boolean
})[] = [
  {
    id: 'setting-tenant',
    name: /^holdfast\./,
    cwe: 'CWE-863',
    holds: 'No session starts with a tenant, user or role: no `holdfast.*` setting is set for a role or the database.',
    why: 'A statement that entered as nobody would see that tenant’s rows.',
    isHarmless: (value) => value === '',
  },
  {
    id: 'setting-row-security',
    name: /^row_security$/,
    cwe: 'CWE-863',
    holds: '`row_security` is on.',
    why: 'Off, statements on confined tables fail.',
    isHarmless: (value) => /^(?:on|true|yes|1)$/i.test(value),
  },
  {
    id: 'setting-replication-role',
    name: /^session_replication_role$/,
    cwe: 'CWE-841',
    holds: '`session_replication_role` is origin.',
    why: 'Otherwise foreign keys and triggers do not fire.',
    isHarmless: (value) => value === 'origin',
  },
]

/** What sessions start with, and what this one says. */
export const sessionRules: readonly Rule[] = [
  ...wanted.map(
    ({ id, name, value, cwe, holds, why, isMet }): Rule => ({
      id,
      level: 'warning',
      cwe,
      holds,
      why,
      reads: ['settings', 'session'],
      judge: ({ settings, session: [session] }) =>
        servingRoles
          .filter((role) => !isMet(startsWith(settings, role, name)))
          .map((role) => ({
            object: `role ${role}`,
            what: `${role} starts with ${name} ${said(startsWith(settings, role, name))}.`,
            mend: [
              ...unsetInDatabase(settings, role, name, session?.database ?? 'holdfast'),
              `ALTER ROLE ${named(role)} SET ${name} = ${value}`,
            ],
          })),
    }),
  ),
  ...forbidden.map(
    ({ id, name, cwe, holds, why, isHarmless }): Rule => ({
      id,
      level: 'error',
      cwe,
      holds,
      why,
      reads: ['settings', 'session'],
      judge: ({ settings, session: [session] }) =>
        settings
          .filter((row) => name.test(row.name) && !isHarmless(row.value))
          .map((row) => ({
            object: row.role === null ? 'the database' : `role ${row.role}`,
            what: `${ownerOf(row)} start with ${row.name} = ${literal(row.value)}.`,
            mend: [reset(row, session?.database ?? 'holdfast')],
          })),
    }),
  ),
  {
    id: 'setting-planner',
    level: 'warning',
    cwe: 'CWE-209',
    holds: `The roles that serve start with \`${policyFirst.name} = ${policyFirst.value}\` (PostgreSQL).`,
    why: 'Else the planner may try a condition before a policy, and an error tells what another tenant’s row holds.',
    reads: ['settings', 'session', 'places'],
    judge: ({ settings, session: [session] }) =>
      servingRoles
        .filter((role) => startsWith(settings, role, policyFirst.name) !== policyFirst.value)
        .map((role) => ({
          object: `role ${role}`,
          what: `${role} starts with ${policyFirst.name} ${said(startsWith(settings, role, policyFirst.name))}.`,
          mend: [
            ...unsetInDatabase(settings, role, policyFirst.name, session?.database ?? 'holdfast'),
            `ALTER ROLE ${named(role)} SET ${policyFirst.name} = ${policyFirst.value}`,
          ],
        })),
  },
  {
    id: 'setting-autocommit-ddl',
    level: 'error',
    cwe: 'CWE-841',
    holds: '`autocommit_before_ddl` is off (CockroachDB).',
    why: 'A DDL statement would commit the transaction that it finds itself in, and what follows has no caller.',
    reads: ['session'],
    judge: ({ session: [session] }) =>
      session === undefined || session.autocommit_before_ddl === null || isOff(session.autocommit_before_ddl)
        ? []
        : [
            {
              object: `database ${session.database}`,
              what: 'autocommit_before_ddl is on.',
              mend: servingRoles.map((role) => `ALTER ROLE ${named(role)} SET autocommit_before_ddl = off`),
            },
          ],
  },
  {
    id: 'session-in-effect',
    level: 'error',
    cwe: 'CWE-863',
    holds: 'A session in fact starts SERIALIZABLE, with row-level security, with no tenant, and as origin.',
    why: 'The server’s own configuration file, or a pooler in between, says otherwise.',
    reads: ['session', 'settings'],
    judge: ({ session: [session], settings }) =>
      session === undefined
        ? []
        : contradictions(session)
            // what a role or database is set to is told there
            .filter(({ name }) => !settings.some((row) => row.name === name))
            .map(({ name, value }) => ({
              object: `database ${session.database}`,
              what: `Sessions start with ${name} = ${literal(value)}: take it out of the server’s configuration or the pooler’s.`,
              mend: [],
            })),
  },
]

function contradictions(session: SessionRow): { name: string; value: string }[] {
  const said: [name: string, value: string | null, isRight: (value: string) => boolean][] = [
    ['holdfast.tenant_id', session.tenant, (value) => value === ''],
    ['holdfast.user_id', session.user, (value) => value === ''],
    ['holdfast.role', session.role, (value) => value === ''],
    ['row_security', session.row_security, (value) => !isOff(value)],
    ['session_replication_role', session.replication_role, (value) => value === 'origin'],
    ['default_transaction_isolation', session.isolation, (value) => value === 'serializable'],
  ]
  return said.flatMap(([name, value, isRight]) => (value === null || isRight(value) ? [] : [{ name, value }]))
}

const isOff = (value: string): boolean => /^(?:off|false|no|0)$/i.test(value)

/** What a role starts with in this database: what is set for both wins, then for the role, then for the database. */
function startsWith(settings: readonly SettingRow[], role: ServingRole, name: string): string | undefined {
  const own = settings.filter((row) => row.name === name && (row.role === role || row.role === null))
  const rank = (row: SettingRow): number => (row.role === null ? 0 : 2) + (row.of_database ? 1 : 0)
  return own.sort((a, b) => rank(b) - rank(a))[0]?.value
}

function said(value: string | undefined): string {
  return value === undefined ? 'as the server has it' : `= ${literal(value)}`
}

/** What is set for the role in this database alone would win over what is set for the role. */
function unsetInDatabase(settings: readonly SettingRow[], role: ServingRole, name: string, database: string): string[] {
  const wins = settings.some((row) => row.name === name && row.role === role && row.of_database)
  return wins ? [`ALTER ROLE ${named(role)} IN DATABASE ${named(database)} RESET ${name}`] : []
}

function ownerOf({ role, of_database: ofDatabase }: SettingRow): string {
  if (role === null) return ofDatabase ? 'Sessions of this database' : 'Sessions of all roles'
  return `Sessions of ${role}`
}

function reset({ role, of_database: ofDatabase, name }: SettingRow, database: string): string {
  const parameter = name
    .split('.')
    .map((part) => named(part))
    .join('.')
  if (role === null)
    return ofDatabase ? `ALTER DATABASE ${named(database)} RESET ${parameter}` : `ALTER ROLE ALL RESET ${parameter}`
  return `ALTER ROLE ${named(role)}${ofDatabase ? ` IN DATABASE ${named(database)}` : ''} RESET ${parameter}`
}

/** Whether a time limit is there, and a minute at most; the units are PostgreSQL's, none is milliseconds. */
function isBounded(value: string | undefined): boolean {
  const [, number, unit = 'ms'] = /^(\d+(?:\.\d+)?)\s*(us|ms|s|min)?$/.exec(value?.trim() ?? '') ?? []
  const factor = { us: 0.001, ms: 1, s: 1000, min: 60_000 }[unit]
  if (number === undefined || factor === undefined) return false
  const ms = Number(number) * factor
  return ms > 0 && ms <= LONGEST_MS
}
