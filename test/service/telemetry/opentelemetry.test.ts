import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isAskedFor } from '../../../src/service/telemetry/telemetry.ts'
import { type ServeProcess, startServe } from '../../serve-process.ts'

type Value = { readonly stringValue?: string; readonly intValue?: number | string }
type Attribute = { readonly key: string; readonly value: Value }
type Span = {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly attributes: readonly Attribute[]
}
type Point = { readonly attributes?: readonly Attribute[]; readonly asDouble?: number; readonly count?: number }
type Metric = { readonly name: string } & Record<
  'gauge' | 'sum' | 'histogram',
  { dataPoints: readonly Point[] } | undefined
>

/** A collector: what was posted to it, by path. */
class Collector {
  readonly posted: { readonly path: string; readonly text: string }[] = []
  readonly #server: Server

  constructor() {
    this.#server = createServer((request, response) => {
      let text = ''
      request.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      request.on('end', () => {
        this.posted.push({ path: String(request.url), text })
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
      })
    })
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  get spans(): readonly Span[] {
    return this.#under('/v1/traces').flatMap((body) =>
      (body as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] }).resourceSpans.flatMap(({ scopeSpans }) =>
        scopeSpans.flatMap(({ spans }) => spans),
      ),
    )
  }

  get metrics(): readonly Metric[] {
    return this.#under('/v1/metrics').flatMap((body) =>
      (body as { resourceMetrics: { scopeMetrics: { metrics: Metric[] }[] }[] }).resourceMetrics.flatMap(
        ({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics),
      ),
    )
  }

  #under(wanted: string): readonly unknown[] {
    return this.posted.filter(({ path }) => path === wanted).map(({ text }) => JSON.parse(text) as unknown)
  }
}

const attributesOf = ({ attributes = [] }: { readonly attributes?: readonly Attribute[] }) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]))

const PASSWORD = 'correct horse battery staple'
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'

describe('on by the standard variables', () => {
  const collector = new Collector()
  let directory: string
  let served: ServeProcess
  let logged: string

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-telemetry-'))
    chmodSync(directory, 0o711)
    const data = join(directory, 'data')
    served = await startServe(
      {
        LOG_LEVEL: 'info',
        OTEL_EXPORTER_OTLP_ENDPOINT: await collector.listen(),
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
        OTEL_METRICS_EXPORTER: 'otlp',
        OTEL_SERVICE_NAME: 'billing-api',
      },
      ['--data-dir', data],
    )
    const post = (path: string, body: object, headers: object = {}): Promise<Response> =>
      fetch(`${served.origin}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      })
    const token = readFileSync(join(data, 'setup-token'), 'utf8').trim()
    const owner = { email: 'owner@acme.example', display_name: 'Olive', password: PASSWORD }
    const founded = await post('/v1/setup', { token, tenant: { slug: 'acme', name: 'Acme' }, owner })
    expect(founded.status).toBe(201)
    const signedIn = await post('/v1/sign-in', { email: owner.email, password: PASSWORD })
    const { token: session } = (await signedIn.json()) as { token: string }
    const traceparent = `00-${TRACE}-00f067aa0ba902b7-01`
    const headers = { authorization: `Bearer ${session}` }
    expect(
      (await fetch(`${served.origin}/v1/teams/secret-team`, { headers: { ...headers, traceparent } })).status,
    ).toBe(404)
    expect((await fetch(`${served.origin}/v1/teams`)).status).toBe(401)
    expect((await post('/v1/teams', { slug: 'red', name: 'Red' }, headers)).status).toBe(201)
    // what waits to be sent is sent at the end
    expect(await served.stop()).toBe(0)
    logged = served.output()
  })

  afterAll(async () => {
    await served.kill()
    collector.close()
    rmSync(directory, { recursive: true, force: true })
  })

  it('a request is a span under its caller’s trace, and its transaction one under it', () => {
    const [request, ...others] = collector.spans.filter(({ name }) => name === 'GET /v1/teams/:slug')
    expect(others).toEqual([])
    expect(request).toMatchObject({ traceId: TRACE, parentSpanId: '00f067aa0ba902b7' })
    expect(attributesOf(request as Span)).toEqual({
      'http.request.method': 'GET',
      'http.route': '/v1/teams/:slug',
      'http.response.status_code': 404,
    })
    const [transaction] = collector.spans.filter(({ traceId, name }) => traceId === TRACE && name.startsWith('tr'))
    expect(transaction).toMatchObject({ name: 'transaction app', parentSpanId: request?.spanId })
    expect(attributesOf(transaction as Span)).toMatchObject({ 'db.system.name': 'postgresql' })
  })

  it('so is one whose body was read first', () => {
    const [request] = collector.spans.filter(({ name }) => name === 'POST /v1/teams')
    const below = collector.spans.filter(({ parentSpanId }) => parentSpanId === request?.spanId)
    expect(below.map(({ name }) => name)).toEqual(['transaction app'])
  })

  it('tells numbers, by route and code', () => {
    const points = (name: string): readonly Point[] =>
      collector.metrics.flatMap((one) =>
        one.name === name ? ((one.histogram ?? one.sum ?? one.gauge)?.dataPoints ?? []) : [],
      )
    const durations = points('http.server.request.duration').map(attributesOf)
    expect(durations).toContainEqual({
      'http.request.method': 'GET',
      'http.route': '/v1/teams/:slug',
      'http.response.status_code': 404,
    })
    expect(points('holdfast.denials').map(attributesOf)).toContainEqual({ because: 'credential_missing' })
    expect(points('holdfast.scope_lookups').map(attributesOf)).toContainEqual({ outcome: 'miss' })
    expect(points('holdfast.database_connections').map(attributesOf)).toContainEqual({ pool: 'app', state: 'open' })
    expect(points('holdfast.password_hashes').length).toBeGreaterThan(0)
  })

  it('says who it is, and nothing that is anybody’s', () => {
    const all = collector.posted.map(({ text }) => text).join('\n')
    expect(all).toContain('billing-api')
    for (const secret of ['secret-team', 'owner@acme', PASSWORD, 'Olive', 'data-dir', directory, '127.0.0.1']) {
      expect(all).not.toContain(secret)
    }
    expect(logged).toContain(`"trace_id":"${TRACE}"`)
  })
})

it.each([
  [{}, false],
  [{ OTEL_SERVICE_NAME: 'x' }, false],
  [{ OTEL_TRACES_EXPORTER: 'none', OTEL_METRICS_EXPORTER: '' }, false],
  [{ OTEL_TRACES_EXPORTER: 'otlp' }, true],
  [{ OTEL_METRICS_EXPORTER: 'console' }, true],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, true],
  [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318' }, true],
  [{ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://127.0.0.1:4318' }, true],
  [{ OTEL_TRACES_EXPORTER: 'otlp', OTEL_SDK_DISABLED: 'TRUE' }, false],
])('%j: %s', (environment, expected) => {
  expect(isAskedFor(environment)).toBe(expected)
})
