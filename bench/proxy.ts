import { type AddressInfo, connect, createServer } from 'node:net'

/** Where the database listens: the path of a Unix socket, or a port of a host. */
export type Upstream = { readonly path: string } | { readonly host: string; readonly port: number }
export type ProxyOrder = { readonly upstream: Upstream; readonly milliseconds: number }
export type ProxyReady = { readonly port: number }

/**
 * A network between server and database: what is sent to the database waits, what comes back does not, so that each round
 * trip costs the wait once. Runs in a process of its own, so that its CPU is nobody's who is measured.
 */
function serve({ upstream, milliseconds }: ProxyOrder): void {
  const server = createServer((client) => {
    const database = connect(upstream)
    client.setNoDelay(true)
    // timers of one length keep their order
    client.on('data', (chunk) => setTimeout(() => database.write(chunk), milliseconds))
    database.on('data', (chunk) => client.write(chunk))
    for (const [one, other] of [
      [client, database],
      [database, client],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
}

process.on('message', (order: ProxyOrder) => serve(order))
process.on('disconnect', () => process.exit())
