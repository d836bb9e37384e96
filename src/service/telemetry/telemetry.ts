import { type Answer, createMetrics, type Metrics } from './metrics.ts'
import type { OpenTelemetry } from './opentelemetry.ts'
import type { Sources } from './readings.ts'

/** The variables, one of which switches it on (OpenTelemetry, "Environment Variable Specification"). */
const ASKS = [
  'OTEL_TRACES_EXPORTER',
  'OTEL_METRICS_EXPORTER',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
  'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT',
] as const

type Environment = Readonly<Record<string, string | undefined>>

/** Whether the standard variables ask for OpenTelemetry: one of them names an exporter or a collector. */
export function isAskedFor(environment: Environment): boolean {
  if (environment['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return false
  return ASKS.some((name) => !['', 'none', undefined].includes(environment[name]))
}

/** What answering a request tells. */
export type RequestTelemetry = {
  answered(answer: Answer): void
  denied(because: string): void
  /** A request's span; none where OpenTelemetry is off. */
  readonly begin?: OpenTelemetry['begin'] | undefined
}

/** All that the service tells its operator in numbers and spans. */
export type Telemetry = {
  readonly requests: RequestTelemetry
  /** For Prometheus; none where it is off. */
  readonly metrics: Metrics | undefined
  readonly openTelemetry: OpenTelemetry | undefined
  /** Begins to read what is read by looking: once, when all is there. */
  watch(sources: Sources): void
}

/**
 * @param wanted what is switched on
 * @param version of the package, by which a collector tells releases apart
 * @throws Error `ERR_MODULE_NOT_FOUND` when OpenTelemetry is wanted and its SDK is not installed
 */
export async function createTelemetry(
  wanted: { readonly prometheus: boolean; readonly openTelemetry: boolean },
  version: string,
): Promise<Telemetry> {
  let watched: Sources | undefined
  const [metrics, openTelemetry] = await Promise.all([
    wanted.prometheus ? createMetrics(() => watched) : undefined,
    wanted.openTelemetry
      ? import('./opentelemetry.ts').then((loaded) => loaded.startOpenTelemetry(version))
      : undefined,
  ])
  return {
    metrics,
    openTelemetry,
    requests: {
      answered: (answer) => metrics?.answered(answer),
      denied(because) {
        metrics?.denied(because)
        openTelemetry?.denied(because)
      },
      begin: openTelemetry?.begin,
    },
    watch(sources) {
      watched = sources
      openTelemetry?.watch(sources)
    },
  }
}
