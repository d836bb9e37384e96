import { readVersion } from '../../core/database/dialect.ts'
import type { SessionRow } from './catalog.ts'
import { named } from './identifier.ts'
import type { Rule } from './rule.ts'

/** Clocks that differ by more than this, in milliseconds, are worth a word. */
const MOST_SKEW_MS = 5_000
/** First release of each line that has the repairs of row-level security and of statistics that showed hidden rows. */
const POSTGRESQL_REPAIRED: ReadonlyMap<number, number> = new Map([
  [15, 14],
  [16, 10],
  [17, 6],
])

const PAST_REPAIRS = 'Older releases have CVE-2024-10976 or CVE-2025-8713.'

/** The server, the way to it, and its clock. */
export const serverRules: readonly Rule[] = [
  {
    id: 'tls-verified',
    level: 'error',
    cwe: 'CWE-295',
    holds: 'Traffic to a host that is not this machine goes through TLS with a verified certificate.',
    why: 'Whoever is between reads passwords and rows, or answers in the database’s place.',
    reads: [],
    judge: (_evidence, _expected, { logins }) =>
      logins
        .filter(({ isSafe }) => !isSafe)
        .map(({ url }) => ({
          object: url,
          what: `${url} leads to another machine without verified TLS: add sslmode=verify-full, and sslrootcert for a private CA.`,
          mend: [],
        })),
  },
  {
    id: 'version-repaired',
    level: 'warning',
    cwe: 'CWE-1395',
    holds: `The server is a release whose row-level security is repaired: PostgreSQL ${[...POSTGRESQL_REPAIRED].map((pair) => pair.join('.')).join(', ')} or later, CockroachDB 25.4 or later.`,
    why: 'Older ones may show what policies hide.',
    reads: ['session'],
    judge: ({ session: [session] }) =>
      session === undefined
        ? []
        : adviceOn(session).map((advice) => ({
            object: `database ${session.database}`,
            what: `The server is ${session.version.split(/ on | \(/)[0]}: update it. ${advice}`,
            mend: [],
          })),
  },
  {
    id: 'clock-skew',
    level: 'warning',
    cwe: 'CWE-367',
    holds: 'The database’s clock and this machine’s differ by five seconds at most.',
    why: 'Sessions expire by the database’s clock, and tokens of others are judged by it.',
    reads: ['session'],
    judge: ({ session: [session] }, _expected, { asked, answered }) => {
      if (session === undefined) return []
      const theirs = Number(session.now)
      // between asking and answering it may have been at any time
      const skew = theirs < asked ? asked - theirs : theirs > answered ? theirs - answered : 0
      return skew <= MOST_SKEW_MS
        ? []
        : [
            {
              object: `database ${session.database}`,
              what: `Its clock and this machine's differ by ${Math.round(skew / 1000)} s: have both follow one time server.`,
              mend: [],
            },
          ]
    },
  },
  {
    id: 'event-trigger',
    level: 'warning',
    cwe: 'CWE-441',
    holds: 'No event trigger is enabled.',
    why: 'It runs at migrations, with the rights of whoever migrates.',
    reads: ['eventTriggers'],
    judge: ({ eventTriggers }) =>
      eventTriggers.map(({ name, event, owner }) => ({
        object: `event trigger ${name}`,
        what: `The event trigger ${name} of ${owner} runs at ${event}.`,
        mend: [`ALTER EVENT TRIGGER ${named(name)} DISABLE`],
      })),
  },
]

/** What is to be known of a version; none where nothing is. */
function adviceOn({ version, version_number: number }: SessionRow): string[] {
  const { advice, dialect } = readVersion(version, Number(number))
  const minor = POSTGRESQL_REPAIRED.get(Math.floor(Number(number) / 10_000)) ?? 0
  return dialect === 'postgresql' && Number(number) % 10_000 < minor ? [PAST_REPAIRS] : [...advice]
}
