import type { Server as MetricsServer } from 'node:http'
import { createGuard } from '../core/guard/guard.ts'
import type { CheckoutLook } from '../core/database/pool.ts'
import { touchSession } from '../core/guard/touch-session.ts'
import { createScope, loadKernel } from '../core/scope/scope.ts'
import { hostedManifest } from './application.ts'
import { createChores } from './chores.ts'
import type { Config } from './config.ts'
import { openDatabase, type ServiceDatabase } from './database.ts'
import { createReadiness } from './http/readiness.ts'
import type { Server, ServerOptions } from './http/server.ts'
import type { Identity } from './identity/identity.ts'
import { deriveKeys } from './identity/keys.ts'
import { createLane, type Lane } from './identity/lane.ts'
import { createPasswords, type Passwords } from './identity/password.ts'
import { issueSetupToken } from './identity/setup.ts'
import { embeddedKey } from './key-file.ts'
import type { OutboxWorker } from './mail/worker.ts'
import { StartError } from './start-error.ts'
import { joining } from './tenancy/joining.ts'
import type { Metrics } from './telemetry/metrics.ts'
import { listenForMetrics } from './telemetry/metrics-server.ts'
import { createTelemetry, type Telemetry } from './telemetry/telemetry.ts'
import { version } from './version.ts'

/** Where the service speaks to its operator. */
export type ServiceOutput = {
  /** one line for people */
  readonly print: (line: string) => void
  /** structured log lines */
  readonly logTo: { write(line: string): void }
}

export type Service = {
  readonly server: Server
  readonly database: ServiceDatabase
  /** Mail that waits to be delivered. */
  readonly outbox: OutboxWorker
  /** the URL that it listens on, and that of its metrics if they are on */
  listen(): Promise<{ readonly url: string; readonly metricsUrl: string | undefined }>
  /** The one-time token of the first start, or nothing when there is a tenant. */
  setupToken(): Promise<string | undefined>
  /** Finishes what is under way, then closes: server, chores, pools, embedded database. May be called again. */
  stop(): Promise<void>
}

/**
 * Composes the service: database, guard, identity, mail, HTTP. Nothing listens until `listen`.
 * @param look - at each database connection before it is used: for tests, as it costs a round trip
 * @throws StartError, ConfigError, DatabaseError
 */
export async function createService(config: Config, output: ServiceOutput, look?: CheckoutLook): Promise<Service> {
  const hashing = createLane()
  // the database starts first: the rest is loaded and made while it does
  const opening = openDatabase(config, output.print, look)
  // its failure is looked at below; until then it is not unhandled
  opening.catch(() => undefined)
  let made: Made
  try {
    made = await makeMeanwhile(config, hashing)
  } catch (error) {
    await opening.then(
      (opened) => opened.close(),
      () => undefined,
    )
    throw error
  }
  const { passwords, telemetry, createServer } = made
  const { metrics, openTelemetry } = telemetry
  const database = await opening
  try {
    const pools = tracedPools(database.pools, telemetry)
    const keys = deriveKeys(config.key ?? embeddedKey(config.database.dataDirectory))
    const scope = createScope({
      manifest: hostedManifest(config.application, config.tenancy.roles),
      dialect: pools.app.dialect,
    })
    const warn = (message: string) => (error: unknown) => server.app.log.warn({ err: error }, message)
    const guard = createGuard({
      pools,
      streams: database.streams,
      scope,
      onTouch: (_caller, { hash }) => void touchSession(pools.identity, hash).catch(warn('last-seen was not written')),
      onAfterCommitError: warn('a task after the commit failed'),
    })
    const identity: Identity = {
      pool: pools.identity,
      passwords,
      keys,
      settings: config.identity,
      joining,
      onMail: () => chores.outbox.wake(),
    }
    const server = await createServer({
      guard,
      identity,
      ready: createReadiness(pools, database.newestMigrations),
      origin: config.http.origin,
      tenantSources: config.tenancy.sources,
      trustedProxies: config.http.trustedProxies,
      logLevel: config.http.logLevel,
      logTo: output.logTo,
      telemetry: telemetry.requests,
      ...(config.application?.routes === undefined ? {} : { applicationRoutes: config.application.routes }),
    })
    const chores = await createChores(config, pools.identity, keys, server.app.log, output.print)
    await server.app.ready()
    telemetry.watch({ pools, scope, hashing, outbox: chores.outbox })

    let metricsServer: MetricsServer | undefined
    let stopping: Promise<void> | undefined
    return {
      server,
      database,
      outbox: chores.outbox,
      async listen() {
        const url = await listenOn(server, config)
        metricsServer = metrics === undefined ? undefined : await openMetrics(metrics, config, output)
        chores.start()
        return { url, metricsUrl: metricsUrlOf(metricsServer) }
      },
      setupToken: () => issueSetupToken(identity),
      stop() {
        stopping ??= (async () => {
          await server.drain()
          await chores.stop()
          metricsServer?.close()
          await openTelemetry?.stop()
          await database.close()
        })()
        return stopping
      },
    }
  } catch (error) {
    await database.close()
    throw error
  }
}

