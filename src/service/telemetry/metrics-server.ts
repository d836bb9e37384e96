import { createServer, type Server } from 'node:http'
import type { Metrics } from './metrics.ts'

/** Metrics are for the machine's own collector (CWE-200). */
const METRICS_HOST = '127.0.0.1'
export const METRICS_DEFAULT_PORT = 9464

/** Names that a Host header may have: a page elsewhere that points its name at this machine is refused (CWE-350). */
const LOCAL_HOST = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/

/**
 * Serves `/metrics` on loopback.
 * @throws Error `EADDRINUSE` when the port is taken
 */
export async function listenForMetrics(metrics: Pick<Metrics, 'text'>, port: number): Promise<Server> {
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
