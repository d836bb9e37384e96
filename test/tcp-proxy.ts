import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { ConnectionAddress } from '../src/core/database/connection-target.ts'

/** A TCP port of this machine in front of a PostgreSQL on a Unix socket: one of several "hosts", with faults on demand. */
export type TcpProxy = {
  readonly port: number
  /** Connections that are open now. */
  readonly connections: number
  /** Cuts all connections now. */
  cut(): void
  /**
   * Swallows all answers until one was that of a committed INSERT, or half a second is over; then cuts all connections.
   *
   * @returns how many such answers were swallowed: those writes are there, and their client never hears of it
   */
  mute(): Promise<number>
  /** Nothing gets through in either direction, while connections and the port stay open. */
  stall(): void
  /** Lets through what was held back. */
  flow(): void
  /** Refuses new connections, and cuts those that there are. */
  leave(): Promise<void>
  /** Takes connections again. */
  comeBack(): Promise<void>
  close(): Promise<void>
}

/** @param to where the PostgreSQL is: only socket and port count */
export async function startTcpProxy(to: Pick<ConnectionAddress, 'host' | 'port'>): Promise<TcpProxy> {
  const lines = new Set<{ client: Socket; upstream: Socket }>()
  let mode: 'flow' | 'mute' | 'stall' = 'flow'
  let swallowed = 0
  let port = 0
  let server: Server | undefined

  function take(client: Socket): void {
    const upstream = connect(join(to.host, `.s.PGSQL.${to.port}`))
    const line = { client, upstream }
    lines.add(line)
    client.on('data', (chunk) => upstream.write(chunk))
    upstream.on('data', (chunk) => {
      if (mode !== 'mute') client.write(chunk)
      else if (committed(chunk)) swallowed++
    })
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => {
        lines.delete(line)
        other.destroy()
      })
      if (mode === 'stall') one.pause()
    }
  }

  const cut = (): void => {
    for (const { client, upstream } of lines) {
      client.destroy()
      upstream.destroy()
    }
  }
  const listen = (): Promise<void> =>
    new Promise((resolve, reject) => {
      server = createServer(take)
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
  const leave = async (): Promise<void> => {
    const closing = new Promise<void>((resolve) => server?.close(() => resolve()))
    cut()
    await closing
  }

  await listen()
  const address = (server as Server | undefined)?.address()
  if (typeof address === 'object' && address !== null) port = address.port
  return {
    port,
    get connections() {
      return lines.size
    },
    cut,
    async mute() {
      mode = 'mute'
      swallowed = 0
      for (let waits = 0; waits < 50 && swallowed === 0; waits++) {
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      cut()
      mode = 'flow'
      return swallowed
    },
    stall() {
      mode = 'stall'
      for (const { client, upstream } of lines) {
        client.pause()
        upstream.pause()
      }
    },
    flow() {
      mode = 'flow'
      for (const { client, upstream } of lines) {
        client.resume()
        upstream.resume()
      }
    },
    leave,
    comeBack: listen,
    close: leave,
  }
}

/** Does it tell of an INSERT, and end with ReadyForQuery outside of a transaction? */
function committed(chunk: Buffer): boolean {
  return chunk.includes('INSERT 0 1') && chunk.subarray(-6).equals(Buffer.from('Z\0\0\0\u0005I', 'latin1'))
}
