import { SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api'
import { DatabaseError } from '../../core/database/errors.ts'
import type { Pool } from '../../core/database/pool.ts'

/**
 * A pool whose transactions are spans: how long, how often they were run, how they ended. Neither statements nor values
 * are told: both may hold what a caller sent (CWE-532).
 */
export function tracedPool(pool: Pool, name: string, tracer: Tracer): Pool {
  const attributes = { 'db.system.name': pool.dialect, 'db.client.connection.pool.name': name }
  return {
    dialect: pool.dialect,
    get stats() {
      return pool.stats
    },
    begin: (options) => pool.begin(options),
    close: () => pool.close(),
    transaction: (work, options = {}) =>
      tracer.startActiveSpan(`transaction ${name}`, { kind: SpanKind.CLIENT, attributes }, async (span) => {
        let runs = 1
        try {
          return await pool.transaction(work, {
            ...options,
            onRetry(attempt, error) {
              runs = attempt
              options.onRetry?.(attempt, error)
            },
          })
        } catch (error) {
          if (error instanceof DatabaseError) span.setAttribute('error.type', error.code)
          // a denial and a refusal are answers: the request's span says which
          if (error instanceof DatabaseError) span.setStatus({ code: SpanStatusCode.ERROR })
          throw error
        } finally {
          if (runs > 1) span.setAttribute('holdfast.transaction.runs', runs)
          span.end()
        }
      }),
  }
}
