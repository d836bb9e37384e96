import type { FunctionRow } from './catalog.ts'
import { type Expected, keyOf, type ServingRole, servingRoles } from './expected.ts'
import { named } from './identifier.ts'
import type { Found, Rule } from './rule.ts'

const isServing = (grantee: string | null): grantee is ServingRole =>
  (servingRoles as readonly (string | null)[]).includes(grantee)
const nameOf = (row: FunctionRow): string => `${named(row.schema, row.name)}(${row.arguments})`
const keysOf = (row: FunctionRow): string => `${row.schema}.${row.name}(${row.arguments})`

/** Extensions whose functions reach other servers, or files of this one. */
const REACHING_OUT = new Set([
  'dblink',
  'postgres_fdw',
  'file_fdw',
  'adminpack',
  'pageinspect',
  'lo',
  'http',
  'pg_net',
  'aws_s3',
  'aws_lambda',
])

function mayCall({ functions }: Expected, row: FunctionRow): boolean {
  const roles = isServing(row.grantee) ? [row.grantee] : servingRoles
  return roles.some((role) => functions[role].has(keyOf(row)))
}

/** Each function once. */
function distinct(rows: readonly FunctionRow[]): FunctionRow[] {
  return [...new Map(rows.map((row) => [keysOf(row), row])).values()]
}

const isCallable = (row: FunctionRow): boolean => row.grantee !== null && (row.reachable || isServing(row.grantee))

function revoke(row: FunctionRow): string {
  return `REVOKE EXECUTE ON ${row.kind} ${nameOf(row)} FROM ${row.grantee}`
}

/** One finding for all of an extension's functions: there may be dozens, and one statement takes them away. */
function ofExtension(extension: string, rows: readonly FunctionRow[]): Found {
  const grantees = [...new Set(rows.map(({ grantee }) => grantee))]
  const callable = (grantee: string | null): string =>
    rows
      .filter((row) => row.grantee === grantee)
      .map(nameOf)
      .join(', ')
  return {
    object: `extension ${extension}`,
    what: `The roles that serve may call functions of the extension ${extension}.`,
    mend: grantees.map((grantee) => `REVOKE EXECUTE ON FUNCTION ${callable(grantee)} FROM ${grantee}`),
  }
}

/** Whether a rule of its own tells of an extension's function. */
const isOutside = ({ extension }: FunctionRow): boolean => extension !== null && REACHING_OUT.has(extension)

