import { availableParallelism } from 'node:os'
import { median } from './median.ts'
import { type Kind, kinds, type Load, type Measured, type Seen, type Verb, verbs } from './rounds.ts'

/** One run over all endpoints; `network` when there was one between server and database, in milliseconds. */
export type Section = {
  readonly measured: Measured
  readonly network?: { readonly milliseconds: number; readonly seen: number }
}

type Report = {
  readonly sections: readonly Section[]
  /** round trips of one request */
  readonly trips: Readonly<Record<Verb, Readonly<Record<Kind, number>>>>
  readonly load: Load
  /** processes that wanted to run when it began, a minute's mean: all of them other work */
  readonly busy: number
  readonly json: boolean
}

const measures: Record<string, (one: Seen) => number | undefined> = {
  'requests a second': (one) => one.requests / one.seconds,
  'p50, ms': (one) => one.p50,
  'p99, ms': (one) => one.p99,
  'CPU of the server a request, µs': (one) => one.serverCpu,
  'CPU of PostgreSQL a request, µs': (one) => one.databaseCpu,
  'a second by the server’s CPU alone': (one) => 1e6 / one.serverCpu,
  'a second by the CPU of all three': ({ clientCpu, serverCpu, databaseCpu }) =>
    databaseCpu === undefined ? undefined : (1e6 * availableParallelism()) / (clientCpu + serverCpu + databaseCpu),
}
const baselines = ['named', 'unnamed'] as const

type Ratio = { readonly ratio: number; readonly lowest: number; readonly highest: number }
type Line = {
  readonly name: string
  /** median of each endpoint */
  readonly medians: Readonly<Record<Kind, number>>
  /** guarded by that endpoint, round by round */
  readonly ratios: Readonly<Record<(typeof baselines)[number], Ratio>>
}

/** Prints medians, and the median of the rounds' ratios with the lowest and the highest. */
export function report({ sections, trips, load, busy, json }: Report): void {
  const cores = availableParallelism()
  const tables = sections.map((section) => ({
    network: section.network,
    GET: linesOf(section.measured.GET),
    PATCH: linesOf(section.measured.PATCH),
  }))
  if (json) {
    console.log(JSON.stringify({ ...load, cores, busy, sections: tables, roundTrips: trips }))
    return
  }
  console.log(
    `\n${load.rounds} rounds in turns, ${load.connections} connections, ${cores} cores for client, server and PostgreSQL together; medians; guarded by named and by unnamed with lowest and highest round`,
  )
  if (busy > cores / 4) {
    console.log(
      `other work was going on (load ${busy.toFixed(1)} at the start): trust the CPU, which it changes least, and not the clock`,
    )
  }
  for (const { network, ...table } of tables) {
    console.log(
      network === undefined
        ? '\nPostgreSQL beside the server'
        : `\nPostgreSQL ${network.milliseconds} ms away (a trivial query takes ${network.seen.toFixed(2)} ms)`,
    )
    for (const verb of verbs) printTable(verb, table[verb], trips[verb])
  }
}

function printTable(verb: Verb, lines: readonly Line[], trips: Readonly<Record<Kind, number>>): void {
  const cells = (values: Readonly<Record<Kind, number>>, digits: number): string =>
    kinds.map((kind) => values[kind].toFixed(digits).padStart(10)).join('')
  const heads = kinds.map((kind) => kind.padStart(10)).join('')
  console.log(`\n${(verb === 'GET' ? 'read' : 'write').padEnd(36)}${heads}   by named           by unnamed`)
  for (const { name, medians, ratios } of lines) {
    const shown = baselines.map((kind) => {
      const { ratio, lowest, highest } = ratios[kind]
      return `${ratio.toFixed(2)} (${lowest.toFixed(2)}–${highest.toFixed(2)})`.padEnd(19)
    })
    console.log(`  ${name.padEnd(34)}${cells(medians, 2)}   ${shown.join('').trimEnd()}`)
  }
  console.log(`  ${'round trips to PostgreSQL'.padEnd(34)}${cells(trips, 0)}`)
}

function linesOf(measured: Readonly<Record<Kind, readonly Seen[]>>): Line[] {
  return Object.entries(measures).flatMap(([name, of]) => {
    const values = {} as Record<Kind, number[]>
    for (const kind of kinds) values[kind] = measured[kind].map((seen) => of(seen) ?? Number.NaN)
    // where the system does not account for processes
    if (kinds.some((kind) => values[kind].some(Number.isNaN))) return []
    const medians = {} as Record<Kind, number>
    for (const kind of kinds) medians[kind] = median(values[kind])
    const ratios = {} as Record<(typeof baselines)[number], Ratio>
    for (const kind of baselines) ratios[kind] = ratioOf(values.guarded, values[kind])
    return [{ name, medians, ratios }]
  })
}

function ratioOf(guarded: readonly number[], plain: readonly number[]): Ratio {
  const ratios = guarded.map((value, round) => value / (plain[round] ?? Number.NaN)).sort((a, b) => a - b)
  return { ratio: median(ratios), lowest: ratios[0] ?? Number.NaN, highest: ratios.at(-1) ?? Number.NaN }
}
