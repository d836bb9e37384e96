import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import pg from 'pg'
import type { ConnectionAddress } from '../src/core/database/connection-target.ts'
import type { ProxyOrder, ProxyReady } from './proxy.ts'

/** The program of a process that the bench starts beside itself: compiled where the bench is. */
export function program(name: 'load' | 'proxy'): URL {
  return new URL(`./${name}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)
}

/** A database seen over a network. */
export type Network = {
  /** The same login, through the network. */
  readonly through: (address: ConnectionAddress) => ConnectionAddress
  /** Median of a trivial query over it, in milliseconds. */
  readonly seen: number
  close(): void
}

/**
 * Puts a network between here and a database.
 * @param address - a login of the database; every other of the same database goes through as well
 * @param milliseconds - what a round trip costs
 * @throws Error when a trivial query takes less than it must, or twice as much and 2 ms
 */
export async function openNetwork(address: ConnectionAddress, milliseconds: number): Promise<Network> {
  const { host, port } = address
  const proxy = fork(program('proxy'))
  try {
    proxy.send({
      upstream: host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { host, port },
      milliseconds,
    } satisfies ProxyOrder)
    const [ready] = (await once(proxy, 'message')) as [ProxyReady]
    const through = (login: ConnectionAddress): ConnectionAddress => ({ ...login, host: '127.0.0.1', port: ready.port })
    const seen = await medianOfTrivial(through(address))
    if (seen < milliseconds || seen > 2 * milliseconds + 2) {
      throw new Error(`the network delays a trivial query by ${seen.toFixed(2)} ms and not by ${milliseconds}`)
    }
    return { through, seen, close: () => proxy.disconnect() }
  } catch (error) {
    proxy.disconnect()
    throw error
  }
}

async function medianOfTrivial(address: ConnectionAddress): Promise<number> {
  const client = new pg.Client({ ...address, ssl: false })
  await client.connect()
  const times: number[] = []
  for (let count = 0; count < 101; count++) {
    const sent = performance.now()
    await client.query('SELECT 1')
    times.push(performance.now() - sent)
  }
  await client.end()
  return times.sort((a, b) => a - b)[50] ?? 0
}