/** Functions that can be called, and whose rights they have. */
export const functionRules: readonly Rule[] = [
  {
    id: 'function-undeclared',
    level: 'error',
    cwe: 'CWE-749',
    holds:
      'The roles that serve may execute Holdfast’s functions as its migrations say, those that the manifest names, and no others.',
    why: 'What a function does is in no statement that was proven.',
    reads: ['functions'],
    judge: ({ functions }, expected) =>
      functions
        .filter((row) => isServing(row.grantee) && !mayCall(expected, row) && !isOutside(row))
        .map((row) => ({
          object: nameOf(row),
          what: `${row.grantee} may execute ${nameOf(row)}, which nothing declares.`,
          mend: [revoke(row)],
        })),
  },
  {
    id: 'function-missing',
    level: 'error',
    cwe: 'CWE-1220',
    holds: 'The roles that serve may execute every function that is declared.',
    why: 'Without *enter* nobody gets in; without one of the manifest its statements fail.',
    reads: ['functions'],
    judge: ({ functions }, { functions: declared }) =>
      servingRoles.flatMap((role) =>
        [...declared[role]]
          .filter(
            (key) => !functions.some((row) => keyOf(row) === key && (row.grantee === role || row.grantee === 'PUBLIC')),
          )
          .map((key) => ({
            object: key,
            what: `${role} may not execute ${key}, or it is not there.`,
            mend: distinct(functions.filter((row) => keyOf(row) === key)).map(
              (row) => `GRANT EXECUTE ON ${row.kind} ${nameOf(row)} TO ${role}`,
            ),
          })),
      ),
  },
  {
    id: 'function-definer',
    level: 'error',
    cwe: 'CWE-269',
    holds: 'PUBLIC may execute no function with its owner’s rights that the roles that serve reach.',
    why: 'It does what its owner may: past grants, and past row-level security where the owner is above that.',
    reads: ['functions'],
    judge: ({ functions }) =>
      functions
        .filter((row) => row.definer && row.grantee === 'PUBLIC' && isCallable(row) && !isOutside(row))
        .map((row) => ({
          object: nameOf(row),
          what: `Everybody may execute ${nameOf(row)} with the rights of ${row.owner}.`,
          mend: [revoke(row)],
        })),
  },
  {
    id: 'function-public',
    level: 'error',
    cwe: 'CWE-276',
    holds: 'PUBLIC may execute no function in the schemas of the manifest or of Holdfast, those of extensions aside.',
    why: 'Every role of the cluster that reaches the schema may call it.',
    reads: ['functions'],
    judge: ({ functions }, { homes }) =>
      functions
        .filter(
          (row) =>
            row.grantee === 'PUBLIC' &&
            homes.has(row.schema) &&
            row.extension === null &&
            !(row.definer && isCallable(row)),
        )
        .map((row) => ({ object: nameOf(row), what: `Everybody may execute ${nameOf(row)}.`, mend: [revoke(row)] })),
  },
  {
    id: 'function-search-path',
    level: 'error',
    cwe: 'CWE-426',
    holds: 'A function with its owner’s rights that can be called, or is Holdfast’s, has a pinned `search_path`.',
    why: 'Else its caller chooses which tables and functions its names mean.',
    reads: ['functions', 'session'],
    judge: ({ functions }, { homes }) =>
      distinct(
        functions.filter(
          (row) => row.definer && ((homes.has(row.schema) && row.extension === null) || isCallable(row)),
        ),
      )
        .filter(({ settings }) => !(settings ?? []).some((setting) => /^search_path=/i.test(setting)))
        .map((row) => ({
          object: nameOf(row),
          what: `${nameOf(row)} has the rights of ${row.owner} and its caller’s search_path.`,
          mend: [`ALTER ${row.kind} ${nameOf(row)} SET search_path = ''`],
        })),
  },
  {
    id: 'function-owner',
    level: 'error',
    cwe: 'CWE-250',
    holds:
      'Holdfast’s functions belong to `holdfast_enter`; no declared function with its owner’s rights belongs to a role that row-level security does not hold.',
    why: 'Who owns *enter* can write it anew, and with a superuser’s rights a function sees every tenant.',
    reads: ['functions'],
    judge: ({ functions }, expected) =>
      distinct(functions.filter((row) => row.definer && (row.schema === 'holdfast' || mayCall(expected, row))))
        .filter((row) => (row.schema === 'holdfast' ? row.owner !== 'holdfast_enter' : row.owner_is_above))
        .map((row) => ({
          object: nameOf(row),
          what: `${nameOf(row)} belongs to ${row.owner}.`,
          mend: [
            `ALTER ${row.kind} ${nameOf(row)} OWNER TO ${row.schema === 'holdfast' ? 'holdfast_enter' : 'holdfast_owner'}`,
          ],
        })),
  },
  {
    id: 'function-grant-option',
    level: 'error',
    cwe: 'CWE-269',
    holds: 'The roles that serve may not pass on the right to execute a function.',
    why: 'Whoever may grant a right can hand it to PUBLIC.',
    reads: ['functions'],
    judge: ({ functions }, expected) =>
      functions
        .filter((row) => row.grantable && isServing(row.grantee) && mayCall(expected, row))
        .map((row) => ({
          object: nameOf(row),
          what: `${row.grantee} may grant EXECUTE on ${nameOf(row)} to others.`,
          mend: [`REVOKE GRANT OPTION FOR EXECUTE ON ${row.kind} ${nameOf(row)} FROM ${row.grantee}`],
        })),
  },
  {
    id: 'function-language',
    level: 'error',
    cwe: 'CWE-749',
    holds: 'No function that the roles that serve may execute is in an untrusted language.',
    why: 'It runs as the server’s own account, outside all rights of the database.',
    reads: ['functions'],
    judge: ({ functions }, expected) =>
      functions
        .filter((row) => !row.trusted && isServing(row.grantee) && mayCall(expected, row))
        .map((row) => ({
          object: nameOf(row),
          what: `${nameOf(row)} is in an untrusted language: take it out of the manifest, and EXECUTE from ${row.grantee}.`,
          mend: [],
        })),
  },
  {
    id: 'function-extension',
    level: 'error',
    cwe: 'CWE-918',
    holds: `The roles that serve reach no function of ${[...REACHING_OUT].join(', ')}.`,
    why: 'They speak to other servers or read files with the rights and from the place of the database.',
    reads: ['functions'],
    judge: ({ functions }) => {
      const rows = functions.filter((row) => isOutside(row) && isCallable(row))
      const extensions = [...new Set(rows.map(({ extension }) => extension as string))]
      return extensions.map((extension) =>
        ofExtension(
          extension,
          rows.filter((row) => row.extension === extension),
        ),
      )
    },
  },
  {
    id: 'function-server',
    level: 'error',
    cwe: 'CWE-552',
    holds: 'Functions that read and write the server’s files, or steer it, are nobody’s who serves.',
    why: 'They reach the files of the cluster, rows of every tenant among them.',
    reads: ['serverFunctions'],
    judge: ({ serverFunctions }) =>
      serverFunctions.map(({ signature, grantee }) => ({
        object: signature,
        what: `${grantee} may execute ${signature}.`,
        mend: [`REVOKE EXECUTE ON FUNCTION ${signature} FROM ${grantee}`],
      })),
  },
  {
    id: 'large-object',
    level: 'warning',
    cwe: 'CWE-668',
    holds: 'No large object belongs to a role that serves, or is open to one or to PUBLIC.',
    why: 'Large objects have no row-level security: what one tenant’s request wrote, another’s can read.',
    reads: ['largeObjects'],
    judge: ({ largeObjects }) =>
      largeObjects.map(({ id, holder, owns }) => ({
        object: `large object ${id}`,
        what: `The large object ${id} ${owns ? 'belongs' : 'is open'} to ${holder}.`,
        mend: [
          owns ? `ALTER LARGE OBJECT ${id} OWNER TO holdfast_owner` : `REVOKE ALL ON LARGE OBJECT ${id} FROM ${holder}`,
        ],
      })),
  },
]
