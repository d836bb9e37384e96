import type { ScopeRefusalCode } from '../../../../src/core/scope/refusals.ts'
import type { ActorName } from './house.ts'

/** What an attacker would gain, with the weakness that it is. */
export const gains = {
  reads: ['CWE-639', 'reads rows of another tenant'],
  writes: ['CWE-639', 'changes or deletes rows of another tenant'],
  plants: ['CWE-639', 'makes or moves a row into another tenant'],
  others: ['CWE-863', 'reads or changes rows of another owner'],
  gives: ['CWE-863', 'makes a row somebody else’s, or somebody else’s one’s own'],
  grants: ['CWE-862', 'does what the role was not granted'],
  hidden: ['CWE-1220', 'reads a column that is hidden, or orders by it'],
  fixed: ['CWE-915', 'assigns a column that is read-only'],
  oracle: ['CWE-203', 'learns from an error, a count or a lock what another tenant has'],
  inject: ['CWE-89', 'breaks out of a condition'],
  shadow: ['CWE-706', 'puts another relation, function or column in the place of a known one'],
  parsers: ['CWE-436', 'is read in two ways by two readers'],
  session: ['CWE-668', 'changes the session: tenant, role, settings, transaction'],
  catalog: ['CWE-200', 'reads what the database knows of itself, statistics of all rows among it'],
  outside: ['CWE-610', 'reaches files, the network, other sessions'],
  dynamic: ['CWE-95', 'runs SQL that stands in a text'],
  work: ['CWE-400', 'takes time, memory or locks without end'],
  types: ['CWE-704', 'says one thing to the check and another to the database'],
} as const
export type Gain = keyof typeof gains

/** What a wall is known not to close. The test demands that it really leaks there. */
export const limits = {
  errors: 'an expression fails on a row of another tenant: the planner may look at it before the first wall does',
  keys: 'a unique or foreign key without the tenant in it tells whether a row is there, and locks it, whatever the wall',
  catalog: 'places in the file, sizes, statistics and the numbers of transactions and objects are everybody’s',
  function: 'the first wall does not see inside a declared function; row-level security does',
  through: 'a table without a tenant column has no policy: the first wall is all it has',
  ids: 'a key without the owner in it tells an owner whether another’s row is there',
  owners: 'an expression fails on a row of another owner in the same tenant: no policy goes before that',
  own: 'row-level security knows tenants, not owners',
  grants: 'row-level security knows tenants, not permissions',
  fields: 'row-level security hides rows, not columns',
  settings: 'whoever sends any text sets the tenant that row-level security goes by',
  bare: 'relations without a policy, and whatever runs with its owner’s rights, are past row-level security',
} as const
export type Limit = keyof typeof limits

export type Wall = 'first' | 'second' | 'both'

type More = {
  readonly values?: readonly unknown[]
  readonly as?: ActorName
  /** limits of the walls that are known */
  readonly leaks?: Partial<Record<Wall, Limit>>
  /** only the time limit ends it, raw or scoped */
  readonly endless?: true
  /** why the raw text is not run */
  readonly unrun?: string
  /** needs this version of PostgreSQL, else the raw text is no SQL */
  readonly since?: number
}

/**
 * An attack: its name, what it would gain, the text, and what the kernel says: `scoped`, so that it sees and does only
 * what the caller may, or the code of the refusal, from the text or from its values.
 */
export type Attack = readonly [name: string, gain: Gain, sql: string, verdict: 'scoped' | ScopeRefusalCode, more?: More]
