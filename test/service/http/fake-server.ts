import type { Identity } from '../../../src/service/identity/identity.ts'
import { createServer, type Server, type ServerOptions } from '../../../src/service/http/server.ts'
import { type FakeGuard, fakeGuard } from './fake-guard.ts'

export type FakeServer = Server & { readonly guard: FakeGuard; readonly lines: () => Record<string, unknown>[] }

/** The service's application without a database: what reaches a handler fails, so nothing is written by mistake. */
export async function fakeServer(options: Partial<ServerOptions> = {}): Promise<FakeServer> {
  const guard = fakeGuard()
  let log = ''
  const server = await createServer({
    guard,
    identity: {
      keys: { cursor: Buffer.alloc(32) },
      settings: { signUpOpen: false },
    } as unknown as Identity,
    ready: async () => true,
    origin: 'http://localhost:7070',
    tenantSources: {},
    trustedProxies: [],
    logLevel: 'debug',
    logTo: { write: (line) => void (log += line) },
    ...options,
  })
  return {
    ...server,
    guard,
    lines: () =>
      log
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  }
}
