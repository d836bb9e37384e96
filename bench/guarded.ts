/**
 * What the guard costs: a read and a write, guarded by both walls with a fresh role, and the same with no guard at all, on
 * one machine, in one run, in turns. Without a guard twice: by a named prepared statement, the least that can be sent, and
 * by an unnamed one, which `pg` sends unless it is given a name – and with it most query builders.
 * Ratios, with their spread over the rounds: absolute figures depend on the machine. Client, server and PostgreSQL share
 * its cores, so that work in any of them shows in the throughput; beside it stands the CPU of server and PostgreSQL, what
 * one server process could answer if it alone were the limit, and what the three could if nothing else ran. The second section has a network between server and
 * PostgreSQL, where latency and not CPU is what a request waits for.
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { startWireProxy } from '../test/wire-proxy.ts'
import { type BenchDatabase, openBenchDatabase } from './database.ts'
import { type Endpoint, openGuarded, openPlain } from './endpoints.ts'
import { openNetwork } from './network.ts'
import { report, type Section } from './report.ts'
import { type Kind, kinds, type Load, measure, type Verb, verbs } from './rounds.ts'

type Logins = Pick<BenchDatabase['embedded'], 'target'>
type Target = ReturnType<Logins['target']>

/** `npm run bench`. */
export async function benchGuard(args: readonly string[]): Promise<void> {
  const { values: flags } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '8' },
      seconds: { type: 'string', default: '1.5' },
      connections: { type: 'string', default: '20' },
      network: { type: 'string', default: '2' },
      json: { type: 'boolean', default: false },
    },
  })
  const load: Load = {
    rounds: Number(flags.rounds),
    milliseconds: Number(flags.seconds) * 1000,
    connections: Number(flags.connections),
  }
  const say = (line: string): void => void (flags.json || process.stderr.write(`${line}\n`))
  const [busy = 0] = loadavg()
  const database = await openBenchDatabase()
  try {
    const sections: Section[] = [await measureAt(database, load, say)]
    const milliseconds = Number(flags.network)
    if (milliseconds > 0) {
      say(`with a network of ${milliseconds} ms`)
      sections.push(await measureOver(database, load, milliseconds, say))
    }
    const trips = await countTrips(database)
    report({ sections, trips, load, busy, json: flags.json })
  } finally {
    await database.close()
  }
}

async function measureOver(
  database: BenchDatabase,
  load: Load,
  milliseconds: number,
  say: (line: string) => void,
): Promise<Section> {
  const network = await openNetwork(database.embedded.target('superuser'), milliseconds)
  try {
    const measured = await measureAt(database, load, say, network.through)
    return { ...measured, network: { milliseconds, seen: network.seen } }
  } finally {
    network.close()
  }
}

async function measureAt(
  database: BenchDatabase,
  load: Load,
  say: (line: string) => void,
  through = (address: Target): Target => address,
): Promise<Section> {
  const { embedded, tenantId } = database
  const superuser = through(embedded.target('superuser'))
  const endpoints: Record<Kind, Endpoint> = {
    guarded: await openGuarded(through(embedded.target('app')), through(embedded.target('identity'))),
    named: await openPlain(superuser, tenantId, true),
    unnamed: await openPlain(superuser, tenantId, false),
  }
  const measured = await measure(endpoints, database, load, say)
  for (const kind of kinds) await endpoints[kind].close()
  return { measured }
}

/** Round trips to the database of one request whose caller and statement are known, counted by a proxy on the wire. */
async function countTrips({ embedded, token, tenantId }: BenchDatabase): Promise<Record<Verb, Record<Kind, number>>> {
  const trips = { GET: {}, PATCH: {} } as Record<Verb, Record<Kind, number>>
  for (const kind of kinds) {
    const wire = await startWireProxy(embedded.target(kind === 'guarded' ? 'app' : 'superuser'))
    const endpoint =
      kind === 'guarded'
        ? await openGuarded(wire.address, embedded.target('identity'))
        : await openPlain(wire.address, tenantId, kind === 'named')
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
        trips[method][kind] = wire.counts.roundTrips
      }
    }
    await endpoint.close()
    await wire.close()
  }
  return trips
}
