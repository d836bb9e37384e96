import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectionAddress } from '../../src/core/database/connection-target.ts'
import { Faults } from './faults.ts'
import { Session } from './session.ts'
import { ownSettings } from './statements.ts'

/** A PostgreSQL that answers as CockroachDB documents, where the README says so. It is not CockroachDB. */
export type Standin = {
  /** The same address, through the stand-in. */
  readonly address: ConnectionAddress
  readonly faults: Faults
  /** Resolves when PostgreSQL has ended every connection that was cut or closed. */
  quiet(): Promise<void>
  close(): Promise<void>
}

export type StandinOptions = {
  /** What `version()` answers; a supported one if left out. */
  readonly version?: string
  /** Refuse placeholders whose type does not follow from their place; on if left out. */
  readonly cast?: boolean
  /** What roles bring; as documented for a role that brings nothing if left out. */
  readonly settings?: Readonly<Record<string, string>>
  /** Listen on loopback and not on a Unix socket. */
  readonly tcp?: boolean
}

const supportedVersion = 'CockroachDB CCL v25.4.3 (a stand-in: PostgreSQL that answers as documented)'
const port = 5432

/** @param to - a PostgreSQL, in whose database `installStandin` has been called */
export async function startStandin(to: ConnectionAddress, o: StandinOptions = {}): Promise<Standin> {
  const directory = mkdtempSync(join(tmpdir(), 'standin-'))
  const faults = new Faults()
  const session = {
    version: o.version ?? supportedVersion,
    cast: o.cast ?? true,
    settings: { ...ownSettings, ...o.settings },
    faults,
  }
  const upstreams = new Set<Socket>()
  const clients = new Set<Socket>()
  const server = createServer({ allowHalfOpen: false }, (client) => {
    const upstream = to.host.startsWith('/') ? connect(join(to.host, `.s.PGSQL.${to.port}`)) : connect(to.port, to.host)
    for (const [sockets, socket] of [
      [clients, client],
      [upstreams, upstream],
    ] as const) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    }
    void new Session(client, upstream, session)
  })
  await new Promise<void>((resolve) => {
    if (o.tcp === true) server.listen(0, '127.0.0.1', resolve)
    else server.listen(join(directory, `.s.PGSQL.${port}`), resolve)
  })
  const at =
    o.tcp === true ? { host: '127.0.0.1', port: (server.address() as AddressInfo).port } : { host: directory, port }
  return {
    address: { ...to, ...at },
    faults,
    async quiet() {
      await Promise.all([...upstreams].map((socket) => new Promise((resolve) => socket.once('close', resolve))))
    },
    async close() {
      for (const socket of [...clients, ...upstreams]) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
