import { MEASURES, type Measure, type Sources } from './readings.ts'

/** Upper bounds of the duration histogram, in seconds: one flight takes a millisecond, one hash fifty. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** An answer: labels are routes and codes, never a path, a caller or a tenant. */
export type Answer = {
  readonly method: string
  /** as it is declared, `/v1/teams/:slug` */
  readonly route: string
  readonly status: number
  readonly seconds: number
}

/** What the service counts for Prometheus. */
export type Metrics = {
  answered(answer: Answer): void
  denied(because: string): void
  /** The exposition format of Prometheus. */
  text(): Promise<string>
}

/** Makes a registry of its own, so that two services in one process do not mix. @param sources none until all is there */
export async function createMetrics(sources: () => Sources | undefined): Promise<Metrics> {
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
  for (const { name, help, kind, labels, read } of MEASURES) {
    const readings = (): ReturnType<Measure['read']> => {
      const found = sources()
      return found === undefined ? [] : read(found)
    }
    const options = { name, help, labelNames: [...labels], registers }
    if (kind === 'gauge') {
      new Gauge({
        ...options,
        collect() {
          this.reset()
          const found = readings()
          for (const [of, value] of found) this.set(of, value)
          // to reset a gauge without labels is to set it to 0, and nothing is not 0
          if (found.length === 0) this.remove({})
        },
      })
    } else {
      new Counter({
        ...options,
        collect() {
          this.reset()
          for (const [of, value] of readings()) this.inc(of, value)
        },
      })
    }
  }
  return {
    answered: ({ method, route, status, seconds }) => durations.observe({ method, route, status }, seconds),
    denied: (because) => denials.inc({ because }),
    text: () => registry.metrics(),
  }
}
