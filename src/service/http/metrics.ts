import { createServer, type Server } from 'node:http'
import type { Pool } from '../../core/database/pool.ts'

/** Metrics are for the machine's own collector (CWE-200). */
const METRICS_HOST = '127.0.0.1'
export const METRICS_DEFAULT_PORT = 9464

/** Upper bounds of the duration histogram, in seconds: one flight takes a millisecond, one hash fifty. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Names that a Host header may have: a page elsewhere that points its name at this machine is refused (CWE-350). */
const LOCAL_HOST = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/

/** What the service counts. Labels are routes and codes, never a path, a caller or a tenant. */
export type Metrics = {
  answered(method: string, route: string, status: number, seconds: number): void
  denied(because: string): void
  /** The exposition format of Prometheus. */
  text(): Promise<string>
}

/** What is measured besides requests. */
export type MetricsSources = {
  readonly pools: Readonly<Record<string, Pool>>
  readonly hashing: () => { readonly running: number; readonly waiting: number; readonly refused: number }
}

/** Makes a registry of its own, so that two services in one process do not mix. */
export async function createMetrics(sources: () => MetricsSources | undefined): Promise<Metrics> {
  const { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } = await import('prom-client')
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry, prefix: 'holdfast_' })
  const durations = new Histogram({
    name: 'holdfast_http_request_duration_seconds',
    help: 'Time to answer',
    labelNames: ['method', 'route', 'status'],
    buckets: BUCKETS,
    registers,
  })
  const denials = new Counter({
    name: 'holdfast_denials_total',
    help: 'Denied callers by reason',
    labelNames: ['because'],
    registers,
  })
  new Gauge({
    name: 'holdfast_database_connections',
    help: 'Connections and waiters of each pool',
    labelNames: ['pool', 'state'],
    registers,
    collect() {
      for (const [pool, { stats }] of Object.entries(sources()?.pools ?? {})) {
        this.set({ pool, state: 'open' }, stats.size)
        this.set({ pool, state: 'idle' }, stats.idle)
        this.set({ pool, state: 'waiting' }, stats.waiting)
      }
    },
  })
  new Gauge({
    name: 'holdfast_password_hashes',
    help: 'The lane of password hashes',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(sources()?.hashing() ?? {})) this.set({ state }, count)
    },
  })
  return {
    answered: (method, route, status, seconds) => durations.observe({ method, route, status }, seconds),
    denied: (because) => denials.inc({ because }),
    text: () => registry.metrics(),
  }
}

/**
 * Serves `/metrics` on loopback.
 * @throws Error `EADDRINUSE` when the port is taken
 */
export async function listenForMetrics(metrics: Metrics, port: number): Promise<Server> {
  const server = createServer((request, response) => {
    if (!LOCAL_HOST.test(request.headers.host ?? '')) return void response.writeHead(421).end()
    if (request.method !== 'GET' || request.url !== '/metrics') return void response.writeHead(404).end()
    metrics.text().then(
      (text) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text),
      () => response.writeHead(500).end(),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, METRICS_HOST, resolve)
  })
  server.unref()
  return server
}
