import type { FastifyInstance } from 'fastify'
import { DRAIN_MS } from './limits.ts'
import { HttpProblem } from './problem.ts'

/** Ends an application gracefully. @returns whether all requests under way had finished */
export type Drain = () => Promise<boolean>

/** Counts requests under way; call before other hooks, so that a request refused for the end costs nothing. */
export function createDrain(app: FastifyInstance, patienceMs = DRAIN_MS): Drain {
  let underway = 0
  let draining = false
  let idle: (() => void) | undefined

  app.addHook('onRequest', async (_request, reply) => {
    if (draining) {
      reply.header('connection', 'close')
      throw new HttpProblem('shutting_down', { headers: { 'retry-after': '1' } })
    }
    underway++
    // `close` comes for an answer that was sent, and for a client that went away
    reply.raw.once('close', () => {
      underway--
      if (underway === 0) idle?.()
    })
  })
  // once draining, what is answered closes its connection too
  app.addHook('onSend', async (_request, reply, payload) => {
    if (draining) reply.header('connection', 'close')
    return payload
  })

  return async () => {
    draining = true
    let timer: NodeJS.Timeout | undefined
    const finished = await Promise.race([
      new Promise<boolean>((resolve) => {
        idle = () => resolve(true)
        if (underway === 0) resolve(true)
      }),
      new Promise<boolean>((resolve) => {
        timer = setTimeout(() => resolve(false), patienceMs)
      }),
    ])
    clearTimeout(timer)
    if (!finished) app.server.closeAllConnections()
    await app.close()
    return finished
  }
}
