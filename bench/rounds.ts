import { fork } from 'node:child_process'
import { type BenchDatabase, TEAMS_A_TENANT } from './database.ts'
import type { Endpoint } from './endpoints.ts'
import type { Round, RoundResult } from './load.ts'
import { program } from './network.ts'
import { cpuOfChildren } from './process-times.ts'

/** The endpoints that are measured against one another. The first is judged by each of the others. */
export const kinds = ['guarded', 'named', 'unnamed'] as const
export type Kind = (typeof kinds)[number]
export const verbs = ['GET', 'PATCH'] as const
export type Verb = (typeof verbs)[number]

/** One round, with the CPU time of a request in µs: of the server's process, and of all of PostgreSQL's. */
export type Seen = RoundResult & { readonly serverCpu: number; readonly databaseCpu: number | undefined }
export type Measured = Readonly<Record<Verb, Readonly<Record<Kind, Seen[]>>>>

/** How much is asked for. */
export type Load = { readonly rounds: number; readonly milliseconds: number; readonly connections: number }

/** Asks all endpoints in turns: every round has one turn of each, and each goes first equally often. */
export async function measure(
  endpoints: Readonly<Record<Kind, Endpoint>>,
  { token, pid }: BenchDatabase,
  { rounds, milliseconds, connections }: Load,
  say: (line: string) => void,
): Promise<Measured> {
  const client = fork(program('load'))
  const run = (round: Round): Promise<RoundResult> =>
    new Promise((resolve) => {
      client.once('message', (result) => resolve(result as RoundResult))
      client.send(round)
    })
  const measured: Measured = { GET: none(), PATCH: none() }
  try {
    for (let number = -1; number < rounds; number++) {
      const first = (number + kinds.length) % kinds.length
      for (const method of verbs) {
        for (const kind of [...kinds.slice(first), ...kinds.slice(0, first)]) {
          const databaseBefore = cpuOfChildren(pid)
          const before = process.cpuUsage()
          const { origin } = endpoints[kind]
          const result = await run({ origin, method, teams: TEAMS_A_TENANT, token, connections, milliseconds })
          const { user, system } = process.cpuUsage(before)
          if (result.failures > 0) throw new Error(`${kind} ${method}: ${result.failures} requests failed`)
          const databaseAfter = cpuOfChildren(pid)
          // the first round warms up
          if (number < 0) continue
          measured[method][kind].push({
            ...result,
            serverCpu: (user + system) / result.requests,
            databaseCpu:
              databaseBefore === undefined || databaseAfter === undefined
                ? undefined
                : (databaseAfter - databaseBefore) / result.requests,
          })
        }
      }
      say(number < 0 ? 'warmed up' : `round ${number + 1} of ${rounds}`)
    }
  } finally {
    client.kill()
  }
  return measured
}

function none(): Record<Kind, Seen[]> {
  return { guarded: [], named: [], unnamed: [] }
}