type Made = {
  readonly passwords: Passwords
  readonly telemetry: Telemetry
  readonly createServer: (options: ServerOptions) => Promise<Server>
}

/** What needs no database. */
async function makeMeanwhile(config: Config, lane: Lane): Promise<Made> {
  const [{ createServer }, passwords, telemetry] = await Promise.all([
    import('./http/server.ts'),
    createPasswords(lane),
    openTelemetry(config),
    loadKernel(),
  ])
  return { createServer, passwords, telemetry }
}

async function openTelemetry({ http, telemetry }: Config): Promise<Telemetry> {
  const wanted = { prometheus: http.metricsPort !== 'off', openTelemetry: telemetry.openTelemetry }
  try {
    return await createTelemetry(wanted, version)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new StartError(
      'The variables OTEL_… ask for OpenTelemetry, whose SDK is not installed: npm install @opentelemetry/sdk-node. Or set OTEL_SDK_DISABLED=true.',
      { cause: error },
    )
  }
}

function tracedPools(
  { app, identity }: ServiceDatabase['pools'],
  { openTelemetry }: Telemetry,
): ServiceDatabase['pools'] {
  if (openTelemetry === undefined) return { app, identity }
  return { app: openTelemetry.traced('app', app), identity: openTelemetry.traced('identity', identity) }
}

async function listenOn({ app }: Server, { http: { host, port } }: Config): Promise<string> {
  try {
    return await app.listen({ host, port, listenTextResolver: () => 'listening' })
  } catch (error) {
    throw new StartError(`Cannot listen on ${host}, port ${port}: ${reasonOf(error)}. Set HOST or PORT to another.`, {
      cause: error,
    })
  }
}

/** A taken port is an error where somebody chose it; the default's is only worth a line, for two may run on a machine. */
async function openMetrics(
  metrics: Metrics,
  { http: { metricsPort, metricsPortChosen } }: Config,
  { print }: ServiceOutput,
): Promise<MetricsServer | undefined> {
  try {
    return await listenForMetrics(metrics, Number(metricsPort))
  } catch (error) {
    const message = `Metrics are off: port ${metricsPort} cannot be had: ${reasonOf(error)}. Set METRICS_PORT to another port, or to off.`
    if (metricsPortChosen) throw new StartError(message, { cause: error })
    print(message)
    return undefined
  }
}

function metricsUrlOf(server: MetricsServer | undefined): string | undefined {
  const address = server?.address()
  return typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}/metrics` : undefined
}

function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') return 'another program listens there'
  if (code === 'EACCES') return 'ports below 1024 need privileges'
  return error instanceof Error ? error.message : String(error)
}
