import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { InjectOptions } from 'fastify'
import { loadConfig } from '../../../src/service/config.ts'
import { createService, type Service } from '../../../src/service/service.ts'
import { defaultRoles } from '../../../src/service/tenancy/manifest.ts'
import { createTestDatabase, type TestDatabase } from '../../postgres.ts'

export const ORIGIN = 'https://app.example.com'

/** The real service on a database of its own; nothing listens. */
export type OpenService = {
  readonly service: Service
  readonly database: TestDatabase
  /** mail that was printed, and what the operator was told */
  readonly printed: () => string
  readonly log: () => string
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  close(): Promise<void>
}
export type CallOptions = {
  readonly token?: string | undefined
  readonly headers?: Record<string, string>
  readonly body?: unknown
}
export type Answer = {
  readonly status: number
  readonly body: Record<string, unknown>
  readonly headers: Record<string, string | string[] | number | undefined>
}

export async function openService(environment: Record<string, string> = {}): Promise<OpenService> {
  const database = await createTestDatabase({ roleGrants: defaultRoles })
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-service-'))
  const config = await loadConfig({
    directory,
    environment: {
      DATABASE_URL: urlOf(database, 'app'),
      HOLDFAST_IDENTITY_URL: urlOf(database, 'identity'),
      HOLDFAST_KEY: randomBytes(32).toString('base64url'),
      HOLDFAST_ORIGIN: ORIGIN,
      HOLDFAST_DATA_DIR: directory,
      METRICS_PORT: '0',
      PORT: '0',
      LOG_LEVEL: 'debug',
      ...environment,
    },
  })
  let printed = ''
  let log = ''
  const service = await createService(config, {
    print: (line) => void (printed += `${line}\n`),
    logTo: { write: (line) => void (log += line) },
  })
  return {
    service,
    database,
    printed: () => printed,
    log: () => log,
    async call(method, path, { token, headers = {}, body } = {}) {
      const answer = await service.server.app.inject({
        method: method as NonNullable<InjectOptions['method']>,
        url: `/v1${path}`,
        headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
        ...(body === undefined ? {} : { payload: body as Record<string, unknown> }),
      })
      const isJson = /json/.test(String(answer.headers['content-type'])) && answer.body !== ''
      return { status: answer.statusCode, body: isJson ? answer.json() : {}, headers: answer.headers }
    },
    async close() {
      await service.stop()
      await database.drop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** A role's URL, over the Unix socket. */
export function urlOf(database: TestDatabase, role: 'app' | 'identity' | 'migrator'): string {
  const { user, password, host, port, database: name } = database.target(role)
  return `postgresql://${user}:${encodeURIComponent(password)}@localhost:${port}/${name}?host=${encodeURIComponent(host)}`
}
