import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { open } from '../../../core/guard/access.ts'
import { strict } from '../fields.ts'
import { HttpProblem } from '../problem.ts'
import type { Readiness } from '../readiness.ts'

/** Probes. Neither says anything of the database's whereabouts (CWE-200). */
export function healthRoutes(app: FastifyInstance, ready: Readiness): void {
  app.get(
    '/health',
    {
      config: { access: open('a live probe carries no credential') },
      schema: {
        summary: 'Whether the process lives',
        tags: ['probe'],
        response: { 200: strict({ status: Type.Literal('ok') }) },
      },
    },
    async () => ({ status: 'ok' as const }),
  )
  app.get(
    '/ready',
    {
      config: { access: open('a readiness probe carries no credential') },
      schema: {
        summary: 'Whether requests can be served',
        tags: ['probe'],
        response: { 200: strict({ status: Type.Literal('ready') }) },
      },
    },
    async () => {
      if (!(await ready())) throw new HttpProblem('unavailable', { headers: { 'retry-after': '1' } })
      return { status: 'ready' as const }
    },
  )
}
