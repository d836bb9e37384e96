import { Agent, request } from 'node:http'

/** One round: so many connections ask for one team after another, as fast as answers come, for so long. */
export type Round = {
  readonly origin: string
  readonly method: 'GET' | 'PATCH'
  /** `team-1` … as many */
  readonly teams: number
  readonly token: string
  readonly connections: number
  readonly milliseconds: number
}
/** What a round saw: latencies in milliseconds, sorted. */
export type RoundResult = {
  readonly requests: number
  readonly failures: number
  readonly seconds: number
  readonly p50: number
  readonly p99: number
  /** CPU of the client's process a request, in µs */
  readonly clientCpu: number
}

/** Runs in a process of its own, so that the client does not share the server's event loop. */
async function run({ origin, method, teams, token, connections, milliseconds }: Round): Promise<RoundResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const latencies: number[] = []
  let failures = 0
  const before = process.cpuUsage()
  const started = performance.now()
  const end = started + milliseconds
  const headers = {
    authorization: `Bearer ${token}`,
    ...(method === 'PATCH' && { 'content-type': 'application/json' }),
  }
  const body = method === 'PATCH' ? JSON.stringify({ name: 'Another name' }) : undefined
  let next = 0
  const ask = (): Promise<void> =>
    new Promise((resolve) => {
      // far apart, so that neighbours in time are no neighbours in the index
      next = (next + 47) % teams
      const sent = performance.now()
      const done = (ok: boolean): void => {
        if (ok) latencies.push(performance.now() - sent)
        else failures++
        resolve()
      }
      request(`${origin}/teams/team-${next + 1}`, { agent, method, headers }, (response) => {
        response.resume()
        response.on('end', () => done(response.statusCode === 200))
        response.on('error', () => done(false))
      })
        .on('error', () => done(false))
        .end(body)
    })
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < end) await ask()
    }),
  )
  const { user, system } = process.cpuUsage(before)
  agent.destroy()
  latencies.sort((a, b) => a - b)
  const at = (share: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0
  return {
    requests: latencies.length,
    failures,
    seconds: (performance.now() - started) / 1000,
    p50: at(0.5),
    p99: at(0.99),
    clientCpu: (user + system) / latencies.length,
  }
}

process.on('message', (round: Round) => {
  void run(round).then((result) => process.send?.(result))
})
