import {
  type Context,
  context,
  metrics,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from '@opentelemetry/api'
import type { Pool } from '../../core/database/pool.ts'
import type { Answer } from './metrics.ts'
import { MEASURES, type Sources } from './readings.ts'
import { tracedPool } from './traced-pool.ts'

/** What a request tells OpenTelemetry. */
export type OpenTelemetry = {
  /** A request's span, under the caller's trace where it brings one (W3C Trace Context). */
  readonly begin: (method: string, headers: Readonly<Record<string, unknown>>) => RequestTrace
  denied(because: string): void
  /** Adds what is read by looking: once, when all is there. */
  watch(sources: Sources): void
  /** The same pool; each transaction is a span of its own. */
  traced(name: string, pool: Pool): Pool
  /** Sends what waits to be sent, for five seconds at most. */
  stop(): Promise<void>
}

/** A request's span, while it is answered. */
export type RequestTrace = {
  readonly traceId: string
  /** Runs what belongs to the request: spans that are made meanwhile are its children. */
  within<T>(work: () => T): T
  end(answer: Answer): void
}

/** What waits to be sent is given up after this long, in milliseconds: the service is asked to stop. */
const FLUSH_MS = 5_000

/**
 * Starts OpenTelemetry as the standard variables say: exporters, endpoints, headers, sampler, limits are the SDK's to read.
 * @throws Error `ERR_MODULE_NOT_FOUND` when `@opentelemetry/sdk-node` is not installed
 */
export async function startOpenTelemetry(version: string): Promise<OpenTelemetry> {
  const { NodeSDK, resources } = await import('@opentelemetry/sdk-node')
  const sdk = new NodeSDK({
    serviceName: process.env['OTEL_SERVICE_NAME'] ?? 'holdfast',
    instrumentations: [],
    // not the detector of processes: a command line may hold an address with its password (CWE-532)
    resourceDetectors: [resources.envDetector, resources.hostDetector],
  })
  sdk.start()
  const meter = metrics.getMeter('holdfast', version)
  const durations = meter.createHistogram('http.server.request.duration', { unit: 's' })
  const denials = meter.createCounter('holdfast.denials', { description: 'Denied callers by reason' })
  const tracer = trace.getTracer('holdfast', version)
  const begin = requestsOf(tracer, ({ method, route, status, seconds }) =>
    durations.record(seconds, attributesOf({ method, route, status })),
  )
  return {
    begin,
    denied: (because) => denials.add(1, { because }),
    watch(sources) {
      for (const { name, help, kind, read } of MEASURES) {
        const options = { description: help }
        const instrument =
          kind === 'gauge'
            ? meter.createObservableGauge(dotted(name), options)
            : meter.createObservableCounter(dotted(name), options)
        instrument.addCallback((result) => {
          for (const [labels, value] of read(sources)) result.observe(value, labels)
        })
      }
    },
    traced: (name, pool) => tracedPool(pool, name, tracer),
    async stop() {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FLUSH_MS)
      })
      // a collector that is gone must not keep the service
      await Promise.race([sdk.shutdown().catch(() => undefined), late])
      clearTimeout(timer)
    },
  }
}

/** `holdfast_denials_total` as OpenTelemetry writes names: `holdfast.denials`. */
function dotted(name: string): string {
  return name.replace(/_total$/, '').replace('_', '.')
}

/** By the semantic conventions for HTTP servers; no path, no address: both may tell who it was. */
function attributesOf({ method, route, status }: Omit<Answer, 'seconds'>): Record<string, string | number> {
  return {
    'http.request.method': method,
    'http.route': route,
    'http.response.status_code': status,
    ...(status >= 500 ? { 'error.type': String(status) } : {}),
  }
}

function requestsOf(tracer: Tracer, record: (answer: Answer) => void): OpenTelemetry['begin'] {
  return (method, headers) => {
    const parent = propagation.extract(ROOT_CONTEXT, headers)
    const span: Span = tracer.startSpan(method, { kind: SpanKind.SERVER }, parent)
    const inside: Context = trace.setSpan(parent, span)
    return {
      traceId: span.spanContext().traceId,
      within: (work) => context.with(inside, work),
      end(answer) {
        span.updateName(`${answer.method} ${answer.route}`)
        span.setAttributes(attributesOf(answer))
        if (answer.status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
        // an exemplar of the histogram leads to this span
        context.with(inside, () => record(answer))
        span.end()
      },
    }
  }
}
