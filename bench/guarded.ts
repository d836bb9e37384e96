/**
 * What the guard costs: a read and a write, guarded by both walls with a fresh role, and the same with no guard at all, on
 * one machine, in one run, in turns. Ratios, with their spread over the rounds: absolute figures depend on the machine.
 * Client, server and PostgreSQL share its cores, so that work in any of them shows in the throughput; the CPU of server
 * and PostgreSQL stands beside it.
 *
 *   npm run bench
 *   npm run bench -- --rounds 12 --seconds 3 --connections 20 --json
 */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { startWireProxy } from '../test/wire-proxy.ts'
import { type BenchDatabase, openBenchDatabase, TEAMS_A_TENANT } from './database.ts'
import { type Endpoint, openGuarded, openPlain } from './endpoints.ts'
import type { Round, RoundResult } from './load.ts'
import { cpuOfChildren } from './process-times.ts'
import { type Measured, report } from './report.ts'

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
})
const rounds = Number(flags.rounds)
const milliseconds = Number(flags.seconds) * 1000
const connections = Number(flags.connections)
const say = (line: string): void => void (flags.json || process.stderr.write(`${line}\n`))

const kinds = ['guarded', 'plain'] as const
const verbs = ['GET', 'PATCH'] as const

const database = await openBenchDatabase()
try {
  const app = database.embedded.target('app')
  const identity = database.embedded.target('identity')
  const endpoints = {
    guarded: await openGuarded(app, identity),
    plain: await openPlain(database.embedded.target('superuser'), database.tenantId),
  }
  const measured = await measure(endpoints, database)
  for (const kind of kinds) await endpoints[kind].close()
  const trips = await countTrips(database)
  report({ measured, trips, rounds, connections, cores: availableParallelism(), json: flags.json })
} finally {
  await database.close()
}

async function measure(
  endpoints: Record<(typeof kinds)[number], Endpoint>,
  { token, pid }: BenchDatabase,
): Promise<Record<(typeof verbs)[number], Measured>> {
  const client = fork(new URL(import.meta.url.endsWith('.ts') ? './load.ts' : './load.js', import.meta.url))
  const run = (round: Round): Promise<RoundResult> =>
    new Promise((resolve) => {
      client.once('message', (result) => resolve(result as RoundResult))
      client.send(round)
    })
  const seen: Record<(typeof verbs)[number], Measured> = {
    GET: { guarded: [], plain: [] },
    PATCH: { guarded: [], plain: [] },
  }
  try {
    for (let number = -1; number < rounds; number++) {
      for (const method of verbs) {
        // each goes first in every other round
        for (const kind of number % 2 === 0 ? kinds : kinds.toReversed()) {
          const databaseBefore = cpuOfChildren(pid)
          const before = process.cpuUsage()
          const { origin } = endpoints[kind]
          const result = await run({ origin, method, teams: TEAMS_A_TENANT, token, connections, milliseconds })
          const { user, system } = process.cpuUsage(before)
          if (result.failures > 0) throw new Error(`${kind} ${method}: ${result.failures} requests failed`)
          const databaseAfter = cpuOfChildren(pid)
          // the first round warms up
          if (number < 0) continue
          seen[method][kind].push({
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
  return seen
}

/** Round trips to the database of one request whose caller and statement are known, counted by a proxy on the wire. */
async function countTrips({ embedded, token, tenantId }: BenchDatabase): Promise<Record<string, number>> {
  const trips: Record<string, number> = {}
  for (const kind of kinds) {
    const wire = await startWireProxy(embedded.target(kind === 'guarded' ? 'app' : 'superuser'))
    const endpoint =
      kind === 'guarded'
        ? await openGuarded(wire.address, embedded.target('identity'))
        : await openPlain(wire.address, tenantId)
    for (const method of verbs) {
      for (let again = 0; again < 4; again++) {
        wire.reset()
        const response = await fetch(`${endpoint.origin}/teams/team-7`, {
          method,
          headers: {
            authorization: `Bearer ${token}`,
            ...(method === 'PATCH' && { 'content-type': 'application/json' }),
          },
          ...(method === 'PATCH' && { body: '{"name":"Seven"}' }),
        })
        if (response.status !== 200) throw new Error(`${kind} ${method}: ${response.status}`)
        await response.text()
        trips[`${kind} ${method}`] = wire.counts.roundTrips
      }
    }
    await endpoint.close()
    await wire.close()
  }
  return trips
}
