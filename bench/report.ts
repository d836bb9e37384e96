import type { RoundResult } from './load.ts'

/** One round, with the CPU time of a request in µs: of the server's process, and of all of PostgreSQL's. */
type Seen = RoundResult & { readonly serverCpu: number; readonly databaseCpu: number | undefined }
export type Measured = { readonly guarded: Seen[]; readonly plain: Seen[] }

type Report = {
  readonly measured: Readonly<Record<'GET' | 'PATCH', Measured>>
  /** `guarded GET` → round trips of one request */
  readonly trips: Readonly<Record<string, number>>
  readonly rounds: number
  readonly connections: number
  readonly cores: number
  readonly json: boolean
}

const measures: Record<string, (one: Seen) => number | undefined> = {
  'requests a second': (one) => one.requests / one.seconds,
  'p50, ms': (one) => one.p50,
  'p99, ms': (one) => one.p99,
  'CPU of the server a request, µs': (one) => one.serverCpu,
  'CPU of PostgreSQL a request, µs': (one) => one.databaseCpu,
}

/** Prints medians, and the ratio of each round with the lowest and the highest. */
export function report({ measured, trips, rounds, connections, cores, json }: Report): void {
  const rows = (['GET', 'PATCH'] as const).flatMap((method) =>
    Object.entries(measures).flatMap(([name, of]) => {
      const guarded = measured[method].guarded.map(of)
      const plain = measured[method].plain.map(of)
      if (![...guarded, ...plain].every((value) => value !== undefined)) return []
      const ratios = guarded.map((value, index) => Number(value) / Number(plain[index])).sort((a, b) => a - b)
      return [
        {
          method,
          name,
          guarded: median(guarded),
          plain: median(plain),
          ratio: median(ratios),
          lowest: ratios[0] ?? 0,
          highest: ratios.at(-1) ?? 0,
        },
      ]
    }),
  )
  if (json) {
    console.log(JSON.stringify({ rounds, connections, cores, measures: rows, roundTrips: trips }))
    return
  }
  console.log(
    `\nguarded against plain, ${rounds} rounds in turns, ${connections} connections, ${cores} cores for client, server and PostgreSQL together; medians, ratio with lowest and highest round`,
  )
  for (const method of ['GET', 'PATCH'] as const) {
    console.log(`\n${method === 'GET' ? 'read' : 'write'}${' '.repeat(34)} guarded     plain`)
    for (const { name, guarded, plain, ratio, lowest, highest } of rows.filter((row) => row.method === method)) {
      console.log(
        `  ${name.padEnd(32)} ${guarded.toFixed(2).padStart(9)} ${plain.toFixed(2).padStart(9)}   ratio ${ratio.toFixed(2)} (${lowest.toFixed(2)}–${highest.toFixed(2)})`,
      )
    }
    console.log(
      `  ${'round trips to PostgreSQL'.padEnd(32)} ${String(trips[`guarded ${method}`]).padStart(9)} ${String(trips[`plain ${method}`]).padStart(9)}`,
    )
  }
}

function median(values: readonly (number | undefined)[]): number {
  const sorted = values.map(Number).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
